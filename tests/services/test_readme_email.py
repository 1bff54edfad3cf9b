"""The README's example on e-mail as people run it: a server, both executors, and what is in the spool."""

import stat

import pytest

from serving import FIXTURE_APPS
from skitai.mail.spool import Spool

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def server(running_server, threads):
    server = running_server(
        "[server]\nip = 127.0.0.1\nport = 0\n[global]\nvar_path = var\n"
        "[smtpda]\nsmtpserver = 127.0.0.1:25\nuser =\npassword =\nssl = no\nmax_retry = 10\n"
        "undelivers_keep_max_days = 30\n"
        f"[routes:line]\n/ = {FIXTURE_APPS}/readme_email:app\n",
        threads,
    )
    (server.folder / "001.png").write_bytes(PNG)
    return server


@pytest.fixture
def spool(server):
    return Spool(server.folder / "var" / "daemons" / "smtpda" / "mail")


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
