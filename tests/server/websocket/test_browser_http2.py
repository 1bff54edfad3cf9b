"""Websockets of a real browser over HTTP/2, on the connection that the page came by."""

import html
import json
import re
import shutil
import subprocess

import pytest

from certificates import Identity

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

APP = """
import skitai
from skitai.saddle import Saddle

app = Saddle(__name__)

@app.route("/page")
def page(was):
    was.response.set_header("Content-Type", "text/html")
    return PAGE

@app.route("/moment")
def moment(was):
    was.sleep(0.01)
    return was.env["SERVER_PROTOCOL"]

@app.route("/talk")
def talk(was):
    if "websocket_init" in was.env:
        was.env["websocket_init"] = (skitai.WEBSOCKET_DEDICATE, 60, None)
        return ""
    ws = was.env["websocket"]
    ws.send(was.env["SERVER_PROTOCOL"])
    for message in ws:
        ws.send(message)
        if message == "bye":
            ws.close(4001, "enough")

PAGE = '''<!doctype html><pre id="found"></pre><script>
const found = {messages: []};
const until = async ready => { for (let n = 0; n < 5000 && !ready(); n++) await fetch("/moment"); };
(async () => {
  found.plain = await (await fetch("/moment")).text();
  const ws = new WebSocket("wss://" + location.host + "/talk");
  ws.onopen = () => { found.extensions = ws.extensions; ws.send("x".repeat(300000)); ws.send("bye"); };
  ws.onmessage = event => found.messages.push(event.data.length > 20 ? event.data.length : event.data);
  ws.onclose = event => Object.assign(found, {code: event.code, reason: event.reason, clean: event.wasClean});
  await until(() => found.code);
  const second = new WebSocket("wss://" + location.host + "/talk");
  second.onmessage = () => second.close(1000);
  second.onclose = event => { found.second = event.code; found.secondClean = event.wasClean; };
  await until(() => found.second);
  document.getElementById("found").textContent = JSON.stringify(found);
})();
</script>'''
"""


@pytest.mark.skipif(CHROMIUM is None, reason="no browser is installed")
def test_a_browser(serve_app, tmp_path):
    """The app sees HTTP/2 in both, messages and closes arrive, also with compression."""
    identity = Identity("localhost")
    (tmp_path / "main.pem").write_bytes(identity.pem + identity.key_pem())
    server = serve_app(APP, server="ssl = yes\ncertfile = main.pem", deflate="yes")
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
        "--ignore-certificate-errors", "--timeout=60000", "--virtual-time-budget=30000", "--dump-dom",
        f"https://localhost:{server.port}/page",
    ]  # fmt: skip
    printed = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True).stdout
    found = json.loads(html.unescape(re.search(r'<pre id="found">(.*?)</pre>', printed, re.DOTALL)[1]))
    assert found.pop("extensions").startswith("permessage-deflate")
    assert found == {
        "plain": "HTTP/2",
        "messages": ["HTTP/2", 300_000, "bye"],
        "code": 4001,
        "reason": "enough",
        "clean": True,
        "second": 1000,
        "secondClean": True,
    }
    server.idle()
    assert server.failures == []
