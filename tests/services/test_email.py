"""``was.email``: composed and written into the spool, wherever the app runs."""

import asyncio
import errno
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from twisted.logger import capturedLogs, formatEvent

import skitai
from instances import Hooks, RunningInstance, make_instance
from processes import environment
from skitai.calls.call import Call
from skitai.context import run_coroutine
from skitai.errors import MisuseError
from skitai.mail.agents import Presence
from skitai.mail.spool import Spool
from skitai.services.email import plugin
from skitai.services.run import plugin as run_plugin
from wire import PATIENCE

HTML = "Hello World<div><img src='cid:ID_A'></div>"


class Site:
    """An instance whose spool is in ``folder``."""

    def __init__(self, loop, folder, threads, lines="[smtpda]\n", **plugins):
        self.loop = loop
        self.spool = Spool(folder / "var" / "daemons" / "smtpda" / "mail")
        config = f"[server]\nip = 127.0.0.1\nport = 0\naccess_log = off\nthreads = {threads}\n"
        (folder / "site.conf").write_text(f"{config}[global]\nvar_path = var\n{lines}")
        instance = make_instance(loop.reactor, folder / "site.conf", email=plugin, run=run_plugin, **plugins)
        self.running = RunningInstance(loop, instance)

    def work(self, function):
        """Return what ``function(was)`` returns where apps run, in a request of its own."""
        return self.loop.call(self.running.instance.run, function)

    def mails(self):
        """Return the claims of the mails in the spool."""
        return [self.spool.claim(mail_id) for mail_id in self.spool.ids()]


@pytest.fixture
def site(reactor_thread, tmp_path, threads):
    site = Site(reactor_thread, tmp_path, threads)
    yield site
    site.running.stop()


class Slow:
    """What writes to the disk waits in here until the test lets it go on."""

    def __init__(self, monkeypatch, error=None):
        self.begun, self.released = threading.Event(), threading.Event()
        self.ident = None
        write = Spool.write

        def wait(spool, envelope, message):
            self.ident = threading.get_ident()
            self.begun.set()
            assert self.released.wait(PATIENCE)
            if error is not None:
                raise error
            write(spool, envelope, message)

        monkeypatch.setattr(Spool, "write", wait)


def letter(was, **fields):
    e = was.email("Hello", "Ann <a@b.example>", "c@d.example", **fields)
    e.add_text("Hi")
    return e


def test_send(site):
    """When send() returns, the mail is in the spool; the call that it returns has the id."""

    def view(was):
        s = letter(was, bcc="secret@d.example").send()
        return isinstance(s, Call), site.spool.ids(), s.getwait().data, s.status, s.getwait(1).code

    is_call, ids, mail_id, status, code = site.work(view)
    assert is_call
    assert ids == [mail_id]
    assert (status, code) == (3, 200)
    (mail,) = site.mails()
    with mail:
        assert mail.envelope.recipients == ("c@d.example", "secret@d.example")
        assert f"Message-ID: <{mail_id}@b.example>\n".encode() in mail.message()


def test_set_smtp(site):
    """A server of the mail's own is in the envelope, with its usual port."""

    def view(was):
        for arguments in [
            ("127.0.0.1:465", "username", "password", True),
            ("mail.example",),
            ("[::1]", "", "", True),
        ]:
            e = letter(was)
            e.set_smtp(*arguments)
            assert "password" not in repr(e)
            e.send()

    site.work(view)
    servers = [mail.envelope.server for mail in site.mails()]
    assert [server.address for server in servers] == ["127.0.0.1:465", "mail.example:25", "[::1]:465"]
    assert (servers[0].user, servers[0].password, servers[0].ssl) == ("username", "password", True)


def test_attachments_are_read_by_send(site, tmp_path):
    """A file may come after its name; when send() has returned, it may go."""
    path = tmp_path / "001.png"

    def view(was):
        e = letter(was)
        e.add_text(HTML, "text/html")
        e.add_attachment(path, cid="ID_A")
        with pytest.raises(FileNotFoundError, match=r"001\.png"):
            e.send()
        path.write_bytes(b"PNG")
        e.send()
        path.unlink()

    site.work(view)
    (mail,) = site.mails()
    with mail:
        assert b"Content-ID: <ID_A>\n\nUE5H\n" in mail.message()


def test_a_relative_path(site, tmp_path, monkeypatch):
    """It counts from the working folder, which the error for a missing file names."""
    monkeypatch.chdir(tmp_path)

    def view(was):
        e = letter(was)
        e.add_attachment("gone.png")
        with pytest.raises(FileNotFoundError) as caught:
            e.send()
        return caught.value.filename

    assert site.work(view) == str(tmp_path / "gone.png")


def test_the_same_mail_is_sent_once(site):
    """A second send() is a mistake, unless the first one failed."""

    def view(was):
        e = was.email("Hello", "a@b.example", "c@d.example")
        with pytest.raises(ValueError, match="neither a text"):
            e.send()
        e.add_text("Hi")
        e.send()
        with pytest.raises(MisuseError, match="sent already"):
            e.send()

    site.work(view)
    assert len(site.spool.ids()) == 1


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("add_text", ("more",)),
        ("add_attachment", (b"more", None, "more.txt")),
        ("set_header", ("X-More", "more")),
        ("set_smtp", ("smtp.b.example",)),
    ],
)
def test_nothing_is_added_to_a_mail_that_was_sent(site, method, arguments):
    """It would be lost: that is a mistake of the app."""

    def view(was):
        e = letter(was)
        e.send()
        with pytest.raises(MisuseError, match="sent already"):
            getattr(e, method)(*arguments)

    site.work(view)


def test_two_threads_send_the_same_mail(site, monkeypatch):
    """One of them does, while the other learns that."""
    slow = Slow(monkeypatch)

    def view(was):
        e = letter(was)
        with ThreadPoolExecutor(1) as aside:
            first = aside.submit(e.send)
            assert slow.begun.wait(PATIENCE)
            try:
                with pytest.raises(MisuseError, match="being sent"):
                    e.send()
            finally:
                slow.released.set()
            first.result(PATIENCE)

    site.work(view)
    assert len(site.spool.ids()) == 1


def test_where_it_is_written(site, threads, monkeypatch):
    """A thread of the app writes itself; for a greenlet, another thread does, and the reactor goes on."""
    slow = Slow(monkeypatch)

    def view(was):
        letter(was).send()
        return threading.get_ident()

    with ThreadPoolExecutor(1) as aside:
        ident = aside.submit(site.work, view)
        assert slow.begun.wait(PATIENCE)
        assert site.work(lambda was: "the reactor goes on") == "the reactor goes on"
        slow.released.set()
        assert (slow.ident == ident.result(PATIENCE)) == (threads > 0)
    assert slow.ident != site.loop.call(threading.get_ident)
    assert len(site.spool.ids()) == 1


def test_a_full_disk(site, monkeypatch):
    """It is an OSError with the folder, for whoever waits; then the mail can be sent again."""
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/var/mail")
    slow = Slow(monkeypatch, full)
    slow.released.set()

    def view(was):
        e = letter(was)
        with pytest.raises(OSError, match="/var/mail") as raised:
            e.send()
        assert raised.value.errno == errno.ENOSPC
        monkeypatch.undo()
        e.send()

    site.work(view)
    assert len(site.spool.ids()) == 1
    shown = site.running.instance.status()["was.email"]
    assert shown.items() >= {"folder": str(site.spool.folder), "mails": 1, "failed": 1, "agents": 0}.items()


def test_a_folder_that_cannot_be(site, tmp_path):
    """The error names it."""
    (tmp_path / "var").write_text("a file")
    with pytest.raises(OSError, match="var/daemons"):
        site.work(lambda was: letter(was).send())


def test_coroutines(site, monkeypatch):
    """A coroutine awaits the id; what goes wrong is raised there."""

    async def send(was):
        result = await letter(was).send()
        return result.data

    assert site.work(lambda was: run_coroutine(was, send(was))) == site.spool.ids()[0]
    slow = Slow(monkeypatch, OSError(errno.ENOSPC, "full"))
    slow.released.set()
    with pytest.raises(OSError, match="full"):
        site.work(lambda was: run_coroutine(was, send(was)))


def test_a_coroutine_that_does_not_wait(site, monkeypatch):
    """The mail is written nevertheless; what goes wrong is in the log."""

    async def send(was):
        letter(was).send()

    slow = Slow(monkeypatch)
    site.work(lambda was: run_coroutine(was, send(was)))
    slow.released.set()
    site.loop.call(plugin.skitai_stopping, site.running.instance)  # waits for what is under way
    assert len(site.spool.ids()) == 1
    monkeypatch.undo()
    Slow(monkeypatch, OSError(errno.ENOSPC, "full")).released.set()
    with capturedLogs() as logs:
        site.work(lambda was: run_coroutine(was, send(was)))
        site.loop.call(plugin.skitai_stopping, site.running.instance)
    assert "was.email: a mail is not in the spool: OSError: [Errno 28] full" in map(formatEvent, logs)


def test_asyncio(site):
    """In an asyncio loop of the app's own, send() may be awaited or not."""

    async def send(was):
        letter(was).send()
        return (await letter(was).send()).data

    def view(was):
        return was.run(asyncio.run, send(was)).getwait(PATIENCE).data

    assert site.work(view) == site.spool.ids()[1]


def test_other_places(site):
    """Threads of the app's own and functions of was.run can send, too."""

    def view(was):
        with ThreadPoolExecutor(1) as thread:
            thread.submit(lambda: letter(skitai.was).send()).result(PATIENCE)
        was.run(lambda: letter(skitai.was).send()).wait(PATIENCE)

    if site.running.instance.executor.multithread:
        site.work(view)
    else:
        site.work(lambda was: was.run(lambda: letter(skitai.was).send()).wait(PATIENCE))
        letter(site.running.instance.was).send()
    assert len(site.spool.ids()) == 2


def test_size(reactor_thread, tmp_path):
    """A mail beyond max_size is refused by send()."""
    site = Site(reactor_thread, tmp_path, 4, "[smtpda]\nmax_size = 10 KB\n")

    def view(was):
        e = letter(was)
        e.add_attachment(bytes(9000), name="x.bin")
        with pytest.raises(ValueError, match="more than 10240 bytes"):
            e.send()

    site.work(view)
    assert site.spool.ids() == []
    site.running.stop()


def test_no_agent(reactor_thread, tmp_path, monkeypatch):
    """Where the config has no agent, the log says so with the first mail, once, and where mail waits."""
    monkeypatch.delenv("SKITAID_VAR_PATH", raising=False)
    site = Site(reactor_thread, tmp_path, 4, "")
    with capturedLogs() as logs:
        site.work(lambda was: letter(was).send() and letter(was).send())
    said = [text for text in map(formatEvent, logs) if "was.email" in text]
    assert len(said) == 1
    assert "no section [smtpda]" in said[0]
    assert str(site.spool.folder) in said[0]
    site.running.stop()


def test_what_monitoring_sees(reactor_thread, tmp_path):
    """The status page and the metrics tell of mail and of agents, and of no password."""
    section = "[smtpda]\nuser = ann\npassword = geheim\n"
    site = Site(reactor_thread, tmp_path, 4, section)
    site.work(lambda was: letter(was).send())
    presence = Presence(site.spool.folder)
    presence.say({"waiting": 3, "due": 1, "sent": 7})
    instance = site.running.instance
    shown = plugin.skitai_status(instance)["was.email"]
    assert (shown["mails"], shown["failed"], shown["agents"], shown["sent"]) == (1, 0, 1, 7)
    assert shown["folder"] == str(site.spool.folder)
    assert "geheim" not in str(shown)
    [spooled] = plugin.skitai_metrics(instance)
    assert spooled.values == {("written",): 1, ("failed",): 0}
    common = {metric.name: metric for metric in plugin.skitai_common_metrics(instance)}
    assert common["skitai_mail_waiting"].values == {("due",): 1, ("later",): 2}
    presence.end()
    site.running.stop()


def test_monitoring_where_there_is_no_mail(reactor_thread, tmp_path, monkeypatch):
    """A site that neither sends mail nor has an agent has no figures; a spool of others has none to show."""
    site = Site(reactor_thread, tmp_path, 4, "")
    instance = site.running.instance
    assert plugin.skitai_common_metrics(instance) == ()

    def refuse(_folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(plugin, "look", refuse)
    assert plugin.skitai_status(instance)["was.email"]["agents"] == 0
    site.running.stop()


def test_observers(reactor_thread, tmp_path, threads):
    """Plugins see the call of a mail, and its end."""
    seen = []
    observer = Hooks(
        skitai_call_started=lambda instance, call: seen.append(call.service),
        skitai_call_finished=lambda instance, call, result: seen.append(result.data),
    )
    site = Site(reactor_thread, tmp_path, threads, observer=observer)
    mail_id = site.work(lambda was: letter(was).send().getwait().data)
    assert seen == ["email", mail_id]
    site.running.stop()


def test_the_stop_waits(reactor_thread, tmp_path, monkeypatch):
    """A mail that is being written is in the spool when the server has ended."""
    slow = Slow(monkeypatch)
    site = Site(reactor_thread, tmp_path, 0)

    async def send(was):
        letter(was).send()

    site.work(lambda was: run_coroutine(was, send(was)))
    assert slow.begun.wait(PATIENCE)
    with ThreadPoolExecutor(1) as aside:
        stop = aside.submit(site.running.stop)
        slow.released.set()
        stop.result(PATIENCE)
    assert len(site.spool.ids()) == 1


def test_standalone(tmp_path):
    """A script sends without a server. It is a process of its own: ``standalone`` runs the reactor."""
    (tmp_path / "script.conf").write_text("[server]\n[global]\nvar_path = var\n[smtpda]\n")
    code = """
import skitai
with skitai.standalone("script.conf") as was:
    e = was.email("Hello", "a@b.example", "c@d.example")
    e.add_text("Hello World")
    print(e.send().getwait().data)
"""
    sent = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env=environment(), timeout=PATIENCE, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert Spool(tmp_path / "var/daemons/smtpda/mail").ids() == [sent.stdout.strip()]
