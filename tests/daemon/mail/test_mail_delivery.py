"""From the spool to a real server, with a clock of the test's own: what is kept of each mail."""

import asyncio
import base64
import io
import os
import sys
import threading
from email import message_from_bytes, policy

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from twisted.logger import globalLogPublisher

from mailserver import SILENCE, MailServer, scripted
from serving import eventually
from skitai.daemon.logs import plain_record
from skitai.daemon.mail.delivery import Office, Worker
from skitai.daemon.mail.dialogue import Dialogue
from skitai.daemon.mail.intake import Intake
from skitai.daemon.mail.queue import Queue
from skitai.daemon.mail.rules import make_rules
from skitai.daemon.mail.settings import read_settings
from skitai.errors import ConfigError
from skitai.mail.claim import Claim
from skitai.mail.envelope import Envelope, Server
from skitai.mail.spool import Spool
from skitai.mail.state import RecipientOutcome
from supervised import is_alive

TEXT = b"From: a@example.com\nTo: b@example.com\nSubject: hi\nMessage-ID: <%s@example.com>\n\nHello\n"
REFUSAL = "550 5.1.1 no such user"
DEFERRAL = "451 4.7.1 come again"


class Delivery:
    """A spool, its queue, and workers that run when the test says so."""

    def __init__(self, folder, **keys):
        self.folder = folder
        self.now = 1_000_000.0
        self.hired = []
        self.queue = Queue(lambda: self.now, self.hired.append, lambda: None)
        self.office = Office(None, self.queue, None, lambda: self.now)
        self.configure(**keys)
        self.spool = self.office.spool = Spool(read_settings(self.config).spool)
        self.spool.make_folders()
        self.intake = Intake(self.office)
        self.lines = []

    @property
    def config(self):
        return self.folder / "site.conf"

    def configure(self, **keys):
        lines = "".join(f"{key} = {value}\n" for key, value in keys.items())
        self.config.write_text(f"[global]\nvar_path = var\n[smtpda]\ntimeout = 30\n{lines}")
        self.office.rules = make_rules(read_settings(self.config))
        self.queue.limit(self.office.rules.connections, self.office.rules.rate)

    def send(self, *recipients, name="m1", sender="a@example.com", data=None, **options):
        recipients = tuple(f"{one}@example.com" for one in recipients or ("b",))
        options.setdefault("created", self.now)
        envelope = Envelope(name, sender, recipients, subject="hi", **options)
        self.spool.write(envelope, data or TEXT % name.encode())
        self.intake.notice(name)

    def run(self, seconds=0.0):
        """Let that much time pass, and do all that is due then."""
        self.now += seconds
        self.intake.stop()
        self.intake.run()
        self.queue.start_workers()
        while self.hired:
            Worker(self.office, self.hired.pop(), idle_seconds=0).run()

    def observe(self, event):
        if "mail" in event.get("log_namespace", ""):
            self.lines.append(plain_record(event).rstrip("\n")[20:])


@pytest.fixture
def delivery(tmp_path, request):
    """Return ``delivery(**keys of [smtpda])``."""

    def make(**keys):
        made = Delivery(tmp_path, **keys)
        globalLogPublisher.addObserver(made.observe)
        request.addfinalizer(lambda: globalLogPublisher.removeObserver(made.observe))
        return made

    return make


class TestSent:
    """Mail that is delivered."""

    def test_it_goes(self, delivery):
        """It leaves nothing behind, and the log has the documented line."""
        with MailServer() as server:
            mail = delivery(smtpserver=server.address)
            mail.send("b", "c")
            mail.run()
            assert server.mails[0].recipients == ("b@example.com", "c@example.com")
            assert mail.lines == [
                "[info] -250 OK a@example.com -> b@example.com (1 Kb)",
                "[info] -250 OK a@example.com -> c@example.com (1 Kb)",
            ]
        assert list(mail.spool.incoming.iterdir()) == []
        assert not mail.queue.knows("m1")
        assert mail.office.counts == {"sent": 2, "refused": 0, "deferred": 0, "undelivered": 0}

    def test_several_by_one_connection(self, delivery):
        with MailServer() as server:
            mail = delivery(smtpserver=server.address)
            for number in range(5):
                mail.send(name=f"m{number}")
            mail.run()
            assert [one.id for one in server.mails] == [f"<m{number}@example.com>" for number in range(5)]
            assert server.steps.count("CONNECT") == 1

    def test_own_server(self, delivery):
        """The server that a mail names itself gets it, with its own login."""
        with MailServer() as server, MailServer(logins={"u": "p"}) as own:
            mail = delivery(smtpserver=server.address)
            mail.send(server=Server(own.address, "u", "p"))
            mail.send(name="m2")
            mail.run()
            assert (len(server.mails), len(own.mails)) == (1, 1)
            assert own.mails[0].login == "u"

    def test_no_log_has_a_password(self, delivery):
        with MailServer(logins={"u": "p"}) as own:
            mail = delivery()
            mail.send(server=Server(own.address, "u", "secret"))
            mail.run()
        assert mail.lines
        assert "secret" not in "".join(mail.lines)

    def test_folder(self, delivery, tmp_path):
        """file:DIR has a file for each mail, and mail programs can open it."""
        mail = delivery(smtpserver="file:out")
        mail.send("b", "c")
        mail.run()
        [file] = (tmp_path / "out").iterdir()
        message = message_from_bytes(file.read_bytes())
        assert file.name == "m1.eml"
        assert message["X-Envelope-To"] == "b@example.com, c@example.com"
        assert message["Subject"] == "hi"
        assert mail.spool.ids() == []

    def test_folder_that_cannot_be(self, delivery, tmp_path):
        """The mail waits then."""
        (tmp_path / "out").write_text("a file")
        mail = delivery(smtpserver="file:out")
        mail.send()
        mail.run()
        assert mail.spool.ids() == ["m1"]
        assert mail.lines[0].startswith("[error] file:out takes no mail")

    def test_console(self, delivery, capsys):
        mail = delivery(smtpserver="console:")
        mail.send()
        mail.run()
        printed = capsys.readouterr().out
        assert "X-Envelope-To: b@example.com" in printed
        assert "Subject: hi" in printed

    def test_console_without_unicode(self, delivery, monkeypatch):
        """A terminal that lacks a character does not hold mail up."""
        written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="latin-1"))
        mail = delivery(smtpserver="console:")
        mail.send(data=TEXT % b"m1" + "Grüße, 지민\n".encode())
        mail.run()
        assert "Grüße, \\uc9c0\\ubbfc\n" in written.getvalue().decode("latin-1")
        assert mail.spool.ids() == []

    def test_dkim(self, delivery, tmp_path):
        """A signature that another reads as right."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
        (tmp_path / "key.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        record = b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)
        with MailServer() as server:
            mail = delivery(smtpserver=server.address, dkim_key="key.pem", dkim_selector="s1")
            mail.send(data=TEXT % b"m1" + b"\n.dots\n\n\n")
            mail.send(name="m2", data=TEXT % b"m2" + b"no line end ")
            mail.run()
            content = server.mails[0].content
            assert dkim.verify(server.mails[1].content, dnsfunc=lambda name, timeout=5: record)
        asked = []
        assert dkim.verify(content, dnsfunc=lambda name, timeout=5: asked.append(name) or record)
        assert asked == [b"s1._domainkey.example.com."]
        forged = content.replace(b"Subject: hi", b"Subject: ho")
        assert not dkim.verify(forged, dnsfunc=lambda name, timeout=5: record)


class TestDeferred:
    """Mail that is tried again."""

    def test_greylist(self, delivery):
        """A server that wants to be asked again gets the mail the second time."""
        with MailServer({"RCPT": [DEFERRAL]}) as server:
            mail = delivery(smtpserver=server.address)
            mail.send()
            mail.run()
            assert mail.lines == ["[warning] -451 4.7.1 come again a@example.com -> b@example.com (1 Kb)"]
            [entry] = mail.spool.entries()
            assert (entry.tries, entry.last.code) == (1, 451)
            assert 3 <= entry.next_at - mail.now <= 5
            mail.run(2)
            assert server.steps.count("RCPT") == 1
            mail.run(3.1)
            assert len(server.mails) == 1
            assert mail.spool.ids() == []

    def test_each_recipient_once(self, delivery):
        """The second try is for those who have not got it."""
        replies = {"later@example.com": [DEFERRAL, None], "no@example.com": [REFUSAL]}
        with MailServer(
            {"RCPT": lambda address: replies[address].pop(0) if address in replies else None}
        ) as server:
            mail = delivery(smtpserver=server.address)
            mail.send("yes", "later", "no")
            mail.run()
            mail.run(6)
            assert [one.recipients for one in server.mails] == [("yes@example.com",), ("later@example.com",)]
        [entry] = mail.spool.undelivered()
        assert entry.id == "m1"
        assert "no@example.com: 550" in entry.reason
        assert "later" not in entry.reason

    def test_given_up(self, delivery):
        """After max_retry further tries it is kept in undeliver, with the reason."""
        with MailServer({"RCPT": lambda _address: DEFERRAL}) as server:
            mail = delivery(smtpserver=server.address, max_retry=2)
            mail.send()
            for _ in range(5):
                mail.run(100)
            assert server.steps.count("RCPT") == 3
        assert mail.spool.ids() == []
        [entry] = mail.spool.undelivered()
        assert "451 4.7.1 come again" in entry.reason
        assert "given up" in mail.lines[-2] + mail.lines[-1]

    def test_delays_outlive_the_agent(self, delivery, tmp_path):
        with MailServer({"RCPT": [DEFERRAL] * 2}) as server:
            mail = delivery(smtpserver=server.address)
            mail.send()
            mail.run()
            mail.run(6)
            again = delivery(smtpserver=server.address)
            again.now = mail.now + 5
            again.intake.look()
            again.run()
            assert server.steps.count("RCPT") == 2
            again.run(16)
            assert len(server.mails) == 1

    def test_clock_that_was_wrong(self, delivery, tmp_path):
        """A try that was planned by a clock years ahead is due now; also for an agent that starts anew."""
        with MailServer({"RCPT": [DEFERRAL]}) as server:
            mail = delivery(smtpserver=server.address)
            mail.send()
            mail.run()
            again = delivery(smtpserver=server.address)
            again.now = mail.now - 86400 * 365
            again.intake.look()
            again.run()
            assert len(server.mails) == 1

    def test_421_between_two_mails(self, delivery):
        """A connection that the server ends is followed by a new one at once."""
        script = {}
        with MailServer(script) as server:
            mail = delivery(smtpserver=server.address)
            answers = iter([None, "421 4.3.2 enough", None, None])
            script["MAIL"] = lambda _sender: next(answers)
            for number in range(3):
                mail.send(name=f"m{number}")
            mail.run()
            assert len(server.mails) == 3
            assert server.steps.count("CONNECT") == 2
        assert [line for line in mail.lines if "[info]" not in line] == []

    def test_somebody_wants_it_now(self, delivery):
        """A mail that is touched in the spool is tried at once."""
        with MailServer({"RCPT": [DEFERRAL]}) as server:
            mail = delivery(smtpserver=server.address)
            mail.send()
            mail.run()
            assert mail.spool.retry("m1", "spool")
            mail.intake.notice("m1")
            mail.run()
            assert len(server.mails) == 1


class TestUnavailable:
    """Servers that take nothing."""

    def test_wrong_password(self, delivery):
        """All mail of that server waits, nothing is given up, and it is said once; the others go."""
        with MailServer(logins={"u": "right"}) as server, MailServer() as own:
            mail = delivery(smtpserver=server.address, user="u", password="wrong")
            for number in range(3):
                mail.send(name=f"m{number}")
            mail.send(name="own", server=Server(own.address))
            mail.run()
            mail.run(5)
            assert server.steps.count("CONNECT") == 2
            assert [one.id for one in own.mails] == ["<own@example.com>"]
            wrong = [line for line in mail.lines if "535" in line]
            assert len(wrong) == 1
            assert "does not let us in" in wrong[0]
            assert mail.spool.ids() == ["m0", "m1", "m2"]
            assert mail.spool.undelivered() == []
            mail.configure(smtpserver=server.address, user="u", password="right")
            mail.queue.retry()
            mail.run(20)
            assert len(server.mails) == 3

    def test_ssl_where_starttls_is(self, delivery):
        """The log says which key is wrong."""
        with MailServer() as server:
            mail = delivery(smtpserver=server.address, ssl="yes")
            mail.send()
            mail.run()
            assert server.mails == []
        assert "it does not begin with TLS: with ssl = no, STARTTLS is used" in mail.lines[0]

    def test_nobody_there(self, delivery):
        """Code 900, and one try for all of the mails."""
        with MailServer() as server:
            pass
        mail = delivery(smtpserver=server.address)
        for number in range(3):
            mail.send(name=f"m{number}")
        mail.run()
        assert len(mail.lines) == 2
        assert "takes no mail, all mail for it waits: 900 cannot connect" in mail.lines[0]
        assert mail.lines[1].startswith("[warning] -900 cannot connect")
        with MailServer(port=server.port) as server:
            mail.run(5)
            assert len(server.mails) == 3
        assert any("takes mail again" in line for line in mail.lines)

    def test_given_up_together(self, delivery):
        """Mails that waited as long as one is tried are given up with it; those that came later are not."""
        with MailServer() as server:
            pass
        mail = delivery(smtpserver=server.address, max_retry=1)
        mail.send(name="m1")
        mail.send(name="m2")
        mail.run()
        mail.now += 100
        mail.send(name="m3")
        mail.run()
        assert [entry.id for entry in mail.spool.undelivered()] == ["m1", "m2"]
        assert mail.spool.ids() == ["m3"]

    def test_one_connection_too_many(self, delivery):
        """A second connection that is refused costs its mail nothing."""
        script = {}
        with MailServer(script) as server:
            mail = delivery(smtpserver=server.address)
            second = threading.Event()

            def take(_content):
                script["CONNECT"] = ["421 4.7.0 one connection is enough"]
                mail.send(name="m2")
                mail.intake._read("m2")
                Worker(mail.office, mail.hired.pop(), idle_seconds=0).run()
                second.set()

            script["DOT"] = lambda content: None if second.is_set() else take(content)
            mail.send()
            # The worker of the second mail runs in the server's thread, so a thread of its own serves it.
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("mailserver.Handler.answer", _in_thread(server.handler.answer))
                mail.run()
            mail.run()
            assert sorted(one.id for one in server.mails) == ["<m1@example.com>", "<m2@example.com>"]
            assert server.steps.count("CONNECT") == 2
        assert [line for line in mail.lines if "[info]" not in line] == []

    def test_impossible_server(self, delivery):
        """A mail whose own server is none is refused; others go on."""
        mail = delivery()
        mail.send(server=Server("no such : server"))
        mail.run()
        assert "names no server" in mail.spool.undelivered()[0].reason

    def test_trouble_of_our_own(self, delivery, monkeypatch):
        """A mail that cannot be sent for a reason of this machine is refused by nobody, and comes again."""
        with MailServer() as server:
            mail = delivery(smtpserver=server.address)
            mail.send()
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Dialogue, "open", raising(ValueError("no MD5 here")))
                mail.run()
            assert mail.spool.ids() == ["m1"]
            mail.run(60)
            assert len(server.mails) == 1
        assert mail.lines[0] == "[error] mail m1: no MD5 here"

    def test_trouble_while_mails_expire(self, delivery, monkeypatch):
        """A disk that fails while mails are given up together loses none of them."""
        with MailServer() as server:
            pass
        mail = delivery(smtpserver=server.address, max_retry=0, bounce="yes")
        for number in range(4):
            mail.send(name=f"m{number}")
        write = Spool.write
        monkeypatch.setattr(Spool, "write", raising(OSError(28, "No space left on device")))
        mail.run()
        mail.run()
        assert len(mail.spool.ids()) == 4
        monkeypatch.setattr(Spool, "write", write)
        mail.run(120)
        mail.run(120)
        assert [entry.id for entry in mail.spool.undelivered()][:4] == ["m0", "m1", "m2", "m3"]
        assert all(name.endswith("-bounce") for name in mail.spool.ids())


def raising(error):
    """Return a function that raises ``error``."""

    def function(*_arguments, **_options):
        raise error

    return function


def _in_thread(answer):
    """Return the method ``answer`` of a handler, whose plans are asked in a thread: they may block."""

    async def threaded(self, server, step, argument, default):
        plan = self.script.get(step)
        if not callable(plan):
            return await answer(server, step, argument, default)
        self.steps.append((step, argument))
        found = await asyncio.get_running_loop().run_in_executor(None, plan, argument)
        return default if found is None else found

    return threaded


class TestBroken:
    """Files that cannot be read, disks that are full, crashes."""

    def test_unreadable(self, delivery):
        """A file that nobody can read is set aside, and the others go."""
        with MailServer() as server:
            mail = delivery(smtpserver=server.address)
            mail.send(name="m1")
            mail.send(name="m2")
            (mail.spool.incoming / "m1.json").write_text("{")
            mail.run()
            assert [one.id for one in server.mails] == ["<m2@example.com>"]
        assert mail.spool.ids_in("bad") == ["m1"]
        assert any("m1 cannot be read" in line for line in mail.lines)

    def test_message_is_gone(self, delivery):
        with MailServer() as server:
            mail = delivery(smtpserver=server.address)
            mail.send()
            (mail.spool.incoming / "m1.eml").unlink()
            mail.run()
            assert server.mails == []
        assert mail.spool.ids_in("bad") == ["m1"]

    def test_full_disk(self, delivery, monkeypatch):
        """What the server has acknowledged is kept as soon as there is room: it is not sent again."""
        monkeypatch.setattr("skitai.daemon.mail.delivery._DISK_SECONDS", 0.01)
        replies = {"later@example.com": [DEFERRAL, None]}
        with MailServer(
            {"RCPT": lambda address: replies[address].pop(0) if address in replies else None}
        ) as server:
            mail = delivery(smtpserver=server.address)
            mail.send("b", "later")
            failures = [OSError(28, "No space left on device")] * 3
            record = Claim.record

            def full(claim, *arguments):
                if failures:
                    raise failures.pop()
                return record(claim, *arguments)

            monkeypatch.setattr(Claim, "record", full)
            mail.run()
            mail.run(6)
            assert [one.recipients for one in server.mails] == [("b@example.com",), ("later@example.com",)]
        assert sum("No space left" in line for line in mail.lines) == 3

    def test_crash_after_the_last_record(self, delivery):
        """What was about to be put away is put away at the next start, without the server."""
        mail = delivery()
        mail.send("b")
        claim = mail.spool.claim("m1")
        claim.record([RecipientOutcome("b@example.com", "refused", 550, "no")], None)
        claim.release()
        mail.run()
        assert [entry.id for entry in mail.spool.undelivered()] == ["m1"]

    def test_in_another_hand(self, delivery):
        """A mail that another agent has is left to it, and looked for again."""
        with MailServer() as server:
            mail = delivery(smtpserver=server.address)
            mail.send()
            with mail.spool.claim("m1"):
                mail.run()
            assert server.mails == []
            mail.intake.look()
            mail.run()
            assert len(server.mails) == 1

    def test_clean_up(self, delivery):
        """Undelivered mail is removed when it has been kept as long as configured."""
        with MailServer({"RCPT": [REFUSAL]}) as server:
            mail = delivery(smtpserver=server.address, undelivers_keep_max_days=1)
            mail.send()
            mail.run()
        mail.intake.clean_up()
        mail.run()
        assert len(mail.spool.undelivered()) == 1
        for file in mail.spool.place("undeliver").iterdir():
            os.utime(file, (1, 1))
        mail.intake.clean_up()
        mail.run()
        assert mail.spool.undelivered() == []


class TestTrouble:
    """What goes wrong with files."""

    def test_a_message_that_cannot_be_read(self, delivery, monkeypatch):
        """The disk fails after the mail was claimed: it is set aside, and the next one goes."""
        read = Claim.message

        def fail(claim):
            if claim.id == "m1":
                raise OSError(5, "Input/output error")
            return read(claim)

        monkeypatch.setattr(Claim, "message", fail)
        with MailServer() as server:
            mail = delivery(smtpserver=server.address)
            mail.send()
            mail.send(name="m2")
            mail.run()
            assert [one.id for one in server.mails] == ["<m2@example.com>"]
        [entry] = mail.spool.entries_in("bad")
        assert (entry.id, entry.reason) == ("m1", "[Errno 5] Input/output error")

    def test_a_spool_that_fails(self, delivery, monkeypatch):
        """The log says so, and the agent goes on, also without a file that tells of it."""

        def refuse(*_given):
            raise OSError(13, "Permission denied")

        def fail(*_given):
            raise RuntimeError("of our own making")

        mail = delivery(smtpserver="file:out")
        with monkeypatch.context() as patch:
            patch.setattr("skitai.daemon.mail.intake.Presence", refuse)
            patch.setattr(Spool, "purge", refuse)
            mail.intake.clean_up()
            mail.intake.tell()
            mail.run()
            patch.setattr(Spool, "purge", fail)
            mail.intake.clean_up()
            mail.run()
        mail.send()
        mail.run()
        said = "".join(mail.lines)
        assert "nobody sees that the agent is at work: [Errno 13] Permission denied" in said
        assert "cannot read the spool: [Errno 13] Permission denied" in said
        assert "[critical] spool" in said
        assert mail.spool.ids() == []


class TestStop:
    """The agent is to end."""

    def test_token_command(self, delivery, tmp_path):
        """A command that hangs is killed with its children; the mail waits for the next agent, untried."""
        told = tmp_path / "told"
        (tmp_path / "token").write_text(f"sleep 1000 & echo $$ $! > {told}.new; mv {told}.new {told}; wait")
        with scripted(auth=b"XOAUTH2") as server:
            mail = delivery(
                smtpserver=f"127.0.0.1:{server.port}", user="u", token_command=f"sh {tmp_path / 'token'}"
            )
            mail.send()
            running = threading.Thread(target=mail.run)
            running.start()
            eventually(told.exists, "the command runs")
            mail.office.ending.set()
            mail.queue.stop()
            running.join()
        for pid in map(int, told.read_text().split()):
            eventually(lambda pid=pid: not is_alive(pid), "the command was killed")
        assert mail.spool.ids() == ["m1"]
        assert [entry.tries for entry in mail.spool.entries()] == [0]
        assert mail.lines == []

    @pytest.mark.parametrize("is_ending", [True, False])
    def test_abort(self, delivery, is_ending):
        """What the agent ends itself at its end is no try; what takes too long is one."""
        asked = threading.Event()
        with MailServer({"MAIL": lambda _command: asked.set() or SILENCE}) as server:
            mail = delivery(smtpserver=server.address)
            mail.send()
            running = threading.Thread(target=mail.run)
            running.start()
            assert asked.wait(60)
            mail.queue.stop()
            mail.office.abort_late()  # it is not late
            assert mail.spool.claim("m1") is None
            if is_ending:
                mail.office.abort_all()
            else:
                mail.office.abort_late(float("inf"))
            running.join()
        assert [entry.tries for entry in mail.spool.entries()] == [0 if is_ending else 1]
        assert any("-800" in line for line in mail.lines)

    def test_another_agent_has_tried(self, delivery):
        """Then it waits as long as that has found out."""
        with MailServer() as server:
            mail = delivery(smtpserver=server.address)
            mail.send()
            mail.intake.stop()
            mail.intake.run()
            with mail.spool.claim("m1") as claim:
                claim.record([RecipientOutcome("b@example.com", "deferred", 451, "later")], mail.now + 50)
            mail.run()
            assert server.mails == []
            mail.run(51)
            assert len(server.mails) == 1


class TestBounce:
    """The sender is told, if wanted."""

    def test_bounce(self, delivery):
        """It is a report (RFC 3464), comes from nobody, and goes where the sender is."""
        replies = {"no@example.com": REFUSAL, "네@example.com": REFUSAL}
        with MailServer({"RCPT": lambda address: replies.get(address)}) as server:
            mail = delivery(smtpserver=server.address, bounce="yes", helo="app.example.com")
            mail.send("b", "no", "네")
            mail.run()
            mail.intake.look()
            mail.run()
            bounce = server.mails[-1]
        assert (bounce.sender, bounce.recipients) == ("", ("a@example.com",))
        message = message_from_bytes(bounce.content, policy=policy.default)
        assert message.get_content_type() == "multipart/report"
        assert message.get_param("report-type") == "delivery-status"
        words, status, header = message.iter_parts()
        assert "no@example.com: 550 5.1.1 no such user" in words.get_content()
        fields = [dict(part.items()) for part in status.iter_parts()]
        assert fields[0]["Reporting-MTA"] == "dns; app.example.com"
        assert fields[1]["Final-Recipient"] == "rfc822; no@example.com"
        assert (fields[1]["Action"], fields[1]["Status"]) == ("failed", "5.1.1")
        assert fields[1]["Diagnostic-Code"] == "smtp; 550 5.1.1 no such user"
        assert fields[2]["Final-Recipient"] == r"utf-8; \x{B124}@example.com"
        assert "Message-ID: <m1@example.com>" in header.as_string()
        assert message["Auto-Submitted"] == "auto-replied"
        assert [entry.id for entry in mail.spool.undelivered()] == ["m1"]

    def test_crash_after_the_bounce_was_written(self, delivery, monkeypatch):
        """There is one bounce: it waits until its mail is put away, and is not written again."""
        with MailServer({"RCPT": lambda address: REFUSAL if address.startswith("b@") else None}) as server:
            mail = delivery(smtpserver=server.address, bounce="yes")
            mail.send()

            def die(_claim, _reason):
                raise RuntimeError("as if it were killed")

            with monkeypatch.context() as patch:
                patch.setattr(Claim, "give_up", die)
                mail.run()
                assert mail.spool.ids() == ["m1", "m1-bounce"]
                mail.intake.look()
                mail.run()
            assert server.mails == []
            mail.run(60)
            assert [entry.id for entry in mail.spool.undelivered()] == ["m1"]
            mail.run(60)
            assert [(one.sender, one.recipients) for one in server.mails] == [("", ("a@example.com",))]
            assert server.mails[0].id == f"<m1.bounce@{mail.office.rules.host}>"
        assert mail.spool.ids() == []

    def test_no_bounce_of_a_bounce(self, delivery):
        with MailServer({"RCPT": lambda _address: REFUSAL}) as server:
            mail = delivery(smtpserver=server.address, bounce="yes")
            mail.send()
            for _ in range(3):
                mail.intake.look()
                mail.run()
            assert server.steps.count("RCPT") == 2
        assert [entry.id for entry in mail.spool.undelivered()] == ["m1", "m1-bounce"]

    def test_none_unless_wanted(self, delivery):
        with MailServer({"RCPT": lambda _address: REFUSAL}) as server:
            mail = delivery(smtpserver=server.address)
            mail.send()
            mail.run()
        assert mail.spool.ids() == []


class TestRules:
    """What cannot be configured."""

    @pytest.mark.parametrize(
        ("keys", "key"),
        [
            ({"smtpserver": "a b"}, "smtpserver"),
            ({"user": "u"}, "user"),
            ({"password": "p"}, "password"),
            ({"user": "u", "password": "p", "token_command": "t"}, "token_command"),
            ({"user": "u", "token_command": '"t'}, "token_command"),
            ({"ca_file": "none.pem"}, "ca_file"),
            ({"dkim_key": "none.pem"}, "dkim_key"),
            ({"dkim_key": "site.conf"}, "dkim_key"),
            ({"dkim_key": "key.pem", "dkim_selector": "s1; t=y"}, "s1; t=y"),
            ({"dkim_key": "key.pem", "dkim_domain": "a b"}, "a b"),
            ({"smtpserver": "file:"}, "smtpserver"),
            ({"helo": "two words"}, "helo"),
        ],
    )
    def test_refused(self, delivery, keys, key):
        with pytest.raises(ConfigError, match=key):
            delivery(**keys)

    def test_port_465_means_tls(self, delivery, monkeypatch):
        """Port 587 never does."""
        made = []
        monkeypatch.setattr("skitai.daemon.mail.rules.Dialogue", lambda relay, signer: made.append(relay))
        for port in (465, 587, 25):
            delivery(smtpserver=f"mail.example.com:{port}").office.rules.carrier(None)
        assert [relay.ssl for relay in made] == [True, False, False]

    def test_plain_text_is_for_the_configured_server(self, delivery, monkeypatch):
        """tls = no lets no password of another server go in clear."""
        made = []
        monkeypatch.setattr("skitai.daemon.mail.rules.Dialogue", lambda relay, signer: made.append(relay))
        rules = delivery(tls="no").office.rules
        rules.carrier(Server("mail.example.com:587", "u", "p"))
        assert not made[0].may_be_told_in_clear
        assert made[0].is_verified
