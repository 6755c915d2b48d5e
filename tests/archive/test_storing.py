"""What comes into the index, and when."""

import threading
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.sql import FromClause

import dicom_transports._archive.status
import dicom_transports.node  # noqa: F401 - both have tables of their own
from dicom_proto.errors import InvalidSettingError
from dicom_transports._archive.index.checking import Checker
from dicom_transports._archive.index.describing import NotIndexableError, describe
from dicom_transports._archive.index.opening import HEAD, open_database
from dicom_transports._archive.index.schema import METADATA, PARENTS, TABLES
from dicom_transports._archive.index.storing import Arrival, Writer
from dicom_transports._archive.keys import Level
from tests.archive.objects import image, indexed, written


def counts(engine: object) -> list[int]:
    with engine.connect() as connection:  # type: ignore[attr-defined]
        return [connection.execute(select(func.count()).select_from(TABLES[level])).scalar_one() for level in Level]


def owners(engine: Engine) -> list[tuple[str, str]]:
    """Return which patient each object is of."""
    patient, image = TABLES[Level.PATIENT], TABLES[Level.IMAGE]
    joined: FromClause = patient
    for level in (Level.STUDY, Level.SERIES, Level.IMAGE):
        joined = joined.join(TABLES[level], TABLES[level].c[PARENTS[level]] == TABLES[Level(level - 1)].c.id)
    asked = select(patient.c.PatientID, image.c.SOPInstanceUID).select_from(joined).order_by(image.c.SOPInstanceUID)
    with engine.connect() as connection:
        return [(identity, uid) for identity, uid in connection.execute(asked)]


def test_each_entity_once(tmp_path: Path) -> None:
    with indexed(tmp_path, image("1.1.1"), image("1.1.2"), image("1.2.1"), image("2.1.1"), image("1.1.1")) as engine:
        assert counts(engine) == [2, 3, 3, 4]


def test_patients_without_an_id_are_not_one(tmp_path: Path) -> None:
    with indexed(
        tmp_path, image("1.1.1", PatientID=""), image("2.1.1", PatientID=""), image("1.1.2", PatientID="")
    ) as engine:
        assert counts(engine)[:2] == [2, 2]


def test_what_comes_later_adds_and_corrects(tmp_path: Path) -> None:
    first, second = image("1.1.1", StudyDate="20200101"), image("1.1.2", StudyDate="", StudyDescription="Head")
    with (
        indexed(tmp_path, first, second, image("1.1.3", PatientName="New^Name")) as engine,
        engine.connect() as connection,
    ):
        row = connection.execute(select(TABLES[Level.STUDY])).mappings().one()
        assert (row["StudyDate"], row["StudyDescription"]) == ("20200101", "Head")
        patient = connection.execute(select(TABLES[Level.PATIENT])).mappings().one()
        assert (patient["PatientName"], patient["folded_name"]) == ("New^Name", "new^name")


def test_many_at_a_time(tmp_path: Path) -> None:
    """Threads, and two writers, as two processes have them, with the same patient and study."""
    objects = [image(f"1.1.{number}") for number in range(1, 41)]
    paths = [written(tmp_path / "objects", one) for one in objects]
    engine = open_database(f"sqlite:///{tmp_path / 'index.sqlite'}", durable=False)
    writers = [Writer(engine), Writer(engine)]

    def add(number: int) -> None:
        for path in paths[number::4] + paths[:3]:
            writers[number % 2].add(Arrival(describe(path), path, path.name))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for writer in writers:
        writer.close()
    assert counts(engine) == [1, 1, 1, 40]
    engine.dispose()


def test_the_row_is_about_the_file_that_is_there(tmp_path: Path) -> None:
    """Another process has replaced the file since it was read."""
    with indexed(tmp_path) as engine:
        writer = Writer(engine)
        path = written(tmp_path / "objects", image("1.1.1", SeriesDescription="first"))
        description = describe(path)
        written(tmp_path / "objects", image("1.1.1", SeriesDescription="second one"))
        writer.add(Arrival(description, path, "name"))
        writer.close()
        with engine.connect() as connection:
            row = connection.execute(select(TABLES[Level.IMAGE])).mappings().one()
            assert row["size"] == path.stat().st_size
            assert row["digest"] == describe(path).rows[Level.IMAGE]["digest"]
            assert connection.execute(select(TABLES[Level.SERIES].c.SeriesDescription)).scalar() == "second one"


def test_one_that_fails_does_not_spoil_the_others(tmp_path: Path) -> None:
    with indexed(tmp_path) as engine:
        writer = Writer(engine)
        good = written(tmp_path / "objects", image("1.1.1"))
        gone = written(tmp_path / "objects", image("1.1.2"))
        arrivals = [Arrival(describe(path), path, path.name) for path in (good, gone)]
        gone.unlink()
        results: list[object] = []

        def add(arrival: Arrival) -> None:
            try:
                results.append(writer.add(arrival))
            except FileNotFoundError as error:
                results.append(type(error))

        threads = [threading.Thread(target=add, args=(arrival,)) for arrival in arrivals]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        writer.close()
        assert sorted(map(str, results)) == ["<class 'FileNotFoundError'>", "None"]
        assert counts(engine)[-1] == 1


def test_another_process_has_deleted_what_a_writer_remembers(tmp_path: Path) -> None:
    """An object that comes to a deleted study is of that again, and not of the next one, whose rows came after it."""
    with indexed(tmp_path, image("1.1.1")) as engine:
        writer = Writer(engine)

        def add(dataset: Dataset) -> None:
            path = written(tmp_path / "objects", dataset)
            writer.add(Arrival(describe(path), path, path.name))

        add(image("2.1.1"))
        other = Writer(engine)
        checker = Checker(engine, other, tmp_path / "objects")
        with engine.connect() as connection:
            numbers = connection.execute(select(func.max(TABLES[Level.IMAGE].c.id))).scalars().all()
        checker.mark_leaving(list(numbers))
        checker.remove_leaving()
        add(image("3.1.1"))
        add(image("2.1.2"))
        writer.close()
        other.close()
        assert owners(engine) == [("P1", "1.2.1.1.1.1"), ("P2", "1.2.2.1.1.2"), ("P3", "1.2.3.1.1.1")]


def test_what_an_object_has_left_is_not_found_empty(tmp_path: Path) -> None:
    """An object that comes again, of another study, leaves none behind; a series that has others stays."""
    with indexed(tmp_path, image("1.1.1"), image("2.1.1"), image("2.1.2")) as engine:
        writer = Writer(engine)
        for number in ("1", "2"):
            moved = image("3.1.1", SOPInstanceUID=f"1.2.{number}.1.1.1")
            path = written(tmp_path / "objects", moved)
            assert writer.add(Arrival(describe(path), path, path.name)) is not None
        writer.close()
        assert counts(engine) == [2, 2, 2, 3]
        assert owners(engine) == [("P3", "1.2.1.1.1.1"), ("P3", "1.2.2.1.1.1"), ("P2", "1.2.2.1.1.2")]


def test_no_place_in_the_hierarchy(tmp_path: Path) -> None:
    lacking = image("1.1.1")
    path = written(tmp_path, lacking)
    del lacking.SeriesInstanceUID
    lacking.save_as(path, enforce_file_format=True)
    with pytest.raises(NotIndexableError, match="SeriesInstanceUID"):
        describe(path)
    path.write_bytes(b"no DICOM")
    with pytest.raises(NotIndexableError, match="cannot be read"):
        describe(path)


# --- the database -----------------------------------------------------------------------------------------------------


def test_migrations_make_the_tables_of_the_schema(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415 - it takes long
    from alembic.migration import MigrationContext  # noqa: PLC0415

    engine = open_database(f"sqlite:///{tmp_path / 'index.sqlite'}")
    with engine.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == HEAD
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()


def test_an_index_of_a_newer_version_is_used_as_it_is(tmp_path: Path) -> None:
    """Migrations only add: nodes of the old and the new version are up together."""
    url = f"sqlite:///{tmp_path / 'index.sqlite'}"
    open_database(url).dispose()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        connection.exec_driver_sql('ALTER TABLE studies ADD COLUMN "Newer" TEXT')
    engine.dispose()
    with indexed(tmp_path, image()) as opened:
        assert counts(opened) == [1, 1, 1, 1]


def test_urls_that_are_none(tmp_path: Path) -> None:
    for url in ("nonsense", "nosuch://host/database"):
        with pytest.raises(InvalidSettingError, match="postgresql"):
            open_database(url)
    with pytest.raises(OperationalError):
        open_database(f"sqlite:///{tmp_path / 'missing' / 'index.sqlite'}")
