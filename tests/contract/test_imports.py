"""Imports point one way: app → pages → trainers → core, pages → core, lab → commands → trainers and core."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
MAY_IMPORT = {
    "core": {"core"},
    "studies": {"core", "studies"},
    "trainers": {"core", "trainers"},
    "pages": {"core", "trainers", "pages"},
    "app": {"core", "trainers", "pages"},
    "commands": {"core", "trainers", "commands"},
    "lab": {"core", "trainers", "commands"},
}
OURS = {"core", "trainers", "pages", "app", "commands", "lab", "studies", "tests", "benchmarks"}
HEAVY = {"torch", "torchvision", "torchaudio", "xgboost", "librosa", "streamlit", "timm"}
"""Seconds of import each (torch alone takes three): not for listing runs."""


def sources() -> list[Path]:
    found = [PROJECT / "lab.py", PROJECT / "app.py"]
    for folder in ("core", "trainers", "pages", "commands", "studies"):
        found += sorted((PROJECT / folder).rglob("*.py"))
    return [path for path in found if path.exists()]


def imported(tree: ast.AST) -> set[str]:
    """Every module that is imported anywhere in a file, inside functions too; relative imports are ours."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import in line {node.lineno}"
            names.add(node.module or "")
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            # By name: every text in the call, or, where a variable holds the names, every text in the file.
            place = tree if isinstance(node.args[0], ast.Name) else node
            texts = {part.value for part in ast.walk(place) if isinstance(part, ast.Constant)}
            names |= {str(text) for text in texts if re.fullmatch(r"[a-z_]+(\.\w*)*", str(text))}
    return names


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PROJECT)))
def test_imports_point_one_way(path: Path) -> None:
    place = path.relative_to(PROJECT).parts[0].removesuffix(".py")
    roots = {name.partition(".")[0] for name in imported(ast.parse(path.read_text()))}
    by_name = {PROJECT / "core" / "runner.py": {"trainers"}, PROJECT / "core" / "studies.py": {"studies"}}
    allowed = MAY_IMPORT[place] | by_name.get(path, set())
    assert roots & OURS <= allowed
    if place not in ("app", "pages"):
        assert "streamlit" not in roots
    assert "ast" not in roots, "Python 3.11's ast.parse fails where another thread parses or imports at that moment"


def test_the_runner_imports_trainers_by_name_only() -> None:
    tree = ast.parse((PROJECT / "core" / "runner.py").read_text())
    written = {node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)}
    assert not any("trainers" in ast.unparse(node) for node in written)
    assert "trainers" in imported(tree)


def test_the_reader_sees_what_it_should() -> None:
    assert imported(ast.parse("def f():\n    from trainers.toy import fit")) == {"trainers.toy"}
    assert imported(ast.parse("importlib.import_module(f'trainers.{name}')")) == {"trainers."}
    assert imported(ast.parse("names = ['pages.listen']\nfor name in names:\n    import_module(name)")) == {
        "pages.listen"
    }
    with pytest.raises(AssertionError, match="relative import"):
        imported(ast.parse("from . import toy"))


def at_top(path: Path) -> set[str]:
    """Modules a file imports when it is itself imported."""
    body = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
    return {name for node in body for name in imported(node)}


def test_listing_runs_needs_nothing_heavy() -> None:
    """Follows the imports at the top of every module of ours that `runs` and `leaderboard` load."""
    waiting, seen = ["lab", "core.store", "core.boards"], set()
    while waiting:
        name = waiting.pop()
        if name in seen or name.partition(".")[0] not in OURS:
            continue
        seen.add(name)
        base = PROJECT / name.replace(".", "/")
        path = base.with_suffix(".py") if base.with_suffix(".py").exists() else base / "__init__.py"
        if not path.exists():
            continue
        tree = ast.parse(path.read_text())
        roots = {found.partition(".")[0] for found in at_top(path)}
        assert not roots & HEAVY, f"{name} imports {roots & HEAVY} at its top"
        for node in tree.body:
            if isinstance(node, ast.ImportFrom):
                waiting += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
    assert {"core.rundir", "core.supervisor", "core.ingest"} <= seen


def test_listing_runs_loads_nothing_heavy() -> None:
    script = "import sys, lab, core.store, core.boards; print(*{name.partition('.')[0] for name in sys.modules})"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=PROJECT, timeout=120)
    assert found.returncode == 0, found.stderr
    assert not set(found.stdout.split()) & HEAVY
