"""``skitai-mail``: what a person sees of the spool, and does with it."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from email import message_from_bytes, policy
from pathlib import Path

import attrs
import pytest

from processes import environment
from skitai.daemon.mail import trying
from skitai.daemon.mail.command import main
from skitai.mail.agents import Presence
from skitai.mail.envelope import Envelope, Server
from skitai.mail.spool import Spool, mail_folder
from skitai.mail.state import RecipientOutcome

#: Seconds until something has gone wrong, also on a busy machine.
PATIENCE = 60

SENT = RecipientOutcome("bob@b.example", "sent", 250, "OK")
DEFERRED = RecipientOutcome("cat@c.example", "deferred", 450, "later")
REFUSED = RecipientOutcome("cat@c.example", "refused", 550, "no cats here")
MESSAGE = b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nX-Evil: \x1b[2J\xff\n folded\n\nThe body\n"


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "some.conf"
    path.write_text(f"[global]\nvar_path = {tmp_path}\n[smtpda]\nuser = ann@a.example\npassword = geheim\n")
    return path


@pytest.fixture
def spool(tmp_path):
    return Spool(mail_folder(tmp_path))


@pytest.fixture
def ask(config, capsys):
    """Return ``ask(*words)``: the exit status, and what is written to standard output and error."""

    def run(*words):
        status = main(["--config", str(config), *words])
        said = capsys.readouterr()
        assert "geheim" not in said.out + said.err
        return status, said.out, said.err

    return run


def add(spool, number, **changes):
    envelope = Envelope(
        f"2026-{number}", "ann@a.example", ("bob@b.example", "cat@c.example"), 1_700_000_000.0 + number
    )
    spool.write(attrs.evolve(envelope, **changes), MESSAGE)
    return envelope.id


def give_up(spool, mail_id):
    with spool.claim(mail_id) as claim:
        claim.record([SENT, REFUSED], None)
        claim.give_up("cat@c.example: 550 no cats here")


class TestQueue:
    def test_nothing(self, ask, tmp_path):
        """An empty queue is no error, and makes no folder."""
        assert ask("queue") == (0, "", "no mail waits\n")
        assert json.loads(ask("queue", "--json")[1]) == []
        assert os.listdir(tmp_path) == ["some.conf"]

    def test_lines(self, ask, spool):
        """Each mail is a line that begins with its id, with what is to be known."""
        for number in (1, 2, 3, 4):
            add(spool, number, subject=f"Mail {number}")
        with spool.claim("2026-2") as claim:
            claim.record([SENT, DEFERRED], time.time() + 3700)
        give_up(spool, "2026-3")
        (spool.incoming / "2026-4.json").write_text("{")
        spool.claim("2026-4")
        status, out, err = ask("queue")
        assert (status, err) == (0, "")
        head, *lines = out.splitlines()
        assert head.split() == ["ID", "STATE", "CREATED", "TRIES", "NEXT", "FROM", "TO", "SUBJECT", "LAST"]
        found = {line.split()[0]: line for line in lines}
        assert list(found) == ["2026-1", "2026-2", "2026-3", "2026-4"]
        for text in ("waiting", " 0 ", " now ", "ann@a.example", "bob@b.example, cat@c.example", "Mail 1"):
            assert text in found["2026-1"]
        for text in ("waiting", " 1 ", " in 1 h 1 min ", " cat@c.example ", "450 later"):
            assert text in found["2026-2"]
        assert "bob" not in found["2026-2"]
        for text in ("undelivered", "550 no cats here"):
            assert text in found["2026-3"]
        for text in ("bad", "not JSON"):
            assert text in found["2026-4"]

    def test_json(self, ask, spool):
        """The same for programs."""
        add(spool, 1, subject="Mail")
        with spool.claim("2026-1") as claim:
            claim.record([SENT, DEFERRED], 5e9)
        assert json.loads(ask("queue", "--json")[1]) == [
            {
                "id": "2026-1", "state": "waiting", "created": 1_700_000_001.0, "sender": "ann@a.example",
                "recipients": ["bob@b.example", "cat@c.example"], "pending": ["cat@c.example"],
                "subject": "Mail", "tries": 1, "next_at": 5e9, "last": attrs.asdict(DEFERRED), "reason": "",
            }
        ]  # fmt: skip

    def test_evil_texts(self, ask, spool):
        """Nothing of a mail or a server gets at the terminal, and a mail stays on its line."""
        add(spool, 1, subject="a\x1b[2J\nb\u202e" + "long " * 50)
        with spool.claim("2026-1") as claim:
            claim.record([attrs.evolve(DEFERRED, reply="\x1b]0;x\x07\ud83d")], 5e9)
        lines = ask("queue")[1].splitlines()
        assert len(lines) == 2
        assert lines[1].isprintable()
        assert r"a\x1b[2J\nb\u202e" in lines[1]
        assert r"450 \x1b]0;x\x07\ud83d" in lines[1]
        assert len(lines[1]) < 300


class TestShow:
    def test_all(self, ask, spool):
        """All but the body, and no password."""
        add(
            spool, 1, subject="Grüße", needs_utf8=True,
            server=Server("smtp.example:465", "ann", "geheim", ssl=True),
        )  # fmt: skip
        with spool.claim("2026-1") as claim:
            claim.record([SENT, DEFERRED], None)
        status, out, err = ask("show", "2026-1")
        assert (status, err) == (0, "")
        for line in (
            "ID:          2026-1",
            "State:       waiting",
            "Tries:       1",
            "Next try:    now",
            "Server:      smtp.example:465, SSL, user ann, password ***",
            "Needs:       SMTPUTF8",
            "Subject:     Grüße",
            "Sender:      ann@a.example",
            "Recipient:   bob@b.example (sent: 250 OK)",
            "Recipient:   cat@c.example (deferred: 450 later)",
            "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=",
            r"X-Evil: \x1b[2J\xff",
            " folded",
        ):
            assert line in out.splitlines()
        assert "The body" not in out

    def test_undelivered(self, ask, spool):
        """The reason is told."""
        give_up(spool, add(spool, 1, sender=""))
        lines = ask("show", "2026-1")[1].splitlines()
        assert "Reason:      cat@c.example: 550 no cats here" in lines
        assert "Sender:      <>" in lines
        assert "Next try:    -" in lines

    def test_bad(self, ask, spool):
        """What can be known of a mail that is spoilt."""
        add(spool, 1)
        (spool.incoming / "2026-1.json").write_text("{")
        (spool.incoming / "2026-1.eml").unlink()
        spool.claim("2026-1")
        status, out, _ = ask("show", "2026-1")
        assert status == 0
        assert "State:       bad" in out
        assert "not JSON" in out
        assert "the message cannot be read: " in out


class TestIds:
    def test_a_prefix(self, ask, spool):
        """The beginning of an id is enough where it is that of one mail."""
        for number in (1, 12, 3):
            add(spool, number)
        give_up(spool, "2026-3")
        assert ask("show", "2026-3")[0] == 0
        assert ask("drop", "2026-12") == (0, "2026-12 is removed\n", "")
        assert ask("drop", "2026-1") == (0, "2026-1 is removed\n", "")
        assert ask("drop", "2") == (0, "2026-3 is removed\n", "")

    @pytest.mark.parametrize("action", ["show", "retry", "drop"])
    @pytest.mark.parametrize(
        ("prefix", "problem"),
        [
            ("2026-1", "several ids begin with 2026-1: 2026-10, 2026-11, 2026-12, 2026-13, 2026-14, ...\n"),
            ("x\n", r"there is no mail x\n: skitai-mail queue lists all" + "\n"),
            ("", "there is no mail : skitai-mail queue lists all\n"),
            ("../spool/2026-10", "there is no mail ../spool/2026-10: skitai-mail queue lists all\n"),
        ],
    )
    def test_which(self, ask, spool, action, prefix, problem):
        """Several or none is an error, and nothing is done."""
        for number in range(10, 17):
            add(spool, number)
        assert ask(action, prefix) == (1, "", f"skitai-mail: {problem}")
        assert len(spool.ids()) == 7


class TestSteering:
    def test_retry(self, ask, spool):
        """A mail that waits is due now, and the agent hears of it."""
        add(spool, 1)
        with spool.claim("2026-1") as claim:
            claim.record([SENT, DEFERRED], 5e9)
        os.utime(spool.incoming / "2026-1.json", (5, 5))
        assert ask("retry", "2026-1") == (0, "2026-1 is due now\n", "")
        assert (spool.incoming / "2026-1.json").stat().st_mtime > 5
        assert [(entry.next_at, entry.tries) for entry in spool.entries()] == [(None, 1)]

    def test_retry_of_an_undelivered_mail(self, ask, spool):
        """It comes back, for who was refused."""
        give_up(spool, add(spool, 1))
        assert ask("retry", "2026-1")[0] == 0
        assert [(entry.pending, entry.tries) for entry in spool.entries()] == [(("cat@c.example",), 0)]
        assert spool.undelivered() == []

    def test_retry_of_a_bad_mail(self, ask, spool):
        """What is still spoilt is told."""
        add(spool, 1)
        (spool.incoming / "2026-1.eml").unlink()
        spool.claim("2026-1")
        status, out, err = ask("retry", "2026-1")
        assert (status, out) == (1, "")
        assert err.startswith("skitai-mail: 2026-1 cannot be sent: ")
        assert spool.ids_in("bad") == ["2026-1"]

    @pytest.mark.parametrize("action", ["retry", "drop"])
    def test_while_it_is_sent(self, ask, spool, action):
        """What an agent has in hand is left alone."""
        add(spool, 1)
        with spool.claim("2026-1"):
            assert ask(action, "2026-1") == (
                1, "", "skitai-mail: 2026-1 is being sent: ask again later\n"
            )  # fmt: skip
        assert spool.ids() == ["2026-1"]
        assert not (spool.incoming / "2026-1.state").exists()


class Agent(threading.Thread):
    """Deals with the next mail as ``what`` says."""

    def __init__(self, spool, what):
        super().__init__(daemon=True)
        self.spool = spool
        self.what = what
        self.mails = []
        self.presence = Presence(spool.folder)
        self.start()

    def run(self):
        deadline = time.monotonic() + PATIENCE
        while not self.mails and time.monotonic() < deadline:
            for mail_id in self.spool.ids():
                with self.spool.claim(mail_id) as claim:
                    self.mails.append((claim.envelope, claim.message()))
                    self.what(claim)
            time.sleep(0.01)


class TestTest:
    def test_sent(self, ask, spool):
        """The id is told, and that an agent has sent it."""
        agent = Agent(spool, lambda claim: claim.done())
        status, out, err = ask("test", "Bob <bob@b.example>", "--wait", str(PATIENCE))
        agent.join()
        [(envelope, content)] = agent.mails
        assert (status, out, err) == (0, f"{envelope.id}\nsent\n", "")
        assert (envelope.sender, envelope.recipients) == ("ann@a.example", ("bob@b.example",))
        message = message_from_bytes(content, policy=policy.default)
        assert message["To"] == "Bob <bob@b.example>"
        assert "This is a test" in message.get_content()

    def test_refused(self, ask, spool):
        """What the server said is told."""

        def refuse(claim):
            claim.record([attrs.evolve(REFUSED, address="bob@b.example")], None)
            claim.give_up("bob@b.example: 550 no\x07")

        agent = Agent(spool, refuse)
        status, out, err = ask("test", "bob@b.example", "--wait", str(PATIENCE))
        agent.join()
        assert (status, out) == (1, f"{agent.mails[0][0].id}\n")
        assert "550" in err
        assert err.strip().isprintable()

    def test_deferred(self, ask, spool):
        """So is when it is tried again."""
        outcome = attrs.evolve(DEFERRED, address="bob@b.example")
        agent = Agent(spool, lambda claim: claim.record([outcome], time.time() + 59.5))
        status, _, err = ask("test", "bob@b.example", "--wait", str(PATIENCE))
        agent.join()
        assert status == 1
        assert re.fullmatch(r"not sent yet; next try in [345]\d s: 450 later\n", err)

    def test_without_an_agent(self, ask, spool, monkeypatch):
        """The mail waits, and that is told at once."""
        monkeypatch.setattr(trying, "_LOOK_SECONDS", None)  # to sleep for that long is an error
        status, out, err = ask("test", "--from", "eve@e.example", "bob@b.example", "--wait", str(PATIENCE))
        [entry] = spool.entries()
        assert (status, out) == (1, f"{entry.id}\n")
        assert err == "waits: no agent is at work on this spool; see skitai-mail status\n"
        assert entry.sender == "eve@e.example"

    def test_a_busy_agent(self, ask, spool):
        """An agent that has more to do, or may not log in, is waited for; a mail that waits is no success."""
        presence = Presence(spool.folder)
        status, out, err = ask("test", "bob@b.example", "--wait", "0")
        presence.end()
        [entry] = spool.entries()
        assert (status, out) == (1, f"{entry.id}\n")
        assert err == "waits: the agent has not tried it yet; its log says if the server takes no mail\n"

    def test_what_an_agent_would_not_run_with(self, ask, spool, config):
        """Nothing is spooled if the section as a whole makes no sense."""
        config.write_text("[smtpda]\nuser = ann\n")
        status, out, err = ask("test", "bob@b.example")
        assert (status, out) == (2, "")
        assert err.startswith(f"{config}: [smtpda] user: has no password")
        assert not spool.folder.exists()

    @pytest.mark.parametrize(
        "words",
        [["bob"], [""], ["a@b.example, c@d.example"], ["bob@b.example", "--from", "x"], ["a\n@b.example"]],
    )
    def test_no_address(self, ask, spool, words):
        """Nothing is spooled for what is no address."""
        status, out, err = ask("test", *words)
        assert (status, out) == (2, "")
        assert err.startswith("skitai-mail: ")
        assert len(err.splitlines()) == 1
        assert not spool.folder.exists()


def test_status(ask, spool):
    """The exit status says whether an agent is at work; the figures are what it has counted."""
    add(spool, 1)
    give_up(spool, add(spool, 2))
    status, out, _ = ask("status")
    assert status == 3
    assert "in_spool     1\n" in out
    presence = Presence(spool.folder)
    presence.say({"sent": 5})
    status, out, _ = ask("status", "--json")
    found = json.loads(out)
    assert (status, found["agents"], found["sent"], found["in_undeliver"]) == (0, 1, 5, 1)
    assert found["spool"] == str(spool.folder)
    presence.end()


def test_config_behind_the_command(config, spool, capsys):
    """The option may stand there, too."""
    mail_id = add(spool, 1)
    assert main(["show", "--config", str(config), mail_id]) == 0
    assert mail_id in capsys.readouterr().out


class TestErrors:
    def test_config(self, ask, config):
        """A wrong file is named with the line; the status is that of a server."""
        config.write_text("[smtpda]\nmax_retries = 3\n")
        status, out, err = ask("queue")
        assert (status, out) == (2, "")
        assert err.startswith(f"{config}:2: [smtpda] max_retries: ")

    @pytest.mark.parametrize(
        "words",
        [
            [], ["send"], ["show"], ["retry", "1", "2"], ["queue", "--xml"],
            ["test", "bob@b.example", "--wait", "nan"],
        ],
    )  # fmt: skip
    def test_usage(self, config, capsys, words):
        """What cannot be understood is status 2, and nothing is done."""
        with pytest.raises(SystemExit) as ended:
            main(["--config", str(config), *words])
        assert ended.value.code == 2
        assert capsys.readouterr().err.startswith("usage: skitai-mail")

    def test_disk(self, ask, spool):
        """What the system refuses is one line with the path, and status 1."""
        spool.folder.parent.mkdir(parents=True)
        spool.folder.write_text("")
        status, out, err = ask("test", "bob@b.example")
        assert (status, out) == (1, "")
        assert str(spool.folder) in err
        assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "command",
    [[str(Path(sys.executable).with_name("skitai-mail"))], [sys.executable, "-m", "skitai.daemon.mail"]],
    ids=["script", "module"],
)
def test_command(config, spool, command):
    """It is a program, which prints other scripts to whatever terminal."""
    add(spool, 1, subject="你好")
    done = subprocess.run(
        [*command, "--config", config, "queue"],
        capture_output=True, check=False, timeout=60, env=environment(PYTHONIOENCODING="ascii"),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\u4f60\u597d" in done.stdout
