"""What gt-dicom-connector of 2019 does as an SCU, with a name of pynetdicom 1 that this stack still knows."""

import pynetdicom.sop_class
from pydicom import dcmread
from pydicom.dataset import Dataset

if not hasattr(pynetdicom.sop_class, "VerificationSOPClass"):
    pynetdicom.sop_class.VerificationSOPClass = pynetdicom.sop_class.Verification
from gtdicom.scu import Scu

image = dcmread("file-in.dcm")
query = Dataset()
query.QueryRetrieveLevel = "PATIENT"
query.PatientID = image.PatientID
query.PatientName = ""
print(Scu.c_echo("127.0.0.1", 11112))
print(Scu.c_find("127.0.0.1", 11112, query))
print(Scu.c_store("127.0.0.1", 11112, image))
