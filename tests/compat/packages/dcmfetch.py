"""What dcmfetch does on a connection: queries of each level, a series and an image with C-GET."""

from dcmfetch import qipynetdicom
from pydicom import dcmread

PEER = ("PEER", "127.0.0.1", 11112, "DCMFETCH")
image = dcmread("file-in.dcm")
series = (image.PatientID, image.StudyInstanceUID, image.SeriesInstanceUID)
print(qipynetdicom.dcm_pat_level_find(*PEER, "*", "", "", ""))
print(qipynetdicom.dcm_stu_level_find(*PEER, image.PatientID))
print(qipynetdicom.dcm_ser_level_find(*PEER, *series[:2]))
print(qipynetdicom.dcm_img_level_find(*PEER, *series))
for response in qipynetdicom.dcm_ser_level_get(*PEER, *series, "."):
    print(response)
for response in qipynetdicom.dcm_img_level_get(*PEER, *series, image.SOPInstanceUID, "path"):
    print(response)
