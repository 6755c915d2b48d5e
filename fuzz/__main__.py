"""``python -m fuzz``: run the harnesses for some time each, or replay what they have found."""

import os
import re
import subprocess
import sys
import tempfile
import traceback
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from dicom_proto.testing.samples import dictionary
from fuzz import CORPUS, HARNESSES, load
from fuzz.program import Language

__all__ = ["main"]

_ROOT: Final = CORPUS.parents[1]
_FINDINGS: Final = CORPUS.parent / "findings"
_LONGEST_INPUT: Final = 4096
_PATIENCE: Final = 25  # seconds that one input may take


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return 1 if something was found."""
    options = _parser().parse_args(arguments)
    names: list[str] = options.harness
    if options.replay:
        if len(names) != 1:
            raise SystemExit("--replay needs --harness with one name")
        found = [_replay(names[0], path) for path in _files(options.replay)]
    else:
        print(_row("harness", "executions", "exec/s", "edges", "features", "inputs", "finding"), flush=True)
        found = [_fuzz(name, options) for name in names]
    return int(any(found))


def _parser() -> ArgumentParser:
    parser = ArgumentParser("python -m fuzz", description="Coverage-guided fuzzing of the core.")
    parser.add_argument("--seconds", type=int, default=60, help="how long to run each harness (default: %(default)s)")
    parser.add_argument("--harness", nargs="+", choices=HARNESSES, default=HARNESSES, help="which (default: all)")
    parser.add_argument(
        "--corpus", type=Path, default=_ROOT / "build" / "fuzz",
        help="where new inputs are kept, from which the next run goes on (default: build/fuzz)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the fuzzer: the same inputs each time; 0 for others")
    parser.add_argument(
        "--replay", nargs="+", type=Path, metavar="PATH", help="run inputs, or all of a folder, and end"
    )
    return parser


# --- replay -----------------------------------------------------------------------------------------------------------


def _files(paths: list[Path]) -> list[Path]:
    return [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]


def _replay(name: str, path: Path) -> bool:
    """Run one input; say what it is and what is wrong, and return ``True``, if something is."""
    harness = load(name)
    data = path.read_bytes()
    try:
        harness.check(data)
    except Exception:  # noqa: BLE001 - whatever it is, it is what was looked for
        language = getattr(harness, "LANGUAGE", None)
        print(f"{path}:", language.describe(data) if isinstance(language, Language) else data.hex(), sep="\n")
        traceback.print_exc(file=sys.stdout)
        return True
    return False


# --- fuzzing ----------------------------------------------------------------------------------------------------------


def _fuzz(name: str, options: Namespace) -> bool:
    """Run one harness; print its figures, and return whether it has found something."""
    grown, findings = options.corpus / name, _FINDINGS / name
    log = options.corpus / f"{name}.log"
    for folder in (grown, findings):
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".dict") as words, log.open("wb") as output:
        words.write(dictionary())
        words.flush()
        command = [
            *(sys.executable, "-m", "fuzz.libfuzzer", name),
            *(
                f"-seed={options.seed}",
                f"-max_total_time={options.seconds}",
                f"-max_len={_LONGEST_INPUT}",
                f"-timeout={_PATIENCE}",
            ),
            *(
                f"-dict={words.name}",
                f"-artifact_prefix={findings}/",
                "-rss_limit_mb=2048",
                "-print_final_stats=1",
            ),
            *(str(grown), str(CORPUS / name)),
        ]
        environment = os.environ | ({"PYTHONHASHSEED": str(options.seed)} if options.seed else {})
        finished = subprocess.run(
            command, cwd=_ROOT, stdout=output, stderr=subprocess.STDOUT, env=environment, check=False
        )
    status = finished.returncode
    told = log.read_text(errors="replace")
    found = re.findall(r"Test unit written to (\S+)", told)
    print(_row(name, *_figures(told), "none" if status == 0 else f"exit status {status}"), flush=True)
    if status:
        print(told[-3000:], f"The whole log: {log}", sep="\n")
    for path in found:
        print(f"Replay: {sys.executable} -m fuzz --harness {name} --replay {path}")
    return status != 0


def _figures(told: str) -> list[str]:
    """Take the last figures out of the log of libFuzzer: executions, how fast; edges, features, inputs."""
    patterns = (r"executed_units:\s*(\d+)", r"exec/s: (\d+)", r"cov: (\d+)", r"ft: (\d+)", r"corp: (\d+)")
    return [(re.findall(pattern, told) or ["-"])[-1] for pattern in patterns]


def _row(*cells: str) -> str:
    return "{:<14}{:>12}{:>9}{:>8}{:>10}{:>8}  {}".format(*cells)


if __name__ == "__main__":
    sys.exit(main())
