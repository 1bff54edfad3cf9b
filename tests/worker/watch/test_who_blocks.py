"""Who blocks, as the log of a running server says it."""

import importlib.util
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from scraping import scrape

from serving import config_text, eventually
from skitai.loop.turn import turn_end_of

APP = """
import time

def pause(seconds):
    time.sleep(seconds)

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/held":
        time.sleep(60)
    elif path != "/":
        pause(float(path[1:]))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of an app ``waits:app``."""
    path = tmp_path_factory.mktemp("app")
    (path / "waits.py").write_text(APP)
    return path


def test_a_view_that_blocks_is_named(running_server, folder):
    """Under greenlets the log names request, place and stack of code that holds the reactor, once."""
    config = config_text({"/": f"{folder}/waits:app"}, blocked_warning="0.05") + "[metrics]\n"
    server = running_server(config, threads=0)
    for seconds in ("0.001", "0.5", "0.6"):
        assert server.ask(f"/{seconds}").status == "200 OK"
    place = re.escape(f"{folder}/waits.py")
    said = re.findall(r"\[warning\] (.* has held up .*)\n((?:  .*\n)*)", server.log_text())
    assert len(said) == 1
    sentence, stack = said[0]
    assert re.fullmatch(
        rf"GET /0\.5 has held up all other requests for \d\.\d\d s so far, at {place}:5 in pause", sentence
    )
    assert [line.split(", ")[1:] for line in stack.splitlines() if "File" in line] == [
        ["line 12", "in app"],
        ["line 5", "in pause"],
    ]
    assert scrape(server)("skitai_reactor_blocked_total") == 2  # also what is not said again


COROUTINE = """
import time

from skitai.saddle import Saddle

app = Saddle(__name__)


@app.route("/report")
async def report(was, year):
    await was.sleep(0)
    time.sleep(0.3)
    return "late"
"""


def test_a_coroutine_that_blocks_is_named(running_server, tmp_path):
    """The log names the request of a coroutine, and shows its stack without what called it."""
    (tmp_path / "late.py").write_text(COROUTINE)
    server = running_server(config_text({"/": f"{tmp_path}/late:app"}, blocked_warning="0.05", threads=2))
    assert server.ask("/report?year=2026").body == b"late"
    eventually(lambda: "has held up" in server.log_text(), "the warning")
    lines = server.log_text().partition("[warning] ")[2].splitlines()
    place = re.escape(f"{tmp_path}/late.py")
    assert re.fullmatch(
        rf"GET /report\?year=2026 has held up all other requests for .* s so far, at {place}:12 in report",
        lines[0],
    )
    assert lines[1:3] == [f'    File "{tmp_path}/late.py", line 12, in report', "      time.sleep(0.3)"]


#: ``cooperative`` and ``blocked_warning``.
BUSY = [("no", "0.1"), ("no", "3600"), *([("yes", "0.1")] if importlib.util.find_spec("gevent") else [])]


@pytest.fixture(scope="module")
def busy_servers(running_server, folder):
    """What ``be_busy`` returns for each of ``BUSY``: the servers are busy beside each other, for seconds."""
    servers = {}
    for cooperative, blocked_warning in BUSY:
        limits = {"blocked_warning": blocked_warning, "slow_request": "0.5", "response_timeout": 2}
        limits |= {"threads": 2, "queue_timeout": "off", "cooperative": cooperative}
        config = config_text({"/": f"{folder}/waits:app"}, **limits) + "[metrics]\n"
        servers[cooperative, blocked_warning] = running_server(config)
    with ThreadPoolExecutor(len(servers)) as pool:
        return dict(zip(servers, pool.map(be_busy, servers.values()), strict=True))


def be_busy(server):
    """Send more requests than there are threads; return the figures of metrics meanwhile, and the log."""
    with ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(server.ask, "/held") for _ in range(2)]
        eventually(lambda: scrape(server)("skitai_executor_running") == 2, "both of them")
        answers += [pool.submit(server.ask, "/") for _ in range(3)]
        eventually(lambda: "are busy" in server.log_text(), "the warning")
        eventually(lambda: "slow: " in server.log_text(), "the slow requests")
        counted = scrape(server)
        server.stop()
        for answer in answers:
            answer.exception()
    return counted, server.log_text()


@pytest.mark.parametrize(("cooperative", "blocked_warning"), BUSY)
def test_threads_that_are_busy_are_named(busy_servers, folder, cooperative, blocked_warning):
    """Under threads the log says what is slow, and once what all threads do while requests wait."""
    counted, log = busy_servers[cooperative, blocked_warning]
    assert (counted("skitai_slow_requests_total"), counted("skitai_threads_busy_total")) == (2, 1)
    assert (counted("skitai_executor_running"), counted("skitai_executor_queued") >= 2) == (2, True)
    busy = re.findall(r"\[warning\] (all 2 threads of / are busy, .*)\n((?:  .*\n)*)", log)
    assert len(busy) == 1
    waiting = r"all 2 threads of / are busy, and requests wait too long \([123] wait, 0 got 503 so far\): "
    assert re.match(waiting, busy[0][0])
    tasks = busy[0][1].splitlines()
    assert len(tasks) == 2
    for task in tasks:
        assert re.fullmatch(rf"  GET /held, for \d+\.\d s, at {folder}/waits\.py:10 in app", task)
    assert len(re.findall(r"\[warning\] slow: GET /held, for \d+\.\d s, at .*waits\.py:10 in app", log)) == 1
    assert "has held up" not in log


@pytest.mark.parametrize("threads", [0, 2])
def test_an_idle_server_is_left_alone(setting, reactor_thread, threads):
    """The watching thread sleeps while nothing happens, and is woken by the next request."""
    running = setting.start(f"threads = {threads}")
    turn_end = turn_end_of(reactor_thread.reactor)
    eventually(lambda: turn_end.sleepers, "the sleep of the watching thread")
    assert running.ask("/").status == "200 OK"
    assert turn_end.sleepers == []
    eventually(lambda: turn_end.sleepers, "its next sleep")
    running.stop()
    assert turn_end.sleepers == []
