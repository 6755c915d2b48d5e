"""Threads that are started when it is worth while."""

import threading

import pytest

from dicom_transports._threads.starting import Starter


class Life:
    """Something that may live, and tells in which thread it does."""

    def __init__(self, *, has_ended: bool) -> None:
        self.names: list[str] = []
        self.is_over = threading.Event()
        self._has_ended = has_ended

    def live(self) -> None:
        self.names.append(threading.current_thread().name)
        self.is_over.set()

    def has_ended(self) -> bool:
        return self._has_ended


def test_who_lasts_gets_a_thread_and_who_has_ended_none() -> None:
    starter = Starter(0.01)
    lasting, ended = Life(has_ended=False), Life(has_ended=True)
    for life in (lasting, ended):
        starter.start_later(life.live, life.has_ended)
    for life in (lasting, ended):
        assert life.is_over.wait(10)
    assert (lasting.names, ended.names) == (["dicom-association"], ["dicom-starter"])


def test_it_ends_when_nobody_waits_and_begins_again() -> None:
    starter = Starter(0.0)
    for _ in range(2):
        life = Life(has_ended=True)
        starter.start_later(life.live, life.has_ended)
        assert life.is_over.wait(10)
        for thread in threading.enumerate():
            if thread.name == "dicom-starter":
                thread.join(10)
        assert not any(thread.name == "dicom-starter" for thread in threading.enumerate())


def test_where_there_is_no_thread_to_be_had_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Scarce(threading.Thread):
        refusals = 2

        def start(self) -> None:
            if self.name == "dicom-association" and Scarce.refusals:
                Scarce.refusals -= 1
                raise RuntimeError("can't start new thread")
            super().start()

    monkeypatch.setattr(threading, "Thread", Scarce)
    starter = Starter(0.001)
    life = Life(has_ended=False)
    starter.start_later(life.live, life.has_ended)
    assert life.is_over.wait(10)
    assert (life.names, Scarce.refusals) == (["dicom-association"], 0)
