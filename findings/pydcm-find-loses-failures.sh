#!/usr/bin/env bash
# pydcm 0.5.0 turns a C-FIND that failed into one that succeeded, as SCU and as SCP.
#
# Versions: pydcm 0.5.0 (Python 3.12 or newer), pynetdicom 3.0.4, pydicom 3.0.2.
# Input: a query that the SCP answers with one match (FF00H) and then with a failure, A700H "out of resources"
#   (PS3.4 C.4.1.1.4). Each library is the SCP once and the SCU once; pynetdicom with itself shows what is to be expected.
# Likely guess: since pydcm.dimse has pynetdicom's names, the last status that the SCU sees is the SCP's: A700H.
# Seen: as SCU pydcm hands out 0000H behind the match, and raises nothing; as SCP it sends 0000H in place of the status that
#   its handler yielded. Who asks through either takes a part of the answer for all of it.
#
#   pynetdicom asks pynetdicom: FF00 A700
#   pydcm asks pynetdicom: FF00 0000
#   pynetdicom asks pydcm: FF00 0000
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

cat >"$folder/scp.py" <<'PYTHON'
"""An SCP that finds one match and then fails; it prints its port."""
import importlib
import sys
import threading

library = importlib.import_module(sys.argv[1])
Dataset = importlib.import_module("pydcm" if sys.argv[1].startswith("pydcm") else "pydicom").Dataset
FIND = "1.2.840.10008.5.1.4.1.2.2.1"


def find(event):
    match = Dataset()
    match.QueryRetrieveLevel = "STUDY"
    match.StudyInstanceUID = "1.2.3"
    yield 0xFF00, match
    yield 0xA700, None


ae = library.AE("SCP")
ae.add_supported_context(FIND, "1.2.840.10008.1.2")
server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(library.evt.EVT_C_FIND, find)])
print(getattr(server, "bound_port", None) or server.server_address[1], flush=True)
threading.Event().wait(60)
PYTHON

cat >"$folder/scu.py" <<'PYTHON'
"""An SCU that prints the statuses that it is given."""
import importlib
import sys

library = importlib.import_module(sys.argv[1])
Dataset = importlib.import_module("pydcm" if sys.argv[1].startswith("pydcm") else "pydicom").Dataset
FIND = "1.2.840.10008.5.1.4.1.2.2.1"

ae = library.AE("SCU")
ae.add_requested_context(FIND, "1.2.840.10008.1.2")
association = ae.associate("127.0.0.1", int(sys.argv[2]), ae_title="SCP")
wanted = Dataset()
wanted.QueryRetrieveLevel = "STUDY"
wanted.StudyInstanceUID = ""
print(*(f"{status.Status:04X}" for status, _ in association.send_c_find(wanted, FIND)))
association.release()
PYTHON

name() { [[ $1 == pydcm.dimse ]] && echo pydcm || echo "$1"; }

ask() { # SCU SCP
    coproc SCP { exec timeout 60 "$folder/env/bin/python" "$folder/scp.py" "$2" 2>"$folder/log"; }
    local scp=$SCP_PID port
    read -r port <&"${SCP[0]}"
    echo "$(name "$1") asks $(name "$2"): $("$folder/env/bin/python" "$folder/scu.py" "$1" "$port" 2>"$folder/log")"
    kill "$scp"
    wait "$scp" 2>/dev/null || true
}

{
    ask pynetdicom pynetdicom
    ask pydcm.dimse pynetdicom
    ask pynetdicom pydcm.dimse
} | tee "$folder/seen"
diff - "$folder/seen" <<'EXPECTED'
pynetdicom asks pynetdicom: FF00 A700
pydcm asks pynetdicom: FF00 0000
pynetdicom asks pydcm: FF00 0000
EXPECTED
