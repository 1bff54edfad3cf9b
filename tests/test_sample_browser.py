"""The sample in a real browser: forms are filled in, a file is uploaded, the session is seen, pages fit."""

import html
import json
import re
import shutil
import subprocess
from urllib.parse import urlencode

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
  ACTIONS
  document.getElementById("found").textContent = JSON.stringify(found);
})();
</script>"""

VISIT = """
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
"""

DELIVERY = """
  let page = await loaded(() => { frame.src = "/database"; });
  page.querySelector("#name").value = "Copper, <b>2</b> litres";
  page = await loaded(() => page.querySelector(".delivery button").click());
  found.kettles = [...page.querySelectorAll(".warehouses ol li")].map(item => item.innerText);
  found.steps = [...page.querySelectorAll(".chart rect")].length;
"""

#: Two visitors in two frames. What websockets bring is waited for by requests: only these stop the browser's
#: virtual time.
ROOM = """
  const until = async ready => { for (let n = 0; n < 5000 && !ready(); n++) await fetch("/websocket/who"); };
  const items = (page, selector) => [...page.querySelectorAll(`${selector} li`)].map(item => item.innerText);
  const second = frame.cloneNode();
  document.body.append(second);
  const enter = async (where, name) => {
    await new Promise(go => { where.onload = go; where.src = "/websocket"; });
    const page = where.contentDocument;
    page.querySelector("#name").value = name;
    page.querySelector("#enter button").click();
    await until(() => items(page, "#said").includes(`${name} came in`));
    return page;
  };
  const ann = await enter(frame, "Ann");
  const ben = await enter(second, "Ben");
  await until(() => items(ann, "#here").length == 2);
  found.here = items(ann, "#here");
  ann.querySelector("#text").value = "hello <b>Ben</b>";
  ann.querySelector("#say button").click();
  await until(() => items(ben, "#said").length == 2);
  found.said = items(ben, "#said");
  for (const kind of ["echo", "talk"]) {
    const line = ann.querySelector(`[data-line*="${kind}"]`);
    for (const text of ["a&b=c +%", "bye"]) {
      const before = line.querySelectorAll(".other").length;
      line.querySelector("input").value = text;
      line.querySelector("button").click();
      await until(() => line.querySelectorAll(".other").length > before);
    }
    if (kind == "talk") await until(() => line.querySelector(".event"));
    found[kind] = items(line, ".said");
  }
  second.remove();
  await until(() => items(ann, "#here").length == 1);
  found.left = items(ann, "#said").pop();
"""

#: Looks at each page in windows of several widths, with a note and a message of one word that is long.
MEASURE = """
  let page = await loaded(() => { frame.src = "/saddle"; });
  page.querySelector("#text").value = "W".repeat(80);
  await loaded(() => page.querySelector("form[action$='/note'] button").click());
  for (const path of PATHS) {
    page = (await loaded(() => { frame.src = path; })).documentElement;
    for (let width = 320; width <= 1200; width += 40) {
      frame.style.width = `${width}px`;
      await new Promise(go => setTimeout(go));
      found[`${path} ${page.clientWidth}`] = page.scrollWidth - page.clientWidth;
    }
  }
"""
PATHS = [
    "/", "/timeline", "/cluster", "/database", "/saddle", "/websocket", f"/saddle/hello/{'W' * 80}", "/flask",
    "/flask/echo", "/no",
]  # fmt: skip

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no browser is installed")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A folder for pages that drive the browser."""
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def sample(running_server, pages):
    """The sample site, with the folder of the tests at ``/driver``."""
    folder = REPOSITORY / "etc" / "sample"
    return running_server(
        "[server]\nip = 127.0.0.1\nport = 0\n[routes:line]\n"
        f"/driver = {pages}\n/ = {folder}/static\n/ = {folder}/home:app\n"
        f"/cluster = {folder}/cluster_app:app\n/database = {folder}/database_app:app\n"
        f"/saddle = {folder}/saddle_app:app\n/flask = {folder}/flask_app:app\n"
        f"/websocket = {folder}/websocket_app:app\n"
        "[@bakery]\nmembers = 127.0.0.1:5071, 127.0.0.1:5072 2, 127.0.0.1:5073\n"
        "[@warehouses]\ntype = sqlite3\nmembers = :memory:haarlem, :memory:leiden\n"
    )


@pytest.fixture
def drive(sample, pages, tmp_path):
    """Return ``drive(actions)``: what they have found, run in a page of the same site by a new browser."""

    def drive(actions):
        page = pages / f"{tmp_path.name}.html"
        page.write_text(DRIVER.replace("ACTIONS", actions))
        command = [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}",
            "--timeout=60000", "--virtual-time-budget=30000", "--dump-dom", f"{sample.url}driver/{page.name}",
        ]  # fmt: skip
        printed = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True).stdout
        return json.loads(html.unescape(re.search(r'<pre id="found">(.*?)</pre>', printed, re.DOTALL)[1]))

    return drive


@needs_browser
def test_forms_upload_and_session(drive):
    """Messages come once, notes are in the session and escaped, the file is named with size and type."""
    found = drive(VISIT)
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


@needs_browser
def test_a_delivery(drive):
    """A kettle that is typed in lies in one of the two warehouses; the picture has six bars."""
    found = drive(DELIVERY)
    assert sorted(found["kettles"]) == ["Copper, <b>2</b> litres", "House kettle", "House kettle"]
    assert found["steps"] == 6


@needs_browser
def test_a_room_an_echo_and_a_talk(drive):
    """Two visitors see and hear each other; echo and talk are the README's."""
    assert drive(ROOM) == {
        "here": ["Ann", "Ben"],
        "said": ["Ben came in", "Ann: hello <b>Ben</b>"],
        "echo": ["a&b=c +%", "ECHO:a&b=c +%", "bye", "ECHO:bye"],
        "talk": [
            "a&b=c +%",
            "You Said:a&b=c +%",
            "bye",
            "Bye, have a nice day.bye",
            "closed (1000)",
        ],
        "left": "Ben left",
    }


@needs_browser
def test_pages_fit_every_window(drive):
    """No page is wider than its window, from a small telephone's to a desktop's."""
    found = drive(MEASURE.replace("PATHS", json.dumps(PATHS)))
    assert len(found) == 23 * len(PATHS)
    assert [place for place, too_wide in found.items() if too_wide > 0] == []


@pytest.mark.parametrize("port", ["\u00b2", "5070", "", "9" * 900, "-1"])
def test_unknown_bakery(sample, port):
    """What is not the port of a bakery is answered with 400."""
    fields = [("Content-Type", "application/x-www-form-urlencoded")]
    body = urlencode({"port": port}).encode()
    assert sample.ask("/cluster", "POST", fields, body).code == 400
