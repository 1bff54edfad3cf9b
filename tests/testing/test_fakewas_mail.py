"""Mail of a test: composed as on a server, kept in a list, and nothing on disk."""

import sys
from types import ModuleType

import pytest

from skitai import was
from skitai.mail.spool import Spool
from skitai.saddle import Saddle
from skitai.testing import FakeWas


@pytest.fixture
def fake():
    with FakeWas() as fake:
        yield fake


@pytest.fixture(autouse=True)
def no_disk(monkeypatch):
    """Nothing may write mail."""
    monkeypatch.setattr(Spool, "write", lambda *arguments: pytest.fail("a mail was written"))


def letter(subject):
    e = was.email(subject, "Ann <a@b.example>", "c@d.example", bcc="x@d.example")
    e.add_text("Hi")
    return e


def test_mails(fake):
    """They are in the order of send(), with the message and the envelope of each."""
    letter("never sent")
    ids = [letter(subject).send().getwait().data for subject in ("one", "two")]
    assert [mail.message["subject"] for mail in fake.mails] == ["one", "two"]
    assert [mail.envelope.id for mail in fake.mails] == ids
    assert fake.mails[0].envelope.recipients == ("c@d.example", "x@d.example")
    assert fake.mails[0].message.get_content() == "Hi\n"
    assert [(asked.service, asked.target) for asked in fake.requests] == [("email", "spool")] * 2


def test_failures(fake):
    """A script can have a disk that is full; what is wrong with a mail is raised as on a server."""
    fake.fail("email", "spool", OSError(28, "full"))
    with pytest.raises(OSError, match="full"):
        letter("one").send()
    e = letter("two")
    e.add_attachment("/no/such/file")
    with pytest.raises(FileNotFoundError):
        e.send()
    assert fake.mails == []


@pytest.fixture
def app(tmp_path, monkeypatch):
    """A Saddle app with a template for a mail."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "welcome.html").write_text(
        "<p>Welcome, {{ name }}, to <a href='{{ was.ab('index') }}'>us</a></p>"
    )
    module = ModuleType("shop_for_mail")
    module.__file__ = str(tmp_path / "shop_for_mail.py")
    monkeypatch.setitem(sys.modules, "shop_for_mail", module)
    app = Saddle("shop_for_mail")
    app.autoescape = True

    @app.route("/")
    def index(was, name="A & B"):
        e = was.email("Welcome", "shop@b.example", "c@d.example")
        e.render("welcome.html", name=name)
        e.send()
        return "sent"

    @app.route("/dict")
    def by_dict(was):
        from skitai import was as current  # that of the server, as a helper function uses it

        e = current.email("Welcome", "shop@b.example", "c@d.example")
        e.render("welcome.html", {"name": "Bob"})
        e.send()
        return "sent"

    @app.route("/async")
    async def in_coroutine(was):
        e = was.email("Welcome", "shop@b.example", "c@d.example")
        e.render("welcome.html", name="Eve")
        return (await e.send()).data

    return app


@pytest.mark.parametrize(("path", "name"), [("/", "A &amp; B"), ("/dict", "Bob"), ("/async", "Eve")])
def test_render(fake, app, path, name):
    """A template of the app is the HTML of the mail, and a plain text is made of it."""
    response = app.test_client().get(path, environ_overrides={"skitai.was": fake.was})
    assert response.status_code == 200
    (mail,) = fake.mails
    html = mail.message.get_body(["html"]).get_content()
    assert html == f"<p>Welcome, {name}, to <a href='/'>us</a></p>\n"
    plain = mail.message.get_body(["plain"]).get_content()
    assert plain == f"Welcome, {name.replace('&amp;', '&')}, to us\n"
    if path == "/async":
        assert response.text == mail.envelope.id
