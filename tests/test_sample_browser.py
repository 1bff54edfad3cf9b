"""The sample's Saddle app in a real browser: forms are filled in, a file is uploaded, the session is seen."""

import html
import json
import re
import shutil
import subprocess

import pytest

from serving import REPOSITORY

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

#: A page of the same site that does with the app, in a frame, what a person would do.
DRIVER = """<!doctype html><iframe id="frame"></iframe><pre id="found"></pre><script>
const frame = document.getElementById("frame");
const loaded = action => new Promise(go => { frame.onload = () => go(frame.contentDocument); action(); });
const text = (page, selector) => page.querySelector(selector)?.innerText.trim().replace(/\\s+/g, " ");
(async () => {
  const found = {};
  let page = await loaded(() => { frame.src = "/saddle"; });
  found.first = text(page, ".lead strong");
  page.querySelector("#text").value = "Buy <b>a</b> kettle";
  page.querySelector("#mood").value = "urgent";
  page = await loaded(() => page.querySelector("form[action$='/note'] button").click());
  found.noted = text(page, ".notice");
  found.note = text(page, ".cards li");
  const files = new DataTransfer();
  files.items.add(new File(["hello"], "hello.txt", {type: "text/plain"}));
  page.querySelector("#file").files = files.files;
  page = await loaded(() => page.querySelector("form[action$='/upload'] button").click());
  found.uploaded = text(page, ".notice");
  found.later = text(page, ".lead strong");
  page = await loaded(() => { frame.src = "/saddle/"; });
  found.again = text(page, ".notice") ?? "no message";
  page = await loaded(() => page.querySelector("form[action$='/forget'] button").click());
  found.forgotten = text(page, ".cards") ?? "no notes";
  document.getElementById("found").textContent = JSON.stringify(found);
})();
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no browser is installed")
def test_forms_upload_and_session(running_server, tmp_path):
    """Messages come once, notes are in the session and escaped, the file is named with size and type."""
    (tmp_path / "driver.html").write_text(DRIVER)
    sample = REPOSITORY / "etc" / "sample"
    server = running_server(
        "[server]\nip = 127.0.0.1\nport = 0\n[routes:line]\n"
        f"/ = {tmp_path}\n/style = {sample}/static\n/saddle = {sample}/saddle_app:app\n"
    )
    browser = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    printed = subprocess.run(
        [
            *browser,
            "--timeout=60000",
            "--virtual-time-budget=30000",
            "--dump-dom",
            f"{server.url}driver.html",
        ],
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    ).stdout
    found = json.loads(html.unescape(re.search(r'<pre id="found">(.*?)</pre>', printed, re.DOTALL)[1]))
    visits = int(found.pop("later").split()[0])
    assert visits > int(found.pop("first").split()[0])
    uploaded = found.pop("uploaded")
    assert uploaded.startswith("hello.txt: 5 bytes of text/plain SHA-256 2cf24dba")
    assert found == {
        "noted": "Noted.",
        "note": "Buy <b>a</b> kettle urgent",
        "again": "no message",
        "forgotten": "no notes",
    }
