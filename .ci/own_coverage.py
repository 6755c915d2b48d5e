"""Check that each module of dicom_proto is covered fully by its own test module.

The tests of ``dicom_proto/a/b.py`` are ``tests/proto/a/test_b.py`` and those beside it whose name goes on behind an
underscore (``test_b_timers.py``), as far as no other module has that name; of ``_b.py`` they are the same, and of
``a/__init__.py`` they are those of ``a``. Modules that only gather names need none.

    python .ci/own_coverage.py [WORD ...]    # only modules whose path has one of the words

All tests run once, and coverage notes which test ran what. Some things are done once in a process, by whichever test
comes first: a module that seems not to be covered is judged by its tests alone, as are those that are asked for.
"""

import ast
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from coverage import Coverage
from coverage.exceptions import NoDataError

ROOT = Path(__file__).resolve().parent.parent
PACKAGE, TESTS = ROOT / "dicom_proto", ROOT / "tests" / "proto"


def has_statements(module: Path) -> bool:
    """Tell whether a module does something: a docstring, imports and ``__all__`` are nothing."""
    return any(not _is_nothing(statement) for statement in ast.parse(module.read_text(encoding="utf-8")).body)


def _is_nothing(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr() | ast.Import() | ast.ImportFrom() | ast.Assign(targets=[ast.Name("__all__")]):
            return True
    return False


def tests_of(module: Path) -> list[Path]:
    """Return the test modules of a module."""
    if module.name == "__init__.py":
        module = module.parent
    folder = TESTS / module.parent.relative_to(PACKAGE) if module != PACKAGE else TESTS
    stem = module.stem.lstrip("_")
    others = {other.stem for other in module.parent.glob(f"{stem}_*.py")}
    found = [path for path in folder.glob(f"test_{stem}_*.py") if not any(_is_of(path, other) for other in others)]
    own = folder / f"test_{stem}.py"
    return ([own] if own.exists() else []) + sorted(found)


def _is_of(path: Path, stem: str) -> bool:
    return path.stem == f"test_{stem}" or path.stem.startswith(f"test_{stem}_")


def run(tests: Iterable[Path], data: Path, *options: str) -> str | None:
    """Run tests and measure; return the end of what pytest says if one fails."""
    command = [sys.executable, "-m", "pytest", "--quiet", "--cov", "--cov-report=", "--cov-fail-under=0", *options]
    command += ["-pno:cacheprovider", *map(str, tests)]
    environment = {**os.environ, "COVERAGE_FILE": str(data)}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return f"{ended.stdout}{ended.stderr}"[-2000:] if ended.returncode else None


def missing(module: Path, data: Path, contexts: list[str] | None = None) -> str | None:
    """Return the lines and branches of a module that were not run, in these contexts."""
    report = data.with_name(f"{data.name}.json")
    measured = Coverage(data_file=data, config_file=ROOT / "pyproject.toml")
    measured.load()
    try:
        measured.json_report(morfs=[str(module)], outfile=str(report), contexts=contexts)
    except NoDataError:
        return "is not run at all"
    (found,) = json.loads(report.read_text(encoding="utf-8"))["files"].values()
    branches = [f"{before}->{after}" for before, after in found["missing_branches"]]
    lacking = ", ".join([*map(str, found["missing_lines"]), *branches])
    return f"not covered: {lacking}" if lacking else None


def check_alone(module: Path) -> str | None:
    """Run the tests of a module alone; return what is wrong, ``None`` if nothing is."""
    tests = tests_of(module)
    if not tests:
        return "has no test module of its own"
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        failure = run(tests, data)
        return missing(module, data) if failure is None else f"its tests fail when they run alone:\n{failure}"


def doubtful(modules: list[Path]) -> list[Path]:
    """Run all tests; return the modules that seem not to be covered by their own."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        failure = run([TESTS], data, "--cov-context=test")
        if failure is not None:
            sys.exit(failure)
        found = []
        for module in modules:
            own = [re.escape(f"{path.relative_to(ROOT).as_posix()}::") for path in tests_of(module)]
            contexts = ["^$", *(f"^{name}" for name in own)]  # no context is where modules are imported
            if not own or missing(module, data, contexts) is not None:
                found.append(module)
        return found


def main(words: list[str]) -> int:
    """Check all modules, or those with one of the words; return how many are not as they should be, at most 1."""
    modules = [module for module in sorted(PACKAGE.rglob("*.py")) if has_statements(module)]
    if words:
        modules = [module for module in modules if any(word in module.relative_to(ROOT).as_posix() for word in words)]
    wrong = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        suspects = modules if words else doubtful(modules)
        for module, problem in zip(suspects, pool.map(check_alone, suspects), strict=True):
            if problem is not None:
                wrong += 1
                print(f"{module.relative_to(ROOT)} {problem}", flush=True)
    print(f"{len(modules) - wrong} of {len(modules)} modules are covered fully by their own tests")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
