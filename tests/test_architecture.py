"""The architecture, enforced: who may import whom, what the core may not touch, and how big things may grow."""

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE, TRANSPORTS = ROOT / "dicom_proto", ROOT / "transports" / "dicom_transports"
FILES = {
    ".".join(path.relative_to(package.parent).with_suffix("").parts): path
    for package in (CORE, TRANSPORTS)
    for path in sorted(package.rglob("*.py"))
}


# The house, by folder (docs/architecture.md): a module imports from floors below its own, and from its own folder.
WORDS = ("errors", "buffers", "limits", "names", "logs")
TABLES = ("service_class", "sop_class", "status", "_sop_class_names", "_status_table")
FLOORS: list[tuple[str, ...]] = [
    tuple(f"dicom_proto.{name}" for name in WORDS),
    tuple(f"dicom_proto.{name}" for name in TABLES),
    *(
        (f"dicom_proto.{folder}",)
        for folder in (
            "encoding",
            "upper_layer",
            "dimse",
            "offers",
            "handlers",
            "programs",
            "services",
            "application",
            "testing",
        )
    ),
    ("dicom_proto.__init__",),
    ("dicom_transports._socket",),
    ("dicom_transports._files",),
    ("dicom_transports",),
    ("dicom_transports.apps", "dicom_transports.compat", "dicom_transports.testing", "dicom_transports.__main__"),
]
ADAPTERS = {f"dicom_transports.{name}" for name in ("blocking", "trio", "asyncio")}
# The rooms behind them: of the blocking one, and what those for event loops share.
ROOMS_OF_ADAPTERS = {
    f"dicom_transports.{name}" for name in ("_threads.association", "_tasks.association", "_tasks.entity", "loops")
}
LOOPS = {"asyncio": "dicom_transports.asyncio", "trio": "dicom_transports.trio"}
APPLICATIONS = ("dicom_transports.apps", "dicom_transports.compat", "dicom_transports.testing")  # what uses an adapter
# What all adapters share carries bytes and never waits: that is what an adapter is for.
SHARED = {
    f"dicom_transports.{name}" for name in ("_entity", *(f"_socket.{n}" for n in ("channel", "gather", "tls_layer")))
}
WAITING = {"concurrent", "queue", "select", "selectors", "threading", "time"}

# Nothing in the core may do I/O, know the time, run anything beside itself or draw random numbers.
BANNED_MODULES = {
    *("asyncio", "concurrent", "multiprocessing", "queue", "sched", "signal", "subprocess"),
    *("_thread", "threading", "trio"),
    *("fcntl", "glob", "http", "mmap", "os", "pathlib", "select", "selectors", "shutil", "socket", "socketserver"),
    *("ssl", "tempfile", "urllib"),
    *("random", "secrets", "time", "uuid"),
    *("importlib", "logging.config", "logging.handlers"),
}
ALLOWED_NAMES = {"io": {"BytesIO"}}  # of a module that also opens files
SEEDED = "dicom_proto.testing"  # may use a generator of random numbers that its caller has seeded
BANNED_CALLS = {"open", "input", "print", "breakpoint", "exec", "eval", "__import__"}
LONGEST_MODULE, LONGEST_FUNCTION = 600, 80
LONGEST_ADAPTER, CORE_TO_ADAPTERS = 400, 6  # in lines of code

Finding = tuple[int, str]


def imports(tree: ast.AST) -> Iterator[Finding]:
    """Every imported name as ``(line, dotted name)``, wherever the statement stands and whatever it is for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)


def is_within(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


def floor_of(name: str) -> int | None:
    """The floor of a module, or of a name imported from one: that of the innermost folder naming it."""
    found = [(len(room), floor) for floor, rooms in enumerate(FLOORS) for room in rooms if is_within(name, room)]
    if not found and is_within(name, "dicom_proto") and name not in FILES:  # a name that its __init__ defines
        return floor_of("dicom_proto.__init__")
    return max(found)[1] if found else None


def wrong_floors(tree: ast.AST, module: str) -> Iterator[Finding]:
    own = floor_of(module)
    if own is None or (module not in FILES and module.count(".") == 1 and own == floor_of("dicom_proto.__init__")):
        yield 1, f"{module} has no floor: give it one in FLOORS"
        return
    for line, name in imports(tree):
        if name.startswith("."):
            yield line, f"relative import {name}"
        elif is_within(name, "dicom_proto") or is_within(name, "dicom_transports"):
            other = floor_of(name)
            if other is not None and other > own:
                yield line, f"{module} (floor {own}) imports {name} (floor {other})"


def wrong_adapters(tree: ast.AST, module: str) -> Iterator[Finding]:
    """The adapters stand alone, and nothing that is not an application imports one."""
    if is_within(module, "dicom_transports") and not any(is_within(module, room) for room in APPLICATIONS):
        for line, name in imports(tree):
            if any(is_within(name, adapter) for adapter in ADAPTERS - {module}):
                yield line, f"{module} imports the adapter {name}"


def wrong_waits(tree: ast.AST, module: str) -> Iterator[Finding]:
    """An event loop is known to its own adapter alone, and what adapters share knows no way to wait."""
    if is_within(module, "dicom_transports") and not any(is_within(module, room) for room in APPLICATIONS):
        for line, name in imports(tree):
            source = name.partition(".")[0]
            if LOOPS.get(source, module) != module or (module in SHARED and source in WAITING):
                yield line, f"{module} imports {name}: that is for adapters"


def banned_imports(tree: ast.AST, module: str) -> Iterator[Finding]:
    if not is_within(module, "dicom_proto"):
        return
    for line, name in imports(tree):
        source, _, imported = name.rpartition(".")
        allowed = ALLOWED_NAMES.get(source or imported)
        if name == "importlib.import_module" and module == "dicom_proto.__init__":
            continue  # what it has is imported when it is asked for
        if name == "random.Random" and is_within(module, SEEDED):
            continue
        if any(is_within(name, banned) for banned in BANNED_MODULES) or (
            allowed is not None and imported not in allowed
        ):
            yield line, f"the core imports {name}"


def pydicom_imports(tree: ast.AST, module: str) -> Iterator[Finding]:
    """The upper layer and DIMSE can be used without a data set library."""
    if is_within(module, "dicom_proto.upper_layer") or is_within(module, "dicom_proto.dimse"):
        yield from ((line, f"{module} imports {name}") for line, name in imports(tree) if is_within(name, "pydicom"))


def banned_calls(tree: ast.AST, module: str) -> Iterator[Finding]:
    if not is_within(module, "dicom_proto"):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BANNED_CALLS:
            yield node.lineno, f"the core calls {node.func.id}()"
        elif isinstance(node, ast.Attribute) and (node.attr == "basicConfig" or node.attr.endswith("Handler")):
            yield node.lineno, f"the core sets up logging: {node.attr}"


def asserts(tree: ast.AST, module: str) -> Iterator[Finding]:
    """``python -O`` drops assert statements, so the core has none."""
    if is_within(module, "dicom_proto"):
        yield from ((node.lineno, "assert statement") for node in ast.walk(tree) if isinstance(node, ast.Assert))


def long_functions(tree: ast.AST, module: str) -> Iterator[Finding]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > LONGEST_FUNCTION:
                yield node.lineno, f"{module}: {node.name} has {length} lines"


CHECKS = [
    wrong_floors,
    wrong_adapters,
    wrong_waits,
    banned_imports,
    pydicom_imports,
    banned_calls,
    asserts,
    long_functions,
]


def findings(source: str, module: str) -> list[str]:
    """Everything that is wrong with one module, as ``line: what``."""
    length = source.count("\n")
    long_module = [(length, f"{module} has {length} lines")] if length > LONGEST_MODULE else []
    tree = ast.parse(source)
    return [
        f"{line}: {what}" for line, what in sorted([f for check in CHECKS for f in check(tree, module)] + long_module)
    ]


@pytest.mark.parametrize("module", FILES)
def test_module_keeps_the_rules(module: str) -> None:
    assert findings(FILES[module].read_text(encoding="utf-8"), module) == []


def test_all_modules_were_seen() -> None:
    assert {"dicom_proto.__init__", "dicom_proto.errors", "dicom_transports.__init__"} <= FILES.keys()
    assert FILES.keys() >= ADAPTERS | SHARED | ROOMS_OF_ADAPTERS


def circles() -> list[str]:
    """The modules that import each other, directly or through others, behind TYPE_CHECKING too."""
    edges = {
        module: {
            target
            for _, name in imports(ast.parse(path.read_text(encoding="utf-8")))
            for target in (name, name.rpartition(".")[0])
            if target in FILES and target != module
        }
        for module, path in FILES.items()
    }

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = list(edges[start])
        while waiting:
            module = waiting.pop()
            if module not in seen:
                seen.add(module)
                waiting += edges[module]
        return seen

    return [module for module in FILES if module in reached(module)]


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles() == []


def lines_of_code(source: str) -> int:
    """The lines that say something to the interpreter: no blank ones, no comments, no docstrings."""
    said = {
        line
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type in {tokenize.NAME, tokenize.NUMBER, tokenize.STRING, tokenize.OP}
        for line in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            said.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(said)


def length_of(module: str) -> int:
    return lines_of_code(FILES[module].read_text(encoding="utf-8"))


def test_lines_of_code_are_those_that_do_something() -> None:
    head = '"""What it is."""\n\n# why\nx = [\n    1,  # one\n]\ny = """two\nlines"""\n'
    assert lines_of_code(head) == 5
    assert lines_of_code(head + '\n\ndef f():\n    """Do it.\n\n    Twice.\n    """\n    return x\n') == 7


@pytest.mark.parametrize("module", sorted(ADAPTERS | ROOMS_OF_ADAPTERS))
def test_adapter_is_thin(module: str) -> None:
    assert length_of(module) < LONGEST_ADAPTER


def test_the_core_is_most_of_it() -> None:
    core = sum(length_of(module) for module in FILES if is_within(module, "dicom_proto"))
    assert core >= CORE_TO_ADAPTERS * sum(map(length_of, ADAPTERS | ROOMS_OF_ADAPTERS))


def test_transports_folder_is_no_package() -> None:
    assert not (TRANSPORTS.parent / "__init__.py").exists()


def test_both_packages_are_marked_as_typed() -> None:
    assert (CORE / "py.typed").is_file()
    assert (TRANSPORTS / "py.typed").is_file()


GOOD = [
    ("dicom_proto.names", "from dicom_proto.errors import InvalidNameError"),
    ("dicom_proto.upper_layer.pdu", "from dicom_proto.upper_layer import items\nfrom dicom_proto import errors"),
    ("dicom_proto.dimse.connection", "import dicom_proto.upper_layer.association"),
    ("dicom_proto.__init__", "from dicom_proto.dimse.connection import Connection"),
    ("dicom_proto.encoding.datasets", "from io import BytesIO\nfrom logging import getLogger\nimport pydicom"),
    (
        "dicom_transports.trio",
        "import trio\nimport socket\nfrom dicom_transports._socket.gather import Gather\nassert trio",
    ),
    (
        "dicom_proto.application.association",
        "from dicom_proto.application.entity import ApplicationEntity\nfrom dicom_proto.programs.effects import Await",
    ),
    (
        "dicom_transports.asyncio",
        "import asyncio\nfrom dicom_transports._tasks.entity import AsyncAE\nimport threading",
    ),
    ("dicom_transports._threads.workers", "import threading\nfrom queue import SimpleQueue"),
    ("dicom_transports.apps.demo", "from dicom_transports.blocking import AE\nprint(open(AE))"),
    ("dicom_transports.compat.pynetdicom.ae", "from dicom_transports.blocking import AE"),
    ("dicom_proto.application.entity", "# a comment\n" * LONGEST_MODULE),
    ("dicom_proto.testing.mutators", "from random import Random"),
]
BAD = [
    ("dicom_proto.errors", "from dicom_proto.upper_layer.pdu import Abort", "(floor 3)"),
    ("dicom_proto.errors", "from dicom_proto import Connection", "(floor 11)"),
    ("dicom_proto.names", "import dicom_proto", "(floor 11)"),
    ("dicom_proto.upper_layer.pdu", "def f():\n    from dicom_proto.dimse import messages", "2: "),
    ("dicom_proto.upper_layer.pdu", "if TYPE_CHECKING:\n    import dicom_proto.application.entity", "(floor 9)"),
    ("dicom_proto.dimse.messages", "from dicom_proto import datasets", "floor "),
    ("dicom_proto.encoding.datasets", "from dicom_proto.dimse.messages import CStoreRQ", "floor "),
    ("dicom_proto.services.verification", "from dicom_transports.blocking import AE", "floor "),
    ("dicom_transports.blocking", "import dicom_transports.apps.demo", "floor "),
    ("dicom_transports.blocking", "import dicom_transports.compat.pynetdicom", "floor "),
    ("dicom_proto.upper_layer.pdu", "from .items import Item", "relative import .items.Item"),
    ("dicom_proto.extra", "", "has no floor"),
    ("dicom_transports.trio", "from dicom_transports.blocking import AE", "the adapter dicom_transports.blocking.AE"),
    ("dicom_transports.asyncio", "from dicom_transports import trio", "the adapter dicom_transports.trio"),
    ("dicom_transports.__init__", "import dicom_transports.asyncio", "the adapter dicom_transports.asyncio"),
    (
        "dicom_transports._tasks.association",
        "from dicom_transports.trio import AE",
        "the adapter dicom_transports.trio.AE",
    ),
    ("dicom_transports.storage", "from dicom_transports import blocking", "the adapter dicom_transports.blocking"),
    ("dicom_transports._tasks.association", "import asyncio", "imports asyncio: that is for adapters"),
    ("dicom_transports.blocking", "from trio import sleep", "imports trio.sleep: that is for adapters"),
    ("dicom_transports._socket.channel", "from time import monotonic", "imports time.monotonic: that is for adapters"),
    ("dicom_transports._entity", "import threading", "imports threading: that is for adapters"),
    (
        "dicom_proto.services.verification",
        "from dicom_proto.application.association import EntityAssociation",
        "(floor 9)",
    ),
    ("dicom_proto.application.entity", "from dicom_transports._entity import AEBase", "floor "),
    ("dicom_proto.names", "import os.path", "imports os.path"),
    ("dicom_proto.dimse.connection", "from time import monotonic", "imports time.monotonic"),
    ("dicom_proto.dimse.connection", "from pydicom.dataset import Dataset", "imports pydicom.dataset.Dataset"),
    ("dicom_proto.testing.mutators", "from random import choice", "imports random.choice"),
    ("dicom_proto.upper_layer.machine", "from random import Random", "imports random.Random"),
    ("dicom_proto.encoding.datasets", "import io", "imports io"),
    ("dicom_proto.encoding.datasets", "from io import open as f", "imports io.open"),
    ("dicom_proto.application.entity", "from logging import handlers", "imports logging.handlers"),
    ("dicom_proto.application.entity", "import logging\nlogging.StreamHandler()", "sets up logging: StreamHandler"),
    ("dicom_proto.application.entity", "logging.basicConfig()", "sets up logging: basicConfig"),
    ("dicom_proto.encoding.datasets", "data = open('file', 'rb')", "calls open()"),
    ("dicom_proto.upper_layer.pdu", "def decode(data):\n    assert data", "2: assert statement"),
    (
        "dicom_transports.blocking",
        "def f():\n" + "    pass\n" * LONGEST_FUNCTION,
        f"f has {LONGEST_FUNCTION + 1} lines",
    ),
    (
        "dicom_transports.tls",
        "async def f():\n" + "    pass\n" * LONGEST_FUNCTION,
        f"f has {LONGEST_FUNCTION + 1} lines",
    ),
    ("dicom_transports.tls", "# a comment\n" * (LONGEST_MODULE + 1), f"has {LONGEST_MODULE + 1} lines"),
]


@pytest.mark.parametrize(("module", "source"), GOOD)
def test_good_source_passes(module: str, source: str) -> None:
    assert findings(source, module) == []


@pytest.mark.parametrize(("module", "source", "expected"), BAD)
def test_bad_source_is_found(module: str, source: str, expected: str) -> None:
    (finding,) = findings(source, module)
    assert expected in finding
