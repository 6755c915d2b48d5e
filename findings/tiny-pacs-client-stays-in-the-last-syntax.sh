#!/usr/bin/env bash
# tiny-pacs 0.4.1: a DICOMClient that has stored a JPEG file asks for everything it does for the first time in JPEG.
#
# Versions: tiny-pacs 0.4.1, pynetdicom2 0.9.8, pydicom 3.0.2; the SCP is pynetdicom 3.0.4. Python 3.12.
# Input: one DICOMClient that calls echo(), store() of a file in JPEG Baseline, find() and echo(). The SCP has queries and
#   verification in Implicit VR Little Endian, as every SCP has to, and the image in JPEG Baseline.
# Likely guess: the calls do not depend on each other, since each requests an association of its own.
# Seen: store() leaves the transfer syntax of its file behind for every context that is added later, and a service is added
#   when it is first called. So find() proposes the query in JPEG Baseline alone, which is refused, and it raises
#   ClassNotSupportedError; echo(), added before, goes on working. Had find() been called once before the store, it would
#   work as well. A new client works.
#
# Exit status: 0 if that is still so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for python in python3.12 python3.13 python3.14 python3 "$HOME"/.pyenv/versions/3.1[2-9].*/bin/python; do
    "$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && break
done
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check \
    tiny-pacs==0.4.1 pynetdicom2==0.9.8 pynetdicom==3.0.4 pydicom==3.0.2 2>"$folder/pip" || { cat "$folder/pip"; exit 2; }

cat >"$folder/meet.py" <<'PYTHON'
import logging
import warnings

from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import SecondaryCaptureImageStorage, StudyRootQueryRetrieveInformationModelFind, Verification
from tiny_pacs.client import DICOMClient

warnings.simplefilter("ignore")
logging.disable()
IMPLICIT, JPEG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.50"


def find(event):
    match = Dataset()
    match.QueryRetrieveLevel, match.StudyInstanceUID = "STUDY", "1.2.3"
    yield 0xFF00, match


# Titles of 16 characters, since pynetdicom does not take those that pynetdicom2 has to pad.
SCU, SCP = "SCU_16_CHARACTER", "SCP_16_CHARACTER"
scp = AE(SCP)
scp.add_supported_context(Verification, IMPLICIT)
scp.add_supported_context(StudyRootQueryRetrieveInformationModelFind, IMPLICIT)
scp.add_supported_context(SecondaryCaptureImageStorage, JPEG)
handlers = [(evt.EVT_C_FIND, find), (evt.EVT_C_STORE, lambda _: 0x0000)]
server = scp.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
there = {"aet": SCP, "address": "127.0.0.1", "port": server.server_address[1]}
wanted = Dataset()
wanted.QueryRetrieveLevel, wanted.StudyInstanceUID = "STUDY", ""
file = get_testdata_file("SC_rgb_jpeg_dcmtk.dcm", download=False)

steps = {
    "echo": lambda client: client.echo(),
    "find": lambda client: [str(match.StudyInstanceUID) for match in client.find(wanted)],
    "store": lambda client: client.store(file),
}
client = DICOMClient(SCU, there)
for name in "echo", "store", "find", "echo":
    try:
        print(name, steps[name](client) or "done", flush=True)
    except Exception as error:
        print(name, type(error).__name__, flush=True)
print("new client", steps["find"](DICOMClient(SCU, there)), flush=True)
server.shutdown()
PYTHON

cd "$folder"
timeout 120 "$folder/env/bin/python" "$folder/meet.py" 2>"$folder/log" | tee "$folder/seen"
diff - "$folder/seen" <<'EXPECTED'
echo done
store done
find ClassNotSupportedError
echo done
new client ['1.2.3']
EXPECTED
