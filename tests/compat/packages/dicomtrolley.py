"""The queries of dicomtrolley, whose AE titles are bytes."""

from dicomtrolley.core import QueryLevels
from dicomtrolley.dicom_qr import DICOMQR, DICOMQuery

searcher = DICOMQR("127.0.0.1", 11112, aet="TROLLEY", aec="PEER")
for level in (QueryLevels.STUDY, QueryLevels.SERIES, QueryLevels.INSTANCE):
    for study in searcher.find_studies(DICOMQuery(PatientID="1CT1", query_level=level)):
        print(study, [(series, series.instances) for series in study.series])
