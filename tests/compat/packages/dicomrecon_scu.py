"""What dicomrecon does as an SCU, and its search for who answers on a port."""

import logging

from dicomrecon.pentest.scanner import scan
from dicomrecon.scu.echo import c_echo
from dicomrecon.scu.find import c_find
from dicomrecon.scu.get import c_get
from dicomrecon.scu.move import c_move
from dicomrecon.scu.store import c_store
from dicomrecon.target import parse_target

logging.Logger.success = logging.Logger.info  # what its command line adds
target = parse_target("PEER@127.0.0.1:11112")
print(c_echo(target))
for level in ("patient", "study", "series", "image", "worklist"):
    print(c_find(target, level, {"PatientID": "1CT1"}))
print(c_store(target, ["file-in.dcm"]))
print(c_get(target, "study", {"PatientID": "1CT1"}, "retrieved"))
print(c_move(target, "PEER", "study", {"PatientID": "1CT1"}))
print([{**found, "ms": None} for found in scan([("127.0.0.1", 11112)], aets=["PEER"], timeout=10)])
