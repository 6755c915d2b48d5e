"""How dicom-ai-router sends what it has made."""

from airouter.sender import c_store
from pydicom import dcmread

print(c_store([dcmread("file-in.dcm"), dcmread("instances/MR_small.dcm")], "127.0.0.1", 11112, "PEER"))
