"""Runs made from laws instead of trained, one module per study: what a check must say of them is known.

`CASES` maps a claim's id to runs in which it is "true", "false" and "underpowered" (too few to tell), and "artefact"
where its check can find that.
"""
