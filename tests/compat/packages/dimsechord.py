"""What dimsechord does as an SCU: finds, stores, a retrieval to disk and one to memory, a move, a session of stores."""

import asyncio
from pathlib import Path

from dimsechord import DicomClient, DicomNode, ImageQuery, SeriesQuery, StorageSCP, StoreSession, StudyQuery
from pydicom import dcmread


async def main() -> None:
    client, peer = DicomClient("CHORD"), DicomNode(aet="PEER", host="127.0.0.1", port=11112)
    image = dcmread("file-in.dcm")
    study, series = image.StudyInstanceUID, image.SeriesInstanceUID
    print(await client.find_studies(StudyQuery(patient_id=image.PatientID), peer))
    print(await client.find_series(SeriesQuery(study_instance_uid=study), peer))
    print(await client.find_images(ImageQuery(study_instance_uid=study, series_instance_uid=series), peer))
    print(await client.store_instance(image, peer))
    print(await client.store_instances_batch([image, image], peer))
    print(await client.get_study(study, peer, Path("study")))
    print(await client.get_series_to_memory(study, series, peer))
    scp = StorageSCP()
    scp.start({"OUR_STORE_SCP": 11120}, ip="127.0.0.1")
    scp.register_session(study, collect=True)
    print(await client.move_study(study, peer, "OUR_STORE_SCP"))
    print(scp.finish_session(study).received)
    scp.stop()
    with StoreSession(peer, calling_aet="CHORD") as session:
        print(session.store(image), session.store(image))


asyncio.run(main())
