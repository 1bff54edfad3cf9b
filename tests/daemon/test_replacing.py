"""A server that reloads is replaced as a whole, soon after a file is saved."""

import os
import signal
import sys
import textwrap
import time

import pytest

from serving import RunningServer, eventually
from supervised import Load, children, is_alive
from wire import Client

FLASK = """
from flask import Flask
import helper
app = Flask(__name__)

@app.get("/")
def index():
    return helper.WORD
"""
SITE = {"served.py": FLASK, "helper.py": "WORD = 'one'"}
CLOSE = [("Connection", "close")]
REPLACED = "a new process serves"


class Reloading(RunningServer):
    """A server with ``reloader = yes``; ``process`` is the parent, ``child`` the process that serves."""

    def __init__(self, folder, files, threads, target="./served:app", **keys):
        folder.mkdir(exist_ok=True)
        self.folder = folder
        for name, text in files.items():
            self.save(name, text)
        self.config = "\n".join(
            [
                "[server]\nreloader = yes\naccess_log = off",
                *(() if "listen" in keys else ("ip = 127.0.0.1\nport = 0",)),
                *(f"{key} = {value}" for key, value in keys.items()),
                f"[routes:line]\n/ = {target}\n",
            ]
        )
        super().__init__(folder, self.config, threads)

    def save(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))

    def answer(self, target="/"):
        """Return what a new connection gets."""
        return self.ask(target, fields=CLOSE)

    def becomes(self, text, target="/"):
        """Wait until the answer has ``text``."""
        eventually(lambda: text in self.answer(target).body.decode(), f"{text!r} at {target}")

    @property
    def child(self):
        (child,) = children(self.process.pid)
        return child

    def replaced(self):
        return self.log_text().count(REPLACED)


@pytest.fixture
def reloading(tmp_path, threads):
    """Return ``reloading(files, ...)``: a running server of the app in served.py."""
    servers = []

    def start(files, threads=threads, **options):
        server = Reloading(tmp_path / f"site{len(servers)}", files, threads, **options)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def sites(tmp_path_factory, threads):
    """Return ``sites()``: a running server of ``FLASK``, the one of before unless that has ended."""
    servers = []

    def running():
        if not servers or servers[-1].process.poll() is not None:
            servers.append(Reloading(tmp_path_factory.mktemp("site"), SITE, threads))
        return servers[-1]

    yield running
    for server in servers:
        server.stop()


@pytest.fixture
def site(sites):
    """A server that answers "one"; where it has served another test, with the files of the beginning."""
    server = sites()
    changed = [name for name, text in SITE.items() if (server.folder / name).read_text() != text]
    before = server.replaced()
    for name in changed:
        server.save(name, SITE[name])
    if changed:
        eventually(lambda: server.replaced() > before)
    server.becomes("one")
    eventually(lambda: len(children(server.process.pid)) == 1, "the end of the child of before")
    return server


def wsgi(expression, *lines):
    """Return the source of an app that answers with an expression."""
    return "\n".join(
        [
            *lines,
            "def app(environ, start_response):",
            "    start_response('200 OK', [])",
            f"    return [str({expression}).encode()]",
        ]
    )


def test_each_save(site):
    """Each save is served, by a new process; one line says what was reloaded and how; nobody is refused."""
    before, replaced = site.child, site.replaced()
    load = Load(site.port, clients=2, fields=CLOSE)
    for word in ("two", "six", "one"):  # of one length, and back
        site.save("helper.py", f"WORD = '{word}'")
        site.becomes(word)
    assert load.stop() > 0
    assert (dict(load.failures), set(load.answers)) == ({}, {200})
    assert site.child != before
    eventually(lambda: site.replaced() == replaced + 3)
    assert site.log_text().count(f"helper.py changed: {REPLACED}, ") == 3
    assert site.log_text().count("Skitai serves") == 1
    assert "Traceback" not in site.log_text()


def test_soon(site):
    """From the save to the new answer it is less than a second, if the machine has time."""
    seconds = []
    for number in range(5):
        began = time.monotonic()
        site.save("helper.py", f"WORD = 'word{number}'")
        site.becomes(f"word{number}")
        seconds.append(time.monotonic() - began)
    assert min(seconds) < 1 or os.getloadavg()[0] > os.cpu_count()


@pytest.mark.parametrize("threads", [2], indirect=True)
def test_many_files_at_once(site):
    """A burst is one reload, or two where it began just when the server looked; the last state is served."""
    before = site.replaced()
    for number in range(50):
        site.save(f"part{number}.py", "")
        site.save("helper.py", f"WORD = 'state{number}'")
    site.becomes("state49")
    assert site.replaced() <= before + 2


def test_saved_while_it_reloads(reloading):
    """A file that is saved while the new process loads it is not forgotten."""
    source = wsgi("WORD", "import pathlib, time", "WORD = %d", "if WORD == 2: time.sleep(1)")
    server = reloading({"served.py": source % 1})
    server.becomes("1")
    server.save("served.py", source % 2)
    time.sleep(0.6)  # the new process has read it by now, or will read the last one
    server.save("served.py", source % 3)
    server.becomes("3")


@pytest.mark.parametrize("threads", [2], indirect=True)
def test_changed_back(site):
    """What was changed and changed back at once, with its old time, is no change."""
    before = site.replaced()
    path = site.folder / "helper.py"
    status = path.stat()
    text = path.read_text()
    path.write_text("WORD = 'other'")
    path.write_text(text)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    site.save("served.py", FLASK + "\n# later\n")
    eventually(lambda: site.replaced() > before)
    site.becomes("one")


def test_what_modules_have_started(reloading):
    """Threads, handlers of logs, counters, start methods: one of each, after a reload as before."""
    source = wsgi(
        "(len([t for t in threading.enumerate() if t.name == 'mine']), len(root.handlers), seen(), %d)",
        "import logging, multiprocessing, threading, time, atexit, pathlib",
        "from prometheus_client import Counter, REGISTRY",
        "multiprocessing.set_start_method('spawn')",
        "Counter('things', 'of mine')",
        "root = logging.getLogger('mine')",
        "root.addHandler(logging.NullHandler())",
        "threading.Thread(target=time.sleep, args=(1000,), name='mine').start()",  # nobody waits for it
        "here = pathlib.Path(__file__).parent",
        "atexit.register(lambda: (here / 'exits').open('a').write('x'))",
        "def seen(): return sum(metric.name == 'things' for metric in REGISTRY.collect())",
    )
    server = reloading({"served.py": source % 1}, shutdown_timeout=1)
    server.becomes("(1, 1, 1, 1)")
    for number in (2, 3):
        server.save("served.py", source % number)
        server.becomes(f"(1, 1, 1, {number})")
    assert (server.folder / "exits").read_text() == "xx"


def test_django(reloading):
    """Views, URLs and settings of Django are new after a save; its debug page appears under DEBUG."""
    server = reloading(
        {
            "shop/__init__.py": "",
            "shop/settings.py": """
                DEBUG = True
                SECRET_KEY = "x"
                ALLOWED_HOSTS = ["*"]
                ROOT_URLCONF = "shop.urls"
                WORD = "one"
            """,
            "shop/urls.py": """
                from django.urls import path
                from shop import views
                urlpatterns = [path("", views.index), path("fails", views.fails)]
            """,
            "shop/views.py": """
                from django.conf import settings
                from django.http import HttpResponse
                def index(request): return HttpResponse("view 1 " + settings.WORD)
                def fails(request): raise LookupError("<this>")
            """,
            "shop/wsgi.py": """
                import os
                from django.core.wsgi import get_wsgi_application
                os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
                application = get_wsgi_application()
            """,
        },
        target="./shop/wsgi:application",
    )
    server.becomes("view 1 one")
    page = server.answer("/fails").body.decode()
    assert "LookupError" in page
    assert "&lt;this&gt;" in page
    assert "DEBUG = True" in page  # what Django says of it
    views = (server.folder / "shop/views.py").read_text()
    server.save("shop/views.py", views.replace("view 1", "view 2"))
    server.becomes("view 2 one")
    settings = (server.folder / "shop/settings.py").read_text()
    server.save("shop/settings.py", settings.replace("one", "two"))
    server.becomes("view 2 two")
    urls = (server.folder / "shop/urls.py").read_text()
    server.save("shop/urls.py", f"{urls}\nimport missing_one\n")  # it is imported by the first request
    server.becomes("No module named &#x27;missing_one&#x27;")
    response = server.answer()
    assert (response.code, response["Cache-Control"]) == (500, "no-store")
    assert "shop/urls.py&quot;, line 6" in response.body.decode()
    server.save("shop/urls.py", urls)
    server.becomes("view 2 two")
    assert server.log_text().count("an app has set its own zone") == 1  # in five processes


@pytest.mark.parametrize("threads", [2], indirect=True)
def test_what_is_under_way(reloading):
    """A request that has begun is answered whole by the old code; those that come wait for the new one."""
    source = """
        import time
        def app(environ, start_response):
            start_response("200 OK", [])
            for number in range(10):
                time.sleep(0.05)
                yield b"%d" % {number}
    """
    server = reloading({"served.py": source.format(number=1)})
    with Client(server.port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: client.socket.recv(1, 2))  # MSG_PEEK
        server.save("served.py", source.format(number=2))
        eventually(lambda: server.answer().body == b"2" * 10)
        response = client.response()
        assert (response.body, response.complete) == (b"1" * 10, True)


@pytest.mark.parametrize("threads", [2], indirect=True)
def test_what_does_not_end(reloading):
    """A request that would go on for ever does not keep the new code from being served."""
    source = wsgi("%d", "import time")
    endless = source % 1 + "\n    while True: time.sleep(0.01)\n"
    endless = endless.replace("    return", "    if environ['PATH_INFO'] == '/': return")
    server = reloading({"served.py": endless})
    with Client(server.port) as client:
        client.send(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        assert server.answer().body == b"1"
        server.save("served.py", source % 2)
        server.becomes("2")


def test_broken_from_the_start(reloading):
    """What cannot be imported is shown in the browser and in the log; the next save mends it, each time."""
    server = reloading({"served.py": FLASK, "helper.py": "WORD = (\n# <b>"})
    response = eventually(lambda: server.answer())
    assert response.code == 503
    assert "&#x27;(&#x27; was never closed" in response.body.decode()
    assert "helper.py&quot;, line 1" in response.body.decode()
    assert response["Cache-Control"] == "no-store"
    eventually(lambda: "SyntaxError: '(' was never closed" in server.log_text())
    server.save("helper.py", "WORD = 'mended'")
    server.becomes("mended")
    server.save("served.py", FLASK + "import missing_one\n")
    server.becomes("No module named &#x27;missing_one&#x27;")
    server.save("missing_one.py", "1 / 0\n")
    server.becomes("ZeroDivisionError: division by zero")
    assert "  File &quot;" in server.answer().body.decode()
    assert "<b>" not in server.answer().body.decode()
    server.save("missing_one.py", "import sys\nsys.exit('enough')\n")
    server.becomes("SystemExit: enough")
    server.save("missing_one.py", "")
    server.becomes("mended")
    (server.folder / "helper.py").unlink()
    server.becomes("No module named &#x27;helper&#x27;")
    server.save("helper.py", "WORD = 'back'")
    server.becomes("back")
    assert server.log_text().count("ZeroDivisionError: division by zero") >= 1


def test_nothing_of_it_in_production(tmp_path, threads):
    """Without the reloader, clients are not told why an app cannot be loaded, nor get a debugger."""
    (tmp_path / "served.py").write_text("a_secret = 1 / 0\n")
    (tmp_path / "debugged.py").write_text(
        "from flask import Flask\napp = Flask('x')\napp.debug = True\n"
        "@app.get('/debugged/')\ndef index(): raise LookupError('a_secret')\n"
    )
    config = (
        "[server]\nip = 127.0.0.1\nport = 0\n[routes:line]\n/ = ./served:app\n/debugged = ./debugged:app\n"
    )
    server = RunningServer(tmp_path, config, threads)
    try:
        response = server.ask("/")
        assert (response.code, b"a_secret" in response.body, b"Zero" in response.body) == (503, False, False)
        response = server.ask("/debugged/debugged/")
        assert (response.code, b"a_secret" in response.body) == (500, False)
    finally:
        server.stop()


def test_flask_in_debug(reloading):
    """Flask's debugger appears for an app in debug; what the app handles itself stays."""
    source = """
        from flask import Flask
        app = Flask(__name__)
        app.debug = DEBUG

        @app.get("/")
        def fails():
            raise LookupError("<this>")

        @app.get("/handled")
        def handled():
            raise OverflowError

        @app.errorhandler(OverflowError)
        def handle(error):
            return "handled", 418
    """
    server = reloading({"served.py": source.replace("DEBUG", "True")})
    response = eventually(lambda: server.answer())
    page = response.body.decode()
    assert response.code == 500
    assert "Werkzeug Debugger" in page or "// Werkzeug" in page
    assert "LookupError: &lt;this&gt;" in page
    assert "EVALEX = true" in page
    assert server.answer("/handled").code == 418
    eventually(lambda: "LookupError: <this>" in server.log_text())
    server.save("served.py", source.replace("DEBUG", "False"))
    eventually(lambda: b"Werkzeug" not in server.answer().body)
    assert server.answer().code == 500


@pytest.mark.parametrize("threads", [2], indirect=True)
def test_no_console_for_others(reloading):
    """Where other machines reach the server, pages of the debugger run no code."""
    source = "from flask import Flask\napp = Flask(__name__)\napp.debug = True\napp.get('/')(lambda: 1 / 0)\n"
    server = reloading({"served.py": source}, listen="127.0.0.1:0, 0.0.0.0:0")
    page = server.answer().body.decode()
    assert "EVALEX = false" in page


@pytest.mark.parametrize("threads", [2], indirect=True)
def test_other_files(reloading):
    """Files of ``reload_include`` count, also new ones and those that are deleted; others do not."""
    source = wsgi(
        "sorted(p.name + p.read_text() for p in FOUND)",
        "import pathlib",
        "FOUND = list(pathlib.Path(__file__).parent.rglob('*.html'))",
        "TEXT = [p.read_text() for p in FOUND]",
    ).replace("for p in FOUND)", "for p in FOUND) + TEXT")
    server = reloading(
        {"served.py": source, "templates/a.html": "1", "templates/a.txt": ""}, reload_include="*.html"
    )
    server.becomes("['a.html1', '1']")
    server.save("templates/a.html", "22")
    server.becomes("['a.html22', '22']")
    server.save("templates/deep/b.html", "3")
    server.becomes("'b.html3'")
    (server.folder / "templates/a.html").unlink()
    server.becomes("['b.html3', '3']")
    before = server.child
    server.save("templates/a.txt", "x")
    time.sleep(0.6)
    assert server.child == before


@pytest.mark.parametrize("threads", [2], indirect=True)
def test_config(site):
    """A change of the config is served by a new server in the same process; a broken one is refused."""
    pid, path = site.process.pid, site.folder / "tested.conf"
    serves = site.log_text().count("Skitai serves")
    path.write_text(site.config + "/other = ./served:app\n")
    eventually(lambda: site.answer("/other/").code == 200)
    path.write_text(site.config.replace("port = 0", "port = many"))
    eventually(lambda: "tested.conf changed, but the server of before goes on" in site.log_text())
    site.save("helper.py", "WORD = 'two'")
    site.becomes("two")
    path.write_text(site.config)
    eventually(lambda: site.answer("/other/").code == 404)
    assert (site.process.pid, site.log_text().count("Skitai serves")) == (pid, serves + 2)
    os.kill(pid, signal.SIGHUP)
    eventually(lambda: site.log_text().count("Skitai serves") == serves + 3)
    site.becomes("two")


@pytest.mark.parametrize("threads", [2], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end(site, number):
    """A signal to the parent, or to both as from a terminal, ends both; none stays, and the status is its."""
    child, before = site.child, site.log_text()
    os.kill(site.process.pid, number)
    assert site.process.wait(60) == -number
    eventually(lambda: not is_alive(child))
    assert "Traceback" not in site.log_text()[len(before) :]


@pytest.mark.parametrize("threads", [2], indirect=True)
def test_a_parent_that_is_killed(site):
    """The child does not outlive its parent."""
    child = site.child
    site.process.kill()
    site.process.wait()
    eventually(lambda: not is_alive(child))


@pytest.mark.parametrize("threads", [2], indirect=True)
def test_a_child_that_is_killed(site):
    """The server ends as the process that serves has ended."""
    os.kill(site.child, signal.SIGKILL)
    assert site.process.wait(60) == -signal.SIGKILL


@pytest.mark.parametrize("threads", [2], indirect=True)
def test_ended_while_it_reloads(reloading):
    """SIGTERM in the middle of a reload ends the server: no new process takes its place."""
    source = wsgi("1", "import time", "time.sleep(0.3)")
    for seconds in (0, 0.1, 0.2, 0.4):
        server = reloading({"served.py": source})
        assert server.answer().code == 200
        server.save("served.py", source + "\n# changed\n")
        time.sleep(seconds)
        server.process.terminate()
        assert server.process.wait(60) == -signal.SIGTERM
        assert "Traceback" not in server.log_text()


@pytest.mark.parametrize("threads", [2], indirect=True)
def test_asked_by_the_app(reloading):
    """``was.restart()`` reloads, too; several processes are not for the reloader, and a line says so."""
    source = wsgi(
        "(os.getpid(), environ['wsgi.multiprocess'], environ['PATH_INFO'] == '/again' and was.restart())",
        "import os",
        "from skitai import was",
    )
    server = reloading({"served.py": source}, processes=3)
    assert "with the reloader, one process serves" in server.log_text()
    before = server.answer().body
    assert b"False" in before
    server.answer("/again")
    eventually(lambda: server.answer().body != before)


def test_the_command(tmp_path):
    """``skitai --reload app:app`` is the same."""
    from processes import SkitaiServer

    (tmp_path / "served.py").write_text(wsgi("1"))
    server = SkitaiServer(tmp_path, "served:app", "--reload", "--port", "0")
    try:
        assert server.ask("/", fields=CLOSE).body == b"1"
        (tmp_path / "served.py").write_text(wsgi("2"))
        eventually(lambda: server.ask("/", fields=CLOSE).body == b"2")
    finally:
        server.stop()
    assert sys.version_info >= (3, 11)
