"""What pacsman does: verifies, searches, fetches with C-MOVE to a storage SCP of its own, and sends."""

import pydicom.valuerep
from pydicom import dcmread
from pydicom.multival import MultiValue

pydicom.valuerep.MultiValue = MultiValue  # where it looks for it, as in pydicom 2
from pacsman.pynetdicom_client import PynetDicomClient, StorageSCP  # noqa: E402

StorageSCP.run = lambda self: self.ae.start_server(("127.0.0.1", 11120), evt_handlers=self.handlers)  # not port 11113
client = PynetDicomClient("OUR_STORE_SCP", "PEER", "127.0.0.1", 11112, "fetched")
image = dcmread("file-in.dcm")
study, series = image.StudyInstanceUID, image.SeriesInstanceUID
print(client.verify())
print(client.search_patients(image.PatientID, ["PatientSex"], wildcard=True))
print(client.studies_for_patient(image.PatientID))
print(client.series_for_study(study))
print(client.images_for_series(study, series))
print(client.fetch_image_as_dicom_file(study, series, image.SOPInstanceUID))
client.send_datasets([image])
