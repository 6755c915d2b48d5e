#!/usr/bin/env bash
# pydcm 0.5.0: Association.abort() releases the association, and says that it was aborted.
#
# Versions: pydcm 0.5.0 (Python 3.12 or newer), pynetdicom 3.0.4, pydicom 3.0.2.
# Input: an association that is established and idle, and abort() on the SCU's side; the SCP is pynetdicom's and binds
#   EVT_RELEASED and EVT_ABORTED.
# Likely guess: A-ABORT (PS3.8 9.3.8), which tells an SCP to throw away what it was told, as a transaction of several
#   C-STOREs that the user gave up. kill() is the same call.
# Seen: A-RELEASE-RQ. At the SCP all looks as if the user had finished; is_aborted is True on one side of a connection
#   whose other side says that it was released.
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
import threading

import pynetdicom
from pydcm import dimse
from pynetdicom.sop_class import Verification

is_over = threading.Event()


def say(what):
    print(f"SCP: {what}", flush=True)
    is_over.set()


scp = pynetdicom.AE("SCP")
scp.add_supported_context(Verification)
handlers = [(pynetdicom.evt.EVT_RELEASED, lambda _: say("released")), (pynetdicom.evt.EVT_ABORTED, lambda _: say("aborted"))]
server = scp.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)

for name, library in ("pynetdicom", pynetdicom), ("pydcm", dimse):
    is_over.clear()
    scu = library.AE("SCU")
    scu.add_requested_context(Verification)
    association = scu.associate("127.0.0.1", server.server_address[1], ae_title="SCP")
    association.abort()
    is_over.wait(30)
    print(f"{name}: aborted {association.is_aborted}", flush=True)
server.shutdown()
PYTHON

cd "$folder"
timeout 120 "$folder/env/bin/python" "$folder/meet.py" 2>"$folder/log" | tee "$folder/seen"
diff - "$folder/seen" <<'EXPECTED'
SCP: aborted
pynetdicom: aborted True
SCP: released
pydcm: aborted True
EXPECTED
