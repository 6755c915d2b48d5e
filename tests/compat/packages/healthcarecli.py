"""What healthcarecli does as an SCU, and its storage SCP, to which it sends itself."""

from pathlib import Path

from healthcarecli.dicom.connections import AEProfile
from healthcarecli.dicom.echo import cecho
from healthcarecli.dicom.move import cmove
from healthcarecli.dicom.query import QueryParams, cfind
from healthcarecli.dicom.store import SCPServer, csend
from pydicom import dcmread

peer = AEProfile("peer", "127.0.0.1", 11112, "PEER")
image = dcmread("file-in.dcm")
print(cecho(peer) > 0)
for level, model in (("PATIENT", "PATIENT"), ("STUDY", "STUDY"), ("SERIES", "STUDY"), ("IMAGE", "STUDY")):
    print(*cfind(peer, QueryParams(level, patient_id=image.PatientID), model=model))
print(cmove(peer, "PEER", study_uid=image.StudyInstanceUID))
print(csend(peer, [Path("instances")]))
server = SCPServer("OURSELVES", 11120, Path("received"))
server.start()
while True:
    try:
        print(csend(AEProfile("server", "127.0.0.1", 11120, "OURSELVES"), [Path("instances")]))
        break
    except RuntimeError:  # it does not listen yet
        continue
server.stop()
print(sorted(path.name for path in server.received))
