"""Whether the kit finds all faults of the toy unaided: ``python -m tests.planted [FAULT ...]``, in ``make long``."""

import socket
import sys
from pathlib import Path

from dicom_transports.testing.fuzzing import Bounds, Finding, Fuzzer
from dicom_transports.testing.target import Target
from tests.toy_scp import FAULTS

__all__ = ["LARGEST", "find", "main"]

LARGEST = 200  # bytes of what shows a fault
TOY = Path(__file__).with_name("toy_scp.py")


def find(fault: str, connections: int, tell=print) -> list[Finding]:
    """Fuzz the toy with one of its faults, or with none (an empty string)."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-X", "faulthandler", "-IS", str(TOY), str(port), *([fault] if fault else [])]
    target = Target(("127.0.0.1", port), command, patience=5)
    try:
        return Fuzzer(target, Bounds(seconds=120, connections=connections, findings=1), seed=1, tell=tell).run()
    finally:
        target.close()


def main(faults: list[str]) -> int:
    """Look for each fault, and for one where there is none; return how many are not as they should be, at most 1."""
    wrong = 0
    for fault in faults or ["", *FAULTS]:
        found = find(fault, 5000)
        is_right = not found if not fault else bool(found) and 0 < found[0].size < LARGEST
        wrong += not is_right
        shown = f"{found[0].kind}, {found[0].size} bytes" if found else "nothing"
        print(f"{fault or 'no fault'}: {shown}{'' if is_right else '  <-- WRONG'}", flush=True)
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
