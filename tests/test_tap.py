"""The command line: ``twist skitai``."""

import re
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from twisted.python.usage import UsageError

import skitai
from processes import TwistServer, passing, run_twist
from serving import eventually
from skitai.command.options import Options
from skitai.config import sample_config
from skitai.tap import makeService
from wire import PATIENCE, ask

APP = """
import json
import os
from skitai import was

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/slow":
        body = was.get("http://127.0.0.1:" + environ["QUERY_STRING"]).getwait(60).data.decode()
    else:
        names = ("SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "wsgi.multithread")
        body = json.dumps({"LISTEN_FDS": os.environ.get("LISTEN_FDS"), **{n: environ[n] for n in names}})
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]
"""


@pytest.fixture
def config(tmp_path):
    """Return ``config(text)``: the path of a config file beside an app ``served:app``."""
    (tmp_path / "served.py").write_text(APP)

    def write(text):
        (tmp_path / "site.conf").write_text(text)
        return tmp_path / "site.conf"

    return write


@pytest.fixture
def command(capsys):
    """Return ``command(argument, ...)``: exit status, output and errors of a command that ends at once."""

    def run(*arguments):
        options = Options()
        options.parseOptions(list(map(str, arguments)))
        with pytest.raises(SystemExit) as ended:
            makeService(options).startService()
        output = capsys.readouterr()
        return ended.value.code, output.out, output.err

    return run


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[server]\nport = x", "2: [server] port: must be a whole number from 0 to 65535, not 'x'"),
        ("[server]\nprot = 1", "2: [server] prot: unknown key: did you mean port?"),
        ("[sever]", "1: [sever]: unknown section: did you mean server?"),
        ("[routes:line]\n/ = nowhere:app", "2: [routes:line] /: there is neither "),
        (
            "[routes:line]\n/ = served:app\n/ = served:other",
            "3: [routes:line] /: contradicts line 2, the same mount point of host default:",
        ),
        ("[@c]\ntype = htp\nmembers = a", "2: [@c] type: htp is not a type of cluster; there are: "),
        ("[@c]\nmembers = a:b", "2: [@c] members: "),
        ("[server]\nssl = yes\ncertfile = x.pem", "3: [server] certfile: there is no file "),
        ("[server]\nssl = yes\ncertfile = site.conf", "3: [server] certfile: "),
        ("[server]\napp_log = logs/app.log", "2: [server] app_log: there is no folder "),
        ("[server]\naccess_log = .", "2: [server] access_log: "),
        ("[server]\nunix_socket = served.py\nport = 0", "2: [server] unix_socket: cannot listen on "),
        ("[plugins]\n\ndisable = htp", "3: [plugins] disable: plugin 'htp': "),
    ],
)
def test_config_refused(command, config, text, expected):
    """What cannot be served is one line with file, line and key, and exit status 2."""
    path = config(text)
    status, output, errors = command("--config", path)
    assert (status, output) == (2, "")
    assert errors.startswith(f"{path}:{expected}")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--port", "abc"), "--port: must be a whole number from 0 to 65535, not 'abc'\n"),
        (("--threads", "-1"), "--threads: must be a whole number from 0 to 10000, not '-1'\n"),
        (("--ip", "localhost"), "--ip: 'localhost' is not an IP address such as 127.0.0.1;"),
        (("--ip", "192.0.2.1"), "--ip: 192.0.2.1:0 is not an address of this machine:"),
        (("--config", "/nowhere.conf"), "/nowhere.conf: cannot read the configuration: No such file"),
    ],
)
def test_options_refused(command, config, arguments, expected):
    """A wrong option is one line that names it."""
    status, output, errors = command("--config", config("[server]\nport = 0"), *arguments)
    assert (status, output) == (2, "")
    assert errors.startswith(expected)
    assert errors.count("\n") == 1


def test_unknown_option():
    """An option that does not exist is Twisted's usage error."""
    with pytest.raises(UsageError, match="nope"):
        Options().parseOptions(["--nope"])


def test_strict_plugins(command, config, monkeypatch):
    """A name that SKITAI_PLUGINS cannot mean is one line, too."""
    monkeypatch.setenv("SKITAI_PLUGINS", "htp")
    status, output, errors = command("--config", config(""))
    assert (status, output) == (2, "")
    assert errors.startswith(
        "plugin 'htp': SKITAI_PLUGINS names it, but it is not installed: did you mean http?"
    )


def test_check(command, config, tmp_path):
    """--check prints the configuration as it is understood, and creates nothing."""
    path = config(
        "[server]\nport = 81\napp_log = app.log\naccess_log = access.log\nunix_socket = socket\n"
        "[routes:line]\n/ = served:app\n/files = .\n"
        "[@search]\nmembers = s1.example.com, s2.example.com 3\n"
        "[http]\nconnect_timeout = 2\n"
    )
    before = sorted(tmp_path.iterdir())
    status, output, errors = command("--config", path, "--check", "--port", "82", "--threads", "0")
    assert (status, errors) == (0, "")
    lines = output.splitlines()
    for expected in (
        "port = 82",
        "threads = 0",
        f"/ = {tmp_path}/served:app  ; app",
        f"/files = {tmp_path} max_age=300  ; static files",
        "[@search]",
        "type = http",
        "members = s1.example.com 1, s2.example.com 3",
        "[http]",
        "connect_timeout = 2",
    ):
        assert expected in lines
    assert re.search(rf"^http +skitai {re.escape(skitai.__version__)} +loaded$", output, re.MULTILINE)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "section", ["user = shop", "smtpserver = smtp://localhost", "ca_file = gone.pem", "dkim_key = gone.pem"]
)
def test_check_of_mail(command, config, section):
    """--check finds what the delivery agent would end with; --plugins does not look."""
    path = config(f"[smtpda]\n{section}")
    status, output, errors = command("--config", path, "--check")
    assert (status, output) == (2, "")
    assert re.fullmatch(rf".*site\.conf: \[smtpda\] {section.partition(' ')[0]}: .*\n", errors)
    assert command("--config", path, "--plugins")[0] == 0


def test_plugins(command, config):
    """--plugins lists what is installed: version, origin, state, hooks and names."""
    status, output, errors = command("--config", config("[plugins]\ndisable = json"), "--plugins")
    assert (status, errors) == (0, "")
    assert "[server]" not in output
    assert re.search(
        r"^json +skitai \S+ +disabled\n +why: +switched off in the config$", output, re.MULTILINE
    )
    assert re.search(
        r"^http +skitai \S+ +loaded\n +gives: was\.delete, was\.get, was\.head, .*was\.upload\n"
        r" +hooks: .*skitai_services",
        output,
        re.MULTILINE | re.DOTALL,
    )


def test_warnings(command, config):
    """What the configuration asks in vain is a line of warning."""
    status, _, errors = command("--config", config("[server]\nproxy_clients = 10.0.0.1"), "--check")
    assert status == 0
    assert re.fullmatch(r".*site\.conf:2: \[server\] proxy_clients: .*\n", errors)


def test_sample(command):
    """Without --config it is the sample app."""
    status, output, errors = command("--check")
    assert (status, errors) == (0, "")
    assert sample_config().is_file()
    assert "name = sample\n" in output


def test_version(capsys):
    """--version is Skitai's."""
    with pytest.raises(SystemExit) as ended:
        Options().parseOptions(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"Skitai {skitai.__version__}\n")


def test_port_in_use(config):
    """The real command, too, ends with status 2 and its one line."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        path = config(f"[server]\nip = 127.0.0.1\nport = {port}\n[routes:line]\n/ = served:app")
        ended = run_twist("skitai", "--config", path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"{path}:3: [server] port: 127.0.0.1:{port} is in use:"
        " end the program that listens there or choose another port\n"
    )


def test_whole_life(config, tmp_path):
    """It serves on a port and a Unix socket, as the options say; SIGTERM lets a request end."""
    path = config(
        "[server]\nip = 192.0.2.1\nport = 1\nthreads = 4\nunix_socket = socket\nresponse_timeout = 60\n"
        "[routes:line]\n/ = served:app\n"
    )
    server = TwistServer(tmp_path, "--config", path, "--ip=127.0.0.1", "--port=0", "--threads=0")
    unix_socket = tmp_path / "socket"
    assert f"Skitai serves site on http://127.0.0.1:{server.port}/, unix:{unix_socket}\n" in server.log_text()
    expected = (
        f'{{"LISTEN_FDS": null, "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "{server.port}",'
        ' "REMOTE_ADDR": "127.0.0.1", "wsgi.multithread": false}'
    )
    assert server.ask("/").body.decode() == expected
    assert b'"SERVER_NAME": "localhost", "SERVER_PORT": "80", "REMOTE_ADDR": ""' in curl(unix_socket)

    with socket.create_server(("127.0.0.1", 0)) as upstream, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(server.ask, f"/slow?{upstream.getsockname()[1]}")
        upstream.settimeout(PATIENCE)
        asked, _ = upstream.accept()
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: not unix_socket.exists(), "the end of the Unix socket")
        asked.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone")
        assert slow.result(PATIENCE).body == b"done"
        asked.close()
    server.process.wait(PATIENCE)
    server.stop()  # which looks at the exit status
    log = server.log_text()
    assert "Traceback" not in log
    assert re.search(r"^\S+ \S+ \[info\] 127\.0\.0\.1:\d+ GET /slow\?\d+ HTTP/1\.1 200 ", log, re.MULTILINE)
    assert "Main loop terminated" in log


@pytest.mark.parametrize("reloader", [False, True])
def test_loaded_code_is_no_garbage(tmp_path, reloader):
    """What was loaded is kept out of collections, unless the reloader is to drop it one day."""
    (tmp_path / "counted.py").write_text(
        "import gc\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        # Python 3.12 itself freezes some hundred objects, and Skitai some ten thousand.
        "    return [b'frozen' if gc.get_freeze_count() > 2000 else b'free']\n"
    )
    (tmp_path / "site.conf").write_text(
        f"[server]\nip = 127.0.0.1\nport = 0\nreloader = {'yes' if reloader else 'no'}\n"
        "[routes:line]\n/ = counted:app\n"
    )
    # Not forked from what has frozen much itself.
    server = TwistServer(tmp_path, "--config", tmp_path / "site.conf", launcher=["env"])
    try:
        assert server.ask("/").body == (b"free" if reloader else b"frozen")
    finally:
        server.stop()


def curl(unix_socket):
    command = ["curl", "--silent", "--fail", "--unix-socket", str(unix_socket), "http://localhost/"]
    return subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE).stdout


def test_sockets_of_systemd(config, tmp_path):
    """Sockets that systemd passes on take the place of ip and port; children do not hear of them."""
    path = config("[server]\nip = 192.0.2.1\nport = 1\n[routes:line]\n/ = served:app\n")
    unix_socket = tmp_path / "socket"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(unix_socket))
        unix.listen()
        server = TwistServer(tmp_path, "--config", path, **passing(tcp, unix))
        assert server.port == tcp.getsockname()[1]
        assert b'"LISTEN_FDS": null' in server.ask("/").body
        assert ask(str(unix_socket), "/").code == 200
        server.stop()
        assert unix_socket.exists()
        assert "Traceback" not in server.log_text()
