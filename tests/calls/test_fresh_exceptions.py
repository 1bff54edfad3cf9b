"""What a result raises is a new exception each time: Python adds frames to one that is raised again.

They would keep the locals of all callers alive, and show one request the frames of another, where both have
one result (``coalesce = yes``). asyncio's futures and concurrent.futures have this fault to this day.
"""

import copy
import gc
import weakref
from xmlrpc.client import Fault

import pytest
from call_fakes import World

from skitai.calls.raising import fresh
from skitai.calls.result import Result, Results
from skitai.errors import CommitUnknownError, OperationError, OperationTimeout, UnsentError
from skitai.services.http import HTTPResult
from skitai.services.http.transfer import SlowReply
from skitai.services.rpc import JSONRPCError
from skitai.services.rpc.result import RPCResult


class Local:
    """A local of a caller, whose end can be seen."""


class Odd(Exception):
    """An exception whose constructor makes its message."""

    def __init__(self, number, *, why):
        super().__init__(f"{number}: {why}")
        self.number = number


class Slotted(Exception):
    __slots__ = ("more",)

    def __init__(self, text):
        super().__init__(text)
        self.more = text


def raised_by(function):
    """Return what ``function`` raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - of each kind
        function()
    return caught.value


def depth(error):
    traceback, count = error.__traceback__, 0
    while traceback is not None:
        traceback, count = traceback.tb_next, count + 1
    return count


def with_cause(error):
    error.__cause__ = ConnectionRefusedError("refused")
    return error


ERRORS = [
    (Result, OperationError("broken", code=706, node="n", url="u")),
    (Result, OperationTimeout("late")),
    (Result, UnsentError("refused")),
    (Result, CommitUnknownError("who knows")),
    (HTTPResult, SlowReply("slow", "head_timeout", None)),
    (RPCResult, Fault(3, "no rows")),
    (RPCResult, JSONRPCError(-1, "no", {"a": 1})),
    (RPCResult, OperationError("broken")),
    (Result, KeyError("no such")),
]


@pytest.mark.parametrize(("kind", "error"), ERRORS)
def test_a_new_one_each_time(kind, error):
    """However often it is raised, the traceback stays short, and what it says is the same."""
    result = kind.failed(with_cause(error), "node", "http://h/")
    first, *others = [raised_by(result.reraise) for _ in range(300)]
    assert {depth(other) for other in others} == {depth(first)}
    assert len({id(other) for other in (error, first, *others)}) == 301
    expected = OperationError if isinstance(error, KeyError) else type(error)
    for other in (first, others[-1]):
        assert type(other) is expected
        assert str(other) == str(first)
        assert vars(other) == vars(first)
        assert isinstance(other.__cause__, ConnectionRefusedError | KeyError)
    assert error.__traceback__ is None


@pytest.mark.parametrize("way", ["reraise", "raise_for_status", "json"])
def test_locals_of_callers_are_let_go(way):
    """Nothing keeps what the callers of before had in their hands."""
    result = HTTPResult.failed(OperationError("broken", code=706))
    seen = []

    def view():
        local = Local()
        seen.append(weakref.ref(local))
        getattr(result, way)()

    for _ in range(3):
        raised_by(view)
    gc.collect()
    assert [ref() for ref in seen] == [None] * 3


def test_a_bad_status():
    """``raise_for_status`` makes a new one, too."""
    result = HTTPResult(code=404, msg="Not Found")
    first, second = (raised_by(result.raise_for_status) for _ in range(2))
    assert first is not second
    assert depth(first) == depth(second)


def test_results_of_several():
    """The first failure of several is a new exception each time."""
    results = Results([Result(1), Result.failed(OperationError("broken"))])
    first, second = (raised_by(results.reraise) for _ in range(2))
    assert first is not second
    assert depth(first) == depth(second)


def test_waiting(apps):
    """A call that is waited for again and again raises new ones, in threads and in greenlets."""
    world = World()
    call = world.ask("a")
    world.asked[0].deferred.errback(with_cause(OperationError("broken")))

    def view():
        try:
            call.wait()
        except OperationError as error:
            return error

    first, second, third = (apps.run(view) for _ in range(3))
    assert len({id(first), id(second), id(third)}) == 3
    assert depth(first) == depth(third)
    assert isinstance(third.__cause__, ConnectionRefusedError)


def test_coalesced_requests_see_their_own_frames(apps):
    """Four requests that share one answer have an exception each, with the frames of their own view."""
    world = World(coalesce=True)
    calls = [world.ask("a", key="k") for _ in range(4)]
    assert len(world.asked) == 1
    world.asked[0].deferred.errback(OperationError("broken"))

    def view(call):
        secret = Local()
        try:
            call.getwait(reraise=True)
        except OperationError as error:
            return error, weakref.ref(secret)

    found = [apps.run(lambda call=call: view(call)) for call in calls]
    assert len({id(error) for error, _ in found}) == 4
    for error, secret in found:
        traceback, locals_of = error.__traceback__, []
        while traceback is not None:
            locals_of += [value for value in traceback.tb_frame.f_locals.values() if isinstance(value, Local)]
            traceback = traceback.tb_next
        assert locals_of == [secret()]


def test_what_a_filter_raises(apps):
    """A filter's exception is raised wherever its result is wanted, with the frames of the filter."""

    def broken(result):
        raise Odd(7, why="broken")

    world = World()
    call = world.ask("a", filter=broken)
    world.asked[0].deferred.callback(b"data")

    def view():
        try:
            call.getwait()
        except Odd as error:
            return error

    _, *others = (apps.run(view) for _ in range(5))
    assert len({id(error) for error in others}) == 4
    assert len({depth(error) for error in others}) == 1
    assert {(str(error), error.number) for error in others} == {("7: broken", 7)}
    last = others[-1].__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    assert last.tb_frame.f_code.co_name == "broken"


@pytest.mark.parametrize(
    "error",
    [
        Odd(7, why="x"),
        Slotted("text"),
        FileNotFoundError(2, "none", "name"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        SystemExit(3),
        ExceptionGroup("group", [ValueError(1)]),
    ],
)
def test_exceptions_of_every_kind(error):
    """Apps raise what they like: a copy has the same arguments, attributes and words."""
    error.add_note("seen by an app")
    twin = fresh(error, None)
    assert twin is not error
    assert (type(twin), twin.args, str(twin)) == (type(error), error.args, str(error))
    assert twin.__notes__ == error.__notes__
    for name in ("number", "more", "errno", "filename", "start", "code", "exceptions"):
        assert getattr(twin, name, None) == getattr(error, name, None)


def test_what_cannot_be_copied():
    """One that does not let itself be copied is raised itself."""

    class Unique(OSError):
        def __init__(self, one, two):
            super().__init__(one)

        def __reduce__(self):
            raise TypeError("there is only one")

    error = Unique(1, 2)
    with pytest.raises(TypeError):
        copy.copy(error)
    assert fresh(error, None) is error
