"""Apps that are loaded in a thread and set handlers of signals, which only the main thread may."""

import queue
import signal
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from app_files import import_system, load, write  # noqa: F401

from skitai.server.apps.handlers import may_set_handlers
from skitai.server.apps.loader import AppLoadError

ORIGINAL = signal.signal
REFUSED = "signal only works in main thread of the main interpreter"


class MainThread:
    """A bridge to this thread, which does what it is asked for until a load in another thread is over."""

    def __init__(self):
        self.asked = queue.SimpleQueue()

    def ask(self, function, timeout):
        outcome = Future()
        self.asked.put((function, outcome))
        return outcome.result(timeout)

    def load(self, function):
        with ThreadPoolExecutor(1) as pool:
            loading = pool.submit(may_set_handlers(self, function), None)
            loading.add_done_callback(lambda _: self.asked.put((None, None)))
            while (item := self.asked.get())[0] is not None:
                try:
                    item[1].set_result(item[0]())
                except ValueError as error:
                    item[1].set_exception(error)
        return loading.result()


@pytest.fixture(autouse=True)
def _handler():
    before = signal.getsignal(signal.SIGUSR2)
    yield
    ORIGINAL(signal.SIGUSR2, before)
    assert signal.signal is ORIGINAL


APP = """
    import signal
    from signal import signal as kept
    before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)

    def app(environ, start_response):
        kept(signal.SIGUSR2, signal.SIG_DFL)
"""


def test_a_module_sets_a_handler(tmp_path):
    """It has what was there before, as in the main thread."""
    write(tmp_path, {"wsgi.py": APP})
    before = signal.getsignal(signal.SIGUSR2)
    app = MainThread().load(lambda _: load(tmp_path))
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_IGN
    assert app.__globals__["before"] is before


def test_requests_are_as_ever(tmp_path):
    """What a module has kept does in a thread what Python's does, once the load is over."""
    write(tmp_path, {"wsgi.py": APP})
    app = MainThread().load(lambda _: load(tmp_path))
    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match=REFUSED):
        pool.submit(app, {}, None).result()
    app({}, None)  # in this thread


def test_errors_are_those_of_python():
    """They are raised where the handler is set."""
    with pytest.raises(ValueError, match="signal number out of range"):
        MainThread().load(lambda _: signal.signal(999, signal.SIG_IGN))


def test_a_reactor_in_another_thread():
    """There nobody can set one."""
    bridge = MainThread()
    bridge.ask = lambda function, _timeout: function()
    with pytest.raises(ValueError, match=REFUSED):
        bridge.load(lambda _: signal.signal(signal.SIGUSR2, signal.SIG_IGN))


def test_loads_at_the_same_time(tmp_path):
    """Each ends for itself; threads that an app starts meanwhile have what Python has."""
    refused = []

    def in_a_thread_of_its_own():
        try:
            signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        except ValueError as error:
            refused.append(str(error))

    def outer(_):
        MainThread().load(lambda _: "inner")
        thread = threading.Thread(target=in_a_thread_of_its_own)
        thread.start()
        thread.join()
        return signal.signal(signal.SIGUSR2, signal.SIG_IGN)

    MainThread().load(outer)
    assert refused == [REFUSED]


def test_what_an_app_puts_there_stays(monkeypatch):
    """Whoever replaces signal.signal meanwhile, as gevent does, keeps that."""
    mine = lambda *_: None  # noqa: E731
    monkeypatch.setattr(signal, "signal", ORIGINAL)
    MainThread().load(lambda _: setattr(signal, "signal", mine))
    assert signal.signal is mine


@pytest.mark.parametrize(
    "line",
    ["asyncio.get_event_loop()", "signal.set_wakeup_fd(-1)", "raise OSError('no main thread')"],
)
def test_what_needs_the_main_thread_says_how(tmp_path, line):
    """What cannot be passed on is refused with a hint."""
    write(tmp_path, {"wsgi.py": f"import asyncio, signal\n{line}\n"})
    with pytest.raises(AppLoadError, match=r"main thread with threads = 0, or with processes = 2 and more$"):
        MainThread().load(lambda _: load(tmp_path))
