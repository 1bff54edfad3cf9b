"""What tests of every part share: running servers, and the two executors."""

import gc
import importlib.metadata
import os
import signal
import sys
import tempfile
import tomllib
from contextlib import suppress
from pathlib import Path

import greenlet._greenlet
import hypothesis
import pytest
from twisted.logger import formatEvent, globalLogPublisher

from databases import Postgres, Redis
from serving import REPOSITORY, Gateway, ReactorThread, RunningServer, config_text
from skitai.formats import zone
from skitai.server.apps import modules

# When a thread that used greenlets has ended, greenlet looks for leaks wherever the main thread is, by an
# import that fails in some frames. What reports that then runs as a pending call, in which Python 3.11 loops
# for ever while coverage traces.
greenlet._greenlet.enable_optional_cleanup(False)

# How long an example takes says how busy the machine is, and no more.
hypothesis.settings.register_profile(
    "suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")


# What runs in the background of a shell script ignores these, and so would the servers that tests start.
for number, handler in {signal.SIGINT: signal.default_int_handler, signal.SIGQUIT: signal.SIG_DFL}.items():
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


def pytest_sessionstart():
    """Say what to do where the installed plugins are those of an older checkout."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    installed = importlib.metadata.distribution("skitai").entry_points.select(group="skitai")
    if {found.name: found.value for found in installed} != project["entry-points"]["skitai"]:
        pytest.exit("the installed entry points are not those of pyproject.toml: make .venv/.test", 2)


def _import_share(config):
    """Import a share of the test files before all of them, if several processes run tests.

    Each of them needs all files. None is compiled in a new checkout, and each process would compile all.
    """
    if (worker := getattr(config, "workerinput", None)) is None:
        return
    named = [config.invocation_params.dir / word.partition("::")[0] for word in config.args]
    files = sorted({file for path in named for file in path.rglob("test_*.py")})
    for file in files[int(worker["workerid"].removeprefix("gw")) :: worker["workercount"]]:
        sys.path.insert(0, str(file.parent))  # as pytest does later, which then tells what is wrong
        with suppress(Exception, pytest.skip.Exception):
            importlib.import_module(file.stem)
        sys.path.remove(str(file.parent))


@pytest.hookimpl(wrapper=True)
def pytest_collection(session):
    """Collect no garbage while tests are collected, nor look at them later: there are a million objects."""
    gc.disable()
    try:
        _import_share(session.config)
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.fixture(params=[4, 0], ids=["threads", "greenlets"], scope="module")
def threads(request):
    """The config's ``threads``: a test that asks for it runs on both executors."""
    return request.param


@pytest.fixture(scope="module", autouse=True)
def _apps_are_forgotten():
    """Python forgets the apps that a module of tests has loaded: each import looks through their folders."""
    before, search = set(modules._directories), set(sys.path)
    yield
    zone.forget()  # that of a server which a test has made here
    for path in set(modules._directories) - before:
        directory = modules._directories.pop(path)
        directory.drop(directory.loaded() - directory.elsewhere.keys())
        sys.modules.pop(directory.package, None)
        if str(path) in sys.path and str(path) not in search:
            sys.path.remove(str(path))
    for entry in [entry for entry in sys.path_importer_cache if not os.path.exists(entry)]:
        del sys.path_importer_cache[entry]
    # What stays is not looked at again: tests that collect garbage themselves would take longer and longer.
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def reactor_thread():
    """A reactor in a thread of its own."""
    return ReactorThread()


@pytest.fixture
def serve(reactor_thread, threads):
    """Return ``serve(app_or_mounts, **limits)``: a Gateway in this process, on each of the executors."""
    gateways = []

    def start(mounts, threads=threads, **options):
        if not isinstance(mounts, dict):
            mounts = {"": mounts}
        gateway = Gateway(reactor_thread, mounts, threads, **options)
        gateways.append(gateway)
        return gateway

    yield start
    for gateway in gateways:
        gateway.stop()


@pytest.fixture
def log_lines():
    """The lines that are logged during the test, without their stamps."""
    lines = []

    def note(event):
        lines.append(formatEvent(event))

    globalLogPublisher.addObserver(note)
    yield lines
    globalLogPublisher.removeObserver(note)


@pytest.fixture(scope="session")
def running_server(tmp_path_factory):
    """Return ``running_server(config_or_apps, threads=None, **server)``: a ``twist skitai`` of its own.

    It takes the text of a configuration (with ``port = 0`` and ``ip = 127.0.0.1``), or targets by mount point
    and keys of ``[server]``. The result has ``url``, ``port``, ``ask()``, ``log_text()`` and ``stop()``; what
    was not stopped is at the end. Starting one takes seconds: share it among the tests of a module.
    """
    servers = []

    def start(config, threads=None, **server):
        text = config if isinstance(config, str) else config_text(config, **server)
        servers.append(RunningServer(tmp_path_factory.mktemp("server"), text, threads))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def open_folder():
    """Return ``open_folder(name)``: a new folder which a server of another user can reach.

    Each pytest closes the folder of all temporary folders to others, also beside tests that run.
    """
    with tempfile.TemporaryDirectory(prefix="skitai-tests-", ignore_cleanup_errors=True) as root:
        os.chmod(root, 0o711)

        def make(name):
            folder = Path(root) / name
            folder.mkdir()
            return folder

        yield make


@pytest.fixture(scope="session")
def postgres(open_folder):
    """A real PostgreSQL; ``make_database()`` gives a database of one's own."""
    server = Postgres(open_folder("postgres"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    """A real Redis."""
    server = Redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()
