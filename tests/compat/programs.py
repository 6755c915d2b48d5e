"""Run the programs of pynetdicom's documentation on it and on this stack, and compare what they do.

    python -m tests.compat.programs [PART_OF_A_NAME ...]     # such as storage.rst:20; by default all

Its source distribution, of a pinned version, is fetched into build/pynetdicom. Each program runs three times: as it is
on pynetdicom; with other module names in its imports (those that docs/migrating.md states) on this stack; as it is
under ``dicom_transports.compat.pynetdicom``. What is compared is said in comparing.py; lines that may differ are in
programs.toml, each with the reason, and if another one does the exit status is 1.
"""

import re
import sys
from typing import Final

from tests.compat import documents, measure
from tests.compat.comparing import STARTED, UNCHANGED, Expected, Flavour, compare

MODULES: Final = {  # the module names of docs/migrating.md
    "pynetdicom.pdu_primitives": "dicom_proto.offers.items",
    "pynetdicom.presentation": "dicom_proto.offers.contexts",
    "pynetdicom.service_class": "dicom_proto.service_class",
    "pynetdicom.sop_class": "dicom_proto.sop_class",
    "pynetdicom.status": "dicom_proto.status",
    "pynetdicom": "dicom_transports.blocking",
}
_IMPORT: Final = re.compile(rf"^((?:>>> )?from )({'|'.join(map(re.escape, MODULES))})( import )", re.MULTILINE)


def with_other_imports(text: str) -> str:
    """Return a program whose imports are those of this stack."""
    return _IMPORT.sub(lambda found: f"{found[1]}{MODULES[found[2]]}{found[3]}", text)


REFERENCE: Final = Flavour("pynetdicom", [STARTED], path=str(measure.WHEEL))
FLAVOURS: Final = (Flavour("imports", [STARTED], with_other_imports), Flavour("compat", UNCHANGED))


def main(parts: list[str]) -> int:
    """Run the programs, print a table and what differs; return the exit status."""
    measure.fetch()
    known = [Expected(**one) for one in documents.STATED["difference"]]
    return compare(documents.programs(), REFERENCE, FLAVOURS, known, parts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
