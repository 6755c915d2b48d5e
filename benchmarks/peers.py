"""Who is here to be measured, and who with whom."""

from importlib import import_module
from importlib.util import find_spec
from itertools import product
from typing import Any, Final

from benchmarks import dcmtk, ours
from benchmarks.jobs import Pairs, Scp, Scu

__all__ = ["absent", "each_with_itself", "has_dcmtk", "pynetdicom", "store_pairs", "with_pynetdicom"]

with_pynetdicom: Any = import_module("benchmarks.with_pynetdicom") if find_spec("pynetdicom") else None
_DCMTK: Final = not dcmtk.missing()


def absent() -> list[str]:
    """Return who is not here."""
    programs = dcmtk.missing()
    return [
        *([] if len(ours.SCUS) == 3 else ["trio"]),
        *([f"DCMTK ({', '.join(programs)})"] if programs else []),
        *([] if with_pynetdicom else ["pynetdicom"]),
    ]


def has_dcmtk() -> bool:
    """Tell whether DCMTK is here."""
    return _DCMTK


def pynetdicom() -> Pairs:
    """Return pynetdicom with itself, if it is here."""
    return [(with_pynetdicom.scu(), with_pynetdicom.scp())] if with_pynetdicom else []


def each_with_itself() -> Pairs:
    """Return each adapter as SCU and SCP, and pynetdicom."""
    return [*ours.PAIRS, *pynetdicom()]


def store_pairs() -> Pairs:
    """Return who stores at whom: each with itself, and the others with DCMTK and pynetdicom on the other side."""
    pairs = [*ours.PAIRS]
    if _DCMTK:
        scus, scps = [*map(dcmtk.storescu, dcmtk.PDU_LENGTHS)], [*map(dcmtk.storescp, dcmtk.PDU_LENGTHS)]
        pairs += [*zip(scus, scps, strict=True), *product(scus, ours.SCPS), *product(ours.SCUS, scps)]
    return pairs + _with_pynetdicom()


def _with_pynetdicom() -> Pairs:
    if not with_pynetdicom:
        return []
    scu, scp = with_pynetdicom.scu(), with_pynetdicom.scp()
    scus: list[Scu] = [scu, ours.SCUS[0]]
    scps: list[Scp] = [ours.SCPS[0]]
    if _DCMTK:
        scus.append(dcmtk.storescu("128K"))
        scps.append(dcmtk.storescp("128K"))
    return [*((other, scp) for other in scus), *((scu, other) for other in scps)]
