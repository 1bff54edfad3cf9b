"""A Saddle app in a running server: loaded, changed, broken, mended, stopped."""

import os
import time

import pytest

from processes import TwistServer
from serving import eventually

APP = """
from skitai.saddle import Saddle
from helper import WORD

app = Saddle(__name__)
app.debug = app.use_reloader = True

@app.startup
def startup(wasc):
    wasc.register("word", "registered")
    print("startup", flush=True)

@app.onreload
def onreload(wasc):
    print("onreload", flush=True)

@app.shutdown
def shutdown(wasc):
    print("shutdown", wasc.unregister("word"), flush=True)

@app.route("/")
def index(was):
    return f"{WORD} {was.word}"

@app.route("/slow")
async def slow(was):
    result = await was.get(f"http://127.0.0.1:{was.env['SERVER_PORT']}/ping")
    return result.text
"""
PLAIN = """
from skitai import was

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [was.word.encode()]
"""


@pytest.fixture(params=[2, 0], ids=["threads", "greenlets"])
def server(request, tmp_path):
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "helper.py").write_text("WORD = 'first'\n")
    (tmp_path / "plain.py").write_text(PLAIN)
    (tmp_path / "site.conf").write_text(
        f"[server]\nip = 127.0.0.1\nport = 0\nthreads = {request.param}\naccess_log = off\n"
        "[routes:line]\n/ = ./app:app\n/plain = ./plain:app\n"
    )
    running = TwistServer(tmp_path, "--config", "site.conf")
    yield running
    running.stop()


def test_life(server, tmp_path):
    """A change of any module is seen at the next request; a broken one shows why until it is mended."""

    def change(text):
        helper = tmp_path / "helper.py"
        helper.write_text(text)
        # Two changes within the resolution of a file system's clock would look like one.
        later = time.time() + change.count
        change.count += 10
        os.utime(helper, (later, later))

    change.count = 10
    assert server.ask("/").body == b"first registered"
    assert server.ask("/plain").body == b"registered"
    assert server.ask("/slow").body == b"pong"
    change("WORD = 'second'\n")
    assert server.ask("/").body == b"second registered"
    change("WORD = (\n")
    broken = server.ask("/")
    assert (broken.code, b"SyntaxError" in broken.body, b"helper.py" in broken.body) == (500, True, True)
    change("WORD = 'third'\n")
    assert server.ask("/").body == b"third registered"
    server.stop()
    eventually(lambda: "shutdown registered" in server.log_text())
    log = server.log_text()
    assert [log.count(word) for word in ("startup\n", "onreload\n", "shutdown registered\n")] == [1, 2, 1]
