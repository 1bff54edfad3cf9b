"""The dialogue with a real SMTP server: logins, TLS, what each reply at each step means."""

import base64
import socket
import ssl
from time import monotonic
from types import SimpleNamespace

import pytest

from certificates import Identity
from mailserver import DROP, SILENCE, MailServer, scripted
from skitai.daemon.mail import dialogue as dialogues
from skitai.daemon.mail import tokens
from skitai.daemon.mail.dialogue import Dialogue, Letter, StaleError, UnavailableError
from skitai.daemon.mail.relays import Login, Relay

TEXT = b"From: a@example.com\nTo: b@example.com\nSubject: hi\nMessage-ID: <1@example.com>\n\nHello\n"
REFUSAL = "550 5.1.1 no such user"
DEFERRAL = "451 4.7.1 come again"


def letter(*recipients, data=TEXT, sender="a@example.com", **options):
    return Letter("1", sender, recipients or ("b@example.com",), data, **options)


@pytest.fixture
def connect():
    """Return ``connect(server, **relay)``: an open dialogue, which is closed at the end."""
    dialogues = []

    def start(server, sign=None, **options):
        options.setdefault("timeout", 30)
        dialogue = Dialogue(Relay("127.0.0.1", server.port, **options), sign)
        dialogues.append(dialogue)
        dialogue.open()
        return dialogue

    yield start
    for dialogue in dialogues:
        dialogue.close()


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """Return (the file of the authority, a server's context for 127.0.0.1, one for another name)."""
    folder = tmp_path_factory.mktemp("tls")
    authority = Identity(authority=True)
    (folder / "ca.pem").write_bytes(authority.pem)
    contexts = []
    for name in ("127.0.0.1", "mail.example.com"):
        identity = Identity(name, issuer=authority)
        (folder / f"{name}.pem").write_bytes(identity.key_pem() + identity.pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / f"{name}.pem")
        contexts.append(context)
    return folder / "ca.pem", *contexts


def told(outcomes):
    return [(outcome.address.partition("@")[0], outcome.verdict, outcome.code) for outcome in outcomes]


class TestDelivery:
    """What arrives."""

    def test_it_arrives(self, connect):
        """The message arrives with its envelope, and the reply is that of the server, on one line."""
        with MailServer({"DOT": ["250-OK\r\n250 queued\x1b[31m as 7"]}) as server:
            outcomes = connect(server).deliver(letter("b@example.com", "c@example.com"))
            assert told(outcomes) == [("b", "sent", 250), ("c", "sent", 250)]
            assert outcomes[0].reply == "OK queued [31m as 7"
            [mail] = server.mails
            assert (mail.sender, mail.recipients) == ("a@example.com", ("b@example.com", "c@example.com"))
            assert mail.content == TEXT.replace(b"\n", b"\r\n")

    @pytest.mark.parametrize(
        "body",
        [
            b".\n..\n.x\n\n.",
            b"a\r\nb\rc\n",
            b"no end of line",
            b"\n\n\n",
            (b"x" * 70 + b"\n") * 9000 + b".\n",
        ],
    )
    def test_lines(self, connect, body):
        """Dots stay what they were, and every line ends with CRLF: nothing can pass for another mail."""
        with MailServer() as server:
            dialogue = connect(server)
            data = TEXT + body
            assert told(dialogue.deliver(letter(data=data))) == [("b", "sent", 250)]
            expected = b"\r\n".join(data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"))
            assert server.mails[0].content.removesuffix(b"\r\n") == expected.removesuffix(b"\r\n")
            assert told(dialogue.deliver(letter())) == [("b", "sent", 250)]

    def test_several_over_one_connection(self, connect):
        """One connection serves several mails."""
        with MailServer() as server:
            dialogue = connect(server)
            for _ in range(3):
                dialogue.deliver(letter())
            assert server.steps.count("CONNECT") == 1
            assert len(server.mails) == 3

    def test_null_sender(self, connect):
        """A bounce has the null reverse path."""
        with MailServer() as server:
            connect(server).deliver(letter(sender=""))
            assert server.mails[0].sender == ""

    def test_size_is_announced(self, connect):
        with MailServer() as server:
            connect(server).deliver(letter())
            size = len(TEXT.replace(b"\n", b"\r\n"))
            assert f"SIZE={size}" in server.mails[0].options

    def test_too_large(self, connect):
        """A mail that the server says it will not take is not sent to it at all."""
        with MailServer(data_size_limit=50) as server:
            assert told(connect(server).deliver(letter())) == [("b", "refused", 552)]
            assert "MAIL" not in server.steps

    def test_line_end_in_an_address(self, connect):
        """An address cannot smuggle a command."""
        with MailServer() as server:
            dialogue = connect(server)
            assert told(dialogue.deliver(letter("b@example.com>\r\nRCPT TO:<evil@example.com"))) == [
                ("b", "refused", 554)
            ]
            assert told(dialogue.deliver(letter())) == [("b", "sent", 250)]


class TestLetters:
    """Text beyond ASCII."""

    def test_utf8_addresses(self, connect):
        """SMTPUTF8 is asked for where the mail needs it."""
        with MailServer() as server:
            found = connect(server).deliver(letter("지민@example.com", sender="grüße@example.com"))
            assert [outcome.verdict for outcome in found] == ["sent"]
            [mail] = server.mails
            assert (mail.sender, mail.recipients) == ("grüße@example.com", ("지민@example.com",))
            assert "SMTPUTF8" in mail.options

    def test_server_without_smtputf8(self, connect):
        """A server that lacks it gets nothing, and the refusal says why."""
        with MailServer(enable_SMTPUTF8=False) as server:
            [outcome] = connect(server).deliver(letter(needs_utf8=True))
            assert (outcome.verdict, outcome.code) == ("refused", 553)
            assert "SMTPUTF8" in outcome.reply
            assert "MAIL" not in server.steps

    def test_8_bit_body(self, connect):
        with MailServer() as server:
            data = TEXT + "Grüße\n".encode()
            connect(server).deliver(letter(data=data))
            assert "BODY=8BITMIME" in server.mails[0].options
            assert server.mails[0].content.endswith("Grüße\r\n".encode())

    def test_8_bit_body_without_8bitmime(self, connect):
        """A server that takes 7 bits only gets the same text in 7 bits."""
        with MailServer({"hide": ("8BITMIME", "SMTPUTF8")}) as server:
            head = b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n"
            connect(server).deliver(letter(data=head + TEXT + "Grüße\n".encode()))
            [mail] = server.mails
            assert mail.content.isascii()
            assert "Grüße" in mail.message.get_payload(decode=True).decode()


class TestReplies:
    """What a reply at each step means for each recipient."""

    @pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "DOT"])
    @pytest.mark.parametrize(("reply", "verdict"), [(REFUSAL, "refused"), (DEFERRAL, "deferred")])
    def test_each_step(self, connect, step, reply, verdict):
        """4yz and 5yz are told apart, and the connection serves the next mail."""
        with MailServer({step: [reply]}) as server:
            dialogue = connect(server)
            assert told(dialogue.deliver(letter())) == [("b", verdict, int(reply[:3]))]
            assert told(dialogue.deliver(letter())) == [("b", "sent", 250)]
            assert server.steps.count("CONNECT") == 1

    def test_each_recipient(self, connect):
        """Each recipient has a fate of its own."""
        replies = {"no": REFUSAL, "later": DEFERRAL}
        with MailServer({"RCPT": lambda address: replies.get(address.partition("@")[0])}) as server:
            names = ("yes", "no", "later", "me")
            found = told(connect(server).deliver(letter(*(f"{name}@example.com" for name in names))))
            assert sorted(found) == [
                ("later", "deferred", 451), ("me", "sent", 250), ("no", "refused", 550), ("yes", "sent", 250),
            ]  # fmt: skip
            assert server.mails[0].recipients == ("yes@example.com", "me@example.com")

    @pytest.mark.parametrize("code", ["452", "552"])
    def test_too_many_recipients(self, connect, code):
        """A server that takes two at once gets the others in further transactions."""
        seen = []

        def answer(address):
            seen.append(address)
            return f"{code} too many recipients" if len(seen) > 2 else None

        script = {"MAIL": lambda _sender: seen.clear(), "RCPT": answer}
        with MailServer(script) as server:
            found = told(connect(server).deliver(letter(*(f"{n}@example.com" for n in range(5)))))
            assert {verdict for _, verdict, _ in found} == {"sent"}
            taken = [one for mail in server.mails for one in mail.recipients]
            assert sorted(taken) == [f"{n}@example.com" for n in range(5)]

    @pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "DOT"])
    def test_dropped(self, connect, step):
        """A connection that is lost defers the mail on a new connection."""
        with MailServer({step: [DROP]}) as server:
            dialogue = connect(server)
            assert told(dialogue.deliver(letter())) == [("b", "deferred", 802)]
            assert not dialogue.is_open

    @pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
    @pytest.mark.parametrize("end", [DROP, "421 4.3.2 shutting down"])
    def test_dropped_when_reused(self, connect, step, end):
        """On a connection that has served others, it says that a new one is due, and counts for nothing."""
        script = {}
        with MailServer(script) as server:
            dialogue = connect(server)
            dialogue.deliver(letter())
            script[step] = [end]
            with pytest.raises(StaleError):
                dialogue.deliver(letter())

    def test_dropped_after_the_dot_when_reused(self, connect):
        """Once the message has gone, nobody knows: that is not tried at once."""
        script = {}
        with MailServer(script) as server:
            dialogue = connect(server)
            dialogue.deliver(letter())
            script["DOT"] = [DROP]
            assert told(dialogue.deliver(letter())) == [("b", "deferred", 802)]

    def test_refused_before_the_drop(self, connect):
        """What was refused stays refused when the connection is lost afterwards."""
        with MailServer({"RCPT": [REFUSAL, None], "DATA": [DROP]}) as server:
            found = told(connect(server).deliver(letter("b@example.com", "c@example.com")))
            assert found == [("b", "refused", 550), ("c", "deferred", 802)]

    @pytest.mark.parametrize("step", ["MAIL", "DATA", "DOT"])
    def test_silence(self, connect, monkeypatch, step):
        """A server that does not answer in time is left."""
        monkeypatch.setattr(dialogues, "_FINAL_PATIENCE", 1)
        with MailServer({step: [SILENCE]}) as server:
            dialogue = connect(server, timeout=1)
            assert told(dialogue.deliver(letter())) == [("b", "deferred", 800)]

    @pytest.mark.parametrize(
        "reply",
        ["hello", "2", "25 OK", "999 what", "123 a", "250" + "x" * 9000, "250-x\r\n" * 20_000 + "250 x"],
    )
    def test_no_reply_of_smtp(self, connect, reply):
        """What is no reply ends the connection."""
        with MailServer({"RCPT": [reply]}) as server:
            assert told(connect(server).deliver(letter())) == [("b", "deferred", 801)]

    def test_aborted(self, connect):
        """What takes too long can be ended from another thread."""
        with MailServer() as server:
            dialogue = connect(server)
            server.handler.script["MAIL"] = lambda _: dialogue.abort() or SILENCE
            assert told(dialogue.deliver(letter())) == [("b", "deferred", 800)]

    def test_refused_early(self, connect):
        """A server that refuses a message before its end, and closes the connection, has refused it."""
        with scripted(b"250 OK", b"250 OK", b"354 go", b"552 5.3.4 too large", auth=b"PLAIN") as server:
            dialogue = connect(server)
            data = TEXT + (b"x" * 70 + b"\n") * 300_000
            assert told(dialogue.deliver(letter(data=data))) == [("b", "refused", 552)]
            assert not dialogue.is_open

    def test_many_recipients(self, connect):
        """Who thinks about each of a thousand recipients may take longer for that."""
        deadlines = []
        with MailServer({"RCPT": lambda _address: deadlines.append(dialogue.deadline)}) as server:
            dialogue = connect(server)
            dialogue.deliver(letter())
            dialogue.deliver(letter(*(f"{n}@example.com" for n in range(100))))
        assert deadlines[-1] - deadlines[0] >= 99 * 10

    def test_goodbye(self, connect):
        """A server has seconds to say goodbye, also if its words never end: there is a deadline."""
        left = []
        with MailServer({"QUIT": lambda _: left.append(dialogue.deadline - monotonic())}) as server:
            dialogue = connect(server, timeout=60)
            dialogue.close()
            assert not dialogue.is_open
            assert dialogue.deadline is None
        assert 0 < left[0] <= 5


class TestOpening:
    """A server that takes no mail at all."""

    @pytest.mark.parametrize(
        "script",
        [
            {"CONNECT": ["554 5.7.1 no"]}, {"CONNECT": ["421 4.3.2 busy"]}, {"CONNECT": [DROP]},
            {"CONNECT": ["hello"]}, {"EHLO": ["421 4.3.2 busy"]}, {"EHLO": [DROP]}, {"EHLO": ["hello"]},
        ],
    )  # fmt: skip
    def test_unavailable(self, connect, script):
        """It is unavailable, whatever it says at the beginning."""
        with MailServer(script) as server, pytest.raises(UnavailableError) as caught:
            connect(server)
        assert not caught.value.is_login

    def test_only_helo(self, connect):
        """Who does not know EHLO is greeted with HELO."""
        with MailServer({"EHLO": ["502 5.5.1 what"]}) as server:
            assert told(connect(server).deliver(letter())) == [("b", "sent", 250)]

    def test_no_greeting(self, connect):
        """A port that begins with TLS says nothing: the reason names the key."""
        with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(UnavailableError) as caught:
            connect(SimpleNamespace(port=silent.getsockname()[1]), timeout=0.05)
        assert caught.value.reply.code == 800
        assert caught.value.reply.text.endswith("ssl = yes is needed")

    def test_nobody_there(self, connect):
        with MailServer() as server:
            pass
        with pytest.raises(UnavailableError) as caught:
            connect(server)
        assert caught.value.reply.code == 900
        assert "127.0.0.1" in caught.value.reply.text

    @pytest.mark.parametrize("host", ["", "a..b", "x" * 70])
    def test_no_name(self, host):
        with pytest.raises(UnavailableError):
            Dialogue(Relay(host, 25, timeout=1)).open()

    @pytest.mark.parametrize("reply", ["530 5.7.0 log in first", "421 4.3.2 not now"])
    def test_at_mail(self, connect, reply):
        """A server that says so at MAIL is unavailable for the others, too."""
        with MailServer({"MAIL": [reply]}) as server, pytest.raises(UnavailableError) as caught:
            connect(server).deliver(letter())
        assert caught.value.is_login == reply.startswith("530")


class TestTLS:
    """Which connections are encrypted, and whose certificate must be right."""

    @pytest.mark.parametrize("mode", ["yes", "required"])
    def test_starttls(self, connect, tls, mode):
        ca, context, _ = tls
        with MailServer(tls=context) as server:
            connect(server, tls=mode, ca_file=ca).deliver(letter())
            assert server.mails[0].is_secure

    def test_no_starttls(self, connect, tls):
        with MailServer(tls=tls[1]) as server:
            connect(server, tls="no").deliver(letter())
            assert not server.mails[0].is_secure

    def test_required_and_not_offered(self, connect):
        with MailServer() as server, pytest.raises(UnavailableError, match="STARTTLS"):
            connect(server, tls="required")

    def test_required_and_refused(self, connect, tls):
        script = {"STARTTLS": ["454 4.7.0 not now"]}
        with MailServer(script, tls=tls[1]) as server, pytest.raises(UnavailableError):
            connect(server, tls="required", ca_file=tls[0])

    def test_wrong_authority(self, connect, tls):
        with MailServer(tls=tls[1]) as server, pytest.raises(UnavailableError, match="certificate"):
            connect(server, tls="required")

    def test_wrong_name(self, connect, tls):
        with MailServer(tls=tls[2]) as server, pytest.raises(UnavailableError, match="certificate"):
            connect(server, tls="required", ca_file=tls[0])

    def test_unverified_where_offered(self, connect, tls):
        """``yes`` protects from who listens, not from who pretends."""
        with MailServer(tls=tls[2]) as server:
            connect(server).deliver(letter())
            assert server.mails[0].is_secure

    def test_smtps(self, connect, tls):
        with MailServer(smtps=tls[1]) as server:
            connect(server, ssl=True, tls="required", ca_file=tls[0]).deliver(letter())
            assert server.mails[0].is_secure

    def test_smtps_with_a_wrong_name(self, connect, tls):
        with MailServer(smtps=tls[2]) as server, pytest.raises(UnavailableError, match="certificate"):
            connect(server, ssl=True, tls="required", ca_file=tls[0])

    @pytest.mark.parametrize(
        ("host", "tls", "login", "verified"),
        [
            ("mail.example.com", "yes", False, False),
            ("mail.example.com", "yes", True, True),  # the password is for nobody else
            ("mail.example.com", "required", False, True),
            ("mail.example.com", "no", True, False),
            ("127.0.0.1", "yes", True, False),
            ("127.0.0.1.example.com", "yes", True, True),
            ("localhost", "required", True, True),
        ],
    )
    def test_who_is_verified(self, host, tls, login, verified):
        relay = Relay(host, 25, tls=tls, login=Login("u", "p") if login else None)
        assert relay.is_verified == verified


class TestLogin:
    """Who is let in, and what is told over which connection."""

    @pytest.mark.parametrize("hidden", [(), ("PLAIN",), ("LOGIN",)])
    def test_mechanisms(self, connect, hidden):
        """The login takes what the server offers."""
        options = {"auth_exclude_mechanism": list(hidden)}
        with MailServer(logins={"ü": "pä ß"}, **options) as server:
            connect(server, login=Login("ü", "pä ß")).deliver(letter())
            assert server.mails[0].login == "ü"

    def test_wrong_password(self, connect):
        """It is told once, whatever mechanisms there are, and the error has no password."""
        with MailServer(logins={"u": "right"}) as server, pytest.raises(UnavailableError) as caught:
            connect(server, login=Login("u", "wrong"))
        assert caught.value.is_login
        assert caught.value.reply.code == 535
        assert "wrong" not in str(caught.value)

    @pytest.mark.parametrize("said", [b"AHRpbQB0YW5zdGFhZg==", b"tanstaaf"])
    @pytest.mark.parametrize("code", [b"501 ", b""])
    def test_said_again(self, connect, said, code):
        """A server that repeats what it was told does not bring the password into a log."""
        server = scripted(code + b"5.5.4 what is AUTH PLAIN " + said, auth=b"PLAIN")
        with server, pytest.raises(UnavailableError) as caught:
            connect(server, login=Login("tim", "tanstaaf"))
        assert said.decode() not in str(caught.value)
        assert "5.5.4 what is AUTH PLAIN ***" in str(caught.value)

    def test_token_said_again(self, connect):
        server = scripted(b"535 5.7.8 unknown: SECRETSECRET", auth=b"XOAUTH2")
        with server, pytest.raises(UnavailableError, match=r"unknown: \*\*\*$"):
            connect(server, login=Login("u", token_command="echo SECRETSECRET"))

    def test_no_login_offered(self, connect):
        with MailServer() as server, pytest.raises(UnavailableError) as caught:
            connect(server, login=Login("u", "p"))
        assert caught.value.is_login

    def test_password_file(self, connect, tmp_path):
        """The file is read for each connection: a new password needs no restart."""
        (tmp_path / "password").write_text("old\n")
        login = Login("u", password_file=tmp_path / "password")
        with MailServer(logins={"u": "new"}) as server:
            with pytest.raises(UnavailableError):
                connect(server, login=login)
            (tmp_path / "password").write_text("new\n")
            assert connect(server, login=login).is_open

    def test_missing_password_file(self, connect, tmp_path):
        login = Login("u", password_file=tmp_path / "none")
        with MailServer(logins={"u": "p"}) as server, pytest.raises(UnavailableError, match="none") as caught:
            connect(server, login=login)
        assert caught.value.is_login

    def test_empty_password_file(self, connect, tmp_path):
        """It is named; the server is not asked, which would only say that the password is wrong."""
        path = tmp_path / "empty"
        path.write_text("\n")
        login = Login("u", password_file=path)
        with MailServer(logins={"u": "p"}) as server, pytest.raises(UnavailableError, match="empty is empty"):
            connect(server, login=login)

    def test_clear_text(self, monkeypatch, connect):
        """No password goes over a connection that is not encrypted, but to this machine or with tls = no."""
        monkeypatch.setattr("skitai.daemon.mail.relays.is_loopback", lambda host: False)
        with MailServer(logins={"u": "p"}) as server:
            with pytest.raises(UnavailableError, match="not encrypted") as caught:
                connect(server, login=Login("u", "p"))
            assert caught.value.is_login
            assert connect(server, login=Login("u", "p"), tls="no").is_open

    def test_cram_md5(self, connect):
        """CRAM-MD5 does not tell the password (RFC 2195, with its example)."""
        with scripted(
            b"334 " + b"PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+", b"235 in", auth=b"CRAM-MD5"
        ) as server:
            connect(server, login=Login("tim", "tanstaaftanstaaf")).close()
        assert server.heard[1:3] == [
            b"AUTH CRAM-MD5", b"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw",
        ]  # fmt: skip

    def test_token(self, connect, tmp_path):
        """XOAUTH2 sends what the command prints."""
        login = Login("u@example.com", token_command="echo  abc")
        with scripted(b"235 in", auth=b"XOAUTH2") as server:
            connect(server, login=login).close()
        said = base64.b64decode(server.heard[1].removeprefix(b"AUTH XOAUTH2 "))
        assert said == b"user=u@example.com\1auth=Bearer abc\1\1"

    def test_words_of_the_token_command(self, connect, tmp_path, capfd):
        """What it says besides is not for the log: it may say there what it has sent."""
        (tmp_path / "token").write_text("#!/bin/sh\necho SECRET >&2\necho abc\n")
        login = Login("u", token_command=f"sh {tmp_path / 'token'}")
        with scripted(b"235 in", auth=b"XOAUTH2") as server:
            connect(server, login=login).close()
        assert capfd.readouterr() == ("", "")

    def test_refused_token(self, connect):
        """The error of an OAuth server is answered, and then refused."""
        server = scripted(b"334 e30=", b"535 5.7.8 expired", auth=b"XOAUTH2")
        with server, pytest.raises(UnavailableError, match="expired") as caught:
            connect(server, login=Login("u", token_command="echo abc"))
        assert caught.value.is_login
        assert server.heard[2] == b""

    def test_slow_token_command(self, connect, monkeypatch):
        """It has its time, and is killed then."""
        monkeypatch.setattr(tokens, "_LONGEST_SECONDS", 0)
        with scripted(auth=b"XOAUTH2") as server, pytest.raises(UnavailableError, match="TimeoutExpired"):
            connect(server, login=Login("u", token_command="sleep 1000"))

    @pytest.mark.parametrize("command", ["false", "true", "/no/such/program --secret"])
    def test_no_token(self, connect, command):
        login = Login("u", token_command=command)
        with (
            scripted(auth=b"XOAUTH2") as server,
            pytest.raises(UnavailableError, match="token_command") as caught,
        ):
            connect(server, login=login)
        assert caught.value.is_login
        assert "--secret" not in str(caught.value)
