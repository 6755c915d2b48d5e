"""Which of pynetdicom's tests are of behaviour: told by what their code looks at, not by their names.

A test is not of behaviour if it, or a helper of its module that it uses, looks at one of these:

* *private*: an attribute that begins with an underscore, or a name imported from pynetdicom that does, unless
  docs/compat.md names it as being there;
* *log*: the text of log lines (``caplog``);
* *machinery*: what drives an association from inside, ``acse``, ``dimse``, ``dul`` and ``lock``, the classes of these
  and other modules that docs/compat.md names as not being there, and objects that only the stack makes, which a test
  has made by hand: an event, a message, a PDU, a service class, one side of an association.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

DOCUMENTED: Final = {"_config", "_globals", "_fields", "_version", "_validators"}
DOCUMENTED_ENDING: Final = "_CLASSES"  # of sop_class
DRIVERS: Final = {"acse", "dimse", "dul", "lock"}
MACHINERY: Final = {
    *("acse", "dimse", "dul", "fsm", "pdu_items", "timer"),  # modules
    *(
        "AddressInformation",
        "AssociationSocket",
        "RequestHandler",
        "T_CONNECT",
        "attempt",
        "trigger",
        "start_server",
        "parrot",
    ),
}
MADE_BY_THE_STACK: Final = {  # modules, all of whose classes are
    *("association", "dimse_messages", "dimse_primitives", "events", "pdu", "service_class", "service_class_n"),
    "transport",
}


def _names(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            yield part.id
        elif isinstance(part, ast.arg):
            yield part.arg


def _called(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Name):
            yield part.func.id
        elif isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute):
            yield f".{part.func.attr}"


def _attributes(node: ast.AST) -> Iterator[str]:
    return (part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute))


def _is_private(name: str) -> bool:
    is_documented = name in DOCUMENTED or name.endswith(DOCUMENTED_ENDING)
    return name.startswith("_") and not name.startswith("__") and name != "_" and not is_documented


class Module:
    """One of pynetdicom's test modules.

    Parameters
    ----------
    path : Path
        Where it lies.
    """

    def __init__(self, path: Path) -> None:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        self._private: set[str] = set()  # names of the module that stand for something private
        self._machinery: set[str] = set()
        self._made = {".Event", ".InterventionEvent", ".NotificationEvent"}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("pynetdicom")):
                self._note_imports(node)
        self._top = tree.body
        self._helpers: dict[str, list[ast.AST]] = {}
        self._classes: dict[str, ast.ClassDef] = {}
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                self._classes[node.name] = node
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith(("test", "Test")):
                self._helpers[node.name] = [node]
            if isinstance(node, ast.Assign):  # what tests are parametrized with
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        self._helpers[target.id] = [node]

    def _note_imports(self, node: ast.ImportFrom) -> None:
        source = (node.module or "").split(".")[-1]
        for alias in node.names:
            name = alias.asname or alias.name
            if _is_private(alias.name):
                self._private.add(name)
            if source in MACHINERY or alias.name in MACHINERY:
                self._machinery.add(name)
            if source in MADE_BY_THE_STACK or (source == "pdu_primitives" and name.startswith(("A_", "P_"))):
                self._made.add(name)

    def _parts(self, class_name: str | None, function: str) -> Iterator[ast.AST]:
        """Yield the code of a test: its own, what sets it up, and the helpers that these use."""
        waiting: list[ast.AST] = []
        owner = self._classes.get(class_name or "")
        body = self._top if owner is None else owner.body
        methods = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
        waiting += [methods[name] for name in (function, "setup_method", "teardown_method") if name in methods]
        seen: set[int] = set()
        while waiting:
            node = waiting.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            yield node
            used = {*_names(node), *_attributes(node)}
            waiting += [helper for name in used for helper in self._helpers.get(name, ())]
            waiting += [methods[name] for name in used if name in methods and not name.startswith("test")]

    def kind_of(self, class_name: str | None, function: str) -> str:
        """Return ``"behaviour"``, or what else a test is of."""
        kinds = set()
        for part in self._parts(class_name, function):
            names, attributes = set(_names(part)), set(_attributes(part))
            if any(map(_is_private, attributes)) or names & self._private:
                kinds.add("private")
            if "caplog" in names:
                kinds.add("log")
            if names & self._machinery or attributes & DRIVERS or self._made & set(_called(part)):
                kinds.add("machinery")
        return next((kind for kind in ("machinery", "private", "log") if kind in kinds), "behaviour")
