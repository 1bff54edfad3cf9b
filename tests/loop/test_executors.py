"""Where app code runs, in which order, and what it survives."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import greenlet
import pytest
from zope.interface.verify import verifyObject

from fixtureapps import echo
from serving import eventually
from skitai.context import current_was, get_current
from skitai.interfaces import IExecutor, IThreadExecutor
from skitai.loop.bridge import Pending
from skitai.loop.executors import Executors, GreenletExecutor, ThreadExecutor, executor_for


def at_once(function):
    """Stand for a reactor whose turn ends now."""
    function()


@pytest.fixture
def started():
    """Return ``started(executor)``, which starts it; it is stopped in the end."""
    executors = []

    def start(executor):
        executor.start()
        executors.append(executor)
        return executor

    yield start
    for executor in executors:
        executor.stop()


def test_the_config_chooses_the_executor():
    """``threads = 0`` means greenlets, any other number as many threads."""
    assert isinstance(executor_for(0, [].append), GreenletExecutor)
    assert isinstance(executor_for(3, [].append), ThreadExecutor)


@pytest.mark.parametrize("threads", [3, 0])
def test_both_keep_the_contract(threads, started):
    """Either provides IExecutor, with the statistics that the status page shows; threads can be watched."""
    executor = started(executor_for(threads, at_once))
    assert verifyObject(IThreadExecutor if threads else IExecutor, executor)
    assert executor.multithread is (threads > 0)
    assert {"running", "queued"} <= executor.statistics().keys()


def test_threads_get_their_tasks_when_the_turn_ends(started):
    """What is submitted in one turn of the reactor is handed out together, in order, and counts as queued."""
    turn = []
    executor = started(ThreadExecutor(1, turn.append))
    done = []
    for number in range(3):
        executor.submit(lambda number=number: done.append(number))
    assert (len(turn), executor.statistics()["queued"], done) == (1, 3, [])
    turn.pop()()
    eventually(lambda: done == [0, 1, 2])
    assert turn == []


def test_stopping_hands_out_what_was_held():
    """A task that was submitted in the turn that stops the executor is still done."""
    executor = ThreadExecutor(1, [].append)
    executor.start()
    done = threading.Event()
    executor.submit(done.set)
    executor.stop()
    assert done.wait(10)


@pytest.mark.parametrize("threads", [1, 0])
@pytest.mark.parametrize(
    "error", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, greenlet.GreenletExit]
)
def test_a_task_that_raises_harms_no_other(threads, error, started):
    """Whatever a task raises, the next one runs, and nothing reaches whoever submitted it."""
    executor = started(executor_for(threads, at_once))
    done = threading.Event()

    def fail():
        raise error("on purpose")

    for _ in range(3):
        executor.submit(fail)
    executor.submit(done.set)
    assert done.wait(60)
    eventually(lambda: executor.statistics()["running"] == 0)


# -- threads -----------------------------------------------------------------------------------------------


def test_threads_take_tasks_in_the_order_they_came(started):
    """One thread runs tasks one after the other, first come, first served."""
    executor = started(ThreadExecutor(1, at_once))
    order, done = [], threading.Event()
    for number in range(100):
        executor.submit(lambda number=number: order.append(number))
    executor.submit(done.set)
    assert done.wait(60)
    assert order == list(range(100))


def test_as_many_tasks_run_at_once_as_there_are_threads(started):
    """All threads work at the same time; what comes then waits, and the statistics say so."""
    executor = started(ThreadExecutor(3, at_once))
    barrier, gate = threading.Barrier(4), threading.Event()

    def task():
        barrier.wait(60)
        gate.wait(60)

    for _ in range(3):
        executor.submit(task)
    barrier.wait(60)
    later = threading.Event()
    executor.submit(later.set)
    assert executor.statistics() == {"running": 3, "queued": 1, "threads": 3, "idle": 0}
    gate.set()
    assert later.wait(60)


def test_stop_lets_threads_finish_what_was_submitted():
    """Tasks under way and those that wait are done before the threads end."""
    executor = ThreadExecutor(2, at_once)
    executor.start()
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("skitai-app-")]
    gate, done = threading.Event(), []
    executor.submit(lambda: (gate.wait(60), done.append("running")))
    executor.submit(lambda: (gate.wait(60), done.append("running")))
    executor.submit(lambda: done.append("queued"))
    executor.stop()
    gate.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert sorted(done) == ["queued", "running", "running"]


def test_a_thread_lets_go_of_a_task_that_is_done(started):
    """A thread that waits for work does not keep the last request alive."""
    import weakref

    class Task:
        def __call__(self):
            pass

    executor = started(ThreadExecutor(1, at_once))
    task = Task()
    reference = weakref.ref(task)
    executor.submit(task)
    del task
    eventually(lambda: reference() is None)


def test_a_task_keeps_its_thread(started):
    """Another thread takes the place of one that is let go, which ends with its task."""
    executor = started(ThreadExecutor(1, at_once, "kept"))
    begun, gate, following = threading.Event(), threading.Event(), []
    owners = []

    def task():
        owners.append(threading.current_thread())
        begun.set()
        gate.wait(60)

    executor.submit(task)
    assert begun.wait(60)
    executor.let_go(owners[0].ident)
    done = threading.Event()
    executor.submit(lambda: (following.append(threading.current_thread()), done.set()))
    assert done.wait(60)
    eventually(lambda: executor.statistics() == {"running": 0, "queued": 0, "threads": 1, "idle": 1})
    assert executor.tasks() == []
    assert following != owners
    gate.set()
    owners[0].join(60)
    assert not owners[0].is_alive()
    assert following[0].is_alive()


def test_a_thread_is_not_let_go_without_another(started, monkeypatch):
    """Where the system has no more threads, everything stays as it was."""

    def refuse(*_):
        raise RuntimeError("can't start new thread")

    executor = started(ThreadExecutor(1, at_once))
    begun, gate = threading.Event(), threading.Event()
    executor.submit(lambda: (begun.set(), gate.wait(60)))
    assert begun.wait(60)
    ((ident, since),) = executor.tasks()
    with monkeypatch.context() as patch:
        patch.setattr("skitai.loop.native.start_thread", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            executor.let_go(ident)
    assert executor.tasks() == [(ident, since)]
    gate.set()
    done = threading.Event()
    executor.submit(done.set)
    assert done.wait(60)


# -- greenlets ---------------------------------------------------------------------------------------------


class Turn:
    """A reactor whose turn ends when the test says so."""

    def __init__(self):
        self.functions = []

    def __call__(self, function):
        self.functions.append(function)

    def end(self):
        while self.functions:
            self.functions.pop(0)()


class Waiting:
    """Lets a task wait and the test go on with it, as the bridge does with the reactor."""

    def __init__(self):
        self.hub = greenlet.getcurrent()
        self.tasks = []

    def __call__(self):
        self.tasks.append(greenlet.getcurrent())
        self.hub.switch()

    def go_on(self):
        self.tasks.pop(0).switch()


def test_a_greenlet_task_runs_up_to_where_it_waits(started):
    """It begins when the turn ends, and the reactor goes on when the task waits or ends."""
    turn = Turn()
    executor, wait, order = started(GreenletExecutor(turn)), Waiting(), []

    def task():
        order.append("begun")
        wait()
        order.append("ended")

    executor.submit(task)
    assert executor.statistics() == {"running": 0, "queued": 1, "idle": 0}
    turn.end()
    assert order == ["begun"]
    assert executor.statistics() == {"running": 1, "queued": 0, "idle": 0}
    wait.go_on()
    assert order == ["begun", "ended"]
    assert executor.statistics() == {"running": 0, "queued": 0, "idle": 1}


def test_greenlets_get_their_tasks_when_the_turn_ends(started):
    """What is submitted in one turn of the reactor runs together, in order, asked for once."""
    turn = Turn()
    executor, done = started(GreenletExecutor(turn)), []
    for number in range(3):
        executor.submit(lambda number=number: done.append(number))
    assert (len(turn.functions), done) == (1, [])
    turn.end()
    assert done == [0, 1, 2]


def test_greenlets_are_used_again(started):
    """Task after task runs in the same greenlet; a burst leaves no more than idle_max of them."""
    turn = Turn()
    executor, wait, seen = started(GreenletExecutor(turn)), Waiting(), set()
    for _ in range(10):
        executor.submit(lambda: seen.add(id(greenlet.getcurrent())))
        turn.end()
    assert len(seen) == 1
    for _ in range(executor.idle_max + 10):
        executor.submit(wait)
    turn.end()
    while wait.tasks:
        wait.go_on()
    assert executor.statistics() == {"running": 0, "queued": 0, "idle": executor.idle_max}


def test_a_task_submitted_by_a_task_runs_when_that_one_waits_or_ends(started):
    """Neither is lost, and the one that submits is not interrupted."""
    turn = Turn()
    executor, wait, order = started(GreenletExecutor(turn)), Waiting(), []

    def outer(waits):
        executor.submit(lambda: order.append("inner"))
        order.append("outer")
        if waits:
            wait()
            order.append("outer again")

    executor.submit(lambda: outer(False))
    turn.end()
    assert order == ["outer", "inner"]
    executor.submit(lambda: outer(True))
    turn.end()
    assert order[2:] == ["outer", "inner"]
    wait.go_on()
    assert order[4:] == ["outer again"]


def test_a_task_submitted_by_a_resumed_task_need_not_wait_for_its_end(started):
    """It runs when the turn ends, although the one that submitted it waits again."""
    turn = Turn()
    executor, wait, order = started(GreenletExecutor(turn)), Waiting(), []

    def outer():
        wait()
        executor.submit(lambda: order.append("inner"))
        wait()
        order.append("outer")

    executor.submit(outer)
    turn.end()
    wait.go_on()
    assert order == []
    turn.end()
    assert order == ["inner"]
    wait.go_on()
    assert order == ["inner", "outer"]


def test_tasks_submitted_by_tasks_that_wait_all_run(started):
    """A chain of tasks, each submitting the next and waiting, runs through."""
    turn = Turn()
    executor, wait, order = started(GreenletExecutor(turn)), Waiting(), []

    def task(number):
        if number < 50:
            executor.submit(lambda: task(number + 1))
        wait()
        order.append(number)

    executor.submit(lambda: task(0))
    turn.end()
    while wait.tasks:
        wait.go_on()
    assert order == list(range(51))


def test_what_gets_out_of_a_greenlet_strands_no_task(started):
    """Where an exception gets to the reactor past the executor, the tasks that wait run in the next turn."""
    turn, done = Turn(), []
    executor = started(GreenletExecutor(turn))
    executor.submit(lambda: greenlet.getcurrent().parent.throw(SystemExit(1)))
    executor.submit(lambda: done.append("next"))
    with pytest.raises(SystemExit):
        turn.end()
    turn.end()
    assert done == ["next"]


def test_a_greenlet_that_is_ended(started):
    """GreenletExit thrown into a waiting task ends its greenlet, and others go on."""
    turn = Turn()
    executor, wait = started(GreenletExecutor(turn)), Waiting()
    executor.submit(wait)
    turn.end()
    victim = wait.tasks.pop()
    victim.throw()
    assert victim.dead
    assert executor.statistics() == {"running": 0, "queued": 0, "idle": 0}
    done = []
    executor.submit(lambda: done.append(1))
    turn.end()
    assert done == [1]


def test_stop_lets_go_of_idle_greenlets(started):
    """After stop no idle greenlet is left."""
    turn = Turn()
    executor, seen = started(GreenletExecutor(turn)), []
    executor.submit(lambda: seen.append(greenlet.getcurrent()))
    turn.end()
    executor.stop()
    assert seen[0].dead
    assert executor.statistics()["idle"] == 0


# -- apps on either ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [0])
def test_thousands_of_greenlets_may_wait_at_once(serve, threads):
    """Tasks that wait cost a greenlet each, no thread: 2,000 wait, others run, and all go on."""
    gateway = serve({}, threads=threads)
    gate, woken = Pending(), []

    def task(number):
        assert gateway.bridge.wait(gate, 300)
        woken.append(number)

    def submit_all():
        for number in range(2000):
            gateway.executor.submit(lambda number=number: task(number))
        gateway.executor.submit(lambda: woken.append("another"))

    gateway.loop.call(submit_all)
    assert eventually(lambda: woken == ["another"])
    assert gateway.executor.statistics()["running"] == 2000
    gateway.loop.call(gate.end)
    assert eventually(lambda: gateway.executor.statistics()["running"] == 0)
    assert sorted(woken[1:]) == list(range(2000))
    assert gateway.executor.statistics()["idle"] == GreenletExecutor.idle_max


def test_each_request_sees_its_own_environ_and_was(serve):
    """200 requests at once, each waiting in between, never see anything of one another."""

    def app(environ, start_response):
        mine = environ["QUERY_STRING"]
        seen = set()

        def look():
            was = get_current()
            seen.add(was.env["QUERY_STRING"])
            assert was is environ["skitai.was"]
            assert current_was.get() is was

        look()
        for _ in range(3):
            pause(gateway)
            look()
        start_response("200 OK", [("X-Query", mine)])
        return generate(environ, seen, look)

    def generate(environ, seen, look):
        for _ in range(3):
            pause(gateway)
            look()
            yield b" "
        yield ",".join(seen).encode()

    def pause(gateway):
        pending = Pending()
        gateway.bridge.submit(lambda: gateway.bridge.call_later(0.001, pending.end))
        assert gateway.bridge.wait(pending, 60)

    gateway = serve(app)
    with ThreadPoolExecutor(20) as pool:
        responses = list(pool.map(lambda number: gateway.ask(f"/?{number}"), range(200)))
    assert not gateway.failures
    for number, response in enumerate(responses):
        assert response["X-Query"] == str(number)
        assert response.body.strip() == str(number).encode()


def test_was_of_a_request_ends_with_it(serve):
    """After a request its thread or greenlet has no ``was`` of it left."""
    gateway = serve(echo.unread)
    for _ in range(8):
        gateway.ask()
    left = []
    for _ in range(8):
        gateway.loop.call(gateway.executor.submit, lambda: left.append(current_was.get(None)))
    eventually(lambda: len(left) == 8)
    assert left == [None] * 8


@pytest.fixture
def executors():
    """The executors of an instance with ``threads = 2``, and their names in ``made``."""
    made = []

    def make(threads, mount):
        made.append(mount)
        return executor_for(threads, at_once, mount=mount)

    several = Executors(make, 2)
    several.made = made
    yield several
    several.stop()


class TestExecutorsOfMounts:
    """Mounts share an executor, or have their own."""

    def test_own_and_shared(self, executors):
        """A mount with ``threads`` has its own, whatever their number; the others share one."""
        assert executors.for_mount("", None) is executors.for_mount("/api", None) is executors.shared
        shop, admin = executors.for_mount("/shop", 2), executors.for_mount("/admin", 2)
        live = executors.for_mount("/live", 0)
        assert len({executors.shared, shop, admin, live}) == 4
        assert (shop.multithread, live.multithread) == (True, False)

    def test_names(self, executors):
        """Each has the name of its mount; a number tells apart those of several hosts."""
        for point, threads in [("", None), ("", None), ("", 1), ("/shop", 1), ("/shop", 0), ("/shop", 2)]:
            executors.for_mount(point, threads)
        assert executors.made == ["", "/", "/shop", "/shop (2)", "/shop (3)"]
        assert [row["mounts"] for row in executors.overview()] == [
            "/",
            "/",
            "/shop",
            "/shop (2)",
            "/shop (3)",
        ]

    def test_threads_are_named_after_the_mount(self, executors):
        """They begin with the start and not before, and end with the stop."""
        executors.for_mount("/named", 2)
        named = [f"skitai-app-/named-{number}" for number in (1, 2)]
        assert not set(named) & {thread.name for thread in threading.enumerate()}
        executors.start()
        assert set(named) <= {thread.name for thread in threading.enumerate()}
        executors.stop()
        eventually(lambda: not set(named) & {thread.name for thread in threading.enumerate()})

    def test_busy(self, executors):
        """They are busy as long as a task runs or waits in any of them; a row for each says how many."""
        shop = executors.for_mount("/shop", 1)
        executors.for_mount("/live", 0)
        executors.start()
        gate, began = threading.Event(), threading.Event()
        shop.submit(lambda: (began.set(), gate.wait(60)))
        shop.submit(lambda: None)
        assert began.wait(60)
        assert executors.is_busy()
        columns = ("mounts", "run_in", "threads", "running", "queued", "idle")
        assert [tuple(row[column] for column in columns) for row in executors.overview()] == [
            ("", "threads", 2, 0, 0, 2),
            ("/shop", "threads", 1, 1, 1, 0),
            ("/live", "greenlets", None, 0, 0, 0),
        ]
        gate.set()
        eventually(lambda: not executors.is_busy())


def test_greenlets_leave_the_reactor_its_turn(started):
    """Tasks that compute begin in several turns, in order: the reactor goes on in between."""
    turns = []
    executor = started(GreenletExecutor(turns.append))
    begun = []

    def compute(number):
        begun.append(number)
        end = time.monotonic() + 0.03
        while time.monotonic() < end:
            pass

    for number in range(3):
        executor.submit(lambda number=number: compute(number))
    for number in range(3):
        turns.pop()()
        assert begun == list(range(number + 1))
    assert turns == []
