"""The examples of docs/mail.md run as they stand, and its tables have all keys and commands."""

import re
import sys
from email import message_from_bytes, policy

import pytest

import preloaded
from processes import environment
from serving import REPOSITORY, START_PATIENCE, RunningServer, eventually
from skitai.config.mail import MAIL_KEYS
from skitai.daemon.mail.command import _parser
from skitai.daemon.mail.settings import read_settings

PAGE = (REPOSITORY / "docs" / "mail.md").read_text("utf-8")
(VIEW,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(SECTION,) = re.findall(r"```ini\n(.*?)```", PAGE, re.DOTALL)
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def server(tmp_path):
    """A server with the view of the page, and mail that goes to a folder, as the page says."""
    (tmp_path / "page.py").write_text(VIEW)
    (tmp_path / "logo.png").write_bytes(PNG)
    config = (
        "[server]\nip = 127.0.0.1\nport = 0\n[global]\nvar_path = var\n"
        "[smtpda]\nsmtpserver = file:out\n[routes:line]\n/ = ./page:app\n"
    )
    server = RunningServer(tmp_path, config, None)
    yield server
    server.stop()


def test_the_view(server):
    """The mail is written into the folder; its id is what the view returns, and what the commands take."""
    mail_id = server.ask("/welcome/ann@d.example").body.decode()
    path = server.folder / "out" / f"{mail_id}.eml"
    eventually(path.exists, "the mail")
    message = message_from_bytes(path.read_bytes(), policy=policy.default)
    assert (message["To"], message["From"]) == ("ann@d.example", "Shop <shop@b.example>")
    assert "cid:logo" in message.get_body(["html"]).get_content()
    (picture,) = (part for part in message.walk() if part.get_content_type() == "image/png")
    assert (picture["Content-ID"], picture.get_content()) == ("<logo>", PNG)

    def skitai_mail(*words):
        command = [sys.executable, "-m", "skitai.daemon.mail", "--config", str(server.folder / "tested.conf")]
        done = preloaded.run([*command, *words], env=environment(), timeout=START_PATIENCE)
        return done.returncode, done.stdout + done.stderr

    assert skitai_mail("queue") == (0, "no mail waits\n")
    status, said = skitai_mail("status")
    assert status == 0
    assert re.search(r"^agents +1$", said, re.MULTILINE)
    assert skitai_mail("test", "me@b.example")[0] == 0


def test_the_section(tmp_path, monkeypatch):
    """It is one, with the password of the environment."""
    monkeypatch.setenv("SMTP_PASSWORD", "secret")
    path = tmp_path / "site.conf"
    path.write_text(SECTION)
    values = read_settings(path).values
    assert (values["user"], values["password"], values["tls"]) == ("shop", "secret", "required")


def test_all_keys_are_in_the_table():
    """Each key stands in the table, with its default."""
    table = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", PAGE.partition("## All keys")[2], re.MULTILINE))
    assert table == {name: key.show(key.default) or "none" for name, key in MAIL_KEYS.items()}


def test_all_commands_are_there():
    """The page has each command of skitai-mail, and no other."""
    shown = re.findall(r"^skitai-mail --config site.conf (\w+)", PAGE, re.MULTILINE)
    (choices,) = (action.choices for action in _parser()._actions if isinstance(action.choices, dict))
    assert set(shown) == set(choices)
