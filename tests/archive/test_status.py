"""What the status page tells of processes that share an index, and of what they keep."""

import json
from pathlib import Path

from sqlalchemy import insert, select

from dicom_transports._archive.status import NODES, Presence, overview
from tests.archive.departments import HOST, client, serving, store
from tests.archive.objects import image
from tests.contract.adapters import wait_until


def test_what_is_told(tmp_path: Path) -> None:
    with serving(tmp_path / "a", "[[access]]\ncalling = ['CT1']") as served:
        engine = served.archive.engine
        assert store(served, image("1.1.1"), image("1.2.1")) == [0, 0]
        with Presence(engine, served.ae) as presence, client(served) as association:
            association.send_c_echo()
            client(served, ae_title="NOBODY")
            wait_until(lambda: served.ae.counters.rejected)
            presence.tell()
            other = {"started": "2001-01-01T00:00:00+00:00", "associations": [["CT9", "192.0.2.9"]], "failures": []}
            with engine.connect().execution_options(writes=True) as connection, connection.begin():
                status, seen = connection.execute(select(NODES.c.status, NODES.c.seen)).one()
                status = json.dumps(json.loads(status) | other)
                for name, when in (("there", seen), ("gone", seen - 60), ("long gone", seen - 100_000)):
                    connection.execute(insert(NODES).values(name=name, seen=when, status=status))
            told = overview(engine, tmp_path, served.ae)
            presence.tell()
            with engine.connect() as connection:
                assert "long gone" not in connection.execute(select(NODES.c.name)).scalars().all()
        figures, tables = told["figures"], told["tables"]
        assert (figures["associations"], figures["studies"], figures["instances"]) == (2, 2, 2)
        assert figures["stored bytes"] == sum(path.stat().st_size for path in served.archive.paths())
        assert told["started"].startswith("2001")
        assert sorted(row[:2] for row in tables["Associations now"]["rows"]) == [["CT1", HOST], ["CT9", "192.0.2.9"]]
        assert ["SCP", "C-STORE", "0000", 4] in tables["Operations"]["rows"]  # of both processes
        assert tables["Rejected requests"]["rows"][0][::2] == ["calling AE title not recognized", 2]
        assert "'NOBODY'" in tables["Last failures"]["rows"][0][3]
        assert "Name1" not in json.dumps(told)
        asked_for = overview(engine, tmp_path, served.ae, has_patients=True)["tables"]["Last studies"]["rows"]
        assert [row[:2] for row in asked_for] == [["Name1^First", "P1"], ["Name1^First", "P1"]]
        with engine.connect() as connection:
            assert set(connection.execute(select(NODES.c.name)).scalars()) == {"there", "gone"}
