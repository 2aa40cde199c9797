"""Progress: told to whoever listens, and to nobody else."""

from __future__ import annotations

import threading

import pytest

from cutaway.progress import Progress, listening, tracked


def test_a_listener_hears_the_beginning_and_every_step() -> None:
    told: list[Progress] = []
    with listening(told.append), tracked("Decoding", 5, "images") as advance:
        advance(2)
        advance(3)
    assert told == [Progress("Decoding", done, 5, "images") for done in (0, 2, 5)]


def test_without_a_listener_work_goes_on_in_silence() -> None:
    with tracked("Decoding", 5, "images") as advance:
        advance(2)


def test_what_nobody_knows_is_nothing() -> None:
    told: list[Progress] = []
    with listening(told.append), tracked("Fetching"):
        pass
    assert told == [Progress("Fetching", 0, 0, "")]


def test_the_innermost_listener_hears_and_the_outer_one_is_back_afterwards() -> None:
    outer: list[str] = []
    inner: list[str] = []
    with listening(lambda progress: outer.append(progress.what)):
        with pytest.raises(ValueError, match="stop"), listening(lambda progress: inner.append(progress.what)):
            with tracked("one"):
                pass
            raise ValueError("stop")
        with tracked("two"):
            pass
    with tracked("three"):
        pass
    assert (outer, inner) == (["two"], ["one"])


def test_work_is_counted_for_itself_also_from_threads_that_it_starts() -> None:
    told: list[Progress] = []
    with listening(told.append), tracked("one", 9) as first, tracked("two", 9) as second:
        thread = threading.Thread(target=first, args=(4,))
        thread.start()
        thread.join()
        second(1)
        first(2)
    assert [(progress.what, progress.done) for progress in told] == [
        ("one", 0),
        ("two", 0),
        ("one", 4),
        ("two", 1),
        ("one", 6),
    ]


def test_listeners_are_each_thread_s_own() -> None:
    told: list[Progress] = []

    def work() -> None:
        with tracked("elsewhere"):
            pass

    with listening(told.append):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert told == []
