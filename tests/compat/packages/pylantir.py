"""The SCP of pylantir for the worklist and performed procedure steps, with one item in its database."""

from pylantir import db_setup, mwl_server
from pylantir.models import WorklistItem

with mwl_server.Session() as session:
    db_setup.Base.metadata.create_all(session.get_bind())
    session.add(WorklistItem(patient_name="CompressedSamples^CT1", patient_id="1CT1", modality="CT"))
    session.commit()
mwl_server.run_mwl_server("127.0.0.1", 11112)  # start_server( is in there
