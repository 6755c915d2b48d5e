"""Check the built wheel from inside the clean environment that it was installed into.

Run as ``python -I check_wheel.py WHEEL``: nothing but the installed packages can then be imported.
"""

import subprocess
import sys
import zipfile
from importlib.metadata import version

PACKAGES = {"dicom_proto", "dicom_transports"}
IO_MODULES = {
    *(
        "_socket",
        "_ssl",
        "asyncio",
        "concurrent",
        "http",
        "multiprocessing",
        "random",
        "secrets",
        "select",
        "selectors",
    ),
    *("signal", "socket", "socketserver", "ssl", "subprocess", "tempfile", "threading", "trio"),
}

# What importing the core with all of its two lower floors adds to an interpreter that has attrs, which uses threading.
ADDED_MODULES = """
import attrs, importlib, pkgutil, sys
before = set(sys.modules)
import dicom_proto
for name in ("dicom_proto.upper_layer", "dicom_proto.dimse"):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        importlib.import_module(module.name)
print(*{name.partition(".")[0] for name in set(sys.modules) - before})
"""
TIMED_IMPORT = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


def fresh_python(code: str) -> str:
    """Run code in an interpreter of its own, and return what it prints."""
    command = [sys.executable, "-I", "-c", code]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def check_contents(wheel: str) -> None:
    """Assert that the wheel installs exactly the two packages, with the marker that they are typed."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    top = {name.split("/", 1)[0] for name in names}
    assert top == PACKAGES | {f"dicom_proto-{version('dicom-proto')}.dist-info"}, (
        f"the wheel's top level is {sorted(top)}"
    )
    for package in PACKAGES:
        assert f"{package}/py.typed" in names, f"{package} ships no py.typed"


def check_imports() -> None:
    """Assert that the core brings in no module that does I/O, and its two lower floors no pydicom."""
    added = set(fresh_python(ADDED_MODULES).split())
    assert "dicom_proto" in added
    assert not added & IO_MODULES, f"the core imports {sorted(added & IO_MODULES)}"
    assert "pydicom" not in added, "the upper layer or DIMSE imports pydicom"


def import_milliseconds(module: str) -> float:
    """Measure an import in fresh interpreters: the best of five."""
    return min(float(fresh_python(TIMED_IMPORT.format(module))) for _ in range(5)) * 1000


if __name__ == "__main__":
    check_contents(sys.argv[1])
    check_imports()
    print("wheel: its contents and imports are as they should be")
    for module in ("dicom_proto", "dicom_proto.upper_layer.pdu"):
        print(f"import {module}: {import_milliseconds(module):.0f} ms")
