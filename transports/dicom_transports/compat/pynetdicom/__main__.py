"""Run a program written for pynetdicom, a module, or one of pynetdicom's own applications.

::

python -m dicom_transports.compat.pynetdicom PROGRAM.py [ARGUMENT ...]
python -m dicom_transports.compat.pynetdicom echoscu 127.0.0.1 11112
python -m dicom_transports.compat.pynetdicom -m MODULE [ARGUMENT ...]
"""

import runpy
import sys
from importlib import import_module
from pathlib import Path


def main(arguments: list[str]) -> None:
    """Run what the first argument names with those behind it."""
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(__doc__)
        return
    program, *rest = arguments
    if program == "-m" and rest:
        sys.argv = rest
        sys.path[0] = ""
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif Path(program).exists():
        sys.argv = arguments
        sys.path[0] = str(Path(program).resolve().parent)
        runpy.run_path(program, run_name="__main__")
    else:
        sys.argv = arguments
        import_module(f"pynetdicom.apps.{program}.{program}").main(rest)


if __name__ == "__main__":
    main(sys.argv[1:])
