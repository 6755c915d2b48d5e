#!/usr/bin/env bash
# pydcm 0.5.0 proposes two transfer syntaxes for an N-service and then sends the one that was not accepted.
#
# Versions: pydcm 0.5.0 (Python 3.12 or newer), pynetdicom 3.0.4, pydicom 3.0.2.
# Input: an MPPS N-CREATE by add_requested_context(ModalityPerformedProcedureStep) with no syntax named. pydcm proposes
#   Implicit and Explicit VR Little Endian; the SCP, of pynetdicom, takes Explicit, as DCMTK's and Orthanc's SCPs do
#   whenever they are offered both.
# Likely guess: the attribute list arrives in Explicit VR Little Endian, as negotiated (PS3.8 9.3.2.2).
# Seen: accepted_contexts says Explicit, and the bytes are Implicit: tag, then a length of four bytes where the VR should be.
#   Only an SCP that guesses (pydicom does, with a warning) understands them. For queries pydcm proposes Implicit alone.
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
    pydcm==0.5.0 pynetdicom==3.0.4 pydicom==3.0.2 2>"$folder/pip" || { cat "$folder/pip"; exit 2; }

cat >"$folder/meet.py" <<'PYTHON'
import pydcm
import pynetdicom
from pydcm import dimse
from pynetdicom.sop_class import ModalityPerformedProcedureStep

EXPLICIT = "1.2.840.10008.1.2.1"


def create(event):
    accepted = "Explicit" if event.context.transfer_syntax == EXPLICIT else "Implicit"
    sent = event.request.AttributeList.getvalue()
    print(f"accepted {accepted}, arrived {sent[:8].hex(' ')}", flush=True)
    return 0x0000, None


scp = pynetdicom.AE("SCP")
scp.add_supported_context(ModalityPerformedProcedureStep, EXPLICIT)
handlers = [(pynetdicom.evt.EVT_N_CREATE, create)]
server = scp.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)

scu = dimse.AE("SCU")
scu.add_requested_context(dimse.sop_class.ModalityPerformedProcedureStep)
association = scu.associate("127.0.0.1", server.server_address[1], ae_title="SCP")
values = pydcm.Dataset()
values.PatientID = "4711"
status, _ = association.send_n_create(values, dimse.sop_class.ModalityPerformedProcedureStep, "1.2.3")
print(f"{association.accepted_contexts[0].transfer_syntax[0]} {status.Status:04X}", flush=True)
association.release()
server.shutdown()
PYTHON

cd "$folder"
timeout 120 "$folder/env/bin/python" "$folder/meet.py" 2>"$folder/log" | tee "$folder/seen"
diff - "$folder/seen" <<'EXPECTED'
accepted Explicit, arrived 10 00 20 00 04 00 00 00
1.2.840.10008.1.2.1 0000
EXPECTED
