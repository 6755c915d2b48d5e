"""Run pynetdicom's own tests of behaviour through what stands in for it, and hold the result against what is expected.

    python -m tests.compat.measure [MODULE ...]     # such as ae or service_qr; by default all

Its wheel, of a pinned version, is fetched into build/pynetdicom. What is expected to differ is in differences.toml: a
reason, whether pynetdicom documents what differs, whether it depends on who is faster, and the tests, by module, class
and name; a test that has parameters is stated without them. The exit status is 1 if another test fails, or one of these
passes.
"""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

from attrs import define, frozen

VERSION = "3.0.4"
ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "pynetdicom"
WHEEL = BUILD / "wheel"
TESTS = WHEEL / "pynetdicom" / "tests"
DIFFERENCES = Path(__file__).with_name("differences.toml")
MODULES = (
    *("ae", "assoc", "assoc_n", "acse", "events", "presentation", "sop", "status"),
    *("service_class", "service_n", "service_non_patient", "service_qr", "service_relevant_patient"),
    *("service_storage", "service_substance_admin", "service_verification", "transport", "utils"),
)
_RESULT = re.compile(r"^(?P<outcome>PASSED|FAILED|ERROR|SKIPPED) \S*?test_(?P<test>\S+?)(?: - .*)?$", re.MULTILINE)
_KINDS = re.compile(r"^kinds: (.*)$", re.MULTILINE)


@define
class Result:
    """What has become of the tests of one module."""

    kinds: Counter[str]
    outcomes: dict[str, str]  # by test: "module::Class::test[parameters]"


def fetch() -> None:
    """Bring the wheel here, and unpack it."""
    if TESTS.is_dir():
        return
    BUILD.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--dest",
        str(BUILD),
    ]
    subprocess.run([*command, f"pynetdicom=={VERSION}"], check=True)
    (wheel,) = BUILD.glob(f"pynetdicom-{VERSION}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(WHEEL)


def run(module: str) -> Result:
    """Run the tests of one module in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": ":".join(map(str, (WHEEL, ROOT, ROOT / "transports")))}
    command = [sys.executable, "-m", "pytest", "-pno:cacheprovider", "-ptests.compat.plugin", "-c", "/dev/null"]
    command += [f"--rootdir={WHEEL}", "-q", "-rA", "--tb=no", "--disable-warnings", str(TESTS / f"test_{module}.py")]
    finished = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    kinds = _KINDS.search(finished.stdout)
    if kinds is None:
        raise SystemExit(f"the tests of {module} did not run:\n{finished.stdout}{finished.stderr}")
    counts = {kind: int(count) for kind, _, count in (part.partition("=") for part in kinds[1].split())}
    outcomes = {
        match["test"].replace(".py::", "::", 1): match["outcome"] for match in _RESULT.finditer(finished.stdout)
    }
    return Result(Counter(counts), outcomes)


@frozen
class Difference:
    """Why some tests are expected to fail, and which row of docs/migrating.md says so."""

    reason: str
    row: str
    documented: bool
    tests: list[str]
    racy: bool = False


def expected() -> dict[str, Difference]:
    """Return the tests that are expected to fail, without parameters, each with the reason."""
    stated = tomllib.loads(DIFFERENCES.read_text(encoding="utf-8"))["difference"]
    return {test: difference for difference in (Difference(**one) for one in stated) for test in difference.tests}


def function_of(test: str) -> str:
    """Return a test without its parameters."""
    return test.partition("[")[0]


def difference_of(test: str, known: dict[str, Difference]) -> Difference | None:
    """Return why a test is expected to fail; what is racy may be stated as a pattern."""
    function = function_of(test)
    return known.get(function) or next(
        (one for pattern, one in known.items() if one.racy and fnmatchcase(function, pattern)), None
    )


def main(modules: list[str]) -> int:
    """Print what has become of the tests, module by module; return the exit status."""
    fetch()
    known = expected()
    ran: set[str] = set()
    failed: set[str] = set()
    print(f"{'module':26}{'behaviour':>10}{'passed':>8}{'differ':>8}{'others':>8}   not of behaviour")
    for module in modules or MODULES:
        result = run(module)
        wrong = {test for test, outcome in result.outcomes.items() if outcome in {"FAILED", "ERROR"}}
        others = [test for test in wrong if difference_of(test, known) is None]
        passed = sum(outcome == "PASSED" for outcome in result.outcomes.values())
        rest = ", ".join(f"{count} {kind}" for kind, count in sorted(result.kinds.items()) if kind != "behaviour")
        figures = (result.kinds["behaviour"], passed, len(wrong) - len(others), len(others))
        print(f"{module:26}{figures[0]:10}{figures[1]:8}{figures[2]:8}{figures[3]:8}   {rest}", flush=True)
        failed |= wrong
        ran |= result.outcomes.keys()
    return report(known, ran, failed)


def report(known: dict[str, Difference], ran: set[str], failed: set[str]) -> int:
    """Print the figures of all modules, and what was not expected; return the exit status."""
    functions = set(map(function_of, failed))
    documented = {test for test in functions if test in known and known[test].documented}
    print(f"\n{len(ran)} tests of behaviour, {len(failed)} differ: {len(functions)} functions", end=", ")
    reasons = {known[test].reason for test in documented}
    print(f"{len(documented)} of them about what is documented, for {len(reasons)} reasons")
    unexpected = sorted(test for test in failed if difference_of(test, known) is None)
    stated = {test for test in set(map(function_of, ran)) & known.keys() if not known[test].racy}
    mended = sorted(stated - functions)
    for title, tests in (("not expected to fail", unexpected), ("expected to fail, and passed", mended)):
        for test in tests:
            print(f"{title}: {test}")
    return 1 if unexpected or mended else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
