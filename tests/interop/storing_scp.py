"""A storage SCP in a process of its own, which can be killed: ``storing_scp.py adapter port directory durability``."""

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "transports")]

from dicom_transports.blocking import evt  # noqa: E402 - from the tree that is tested
from dicom_transports.storage import Durability, GroupCommit, store_to  # noqa: E402
from tests.contract.adapters import make_ae, use  # noqa: E402

adapter, port, directory, durability = sys.argv[1:]
policy: Durability = GroupCommit() if durability == "group" else "each"
sink: Any = store_to(directory, "{PatientID}/{StudyInstanceUID}/{SOPInstanceUID}.dcm", durability=policy)
with use(adapter):
    ae = make_ae("STORING")
    ae.unrestricted_storage = True
    ae.start_server(("127.0.0.1", int(port)), evt_handlers=[(evt.EVT_C_STORE, sink)])
