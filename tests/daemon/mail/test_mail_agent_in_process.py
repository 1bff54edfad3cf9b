"""The agent with threads of this process and a clock of the test's own: its timers, its settings, its end."""

import sys
import threading

import pytest
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import formatEvent, globalLogPublisher

from mailserver import MailServer
from serving import eventually
from skitai.daemon.mail import agent as mail_agent
from skitai.daemon.mail import noticing
from skitai.daemon.mail.agent import STOP_SECONDS, Agent
from skitai.daemon.mail.delivery import Office, Worker
from skitai.daemon.mail.settings import read_settings
from skitai.errors import ConfigError
from skitai.mail.agents import look
from skitai.mail.envelope import Envelope

MESSAGE = b"From: a@example.com\nSubject: hi\n\nHello\n"


class Reactor(MemoryReactorClock):
    """Keeps what threads hand over until the test runs it."""

    def __init__(self):
        super().__init__()
        self.handed = []

    def callFromThread(self, function, *arguments):
        self.handed.append((function, arguments))

    def turn(self):
        handed, self.handed = self.handed, []
        for function, arguments in handed:
            function(*arguments)
        for reader in self.getReaders():
            reader.doRead()

    def until(self, condition, what):
        eventually(lambda: self.turn() or condition(), what)


class Site:
    """An agent, its configuration, and what it logs. Its clock is the reactor's."""

    def __init__(self, folder):
        self.folder = folder
        self.reactor = Reactor()
        self.lines = []
        self.agent = None

    def configure(self, text):
        (self.folder / "site.conf").write_text(f"[global]\nvar_path = var\n[smtpda]\n{text}\n")

    def read(self):
        return read_settings(self.folder / "site.conf")

    def start(self, text):
        self.configure(text)
        self.agent = Agent(self.read(), self.read, self.reactor, lambda: 1000.0 + self.reactor.seconds())
        self.agent.startService()
        for function, arguments, options in self.reactor.whenRunningHooks:
            function(*arguments, **options)
        return self.agent

    def send(self, name):
        envelope = Envelope(name, "a@example.com", ("b@example.com",), 1000.0)
        self.agent.office.spool.write(envelope, MESSAGE)

    def end(self):
        """End the agent, whose Deferred fires."""
        ended = []
        self.agent.stopService().addCallback(ended.append)
        self.reactor.until(lambda: ended, "the end of the agent")

    def observe(self, event):
        self.lines.append(formatEvent(event))

    def said(self, text):
        return any(text in line for line in self.lines)


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    globalLogPublisher.addObserver(site.observe)
    yield site
    if site.agent is not None and site.agent.running:
        site.end()
    globalLogPublisher.removeObserver(site.observe)


def test_mail_goes_and_comes_again(site, monkeypatch):
    """The system tells of new mail; what is refused for now is tried when the timer is up."""
    monkeypatch.setattr(Worker.__init__, "__defaults__", (0,))  # no thread waits for its next mail
    with MailServer({"RCPT": ["451 4.7.1 come again"]}) as server:
        agent = site.start(f"smtpserver = {server.address}\ntls = no")
        site.send("m1")
        site.reactor.until(lambda: site.said("-451 4.7.1 come again"), "the first try")
        assert agent.office.spool.ids() == ["m1"]
        site.reactor.until(lambda: agent.queue.next_time() is not None, "the time of the next try")
        site.reactor.advance(5.1)
        site.reactor.until(lambda: not agent.office.spool.ids(), "the second try")
        assert len(server.mails) == 1

        def is_told():
            site.reactor.advance(mail_agent._TELL_SECONDS)
            return look(agent.office.spool.folder).sent == 1

        site.reactor.until(is_told, "others see what it has done")
        site.end()
        assert site.reactor.getDelayedCalls() == []


def test_without_inotify(site, monkeypatch):
    """The folder is looked at more often then, and the log says that mail is noticed late."""

    def refuse(*_given):
        raise OSError("no inotify: none left")

    monkeypatch.setattr(mail_agent, "FolderWatch", refuse)
    agent = site.start("smtpserver = file:out")
    assert site.said("mail is noticed late: no inotify: none left")
    site.send("m1")
    site.reactor.advance(mail_agent._POLL_SECONDS)
    site.reactor.until(lambda: not agent.office.spool.ids(), "the mail is in the folder")
    assert (site.folder / "out" / "m1.eml").exists()


def test_no_inotify_at_all(tmp_path, monkeypatch):
    """Twisted has none on other systems than Linux."""
    monkeypatch.setitem(sys.modules, "twisted.internet.inotify", None)
    monkeypatch.delattr("twisted.internet.inotify", raising=False)
    with pytest.raises(OSError, match="inotify"):
        noticing.FolderWatch(tmp_path, print, MemoryReactorClock())


def test_a_folder_that_cannot_be_watched(tmp_path):
    with pytest.raises(OSError, match="no inotify"):
        noticing.FolderWatch(tmp_path / "gone", print, MemoryReactorClock())


def test_a_folder_that_cannot_be_watched_again(tmp_path, monkeypatch):
    """The next look tries once more."""
    folder, noticed = tmp_path / "spool", []
    folder.mkdir()
    reactor = MemoryReactorClock()
    watch = noticing.FolderWatch(folder, noticed.append, reactor)
    folder.rename(tmp_path / "other")
    for reader in reactor.getReaders():
        reader.doRead()
    folder.mkdir()

    def refuse(_watch):
        raise OSError("none left")

    with monkeypatch.context() as patch:
        patch.setattr(noticing.FolderWatch, "_begin", refuse)
        watch.look()
    watch.look()
    (tmp_path / "m1.json").write_text("{}")
    (tmp_path / "m1.json").rename(folder / "m1.json")
    for reader in reactor.getReaders():
        reader.doRead()
    assert noticed == ["m1"]
    watch.end()


def test_other_settings(site):
    """Right ones count at once, wrong ones not at all; another spool has to wait for a restart."""
    agent = site.start("smtpserver = file:out")
    rules = agent.office.rules
    site.configure("smtpserver = a b")
    agent.reload()
    assert agent.office.rules is rules
    assert site.said("the settings of before go on")
    (site.folder / "site.conf").write_text("[global]\nvar_path = other\n[smtpda]\nsmtpserver = file:new\n")
    agent.reload()
    assert agent.office.rules.target == "file:new"
    assert site.said("another spool counts after a restart only")


def test_a_spool_that_cannot_be(site):
    """It is an error of the configuration."""
    (site.folder / "var").write_text("")
    with pytest.raises(ConfigError, match="cannot use the spool"):
        site.start("smtpserver = file:out")


def test_a_thread_that_fails(site, monkeypatch):
    """The log has it, and the agent goes on."""

    def fail(worker):
        worker._office.queue.left(None)
        raise RuntimeError("of our own making")

    with monkeypatch.context() as patch:
        patch.setattr(Worker, "run", fail)
        agent = site.start("smtpserver = file:out")
        site.send("m1")
        site.reactor.until(lambda: site.said("a thread that delivers has failed"), "the line about it")
        patch.setattr(mail_agent, "start_thread", lambda *_given: agent.queue.left(None))
    assert agent.running


@pytest.mark.parametrize("is_heard", [True, False])
def test_the_end_of_what_takes_too_long(site, monkeypatch, is_heard):
    """A mail in hand has its time; then it is aborted, and what does not even end then is left alone."""
    begun, released, aborted = threading.Event(), threading.Event(), []

    def run(worker):
        begun.set()
        released.wait()
        worker._office.queue.left(None)

    def abort_all(office):
        aborted.append(site.reactor.seconds())
        if is_heard:
            released.set()

    monkeypatch.setattr(Worker, "run", run)
    monkeypatch.setattr(Office, "abort_all", abort_all)
    agent = site.start("smtpserver = file:out")
    site.send("m1")
    site.reactor.until(begun.is_set, "a mail in hand")
    ended, began = [], site.reactor.seconds()
    agent.stopService().addCallback(ended.append)
    assert agent.office.ending.is_set()
    site.reactor.advance(STOP_SECONDS - 0.1)
    assert (aborted, ended) == ([], [])
    site.reactor.advance(0.2)
    assert aborted == [pytest.approx(began + STOP_SECONDS + 0.1)]
    if is_heard:
        site.reactor.until(lambda: ended, "the end")
    else:
        site.reactor.advance(mail_agent._ABORT_SECONDS)
    assert len(ended) == 1
    released.set()
