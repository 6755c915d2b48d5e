"""A storage SCP in a process of its own, which can be killed: ``storing_scp.py port directory``."""

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "transports")]

from dicom_transports.blocking import AE, evt  # noqa: E402 - from the tree that is tested
from dicom_transports.storage import store_to  # noqa: E402

port, directory = sys.argv[1:]
ae = AE("STORING")
ae.unrestricted_storage = True
sink: Any = store_to(directory, "{PatientID}/{StudyInstanceUID}/{SOPInstanceUID}.dcm")
ae.start_server(("127.0.0.1", int(port)), evt_handlers=[(evt.EVT_C_STORE, sink)])
