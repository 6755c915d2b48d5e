"""Check that each module of dicom_proto is covered fully by its own test module, run alone.

The tests of ``dicom_proto/a/b.py`` are ``tests/proto/a/test_b.py`` and those beside it whose name goes on behind an
underscore (``test_b_timers.py``), as far as no other module has that name; of ``_b.py`` they are the same. Modules
without statements need none.

    python .ci/own_coverage.py [WORD ...]    # only modules whose path has one of the words
"""

import ast
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE, TESTS = ROOT / "dicom_proto", ROOT / "tests" / "proto"


def has_statements(module: Path) -> bool:
    """Tell whether a module does something: a docstring, imports and names are nothing."""
    nothing = ast.Expr | ast.Import | ast.ImportFrom
    return any(not isinstance(statement, nothing) for statement in ast.parse(module.read_text()).body)


def tests_of(module: Path) -> list[Path]:
    """Return the test modules of a module."""
    folder = TESTS / module.relative_to(PACKAGE).parent
    stem = module.stem.lstrip("_")
    others = {other.stem for other in module.parent.glob(f"{stem}_*.py")}
    found = [path for path in folder.glob(f"test_{stem}_*.py") if not any(_is_of(path, other) for other in others)]
    own = folder / f"test_{stem}.py"
    return ([own] if own.exists() else []) + sorted(found)


def _is_of(path: Path, stem: str) -> bool:
    return path.stem == f"test_{stem}" or path.stem.startswith(f"test_{stem}_")


def check(module: Path) -> str | None:
    """Run the tests of a module alone; return what is wrong, ``None`` if nothing is."""
    tests = tests_of(module)
    if not tests:
        return "has no test module of its own"
    name = module.relative_to(ROOT).as_posix()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pytest", "--quiet", "--cov=dicom_proto", f"--cov-report=json:{report}"]
        command += ["--cov-fail-under=0", "-pno:cacheprovider", *map(str, tests)]
        environment = {**os.environ, "COVERAGE_FILE": str(Path(folder) / "data")}
        run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if run.returncode:
            return f"its tests fail when they run alone:\n{run.stdout[-2000:]}"
        files = json.loads(report.read_text())["files"]
    measured = files.get(name)
    if measured is None:
        return "is not run at all"
    lines = [str(line) for line in measured["missing_lines"]]
    branches = [f"{before}->{after}" for before, after in measured["missing_branches"]]
    return f"not covered: {', '.join(lines + branches)}" if lines or branches else None


def main(words: list[str]) -> int:
    """Check all modules; return how many are not as they should be, at most 1."""
    modules = [
        module
        for module in sorted(PACKAGE.rglob("*.py"))
        if has_statements(module) and (not words or any(word in module.as_posix() for word in words))
    ]
    wrong = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for module, problem in zip(modules, pool.map(check, modules), strict=True):
            if problem is not None:
                wrong += 1
                print(f"{module.relative_to(ROOT)} {problem}", flush=True)
    print(f"{len(modules) - wrong} of {len(modules)} modules are covered fully by their own tests")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
