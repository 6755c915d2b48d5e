#!/usr/bin/env bash
# pynetdicom2 0.9.8 and pynetdicom 3.0.4 cannot associate, unless both AE titles have exactly 16 characters.
#
# Versions: pynetdicom2 0.9.8, pynetdicom 3.0.4, pydicom 3.0.2, pydcm 0.5.0 as another SCP. Python 3.12.
# Input: C-ECHO of pynetdicom2's ClientAE, from SCU to SCP, and then between titles of 16 characters.
# Likely guess: two libraries of one language, one name and one purpose understand each other's first PDU.
# Seen: pynetdicom2 fills the AE title fields up with NUL where PS3.8 9.3.2 has spaces. pynetdicom takes NUL for a forbidden
#   character in a title and answers the request with an A-ABORT, before any handler is asked; its log shows the title as
#   if nothing were wrong with it. Titles of 16 characters have no padding, and work. pydcm, as DCMTK, takes both.
#   The other way round there is no such trouble. What is built on pynetdicom2, as tiny-pacs, has it too.
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
    pynetdicom2==0.9.8 pynetdicom==3.0.4 pydicom==3.0.2 pydcm==0.5.0 2>"$folder/pip" || { cat "$folder/pip"; exit 2; }

cat >"$folder/meet.py" <<'PYTHON'
import logging

import pydcm.dimse
import pynetdicom
from pynetdicom2 import asceprovider, sopclass, uids
from pynetdicom2.applicationentity import ClientAE

logging.disable()
VERIFICATION = "1.2.840.10008.1.1"


def serve(library, title):
    scp = library.AE(title)
    scp.add_supported_context(VERIFICATION)
    server = scp.start_server(("127.0.0.1", 0), block=False)
    return server, getattr(server, "bound_port", None) or server.server_address[1]


def echo(calling, called, port):
    client = ClientAE(calling).add_scu(sopclass.verification_scu)
    remote = asceprovider.RemoteAEConfig(aet=called, address="127.0.0.1", port=port)
    try:
        with client.request_association(remote) as association:
            return f"{int(association.get_scu(uids.VERIFICATION_SOP_CLASS)(1)):04X}"
    except Exception as error:
        return type(error).__name__


for name, library in ("pynetdicom", pynetdicom), ("pydcm", pydcm.dimse):
    for calling, called in ("SCU", "SCP"), ("SCU", "SCP_16_CHARACTER"), ("SCU_16_CHARACTER", "SCP_16_CHARACTER"):
        server, port = serve(library, called)
        print(f"{name}: {calling} to {called}: {echo(calling, called, port)}", flush=True)
        server.shutdown()
PYTHON

cd "$folder"
timeout 120 "$folder/env/bin/python" "$folder/meet.py" 2>"$folder/log" | tee "$folder/seen"
diff - "$folder/seen" <<'EXPECTED'
pynetdicom: SCU to SCP: AssociationAbortedError
pynetdicom: SCU to SCP_16_CHARACTER: AssociationAbortedError
pynetdicom: SCU_16_CHARACTER to SCP_16_CHARACTER: 0000
pydcm: SCU to SCP: 0000
pydcm: SCU to SCP_16_CHARACTER: 0000
pydcm: SCU_16_CHARACTER to SCP_16_CHARACTER: 0000
EXPECTED
