"""The command ``skitai``: from an app to a server, without a configuration."""

import re
import socket
import subprocess
import sys

import pytest

import preloaded
import skitai
from processes import SkitaiServer, TwistServer, environment, run_twist
from serving import START_PATIENCE, eventually
from skitai.command.main import main
from skitai.command.options import Options
from skitai.tap import makeService

APP = """
import os
import sys

import beside

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    print("asked for", environ["PATH_INFO"])
    return [f"{beside.WORD} {environ['wsgi.multithread']} {environ['wsgi.multiprocess']}".encode()]

def create_app(word="made"):
    def made(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [word.encode()]
    return made
"""


@pytest.fixture
def site(tmp_path):
    """A folder with an app in a folder, a module beside that folder, and some files."""
    for folder in ("site", "site/web", "site/files"):
        (tmp_path / folder).mkdir()
    (tmp_path / "site/beside.py").write_text("WORD = 'beside'\n")
    (tmp_path / "site/web/__init__.py").touch()
    (tmp_path / "site/web/main.py").write_text(APP)
    (tmp_path / "site/files/a.txt").write_text("a file\n")
    (tmp_path / "site/broken.py").write_text("import beside\n\nbeside.gone()\napp = None\n")
    return tmp_path / "site"


@pytest.fixture
def command(capsys, site, monkeypatch):
    """Return ``command(word, ...)``: exit status, output and errors of a command that ends at once."""
    monkeypatch.chdir(site)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(*words):
        options = Options()
        options.parseOptions(list(map(str, words)))
        with pytest.raises(SystemExit) as ended:
            makeService(options).startService()
        output = capsys.readouterr()
        return ended.value.code, output.out, output.err

    return run


def run_skitai(site, *words):
    """Run ``python -m skitai`` in ``site`` to its end."""
    command = [sys.executable, "-m", "skitai", *words]
    return preloaded.run(command, cwd=site, env=environment(), timeout=START_PATIENCE)


def config_of(output):
    """Return the configuration that ``--check`` has printed, without the table of plugins behind it."""
    return output[: re.search(r"^\w+ +skitai \S+ +loaded$", output, re.MULTILINE).start()]


@pytest.mark.parametrize(
    "words",
    [
        ("web.main:app",),
        ("web/main:app", "--port", "8080", "--threads", "8", "--reload", "--access-log", "a.log"),
        ("--static", "/files=./files max_age=1h", "web.main:create_app('x y', )", "-b", ":1", "-b", "[::1]"),
        ("./files", "--workers", "3", "--body-max", "10 MB", "--no-http2", "--queue-max", "off"),
    ],
)  # fmt: skip
def test_check_prints_the_config_that_says_the_same(command, site, words):
    """What the command line means is a configuration, and that one means the same."""
    status, output, errors = command(*words, "--check")
    assert (status, errors) == (0, "")
    (site / "same.conf").write_text(config_of(output))
    assert command("--config", site / "same.conf", "--check") == (0, output, "")


def test_what_check_shows(command, site):
    """It has the app and the folders with whole paths, and listens where only this machine may ask."""
    _, output, _ = command("web/main.py:app", "--static", "/f=files", "--check")
    lines = output.splitlines()
    for line in (
        "name = main",
        "ip = 127.0.0.1",
        "port = 5000",
        f"/f = {site}/files max_age=300  ; static files",
        f"/ = {site}/web/main:app  ; app",
    ):
        assert line in lines


def test_alone(command, site):
    """Without a word, the app of this folder is served, whatever it is called."""
    (site / "app.py").write_text(APP)
    (site / "app").mkdir()
    _, output, _ = command("--check")
    assert f"/ = {site}/app  ; app" in output.splitlines()


def test_a_fallback(command, site):
    """The file that is served for paths that name none must be there, as the folder must."""
    status, output, errors = command("--static", "/f=files fallback=a.txt", "--check")
    assert (status, errors) == (0, "")
    assert f"/f = {site}/files max_age=300 fallback=/a.txt  ; static files" in output.splitlines()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("gone:app",), "gone:app: there is neither {site}/gone.py nor {site}/gone/__init__.py: correct "),
        (("brokn:app",), "brokn:app: there is neither {site}/brokn.py nor {site}/brokn/__init__.py: did you"),
        (("web.main:1",), "web.main:1: '1' cannot name a callable: write path/module:callable\n"),
        (("web.main:a(b)",), "web.main:a(b): 'a(b)' is not a call with literals: write it as create_app("),
        (
            ("x:y",),
            "x:y: there is neither {site}/x.py nor {site}/x/__init__.py: correct the path or create it; that "
            "folder has beside, broken\n",
        ),
        (("web.main:app", "--static", "/f=gone"), "--static /f=gone: there is no folder {site}/gone\n"),
        (
            ("--static", "/f=files fallback=no.html"),
            "--static /f=files fallback=no.html: fallback: there is no file {site}/files/no.html: correct ",
        ),
        (("web.main:app", "-w", "many"), "-w: must be a whole number of at least 1, not 'many'; auto takes "),
        (("web.main:app", "--host", "10.0.0"), "--host: '10.0.0' is not an IP address such as 127.0.0.1; "),
        (("web.main:app", "-b", "x:80"), "-b: 'x:80': 'x' is not an IP address such as 127.0.0.1\n"),
        (("keys", "sever"), "there is neither a section nor a key sever: did you mean server?\n"),
    ],
)  # fmt: skip
def test_refused(command, site, words, message):
    """What cannot be served is one line that names the word, and status 2."""
    status, output, errors = command(*words)
    assert (status, output) == (2, "")
    assert errors.startswith(message.format(site=site))
    assert errors.count("\n") == 1


def test_keys(command):
    """``keys`` prints the reference of a section."""
    status, output, errors = command("keys", "run")
    assert (status, errors) == (0, "")
    assert output.startswith("[run]\n")


def test_a_server_without_a_configuration(site):
    """The first line tells the address; the folder and what lies in it can be imported."""
    server = SkitaiServer(site, "web.main:app", "--port=0", "--static=/f=files", "--threads=2")
    try:
        first, second, *_ = server.log_text().splitlines()
        assert second.endswith(" [info] Mounted: /f = files, / = web.main:app")
        assert first.endswith(f" [info] Skitai serves web on http://127.0.0.1:{server.port}/")
        assert server.ask("/").body == b"beside True False"
        assert server.ask("/f/a.txt").body == b"a file\n"
        eventually(lambda: "GET /f/a.txt HTTP/1.1 200" in server.log_text(), "the access log")
        assert "asked for /\n" in server.log_text()
    finally:
        server.stop()


def test_workers_and_a_factory(site):
    """The same with ``twist skitai``, in two workers, with an app that a call makes."""
    server = TwistServer(site, "web/main:create_app('from a call')", "-p", "0", "-w", "2")
    try:
        assert re.search(
            r" with 2 workers\n.* \[info\] Mounted: / = web/main:create_app\('from a call'\)\n",
            server.log_text(),
        )
        assert server.ask("/").body == b"from a call"
    finally:
        server.stop()


@pytest.mark.parametrize(("words", "status"), [((), 1), (("--workers", "2"), 2)])
def test_an_app_that_cannot_be_imported(site, words, status):
    """Its traceback is shown as Python prints it, without frames of the server; the command has failed."""
    ended = run_skitai(site, "broken:app", "--port=0", *words)
    assert ended.returncode == status
    assert (
        "\nTraceback (most recent call last):\n"
        f'  File "{site}/broken.py", line 3, in <module>\n'
        "    beside.gone()\n"
    ) in ended.stdout + ended.stderr
    assert "AttributeError: module 'beside' has no attribute 'gone'\n" in ended.stdout + ended.stderr


@pytest.mark.parametrize("words", [(), ("--workers", "2")])
def test_an_app_that_has_another_name(site, words):
    """One line says what the module has, nothing said before that it is served, and no frames are shown."""
    ended = run_skitai(site, "web/main:aplication", "--port=0", *words)
    output = ended.stdout + ended.stderr
    assert ended.returncode != 0
    assert (
        f"cannot load {site}/web/main:aplication: the module has no 'aplication'; "
        "name its WSGI callable after the colon: app or create_app"
    ) in output
    assert "Skitai serves" not in output
    assert "Error" not in output


def test_an_app_that_may_yet_be_mended(site):
    """With --reload the server stays, and the app is served when it was mended."""
    server = SkitaiServer(site, "broken:app", "--port=0", "--reload")
    try:
        assert server.ask("/").code == 503
        (site / "broken.py").write_text(
            "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'mended']\n"
        )
        eventually(lambda: server.ask("/").body == b"mended", "the mended app")
        eventually(lambda: "[info] broken.py changed: a new process serves, " in server.log_text())
    finally:
        server.stop()


def test_a_port_in_use(site):
    """It is one line."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = run_skitai(site, "web.main:app", "-p", str(port))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"-p: 127.0.0.1:{port} is in use: end the program that listens there or choose another port\n"
    )


def test_main(monkeypatch, capsys):
    """Wrong options are two lines, and those that print something do so."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["/usr/bin/skitai", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        return ended.value.code, output.out, output.err

    assert run("--prot", "1") == (
        2,
        "",
        "skitai: there is no option --prot: did you mean --port?\nskitai --help lists the options\n",
    )
    assert run("--version") == (0, f"Skitai {skitai.__version__}\n", "")
    status, output, errors = run("--help")
    assert (status, errors) == (0, "")
    assert output.startswith("Usage: skitai [options] [APP]\nOptions:\n")


def test_twist_shows_its_help():
    """``twist skitai`` has the same options."""
    ended = run_twist("skitai", "--help")
    assert " [options] plugin [plugin_options] skitai [options] [APP]\n" in ended.stdout


def test_output_that_nobody_reads():
    """``skitai keys | head`` ends in silence."""
    command = [sys.executable, "-m", "skitai", "keys"]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1
