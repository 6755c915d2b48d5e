"""What dicom-qr does as an SCU: an echo, queries, a retrieval with C-GET, a store."""

from pathlib import Path

from dicom_qr.dimse.query_c_find import QueryPacsFind
from dicom_qr.dimse.retrieve_c_get import RetrievePacsGet
from dicom_qr.dimse.store_c_store import StorePacsStore
from dicom_qr.echo import echo_scu
from dicom_qr.search import SearchTerms
from dicom_qr.settings import Dimse, PacsConfig
from pydicom import dcmread

dimse = Dimse(
    client_ae_title="DICOMQR",
    client_ae_port=11120,
    server_ae_title="PEER",
    server_ae_ip="127.0.0.1",
    server_ae_port=11112,
)
config = PacsConfig(dimse=dimse, base_folder=Path("retrieved"))
image = dcmread("file-in.dcm")
echo_scu(config)
with QueryPacsFind(config) as find:
    print(find.get_studies(SearchTerms(patid=image.PatientID)))
    series = find.get_series_for_study(image.StudyInstanceUID)
    print(series)
    print(find.get_instances(image.StudyInstanceUID, image.SeriesInstanceUID))
with RetrievePacsGet(config, str, print, print) as get:
    print(get.retrieve_images_for_a_series(series[0]))
with StorePacsStore("127.0.0.1", 11112) as store:
    print(store.store(Path("file-in.dcm"), 1), store.store(image, 2))
