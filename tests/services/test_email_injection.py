"""No argument of ``was.email`` can add a header field, a recipient or a command."""

import pytest

from skitai import was
from skitai.testing import FakeWas

BREAKS = ["\r\n", "\n", "\r", "\0", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\ud800"]
EVIL = "Bcc: evil@d.example"


@pytest.fixture(autouse=True)
def fake():
    with FakeWas() as fake:
        yield fake


def mail(subject="Hello", snd="a@b.example", rcpt="c@d.example", **fields):
    e = was.email(subject, snd, rcpt, **fields)
    e.add_text("Hi")
    return e


ARGUMENTS = {
    "subject": lambda evil: mail(subject=evil),
    "snd": lambda evil: mail(snd=f"{evil} <a@b.example>"),
    "rcpt": lambda evil: mail(rcpt=f"{evil} <a@b.example>"),
    "cc": lambda evil: mail(cc=["x@d.example", f'"{evil}" <a@b.example>']),
    "bcc": lambda evil: mail(bcc=f"a@b.example{evil}"),
    "reply_to": lambda evil: mail(reply_to=f'"{evil}"@b.example'),
    "server": lambda evil: mail().set_smtp(f"x.example{evil}"),
    "user": lambda evil: mail().set_smtp("x.example", f"ann{evil}"),
    "password": lambda evil: mail().set_smtp("x.example", "ann", f"pw{evil}"),
    "mimetype": lambda evil: mail().add_text("x", f"text/html{evil}x"),
    "charset": lambda evil: mail().add_text("x", charset=f"utf-8{evil}"),
    "name": lambda evil: mail().set_header(f"X-A{evil}", "x"),
    "value": lambda evil: mail().set_header("X-A", f"x{evil}"),
    "cid": lambda evil: mail().add_attachment(b"x", cid=f"x{evil}"),
}


@pytest.mark.parametrize("breaks", BREAKS, ids=ascii)
@pytest.mark.parametrize("argument", ARGUMENTS)
def test_line_ends(argument, breaks):
    """A line end, or what some programs take for one, is refused where it is given."""
    with pytest.raises(ValueError, match=f"^{argument}") as raised:
        ARGUMENTS[argument](f"{breaks}{EVIL}")
    assert "pw" not in str(raised.value)


@pytest.mark.parametrize("breaks", BREAKS, ids=ascii)
def test_files(breaks):
    """So it is in the names of attachments; that of a file has a mark in its place where it must be sent."""
    for arguments in ({"name": f"x{breaks}{EVIL}"}, {"name": "x", "mimetype": f"a/b{breaks}{EVIL}"}):
        with pytest.raises(ValueError, match=r"^(?:name|mimetype)"):
            mail().add_attachment(b"x", **arguments)


@pytest.mark.parametrize(
    "encoded", ["=?utf-8?q?x=0ABcc=3A_e@d.example?=", "=?utf-8?b?eApCY2M6IGVAZC5leGFtcGxl?="]
)
def test_encoded_line_ends(fake, encoded):
    """An encoded word with a line end in it is not decoded: it is sent as the text that it is."""
    e = mail(encoded, f"{encoded} <a@b.example>", [f"{encoded} <c@d.example>"])
    e.set_header("X-A", encoded)
    e.add_attachment(b"x", name=encoded)
    e.send()
    (sent,) = fake.mails
    assert sent.envelope.recipients == ("c@d.example",)
    assert "bcc" not in sent.message
    assert sent.message["subject"] == encoded
    assert b"\nBcc" not in sent.content


@pytest.mark.parametrize(
    "name",
    [
        *("From", "TO", "cc", "Bcc", "Reply-To", "subject", "Date", "message-id", "MIME-Version"),
        *("Content-Type", "Received", "Return-Path", "Resent-To", "DKIM-Signature", "ARC-Seal"),
    ],
)
def test_fields_of_the_mail(name):
    """What the mail says by itself cannot be set."""
    with pytest.raises(ValueError, match=f"^name: {name} (?:cannot be set|is what)"):
        mail().set_header(name, "x")


@pytest.mark.parametrize("name", ["", "X A", "X:", "Ä", ":", "x" * 77])
def test_names_of_fields(name):
    """A name that no field can have is refused."""
    with pytest.raises(ValueError, match=r"^name: .* cannot be the name"):
        mail().set_header(name, "x")


def test_set_header(fake):
    """Fields are kept as they are written, the last of a name counts, and X-Mailer is ours no more."""
    e = mail()
    link = "<https://x.example/" + "u" * 200 + ">"
    e.set_header("List-Unsubscribe", link)
    e.set_header("x-mailer", "one")
    e.set_header("X-Mailer", "Größe")
    e.set_header("References", " ".join(f"<{number}@x.example>" for number in range(30)))
    e.send()
    (sent,) = fake.mails
    assert sent.message["list-unsubscribe"] == link
    assert sent.message.get_all("x-mailer") == ["Größe"]
    assert sent.message["references"].split() == [f"<{number}@x.example>" for number in range(30)]


def test_a_field_that_no_line_can_hold():
    """send() refuses it."""
    e = mail()
    e.set_header("X-A", "x" * 1000)
    with pytest.raises(ValueError, match="X-A has a line of more than 998 bytes"):
        e.send()


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: was.email("x"), "missing 2 required positional arguments: 'snd' and 'rcpt'"),
        (lambda: mail(subject=7), "subject must be a str"),
        (lambda: mail(snd=None), "snd must be a str"),
        (lambda: mail(rcpt=7), "rcpt must be an address or a list"),
        (lambda: mail(rcpt=""), "rcpt: the mail has no recipient"),
        (lambda: mail(snd="a@b.example, c@d.example"), "snd: .*commas"),
        (lambda: mail().add_text(b"x"), "text must be a str"),
        (lambda: mail().add_text("x", "image/png"), "mimetype: image/png is no text"),
        (lambda: mail().add_attachment(7), "path or bytes"),
        (lambda: mail().set_smtp("x:y"), "server: 'y' in 'x:y' is not a port"),
        (lambda: mail().set_smtp("x.example", "ann", 7), "^password must be a str$"),
        (lambda: mail().set_header("X-A", 7), "value must be a str"),
        (lambda: mail().render("x.html"), "Saddle"),
    ],
)
def test_wrong_arguments(call, error):
    """The error names the argument as the app does."""
    with pytest.raises(Exception, match=error):
        call()


@pytest.mark.parametrize(
    "charset", ['utf-8"; x="y', "utf 8", "", "utf-8\u00e9", "x" * 50, "no-such-charset", "base64"]
)
def test_charsets(charset):
    """The name of a charset cannot bring anything else into its field."""
    with pytest.raises(ValueError, match=r"^charset: .* unknown"):
        mail().add_text("x", charset=charset)


@pytest.mark.parametrize(
    ("charset", "name"),
    [("UTF8", "utf-8"), ("latin_1", "iso-8859-1"), ("cp1252", "windows-1252"), ("koi8_r", "koi8-r")],
)
def test_names_of_charsets(fake, charset, name):
    """Charsets have the names that mail programs know."""
    e = was.email("x", "a@b.example", "c@d.example")
    e.add_text("x", charset=charset)
    e.send()
    assert fake.mails[0].message.get_content_charset() == name


def test_a_cid_twice():
    """Two pictures cannot have the same name."""
    e = mail()
    e.add_attachment(b"x", cid="a")
    with pytest.raises(ValueError, match=r"^cid: there is a part 'a' already"):
        e.add_attachment(b"y", cid="<a>")
