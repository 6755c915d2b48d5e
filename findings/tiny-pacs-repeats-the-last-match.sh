#!/usr/bin/env bash
# tiny-pacs 0.4.1 on pynetdicom2 0.9.8 answers a C-FIND with the last match, as often as there are matches.
#
# Versions: tiny-pacs 0.4.1, pynetdicom2 0.9.8, pydicom 3.0.2; asked with pynetdicom 3.0.4. Python 3.12.
# Input: three studies of three patients, stored there; then a query for all studies.
# Likely guess: three responses with three Study Instance UIDs. The number of responses is right, the database too: a
#   query that names one study finds that one.
# Seen: three times the last study (seldom the first one gets through). pynetdicom2's C-FIND SCP fills one message for all
#   responses, which a second thread encodes when it gets to send it, and by then the identifier is that of the last match:
#   what is asked one by one is right, what is asked at once is not.
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
import json
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.sop_class import SecondaryCaptureImageStorage, StudyRootQueryRetrieveInformationModelFind

warnings.simplefilter("ignore")
with socket.create_server(("127.0.0.1", 0)) as unused:
    port = unused.getsockname()[1]
components = {name: {"on": True} for name in ("Database", "Devices", "PACS", "InMemoryStorage")}
config = {"ae": {"ae_title": ["TINY"], "port": port}, "log": {"version": 1, "root": {"level": "ERROR"}}}
Path("config.json").write_text(json.dumps(config | {"components": components}))
program = Path(sys.executable).with_name("tiny-pacs")
server = subprocess.Popen([program, "run", "-c", "config.json"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    ae = AE("SCU")
    ae.add_requested_context(SecondaryCaptureImageStorage, ImplicitVRLittleEndian)
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind, ImplicitVRLittleEndian)
    deadline = time.monotonic() + 60
    while not (association := ae.associate("127.0.0.1", port, ae_title="TINY")).is_established:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for number in (1, 2, 3):
        stored = Dataset()
        stored.SOPClassUID, stored.SOPInstanceUID = SecondaryCaptureImageStorage, f"1.2.3.{number}.1.1"
        stored.StudyInstanceUID, stored.SeriesInstanceUID = f"1.2.3.{number}", f"1.2.3.{number}.1"
        stored.PatientID, stored.PatientName, stored.Modality = f"P{number}", f"Patient^{number}", "OT"
        stored.file_meta = FileMetaDataset()
        stored.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        assert association.send_c_store(stored).Status == 0x0000

    def find(study):
        wanted = Dataset()
        wanted.QueryRetrieveLevel, wanted.StudyInstanceUID = "STUDY", study
        answers = association.send_c_find(wanted, StudyRootQueryRetrieveInformationModelFind)
        return [str(match.StudyInstanceUID) for _, match in answers if match]

    print("one by one:", *(uid for number in (1, 2, 3) for uid in find(f"1.2.3.{number}")))
    found = find("")
    print(found, file=sys.stderr)
    print("at once:", len(found), "answers,", "all" if len(set(found)) == 3 else "not all", "of the studies")
    association.release()
finally:
    server.terminate()
    server.wait()
PYTHON

cd "$folder"
timeout 120 "$folder/env/bin/python" "$folder/meet.py" 2>"$folder/log" | tee "$folder/seen"
diff - "$folder/seen" <<'EXPECTED'
one by one: 1.2.3.1 1.2.3.2 1.2.3.3
at once: 3 answers, not all of the studies
EXPECTED
