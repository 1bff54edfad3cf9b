"""skitaid as people run it, in a temporary home; as another user where the tests run as root."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import urllib.request
from functools import cache

import pytest

from mailserver import MailServer
from processes import environment
from serving import eventually
from skitai.daemon.skitaid.control import ask

NOBODY = 65534
SKITAID = [sys.executable, "-m", "skitai.daemon.skitaid"]
INSTANCE = [sys.executable, "-c", "from skitai.daemon.skitaid.instance import main; raise SystemExit(main())"]
CONFIG = "[server]\nip = 127.0.0.1\nport = 0\n{keys}\n[routes:line]\n/ = ../app:app\n"
APP = """
import os


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


#: Another user, who can read the files of root: Python may be among them.
OTHER_USER = [
    "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
    "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search",
]  # fmt: skip


@cache
def becoming_another():
    """Return the command before others that makes another user of root, where that works."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return []
    works = subprocess.run([*OTHER_USER, sys.executable, "-c", "import skitai"], env=environment())
    return OTHER_USER if works.returncode == 0 else []


class Home:
    """The home of a user, with a skitaid that may run in it."""

    def __init__(self, folder):
        self.folder = folder
        self.config = folder / ".config" / "skitaid"
        self.state = folder / ".local" / "state" / "skitaid"
        self.variables = {}
        self.become = becoming_another()
        (self.config / "servers-enabled").mkdir(parents=True)
        (self.config / "app.py").write_text(APP)
        for path in (folder, *folder.rglob("*")):
            if self.become:
                os.chown(path, NOBODY, NOBODY)

    def environ(self):
        left_out = ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "PYTEST_CURRENT_TEST")
        given = {name: value for name, value in environment().items() if name not in left_out}
        as_root = {} if self.become or os.geteuid() else {
            "SKITAID_CONFIG": str(self.config / "skitaid.conf"),
            "SKITAID_LOG_PATH": str(self.state / "log"),
            "SKITAID_VAR_PATH": str(self.state),
        }  # fmt: skip
        return {
            **given,
            **as_root,
            "HOME": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            **self.variables,
        }

    def popen(self, *words, program=SKITAID, **options):
        return subprocess.Popen(
            [*self.become, *program, *words], cwd=self.folder, env=self.environ(), stdin=subprocess.DEVNULL,
            **options,
        )  # fmt: skip

    def run(self, *words, status=0, **options):
        """Run a command of skitaid; return what it printed."""
        process = self.popen(*words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
        printed, _ = process.communicate(timeout=150)
        assert process.returncode == status, printed
        return printed

    def write(self, name, **keys):
        text = CONFIG.format(keys="\n".join(f"{key} = {value}" for key, value in keys.items()))
        (self.config / "servers-enabled" / f"{name}.conf").write_text(text)

    def children(self):
        answer = ask(self.state / "lock" / "skitaid.sock", "status")
        return {child["name"]: child for child in answer["children"]}

    def wait_for(self, condition, what="it"):
        """Return the children, once ``condition`` is true of them."""

        def looked():
            children = self.children()
            return [children] if condition(children) else None

        return eventually(looked, what)[0]

    def log(self, *parts):
        return self.state.joinpath("log", *parts).read_text()

    def ask(self, name):
        """Ask the newest server of that name for its process id."""
        urls = eventually(  # the workers may serve a moment before the log says where
            lambda: [
                line.split(" on ")[1].split()[0]
                for line in self.log("instances", name, "server.log").splitlines()
                if " on http" in line
            ],
            "the address in the log",
        )
        with urllib.request.urlopen(urls[-1], timeout=30) as response:
            return int(response.read())

    def end(self):
        pid = self.state / "lock" / "skitaid.pid"
        if pid.exists() and pid.read_text().strip():
            self.run("terminate")


@pytest.fixture
def home(open_folder, request):
    home = Home(open_folder(request.node.name))
    (home.config / "skitaid.conf").touch()
    yield home
    home.end()


def serves(name, workers=1):
    return lambda children: children.get(name, {}).get("workers") == workers


def test_a_life(home):
    """Servers come and go with their files, and by commands; their logs are where the README says."""
    home.write("one")
    home.write("cron")
    assert home.run("status", status=3) == "skitaid is not running\n"
    assert home.run("stop", status=1) == "skitaid is not running\n"
    assert home.run("start").startswith("skitaid runs (pid ")
    assert "skitaid runs already (pid " in home.run("start", status=1)
    assert "skitaid runs already (pid " in home.run(status=1)
    children = home.wait_for(serves("one"))
    assert list(children) == ["cron", "one"]
    assert children["one"]["pid"] == home.ask("one")
    children = home.wait_for(lambda children: children["one"]["requests"] == 1)
    assert children["one"]["memory"] > 10 << 20

    lines = home.run("status").splitlines()
    assert lines[0].startswith("skitaid (pid ")
    assert [line.split()[0] for line in lines[2:]] == ["NAME", "cron", "one"]
    assert "one is started (pid " in home.run("log")
    assert "cron.conf is not served: cron is the name of an agent" in home.run("log")
    assert "GET / HTTP/1.1" in home.run("-f", "one", "-s", "request", "log")
    assert home.run("log", "one", status=1) == (
        f"nothing is logged in {home.state}/log/instances/one/app.log yet\n"
    )
    assert "Skitai serves one on " in home.run("-f", "one", "-s", "server", "log")
    assert "jobs in " in home.run("-f", "cron", "log")
    assert (home.state / "log" / "instances" / "one" / "stderr.log").exists()
    assert "there is no " in home.run("-f", "smtpda", "log", status=1)
    assert home.run("-f", "cron", "-s", "request", "log", status=1).startswith(
        "-s is for the logs of a server"
    )

    home.run("-f", "one", "stop")
    assert home.children()["one"]["state"] == "down"
    home.run("-f", "one", "start")
    second = home.wait_for(serves("one"))["one"]["pid"]
    server_log = home.state / "log" / "instances" / "one" / "server.log"
    starts = server_log.read_text().count("Skitai serves one on ")
    home.run("reload", "one")
    eventually(lambda: server_log.read_text().count("Skitai serves one on ") > starts)
    eventually(lambda: home.ask("one") == second)  # the process is the same
    os.kill(second, signal.SIGKILL)
    home.wait_for(lambda found: serves("one")(found) and found["one"]["pid"] != second)
    assert "one has ended: killed by SIGKILL" in home.run("log")
    assert "two names are given: one and two" in home.run("-f", "one", "restart", "two", status=2)
    assert "there is no two: there are cron, one" in home.run("-f", "two", "restart", status=1)

    log = home.state / "log" / "skitaid.log"
    log.rename(log.with_name("skitaid-20261129.log"))
    home.run("rotate-all")
    assert home.run("log").endswith("[info] the logs were opened anew\n")

    (home.config / "servers-enabled" / "one.conf").unlink()
    pids = home.wait_for(lambda found: list(found) == ["cron"])
    assert home.run("status").endswith(
        f"There is no server: put its file into {home.config}/servers-enabled\n"
    )
    home.run("stop")
    assert home.run("status", "--json", status=3) == '{"running": false}\n'
    assert home.run("log").endswith("[info] skitaid has ended\n")
    with pytest.raises(ProcessLookupError):
        os.kill(pids["cron"]["pid"], 0)
    assert os.listdir(home.state / "lock") == ["skitaid.pid"]


def test_several_workers(home):
    """A server with several workers shows all of them, and is restarted while it serves."""
    home.write("two", processes=2)
    home.run("start")
    before = home.wait_for(serves("two", 2))["two"]
    workers = {home.ask("two") for _ in range(20)}
    home.run("-f", "two", "restart")
    eventually(lambda: home.ask("two") not in workers)
    after = home.wait_for(serves("two", 2))["two"]
    assert (after["pid"], after["restarts"]) == (before["pid"], 0)
    home.wait_for(lambda found: found["two"]["requests"] >= 20)  # those of workers that are gone, too
    home.run("stop")


def test_in_the_foreground(home):
    """With -v all logs are printed; a wrong server is tried again; a signal ends all. Also as root."""
    home.become = []
    home.write("one")
    (home.config / "servers-enabled" / "bad.conf").write_text("[server]\nport = x\n")
    (home.config / "skitaid.conf").write_text("[crontab:line]\n* * 99 * * x\n[smtpd]\n")
    output = home.folder / "printed"
    with open(output, "wb") as printed, home.popen("-v", stdout=printed, stderr=printed) as process:
        try:
            eventually(lambda: "Skitai serves one on " in output.read_text())
            eventually(lambda: "bad has ended: exit status 2" in output.read_text())
            children = home.children()
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    text = output.read_text()
    assert "skitaid.conf:3: [smtpd]: unknown section: did you mean smtpda?" in text
    assert "skitaid.conf:2: [crontab:line]: '* * 99 * *' has a bad day-of-month" in text
    assert "bad.conf:2: [server] port: must be a whole number" in text
    assert "bad is started again at once" in text
    assert not (home.state / "log" / "skitaid.log").exists()
    for child in children.values():
        if child["pid"]:
            with pytest.raises(ProcessLookupError):
                os.kill(child["pid"], 0)


MAIL_APP = """
from skitai import was


def app(environ, start_response):
    mail = was.email("Hello", "ann@b.example", "bob@d.example")
    mail.add_text("Hello World")
    sent = mail.send().getwait()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [sent.data.encode()]
"""


def test_mail(home):
    """[smtpda] brings an agent, which has the mail of servers that have none; their spool is skitaid's."""
    config = home.config / "skitaid.conf"
    (home.config / "app.py").write_text(MAIL_APP)
    home.write("one")
    with MailServer() as mail:
        config.write_text("[global]\nvar_path = var\n")
        if home.become:
            for folder in (home.folder, home.config):
                os.chown(folder, NOBODY, NOBODY)
        home.state = home.config / "var"
        logs = home.folder / ".local" / "state" / "skitaid" / "log"
        home.variables = {"SKITAID_LOG_PATH": str(logs)}
        home.run("start")
        home.wait_for(serves("one"))
        assert list(home.children()) == ["cron", "one"]
        config.write_text(f"[global]\nvar_path = var\n[smtpda]\nsmtpserver = {mail.address}\ntls = no\n")
        agent = home.wait_for(lambda found: "smtpda" in found and found["smtpda"]["pid"])["smtpda"]["pid"]
        (url,) = (
            line.split(" on ")[1].split()[0]
            for line in ((logs / "instances" / "one" / "server.log").read_text().splitlines())
            if " on http" in line
        )
        with urllib.request.urlopen(url, timeout=30) as response:
            assert len(response.read()) > 10
        mail.wait_for(lambda server: server.mails)
        eventually(lambda: "ann@b.example -> bob@d.example" in home.run("-f", "smtpda", "log"))
        assert (logs / "daemons" / "smtpda" / "smtpda.log").exists()
        assert (home.state / "daemons" / "smtpda" / "mail" / "spool").is_dir()
        home.run("-f", "smtpda", "restart")
        home.wait_for(lambda found: found["smtpda"]["pid"] not in (None, agent))
        config.write_text("[global]\nvar_path = var\n")
        home.wait_for(lambda found: "smtpda" not in found)
        home.run("stop")


def test_children_end_with_it(home):
    """If skitaid is killed, nothing of it stays, and the next one begins anew."""
    home.write("one")
    home.run("start")
    children = home.wait_for(serves("one"))
    os.kill(json.loads(home.run("status", "--json"))["pid"], signal.SIGKILL)

    def are_gone():
        return not any(os.path.exists(f"/proc/{child['pid']}/exe") for child in children.values())

    eventually(are_gone)
    assert home.run("status", status=3) == "skitaid is not running\n"
    home.variables = {"SKITAID_LOG_PATH": "elsewhere"}
    home.run("start")
    home.wait_for(serves("one"))
    home.run("stop")
    assert (home.folder / "elsewhere" / "instances" / "one" / "request.log").exists()


def test_log_that_is_followed(home):
    """``log -F`` goes on with what is added."""
    log = home.state / "log" / "skitaid.log"
    log.parent.mkdir(parents=True)
    log.write_text("one\n")
    with home.popen("log", "-F", stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"one\n"
            with open(log, "a") as file:
                file.write("two\n")
            assert process.stdout.readline() == b"two\n"
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_top(home):
    """``top`` draws the table again and again on a terminal, and on nothing else."""
    assert "top needs a terminal" in home.run("top", status=1)
    home.run("start")
    ours, theirs = pty.openpty()
    with home.popen("top", stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        try:
            seen = b""
            while seen.count(b"NAME") < 2:
                seen += os.read(ours, 10_000)
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    os.close(ours)
    assert seen.startswith(b"\x1b[H\x1b[Jskitaid (pid ")
    home.run("stop")


def test_wrong_config(home):
    """A wrong file is said so, with the exit status of a wrong config."""
    (home.config / "skitaid.conf").write_text("[global]\nlog_paht = x\n")
    assert "skitaid.conf:2: [global] log_paht: unknown key: did you mean log_path?" in home.run(status=2)
    assert "unknown key" in home.run("start", status=2)
    assert "cannot read" in home.run("--config", "nowhere.conf", "status", status=2)


def test_one_instance(home):
    """``skitaid-instance.py`` checks a server, and serves it without skitaid."""
    home.write("one")
    assert "port = 0" in home.run("-f", "one", "--test", program=INSTANCE)
    assert "[@bakery]" in home.run("-f", "sample", "--test", program=INSTANCE)
    assert "there is no two.conf in " in home.run("-f", "two", "-v", status=2, program=INSTANCE)
    output = home.folder / "printed"
    with (
        open(output, "wb") as printed,
        home.popen("-v", "-f", "e/one", program=INSTANCE, stdout=printed) as process,
    ):
        try:
            eventually(lambda: "Skitai serves one on " in output.read_text())
        finally:
            process.terminate()
        process.wait(60)
    with home.popen("--conf=one", program=INSTANCE) as process:
        try:
            log = home.state / "log" / "instances" / "one" / "server.log"
            eventually(lambda: log.exists() and "Skitai serves one on " in log.read_text())
        finally:
            process.terminate()
        process.wait(60)
