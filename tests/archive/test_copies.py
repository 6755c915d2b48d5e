"""Backups, what is restored from them, and what is deleted: index and files stay in step."""

import json
import os
import time
from pathlib import Path

import pytest
from sqlalchemy import select, update

from dicom_proto.errors import InvalidSettingError
from dicom_transports._archive.audit import AuditTrail
from dicom_transports._archive.copying import copy_archive
from dicom_transports._archive.deleting import delete_studies, of_patients, older_than, studies
from dicom_transports._archive.index.schema import TABLES
from dicom_transports._archive.keys import Level
from dicom_transports.archive import Archive
from tests.archive.departments import serving, store
from tests.archive.objects import image
from tests.archive.postgresql import database
from tests.archive.test_workflow import ids, item, scheduled

INSTANCES = TABLES[Level.IMAGE]
NUMBERS = ("1.1.1", "1.1.2", "1.2.1", "2.1.1")


def kept(archive: Archive) -> list[str]:
    """What the index says is there; and it is in step with the files."""
    assert archive.verify() == []
    with archive.engine.connect() as connection:
        found = connection.execute(select(INSTANCES.c.SOPInstanceUID)).scalars().all()
    return sorted(found)


def uids(*numbers: str) -> list[str]:
    return sorted(str(image(number).SOPInstanceUID) for number in numbers)


def test_a_backup_of_a_running_archive_is_an_archive(tmp_path: Path) -> None:
    with serving(tmp_path / "a") as served:
        assert store(served, *map(image, NUMBERS)) == [0] * 4
        served.node.worklist.add(item(1), "one")
        seen: list[tuple[int, int]] = []
        with Archive(tmp_path / "backup") as backup:
            assert copy_archive(served.archive, backup, lambda *numbers: seen.append(numbers)) == 4
        assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
        assert store(served, image("3.1.1"), image("1.1.1", InstanceNumber="7")) == [0, 0]
        delete_studies(served.archive, studies(served.archive, ["1.2.2.1"]))
        with Archive(tmp_path / "backup") as backup:
            assert kept(backup) == uids(*NUMBERS)
            before = {path: path.stat().st_ino for path in backup.paths()}
            assert copy_archive(served.archive, backup) == 4
            after = {path: path.stat().st_ino for path in backup.paths()}
            assert kept(backup) == uids("1.1.1", "1.1.2", "1.2.1", "3.1.1")
    assert len(before.items() & after.items()) == 2  # only what is new has been copied
    with serving(tmp_path / "backup") as restored:
        assert store(restored, image("4.1.1")) == [0]
        assert ids(scheduled(restored)) == ["P1"]


def test_what_changes_while_it_is_copied(tmp_path: Path) -> None:
    def change(done: int, _of: int) -> None:
        if done == 1:
            assert store(served, image("1.1.2", InstanceNumber="9"), image("9.1.1")) == [0, 0]
            delete_studies(served.archive, studies(served.archive, ["1.2.2.1"]))

    with serving(tmp_path / "a") as served:
        assert store(served, *map(image, NUMBERS)) == [0] * 4
        with Archive(tmp_path / "backup") as backup:
            assert copy_archive(served.archive, backup, change) == 3
            assert kept(backup) == uids("1.1.1", "1.1.2", "1.2.1")
            with backup.engine.connect() as connection:
                asked = select(INSTANCES.c.InstanceNumber).where(INSTANCES.c.SOPInstanceUID == "1.2.1.1.1.2")
                assert connection.execute(asked).scalar() == "9"


def test_a_file_that_has_rotted_is_not_copied(tmp_path: Path) -> None:
    with serving(tmp_path / "a") as served:
        assert store(served, image("1.1.1")) == [0]
        (path,) = served.archive.paths()
        status, content = path.stat(), bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))
        with Archive(tmp_path / "backup") as backup, pytest.raises(OSError, match="is not what was stored"):
            copy_archive(served.archive, backup)
        with pytest.raises(InvalidSettingError, match="copied to itself"):
            copy_archive(served.archive, served.archive)


@pytest.mark.interop
def test_a_backup_is_restored_to_postgresql_and_back(tmp_path: Path) -> None:
    with serving(tmp_path / "a") as served:
        assert store(served, *map(image, NUMBERS)) == [0] * 4
        with database() as url, Archive(tmp_path / "b", url) as restored:
            assert copy_archive(served.archive, restored) == 4
            assert kept(restored) == uids(*NUMBERS)
            assert store(served, image("5.1.1")) == [0]
            assert copy_archive(served.archive, restored) == 5
            with Archive(tmp_path / "c") as back:
                assert copy_archive(restored, back) == 5
                assert kept(back) == uids(*NUMBERS, "5.1.1")
            delete_studies(restored, of_patients(restored, ["P1"]))
            assert kept(restored) == uids("2.1.1", "5.1.1")


def test_what_is_deleted(tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    with serving(tmp_path / "a") as served:
        assert store(served, *map(image, NUMBERS)) == [0] * 4
        archive = served.archive
        (one,) = studies(archive, ["1.2.1.1"])
        assert (one.study.instance_uid, one.study.patient_id, one.instances) == ("1.2.1.1", "P1", 2)
        with pytest.raises(InvalidSettingError, match=r"there is no study '1\.2\.9'"):
            studies(archive, ["1.2.1.1", "1.2.9"])
        with pytest.raises(InvalidSettingError, match="there is no patient 'P9'"):
            of_patients(archive, ["P9"])
        assert older_than(archive, 1) == []
        with archive.engine.connect().execution_options(writes=True) as connection, connection.begin():
            old = int(time.time()) - 3 * 86_400
            connection.execute(
                update(INSTANCES)
                .where(INSTANCES.c.SOPInstanceUID.in_(["1.2.1.1.1.1", "1.2.2.1.1.1"]))
                .values(stored=old)
            )
        doomed = older_than(archive, 2)  # something has come to the study of the other one since
        assert [one.study.instance_uid for one in doomed] == ["1.2.2.1"]
        trail = AuditTrail(audit, "ARCHIVE")
        assert delete_studies(archive, doomed, trail) == 1
        trail.close()
        assert kept(archive) == uids("1.1.1", "1.1.2", "1.2.1")
        assert store(served, image("2.1.1")) == [0]  # it may come again
        assert delete_studies(archive, of_patients(archive, ["P1"])) == 3
        assert kept(archive) == uids("2.1.1")
    (written,) = [json.loads(line) for line in audit.read_text().splitlines()]
    assert written["EventIdentification"]["EventID"]["csd-code"] == "110105"
    assert written["ParticipantObjectIdentification"][0]["ParticipantObjectID"] == "1.2.2.1"
