"""Who waits for a thread or a greenlet, who is next, and who is refused: all by a clock of the test's own."""

import threading

import pytest
from twisted.internet.task import Clock

from serving import eventually
from skitai.loop.executors import ThreadExecutor, executor_for
from skitai.loop.lines import Limits, Lines


class Waiter:
    """A request; ``client`` is "here", "closing" (half of its connection is closed) or "gone"."""

    def __init__(self, name, ended=None):
        self.name = name
        self.client = "here"
        self.request = self
        self.ended = ended if ended is not None else []

    @property
    def leaving(self):
        return self.client != "here"

    def run(self):
        self.ended.append(f"{self.name} ran")

    def has_left(self, standing):
        return self.client == "gone" or (standing and self.client == "closing")

    def refuse(self):
        self.ended.append(f"{self.name} refused")


class World:
    """Lines with a clock; ``come`` has requests come and be handed out, ``serve`` begins with the next."""

    def __init__(self, idle=0, **limits):
        self.clock = Clock()
        self.lines = Lines(lambda: None, lambda: idle, self.clock.callLater, self.clock.seconds)
        self.line = self.lines.line("/", Limits(**limits))
        self.ended = []
        self.tokens = 0

    def come(self, *names, line=None):
        waiters = [Waiter(name, self.ended) for name in names]
        for waiter in waiters:
            (line or self.line).submit(waiter)
        self.tokens += self.lines.hand_out()
        return waiters

    def serve(self):
        """Begin with the next one, as a thread would."""
        assert self.tokens > 0
        self.tokens -= 1
        task = self.lines.take(self.clock.seconds())
        if task is not None:
            task()
        return task

    def serve_all(self):
        while self.tokens:
            self.serve()


def test_first_come_first_served():
    """A server that keeps up serves in order."""
    world = World(queue_timeout=1)
    world.come("a", "b")
    world.come("c")
    world.clock.advance(0.09)
    world.serve_all()
    assert world.ended == ["a ran", "b ran", "c ran"]


def test_the_newest_first_where_the_line_stands():
    """When the first has waited for a tenth of the time-out, the newest is served: it still has patience."""
    world = World(queue_timeout=1)
    world.come("a", "b")
    world.clock.advance(0.11)
    world.come("c", "d")
    world.serve()
    world.serve()
    assert world.ended == ["d ran", "c ran"]
    world.serve_all()
    assert world.ended == ["d ran", "c ran", "b ran", "a ran"]


def test_in_order_again_when_the_line_moves():
    """Once those who had waited long are gone, the order is that in which the others came."""
    world = World(queue_timeout=1)
    world.come("a")
    world.clock.advance(0.95)
    world.come("b", "c")
    world.clock.advance(0.05)
    world.serve_all()
    assert world.ended == ["a refused", "b ran", "c ran"]


def test_nobody_is_overtaken_without_a_time_out():
    """Those who wait longest would wait for ever."""
    world = World()
    world.come("a")
    world.clock.advance(1000)
    world.come("b")
    world.serve_all()
    assert world.ended == ["a ran", "b ran"]


def test_who_has_waited_too_long_is_refused_at_that_moment():
    """One timer looks after all; the request is not begun later, and no thread is missing one."""
    world = World(queue_timeout=1)
    world.come("a")
    world.clock.advance(0.5)
    world.come("b")
    assert len(world.clock.getDelayedCalls()) == 1
    world.clock.pump([0.1] * 4 + [0.09])
    assert world.ended == []
    world.clock.advance(0.011)
    assert world.ended == ["a refused"]
    world.clock.pump([0.1] * 5)
    assert world.ended == ["a refused", "b refused"]
    assert (world.line.late, world.line.queued) == (2, 0)
    world.come("c")
    assert world.tokens == 2  # that of one who was refused serves for the next who comes
    assert (world.serve(), world.tokens) != (None, 2)
    assert world.serve() is None
    assert world.ended[2:] == ["c ran"]


def test_no_timer_without_work():
    """A server that has nothing to do is not woken."""
    world = World(queue_timeout=1)
    world.come("a")
    world.serve_all()
    world.clock.pump([0.1] * 3)
    assert world.clock.getDelayedCalls() == []


def test_tasks_are_never_refused():
    """What was submitted without a line waits as long as it takes: it is no request."""
    world, done = World(queue_timeout=1), []
    world.lines.submit(lambda: done.append("task"))
    world.tokens += world.lines.hand_out()
    world.clock.advance(100)
    world.serve_all()
    assert done == ["task"]


@pytest.mark.parametrize("client", ["gone", "closing"])
def test_who_has_left_is_not_begun(client):
    """Not even if nobody has looked since; its end comes with the next look."""
    world = World(queue_timeout=1)
    leaving, _ = world.come("a", "b")
    world.clock.advance(0.1)  # a look
    world.clock.advance(0.02)
    world.come("c")
    leaving.client = client
    world.serve()
    world.serve()
    world.serve()
    assert world.ended == ["c ran", "b ran"]
    world.clock.advance(0.1)
    assert world.ended[2:] == ["a refused"]
    assert (world.line.left, world.line.begun, world.line.late) == (1, 2, 0)


def test_who_has_left_makes_room():
    """A look takes them out of the line, long before their time is over."""
    world = World(queue_max=2, queue_timeout=10)
    leaving, _ = world.come("a", "b")
    assert world.line.is_full
    leaving.client = "gone"
    world.clock.advance(0.1)
    assert (world.line.is_full, world.line.left) == (False, 1)


def test_a_client_that_closes_its_half_is_served_by_a_server_that_keeps_up():
    """It may still read. Only where requests have to wait is it taken for gone."""
    world = World(queue_timeout=1)
    (closing,) = world.come("a")
    closing.client = "closing"
    world.clock.advance(0.05)
    world.serve_all()
    assert world.ended == ["a ran"]


@pytest.mark.parametrize(("idle", "room"), [(0, 2), (3, 5)])
def test_how_many_may_wait(idle, room):
    """``queue_max`` may wait, beside those for whom a thread is free; all of this turn count."""
    world = World(idle, queue_max=2)
    for number in range(room):
        assert not world.line.is_full
        world.line.submit(Waiter(number))
    assert world.line.is_full
    world.tokens = world.lines.hand_out()
    assert world.line.is_full
    world.serve()
    assert not world.line.is_full


def test_more_than_may_wait_at_the_end_of_a_turn():
    """Where only the turn shows how many can begin, the newest of the others are refused at its end."""
    world = World(float("inf"), queue_max=2)
    other = world.lines.line("/other", Limits(queue_max=1))
    for name in "abcd":
        assert not world.line.is_full
        world.line.submit(Waiter(name, world.ended))
    world.come("e", "f", line=other)
    world.serve()
    world.lines.trim()
    assert sorted(world.ended) == ["a ran", "d refused", "f refused"]
    assert (world.line.full, world.line.begun, world.line.queued) == (1, 1, 2)
    assert (other.full, other.begun, other.queued) == (1, 0, 1)
    while world.tokens:
        world.serve()
    assert sorted(world.ended[3:]) == ["b ran", "c ran", "e ran"]
    assert world.lines.take(0) is None


def test_lines_take_turns():
    """A long line of one mount does not hold up the others in the same threads."""
    world = World()
    other = world.lines.line("/other", Limits())
    world.come(*(f"a{number}" for number in range(100)))
    world.come("b1", "b2", line=other)
    for _ in range(4):
        world.serve()
    assert sorted(world.ended) == ["a0 ran", "a1 ran", "b1 ran", "b2 ran"]


def test_each_line_has_limits_of_its_own():
    """Lines in the same threads may have different time-outs."""
    world = World(queue_timeout=1)
    quick = world.lines.line("/quick", Limits(queue_timeout=0.2))
    world.come("a")
    world.come("b", line=quick)
    world.clock.pump([0.1, 0.1])
    assert world.ended == ["b refused"]
    assert (world.line.late, quick.late) == (0, 1)


def test_figures():
    """Metrics find out how many have begun, and how long they had waited."""
    world = World()
    for waited in (0.001, 0.02, 0.3, 5):
        world.come("x")
        world.clock.advance(waited)
        assert world.lines.longest_wait() == pytest.approx(waited)
        world.serve_all()
    assert world.line.waited == pytest.approx(5.321)
    assert world.line.begun == 4
    assert [line.name for line in world.lines] == ["/"]
    assert world.lines.longest_wait() == 0


def test_a_refusal_that_fails_harms_no_other(capsys):
    """The others get their answer."""
    world = World(queue_timeout=1)

    def fail():
        raise RuntimeError("on purpose")

    broken, _ = world.come("a", "b")
    broken.refuse = fail
    world.clock.pump([0.5, 0.5])
    assert world.ended == ["b refused"]


# -- in executors ------------------------------------------------------------------------------------------


class Later:
    """A reactor's ``callLater``, which the test calls."""

    def __init__(self):
        self.calls = []

    def __call__(self, _delay, function):
        self.calls.append(function)


@pytest.mark.parametrize("threads", [1, 0])
def test_either_executor_refuses(threads):
    """What waits behind a task that takes long is refused, and what comes later is served."""
    later, turn, ended = Later(), [], []
    executor = executor_for(threads, turn.append, call_later=later)
    executor.start()
    try:
        line = executor.line("/", Limits(queue_timeout=0.01))
        gate, begun = threading.Event(), threading.Event()
        if threads:
            executor.submit(lambda: (begun.set(), gate.wait(60)))
            turn.pop(0)()
            assert begun.wait(60)
        waiter = Waiter("late", ended)
        line.submit(waiter)
        if threads:
            turn.pop(0)()
        else:
            executor.lines.hand_out()  # as a turn does that has no time left
        threading.Event().wait(0.02)
        later.calls.pop(0)()
        assert ended == ["late refused"]
        gate.set()
        line.submit(Waiter("next", ended))
        while turn:
            turn.pop(0)()
        eventually(lambda: ended == ["late refused", "next ran"])
        assert executor.statistics()["queued"] == 0
    finally:
        executor.stop()


def test_many_threads_take_and_refuse_at_once():
    """Every request is begun or refused, once, whatever comes together."""
    ended = []
    executor = ThreadExecutor(4, lambda function: function())
    line = executor.line("/", Limits(queue_timeout=0.0005))
    executor.start()
    try:
        for number in range(3000):
            line.submit(Waiter(number, ended))
            if number % 7 == 0:
                executor.lines.look()

        def is_over():
            executor.lines.look()
            return len(ended) == 3000

        eventually(is_over)
        assert len({entry.split()[0] for entry in ended}) == 3000
        assert line.begun + line.late == 3000
        assert executor.lines._surplus == executor._tokens.qsize() or not executor.lines.queued
    finally:
        executor.stop()
