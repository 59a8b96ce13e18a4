"""Studies: published experiments, run again and put to the test. One TOML file each, with the check functions it names.

`studies/<name>.toml` is a sweep file (core/sweepfile.py) with a published table and claims; `studies/<name>.py` holds
the functions that `check = "…"` names: `def check(runs: Runs, **args) -> Verdict` (core/verdicts.py). Modules that
begin with an underscore are theirs to share. core/studies.py reads both.
"""
