"""The reactor's way from epoll to whom its events are for."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.selectreactor import SelectReactor
from twisted.logger import globalLogPublisher
from twisted.python import context, log
from twisted.python.threadpool import ThreadPool

from wire import PATIENCE

if not hasattr(select, "epoll"):
    pytest.skip("the system has no epoll", allow_module_level=True)

from twisted.internet.epollreactor import EPollReactor

from skitai.loop.epolling import ShortReactor, shorten


class Readable:
    """The end of a pipe with a byte in it."""

    def __init__(self, read: Callable[[], object]) -> None:
        self._descriptor, other = os.pipe()
        os.write(other, b"x")
        os.close(other)
        self.doRead = read
        self.lost: list[Any] = []

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return f"pipe {self._descriptor}"

    def connectionLost(self, reason: Any) -> None:
        self.lost.append(reason)

    def close(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1


@pytest.fixture
def failures() -> Iterator[list[Any]]:
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


@pytest.fixture
def reactor() -> Iterator[Any]:
    made = EPollReactor()
    shorten(made)
    assert isinstance(made, ShortReactor)
    yield made
    made.waker.connectionLost(None)
    made._poller.close()


def test_who_can_be_read_is_told_and_the_log_knows_who_it_is(reactor: Any) -> None:
    seen: list[str] = []
    pipe = Readable(lambda: seen.append(context.get(log.ILogContext)["system"]))
    reactor.addReader(pipe)
    reactor.doIteration(0)
    assert seen == [pipe.logPrefix()]
    assert context.get(log.ILogContext)["system"] == "-"
    pipe.close()


def test_the_log_knows_whom_an_event_is_for_also_after_others_within_it(reactor: Any) -> None:
    seen: list[str] = []
    inner = Readable(lambda: None)
    inner.doRead = lambda: (note(), reactor.removeReader(inner))[0]  # type: ignore[method-assign]

    def note() -> None:
        seen.append(context.get(log.ILogContext)["system"])

    def iterate() -> None:
        reactor.removeReader(outer)
        note()
        reactor.addReader(inner)
        reactor.doIteration(0)
        note()
        assert context.get("anything else") is None

    outer = Readable(iterate)
    reactor.addReader(outer)
    reactor.doIteration(0)
    assert seen == [outer.logPrefix(), inner.logPrefix(), outer.logPrefix()]
    for each in (outer, inner):
        each.close()


def test_a_thread_that_an_event_has_started_logs_for_that_one(reactor: Any) -> None:
    """Also while others are told of theirs. The pool has its threads know what the log knows."""
    seen: list[str] = []
    is_next, is_seen = threading.Event(), threading.Event()
    pool = ThreadPool(0, 1)

    def work() -> None:
        is_next.wait(PATIENCE)
        seen.append(context.get(log.ILogContext)["system"])
        is_seen.set()

    def let_work() -> None:
        is_next.set()
        is_seen.wait(PATIENCE)
        seen.append(context.get(log.ILogContext)["system"])

    first, second = Readable(lambda: pool.callInThread(work)), Readable(let_work)
    pool.start()
    try:
        for each in (first, second):
            reactor.addReader(each)
            reactor.doIteration(0)
            reactor.removeReader(each)
    finally:
        is_next.set()
        pool.stop()
    assert seen == [first.logPrefix(), second.logPrefix()]
    for each in (first, second):
        each.close()


def test_one_descriptor_is_read_and_written(reactor: Any) -> None:
    """Whichever is asked for first, and whichever ends first."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        done: list[str] = []
        pipe = Readable(lambda: done.append("read"))
        pipe.fileno = ours.fileno  # type: ignore[method-assign]
        pipe.doWrite = lambda: done.append("written")  # type: ignore[attr-defined]
        theirs.send(b"x")
        for steps, expected in (
            ("addReader addReader", {"read"}),
            ("addWriter", {"read", "written"}),
            ("removeReader", {"written"}),
            ("addReader removeWriter", {"read"}),
            ("removeReader removeReader", set()),
            ("addWriter addReader removeWriter", {"read"}),
            ("removeReader", set()),
        ):
            for step in steps.split():
                getattr(reactor, step)(pipe)
            done.clear()
            reactor.doIteration(0)
            assert set(done) == expected, steps
    os.close(pipe._descriptor)


def test_a_file_is_read_though_epoll_takes_none(reactor: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("text")
    with path.open() as file:
        read: list[str] = []
        pipe = Readable(lambda: read.append(file.read()))
        pipe.fileno = file.fileno  # type: ignore[method-assign]
        reactor.addReader(pipe)
        assert pipe in reactor.getReaders()
        reactor.runUntilCurrent()
        reactor.doIteration(0)
        reactor.removeReader(pipe)
        assert pipe not in reactor.getReaders()
    os.close(pipe._descriptor)


def test_what_raises_is_ended_and_logged_and_the_others_are_told(reactor: Any, failures: list[Any]) -> None:
    seen: list[str] = []

    def fail() -> None:
        raise ZeroDivisionError

    broken, sound = Readable(fail), Readable(lambda: seen.append("read"))
    broken.connectionLost = lambda reason: 1 / 0  # type: ignore[assignment, method-assign]
    reactor.addReader(broken)
    reactor.addReader(sound)
    reactor.doIteration(0)
    assert seen == ["read"]
    assert [event["failure"].type for event in failures] == [ZeroDivisionError] * 2
    assert {event["system"] for event in failures} == {broken.logPrefix()}
    assert broken not in reactor.getReaders()
    for each in (broken, sound):
        each.close()


def test_what_an_earlier_event_has_ended_is_not_told(reactor: Any) -> None:
    seen: list[str] = []
    pipes: list[Readable] = []

    def read() -> None:
        seen.append("read")
        for pipe in pipes:
            reactor.removeReader(pipe)

    pipes += Readable(read), Readable(read)
    for pipe in pipes:
        reactor.addReader(pipe)
    reactor.doIteration(0)
    assert seen == ["read"]
    for pipe in pipes:
        pipe.close()


def test_the_loop_waits_for_timers_and_goes_on_when_one_of_them_fails(
    reactor: Any, failures: list[Any]
) -> None:
    called: list[str] = []
    for delay, name in ((0.02, "second"), (0, "first")):
        reactor.callLater(delay, called.append, name)
    reactor.callLater(0.01, lambda: 1 / 0)
    reactor.callLater(0.03, reactor.stop)
    assert 0 <= reactor.timeout() <= 0.03
    reactor.run(installSignalHandlers=False)
    assert called == ["first", "second"]
    assert [event["log_failure"].type for event in failures if "log_failure" in event] == [ZeroDivisionError]
    assert reactor.timeout() is None


@pytest.mark.parametrize("begins", ["before the loop", "within the loop of Twisted"])
def test_the_end_of_a_turn_comes_before_the_next_poll(begins: str) -> None:
    reactor: Any = EPollReactor()
    called: list[object] = []

    def read() -> None:
        called.append("event")
        reactor.removeReader(pipe)
        reactor.call_at_end(end)

    def end() -> None:
        called.append("end")
        reactor.call_at_end(lambda: called.append("end of the next turn"))
        assert reactor.timeout() == 0
        reactor.callLater(0, reactor.callLater, 0, reactor.stop)

    def begin() -> None:
        shorten(reactor)
        reactor.addReader(pipe)

    pipe = Readable(read)
    if begins == "before the loop":
        begin()
    else:
        reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    assert called == ["event", "end", "end of the next turn"]
    pipe.close()


def test_an_error_in_the_loop_itself_does_not_end_it(reactor: Any, failures: list[Any]) -> None:
    turns: list[float | None] = []

    def fail_once(seconds: float | None) -> None:
        turns.append(seconds)
        if len(turns) == 1:
            raise OSError("epoll has failed")
        if len(turns) == 2:
            reactor.stop()

    reactor.doIteration = fail_once
    reactor.run(installSignalHandlers=False)
    assert len(turns) >= 2
    assert [event["log_failure"].type for event in failures if "log_failure" in event] == [OSError]


def test_a_timer_may_be_months_away(reactor: Any, failures: list[Any]) -> None:
    reactor.callLater(60 * 86400, lambda: None)
    threading.Timer(0.1, reactor.callFromThread, (reactor.stop,)).start()
    reactor.run(installSignalHandlers=False)
    assert not [event for event in failures if "log_failure" in event]


def test_other_reactors_stay_what_they_are() -> None:
    other = SelectReactor()
    shorten(other)
    assert type(other) is SelectReactor
