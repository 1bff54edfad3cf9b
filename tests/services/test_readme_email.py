"""The README's example on e-mail as people run it: a server, both executors, and what is in the spool."""

import socket
import ssl
import stat
from email import message_from_bytes, policy

import pytest

from certificates import Identity
from mailserver import MailServer
from serving import FIXTURE_APPS, PATIENCE, RunningServer, eventually
from skitai.mail.spool import Spool

PNG = b"\x89PNG\r\n\x1a\n"


#: As the README prints it.
SECTION = """
[smtpda]
smtpserver = 127.0.0.1:25
user =
password =
ssl = no
max_retry = 10
undelivers_keep_max_days = 30
"""


@pytest.fixture(scope="module")
def server(running_server, threads):
    server = running_server(
        "[server]\nip = 127.0.0.1\nport = 0\n[global]\nvar_path = var\n"
        f"[routes:line]\n/ = {FIXTURE_APPS}/readme_email:app\n",
        threads,
    )
    (server.folder / "001.png").write_bytes(PNG)
    return server


def spool_of(folder):
    return Spool(folder / "var" / "daemons" / "smtpda" / "mail")


@pytest.fixture
def spool(server):
    return spool_of(server.folder)


@pytest.fixture
def delivering(tmp_path, threads, monkeypatch):
    """Return ``delivering(smtp, lines)``: a server whose view uses ``smtp``, with an agent of its own."""
    servers = []

    def start(smtp, lines=""):
        monkeypatch.setenv("README_SMTP_SERVER", smtp)
        (tmp_path / "001.png").write_bytes(PNG)
        text = (
            "[server]\nip = 127.0.0.1\nport = 0\n[global]\nvar_path = var\n"
            f"{SECTION.replace('max_retry = 10', lines) if lines else SECTION}"
            f"[routes:line]\n/ = {FIXTURE_APPS}/readme_email:app\n"
        )
        servers.append(RunningServer(tmp_path, text, threads))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def smtps(tmp_path):
    """A mail server with TLS from the first byte and a login; ``ca`` is the file of its authority."""
    authority = Identity(authority=True)
    identity = Identity("127.0.0.1", issuer=authority)
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "server.pem").write_bytes(identity.key_pem() + identity.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    with MailServer(smtps=context, logins={"username": "password"}) as server:
        yield server


def test_the_example_end_to_end(delivering, smtps):
    """The view is answered, the agent logs in over TLS, and the message has all that the example says."""
    server = delivering(smtps.address, "max_retry = 10\nca_file = ca.pem")
    mail_id = server.ask("/send").body.decode()
    smtps.wait_for(lambda found: found.mails)
    (mail,) = smtps.mails
    assert (mail.is_secure, mail.login) == (True, "username")
    assert (mail.sender, mail.recipients) == ("ann@b.example", ("bob@d.example",))
    message = message_from_bytes(mail.content, policy=policy.default)
    assert (message["Subject"], message["From"], message["To"]) == (
        "Hello", "Ann <ann@b.example>", "bob@d.example",
    )  # fmt: skip
    html = message.get_body(["html"])
    assert html.get_content().strip() == "Hello World<div><img src='cid:ID_A'></div>"
    (picture,) = (part for part in message.walk() if part.get_content_type() == "image/png")
    assert (picture["Content-ID"], picture.get_content()) == ("<ID_A>", PNG)
    spool = spool_of(server.folder)
    eventually(lambda: list(spool.incoming.iterdir()) == [], "an empty spool")
    assert (spool.ids_in("undeliver"), spool.ids_in("bad")) == ([], [])
    eventually(lambda: "ann@b.example -> bob@d.example (1 Kb)" in server.log_text(), "a line in the log")
    assert mail_id in message["Message-ID"]
    assert "password" not in server.log_text()


def test_a_server_that_says_nothing(delivering):
    """The view is answered while the agent waits for the greeting."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = delivering(f"127.0.0.1:{silent.getsockname()[1]}")
        mail_id = server.ask("/send").body.decode()
        silent.settimeout(PATIENCE)
        with silent.accept()[0]:
            assert spool_of(server.folder).has(mail_id)


def test_a_server_that_cannot_be_reached(delivering):
    """The mail is tried once more, and then kept with the reason."""
    with MailServer() as closed:
        address = closed.address
    server = delivering(address, "max_retry = 1")
    mail_id = server.ask("/send").body.decode()
    spool = spool_of(server.folder)
    eventually(lambda: mail_id in spool.ids_in("undeliver"), "the end of all tries")
    (entry,) = spool.undelivered()
    assert (spool.ids(), entry.tries) == ([], 2)
    assert "refused" in entry.reason
    assert "takes no mail, all mail for it waits" in server.log_text()
    line = f"mail {mail_id} is given up; it is kept in undeliver"
    eventually(lambda: line in server.log_text(), "the line about it")


def test_the_example(server, spool):
    """The view has the id of a mail in the spool: HTML with its picture, and the server that it named."""
    mail_id = server.ask("/send").body.decode()
    with spool.claim(mail_id) as claim:
        envelope, message = claim.envelope, claim.message()
        claim.done()
    assert (envelope.sender, envelope.recipients) == ("ann@b.example", ("bob@d.example",))
    assert (envelope.server.address, envelope.server.user) == ("127.0.0.1:465", "username")
    assert (envelope.server.password, envelope.server.ssl) == ("password", True)
    for line in (
        b"From: Ann <ann@b.example>",
        b"To: bob@d.example",
        b"Subject: Hello",
        b'Content-Type: text/plain; charset="utf-8"',
        b"Hello World",
        b"Hello World<div><img src='cid:ID_A'></div>",
        b"Content-Type: image/png",
        b'Content-Disposition: inline; filename="001.png"',
        b"Content-ID: <ID_A>",
    ):
        assert line in message.split(b"\n"), line


def test_an_async_view(server, spool):
    """A coroutine awaits the same; without set_smtp, the server is that of the config."""
    mail_id = server.ask("/async").body.decode()
    with spool.claim(mail_id) as claim:
        assert claim.envelope.server is None
        claim.done()


def test_files_are_for_the_owner_alone(server, spool):
    """Nobody else reads the mail."""
    mail_id = server.ask("/send").body.decode()
    for path in (spool.folder, *spool.folder.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for path in (spool.folder / "spool").glob(f"{mail_id}.*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "password" not in server.log_text()
