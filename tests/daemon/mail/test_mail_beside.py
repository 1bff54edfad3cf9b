"""The delivery agent beside a server: one, started at once, watched, reloaded, and ended with the server."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import pytest

import preloaded
from mailserver import MailServer
from processes import environment
from serving import FIXTURE_APPS, START_PATIENCE, RunningServer, eventually
from skitai.mail.spool import Spool
from supervised import Supervised, children, is_alive

CONFIG = """
[server]
ip = 127.0.0.1
port = 0
processes = {processes}
[global]
var_path = var
{places}
[smtpda]
smtpserver = {address}
tls = no
max_retry = {retries}
[metrics]
[routes:line]
/ = {apps}/readme_email:app
"""


def agents(pid):
    """Return the agents among the children of a process."""
    found = set()
    for child in children(pid):
        # One that has ended meanwhile is none.
        with suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{child}/cmdline", "rb") as words:
            if b"skitai-mail" in words.read().split(b"\0"):
                found.add(child)
    return found


class Logged(Supervised):
    """A server that keeps its log in a file."""

    def log_text(self):
        log = self.folder / "log" / "instances" / "tested" / "server.log"
        return log.read_text() if log.exists() else ""


class Site:
    """A server with ``[smtpda]``, and the mail server that it names."""

    def __init__(self, folder, processes, mail, places="", retries=10):
        self.folder, self.mail, self.processes = folder, mail, processes
        self.write(mail.address, places, retries)
        if processes == 1:
            self.server = RunningServer(folder, self.config, None)
        else:
            (folder / "tested.conf").write_text(self.config)
            self.server = (Logged if places else Supervised)(folder, folder / "tested.conf")
        self.spool = Spool(folder / "var" / "daemons" / "smtpda" / "mail")

    def write(self, address, places="", retries=10):
        self.config = CONFIG.format(
            processes=self.processes, address=address, places=places, retries=retries, apps=FIXTURE_APPS
        )
        (self.folder / "tested.conf").write_text(self.config)

    def agent(self):
        """Return the one agent."""
        (pid,) = eventually(lambda: agents(self.server.process.pid), "an agent")
        return pid

    def send(self):
        """Have a view send a mail by the server of the config; return its id."""
        return self.server.ask("/async").body.decode()


@pytest.fixture
def mail():
    with MailServer() as server:
        yield server


@pytest.fixture(params=[1, 2], ids=["one process", "two workers"])
def site(request, tmp_path, mail):
    site = Site(tmp_path, request.param, mail)
    yield site
    if site.server.process.poll() is None:
        site.server.process.kill()
        site.server.process.wait()


def test_mail_goes_out_and_the_agent_ends_with_the_server(site, mail):
    """One agent, in the log of the server; it ends before the server does, and mail that comes is kept."""
    mail_id = site.send()
    mail.wait_for(lambda server: server.mails)
    assert mail.mails[0].recipients == ("bob@d.example",)
    eventually(lambda: mail_id not in site.spool.ids(), "an empty spool")
    agent = site.agent()
    assert os.getpgid(agent) == agent
    site.server.process.send_signal(signal.SIGTERM)
    site.server.process.wait(30)
    assert not is_alive(agent)
    assert "mail in " in site.server.log_text()
    assert site.server.log_text().count("Main loop terminated.") <= 1  # that of the server
    assert "Traceback" not in site.server.log_text()


def test_a_stop_lets_the_mail_in_hand_be_finished(site, mail):
    """The server waits for the agent, which waits for the answer: the mail is not sent again later."""
    asked, may_answer = threading.Event(), threading.Event()

    def answer(_content):
        asked.set()
        may_answer.wait(30)
        return "250 OK"

    mail.handler.script["DOT"] = answer
    mail_id = site.send()
    assert asked.wait(60)
    agent = site.agent()
    site.server.process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        site.server.process.wait(1)
    assert is_alive(agent)
    may_answer.set()
    site.server.process.wait(30)
    assert (len(mail.mails), site.spool.ids(), is_alive(agent)) == (1, [], False)
    assert mail_id not in site.spool.ids_in("undeliver")


def test_what_monitoring_sees(site, mail):
    """The figures of the agent are there once, however many workers there are; skitai-mail tells the same."""
    site.send()

    def has(line):
        return line in site.server.ask("/metrics").body.decode().splitlines()

    eventually(lambda: has('skitai_mail_recipients_total{outcome="sent"} 1'), "the mail that was sent")
    assert has("skitai_mail_agents 1")
    assert has('skitai_mail_waiting{state="due"} 0')
    assert has("skitai_mail_undelivered_total 0")
    command = [sys.executable, "-m", "skitai.daemon.mail", "--config", str(site.folder / "tested.conf")]
    told = preloaded.run([*command, "status", "--json"], env=environment(), timeout=START_PATIENCE)
    figures = json.loads(told.stdout)
    assert (figures["agents"], figures["sent"], figures["in_spool"]) == (1, 1, 0)
    os.kill(site.server.process.pid, signal.SIGTERM)
    site.server.process.wait(30)
    assert preloaded.run([*command, "status"], env=environment(), timeout=START_PATIENCE).returncode == 3


def test_an_agent_that_is_killed_is_started_again(site, mail):
    """At once the first time, and the log says so."""
    first = site.agent()
    os.kill(first, signal.SIGKILL)
    eventually(lambda: agents(site.server.process.pid) - {first}, "another agent")
    site.send()
    mail.wait_for(lambda server: server.mails)
    log = site.server.log_text()
    assert "[error] the delivery agent has ended: killed by SIGKILL; it is started again at once" in log


def test_an_agent_does_not_outlive_a_server_that_is_killed(site):
    """Nobody is left to end it."""
    agent = site.agent()
    eventually(lambda: "mail in" in site.server.log_text(), "an agent that runs")
    site.server.process.kill()
    site.server.process.wait()
    eventually(lambda: not is_alive(agent), "the end of the agent")


def test_a_log_of_its_own(tmp_path, mail):
    """With log_path, the agent has its own file, which SIGUSR1 to the server has it open anew."""
    site = Site(tmp_path, 2, mail, "log_path = log")
    try:
        log = tmp_path / "log" / "daemons" / "smtpda" / "smtpda.log"
        eventually(lambda: log.exists() and "goes to" in log.read_text(), "the log")
        agent = site.agent()
        log.rename(log.with_name("moved"))
        site.server.signal(signal.SIGUSR1)
        site.send()
        eventually(lambda: log.exists() and "bob@d.example" in log.read_text(), "a new log")
        assert site.agent() == agent
    finally:
        site.server.end()


def test_a_reload_brings_another_agent(site):
    """SIGHUP: the next one has what the config says now, and is started anew."""
    with MailServer() as other:
        before = site.agent()
        site.write(other.address)
        site.server.process.send_signal(signal.SIGHUP)
        eventually(lambda: agents(site.server.process.pid) - {before}, "another agent")
        eventually(lambda: agents(site.server.process.pid) - {before} and not is_alive(before), "its end")
        eventually(lambda: f"goes to {other.address}" in site.server.log_text(), "the other server")
        site.agent()
        eventually(lambda: site.server.log_text().count("Skitai serves") > 1, "the new server")
        site.send()
        other.wait_for(lambda server: server.mails)


class Starting(Supervised):
    """A server that need not serve yet."""

    def _wait_for_port(self):
        return 0


def test_a_reload_while_the_workers_start(tmp_path):
    """What was loaded meanwhile, and is refused, takes no agent from those who serve then."""
    app = "import os, time\nopen('begun', 'a').write('x')\nwhile not os.path.exists({!r}): time.sleep(0.02)\n"
    config, module, begun = (tmp_path / name for name in ("tested.conf", "waits.py", "begun"))
    config.write_text(
        "[server]\nip = 127.0.0.1\nport = 0\nprocesses = 2\npreload = no\n[global]\nvar_path = var\n"
        "[smtpda]\nsmtpserver = file:out\n[routes:line]\n/ = ./waits:app\n"
    )
    module.write_text(app.format("first") + "def app(environ, start_response): pass\n")
    server = Starting(tmp_path, config)
    try:
        eventually(lambda: begun.exists() and len(begun.read_text()) == 2, "two workers that load the app")
        module.write_text(app.format("second") + "import nosuch\n")
        server.signal(signal.SIGHUP)
        eventually(lambda: len(begun.read_text()) == 3, "one that loads what is broken")
        (tmp_path / "first").touch()
        server.said("Skitai serves")
        (tmp_path / "second").touch()
        server.said("what was loaded anew cannot serve")
        eventually(lambda: agents(server.process.pid), "an agent")
    finally:
        server.end()
