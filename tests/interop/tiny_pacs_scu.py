"""tiny-pacs as SCU: run by an interpreter that has it as ``tiny_pacs_scu.py HOST PORT STUDY FILE ...``."""

import sys

import pydicom
from tiny_pacs.client import DICOMClient  # type: ignore[import-not-found]  # it has an environment of its own


def main(host: str, port: str, study: str, *files: str) -> None:
    archive = {"aet": "ARCHIVE", "address": host, "port": int(port)}
    client = DICOMClient("TINY_PACS", archive)
    client.echo()
    print("echoed")  # noqa: T201  pytest shows what a peer says
    for file in files:
        client.store(file)
        print("sent")  # noqa: T201
    wanted = pydicom.Dataset()
    wanted.QueryRetrieveLevel = "STUDY"
    wanted.StudyInstanceUID = study
    wanted.PatientID = ""
    client = DICOMClient("TINY_PACS", archive)  # it goes on in the transfer syntax of the last file
    for found in client.find(wanted):
        print("found", found.PatientID)  # noqa: T201
    del wanted.PatientID
    client.move(wanted, dest_ae="ARCHIVE")
    print("moved")  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
