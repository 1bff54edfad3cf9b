"""Messages, read back by the standard library and by another mail library."""

import base64
import os
import re
import time
from email import message_from_string
from email.header import decode_header, make_header
from email.utils import formatdate, parseaddr, parsedate_to_datetime

import fast_mail_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.mail.addresses import Address, parse_addresses
from skitai.mail.attachments import attachment
from skitai.mail.envelope import Server
from skitai.mail.fields import date_field
from skitai.mail.message import Draft, Text
from skitai.mail.parts import encoded_text

SCRIPTS = {
    "latin": "Größe & façade",
    "greek": "Καλημέρα κόσμε",
    "arabic": "مرحبا بالعالم",
    "hindi": "नमस्ते दुनिया",
    "japanese": "こんにちは、世界",
    "emoji": "🎉 👩‍👩‍👧 party",
}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
HTML = "Hello World<div><img src='cid:ID_A'></div>"

#: What a header may have.
TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=300)


def draft(subject="Hello", sender="Ann <a@b.example>", to="c@d.example", **fields):
    (sender,) = parse_addresses(sender)
    return Draft(subject, sender, parse_addresses(to), **fields)


def compose(made, size_max=1 << 20):
    return made.compose("ID1", 1_700_000_000.0, size_max, "Skitai/test")


def structure(part):
    """Return the media types of a part, nested."""
    if not part.is_multipart():
        return part.get_content_type()
    return [part.get_content_subtype(), *map(structure, part.iter_parts())]


def name_of(mail, field):
    """Return the name in the only address of a field, read by the older parser of the library.

    The newer one puts blanks between the encoded words of a long name, against RFC 2047, section 6.2.
    """
    name, _ = parseaddr(message_from_string(mail.content.decode())[field])
    return str(make_header(decode_header(name)))


def test_a_plain_mail():
    """The header has what mail programs expect, and the envelope what SMTP needs."""
    mail = compose(draft(texts=[Text("Hi,\n\nAnn")]))
    assert mail.content.decode().split("\n") == [
        "From: Ann <a@b.example>",
        "To: c@d.example",
        "Subject: Hello",
        f"Date: {mail.message['date']}",
        "Message-ID: <ID1@b.example>",
        "X-Mailer: Skitai/test",
        "MIME-Version: 1.0",
        'Content-Type: text/plain; charset="utf-8"',
        "Content-Transfer-Encoding: 7bit",
        "",
        "Hi,",
        "",
        "Ann",
        "",
    ]
    assert parsedate_to_datetime(mail.message["date"]).timestamp() == 1_700_000_000
    envelope = mail.envelope
    assert (envelope.id, envelope.sender, envelope.recipients) == ("ID1", "a@b.example", ("c@d.example",))
    assert (envelope.created, envelope.subject, envelope.needs_utf8) == (1_700_000_000, "Hello", False)


def test_recipients():
    """Those of Bcc are in the envelope only, and each address is there once."""
    made = draft(
        to=["Doe, J. <c@d.example>", "e@d.example"],
        cc=parse_addresses("F <f@d.example>, c@D.example"),
        bcc=parse_addresses("secret@d.example, f@d.example"),
        reply_to=parse_addresses("help@b.example"),
        texts=[Text("x")],
    )
    mail = compose(made)
    assert mail.envelope.recipients == ("c@d.example", "e@d.example", "f@d.example", "secret@d.example")
    assert mail.message["to"] == '"Doe, J." <c@d.example>, e@d.example'
    assert mail.message["cc"] == "F <f@d.example>, c@d.example"
    assert mail.message["reply-to"] == "help@b.example"
    assert b"secret" not in mail.content


def test_bcc_alone():
    """A mail to hidden recipients says so, as mail programs do."""
    mail = compose(draft(to="", bcc=parse_addresses("x@d.example"), texts=[Text("x")]))
    assert mail.message["to"] == "undisclosed-recipients:;"
    assert not mail.message.defects


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts(script):
    """Names, subjects, texts and names of files in any script arrive, in lines of ASCII."""
    words = SCRIPTS[script]
    made = draft(
        f"{words} {words} {words}",
        f"{words} <a@b.example>",
        [f"{words}, {words} <c@d.example>"],
        headers={"x-words": ("X-Words", words)},
        texts=[Text(words), Text(f"<p>{words}</p>", "html")],
        attachments=[attachment(PNG, "image/png", f"{words} {words}.png")],
    )
    mail = compose(made)
    assert mail.content.isascii()
    assert max(map(len, mail.content.split(b"\n"))) <= 78
    message = mail.message
    assert message["subject"] == f"{words} {words} {words}"
    assert message["from"].addresses[0].display_name == words
    assert name_of(mail, "to") == f"{words}, {words}"
    assert message["x-words"] == words
    assert message.get_body(["plain"]).get_content() == f"{words}\n"
    assert message.get_body(["html"]).get_content() == f"<p>{words}</p>\n"
    (file,) = message.iter_attachments()
    assert (file.get_filename(), file.get_content()) == (f"{words} {words}.png", PNG)

    other = fast_mail_parser.parse_email(mail.content)
    assert [found.display_name for found in (other.from_, *other.to)] == [words, f"{words}, {words}"]
    assert other.subject == f"{words} {words} {words}"
    assert [part.strip() for part in other.text_plain] == [words]
    assert [part.strip() for part in other.text_html] == [f"<p>{words}</p>"]
    (file,) = other.attachments
    assert (file.filename, bytes(file.content)) == (f"{words} {words}.png", PNG)


def test_pictures():
    """HTML with its pictures is one alternative, beside a plain text that is made of it; files come last."""
    made = draft(
        texts=[Text(HTML, "html")],
        attachments=[attachment(b"1,2\n", None, "data.csv"), attachment(PNG, "image/png", cid="ID_A")],
    )
    message = compose(made).message
    related = ["related", "text/html", "image/png"]
    assert structure(message) == ["mixed", ["alternative", "text/plain", related], "text/csv"]
    alternative, data = message.iter_parts()
    plain, with_picture = alternative.iter_parts()
    assert plain.get_content() == "Hello World\n"
    assert with_picture.get_param("type") == "text/html"
    html, picture = with_picture.iter_parts()
    assert html.get_content() == f"{HTML}\n"
    assert picture["content-id"] == "<ID_A>"
    assert (picture.get_content_disposition(), picture.get_content()) == ("inline", PNG)
    assert (data.get_content_disposition(), data.get_content()) == ("attachment", "1,2\n")


def test_structures():
    """No part holds only one other."""
    file = attachment(b"x", None, "x.bin")
    picture = attachment(PNG, "image/png", "x.png", "p")
    plain, html = Text("a"), Text("<p>b", "html")
    assert structure(compose(draft(texts=[html, plain])).message) == [
        "alternative",
        "text/plain",
        "text/html",
    ]
    assert structure(compose(draft(texts=[Text("<img>", "html")])).message) == "text/html"
    assert structure(compose(draft(attachments=[file])).message) == "application/octet-stream"
    mixed = ["mixed", "text/plain", "application/octet-stream"]
    assert structure(compose(draft(texts=[plain], attachments=[file])).message) == mixed
    assert structure(compose(draft(texts=[plain], attachments=[picture])).message) == [
        "mixed",
        "text/plain",
        "image/png",
    ]
    calendar = Text("BEGIN:VCALENDAR", "calendar")
    assert structure(compose(draft(texts=[html, calendar])).message) == [
        "alternative",
        "text/plain",
        "text/html",
        "text/calendar",
    ]
    assert structure(compose(draft(texts=[plain, Text("c")])).message) == [
        "mixed",
        "text/plain",
        "text/plain",
    ]


@pytest.mark.parametrize(
    "zone", ["UTC0", "EST5EDT", "<+0530>-5:30", "<-0930>9:30", "CET-1CEST,M3.5.0,M10.5.0/3"]
)
@given(moment=st.floats(0, 253402214399))
def test_dates(zone, moment):
    """The Date of a mail is what the standard library would write, in any zone and in summer, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        try:
            assert date_field(moment) == f"Date: {formatdate(int(moment), localtime=True)}\n"
        finally:
            patch.undo()
            time.tzset()


def test_no_content():
    """A mail without anything in it is a mistake."""
    with pytest.raises(ValueError, match="neither a text nor an attachment"):
        compose(draft())


def test_smtputf8():
    """Where an address needs it, headers are in UTF-8, and the envelope says so; otherwise they are ASCII."""
    mail = compose(draft("Grüße", "Pelé <pelé@b.example>", texts=[Text("Grüße")]))
    assert mail.envelope.needs_utf8
    assert mail.content.startswith('From: "Pelé" <pelé@b.example>\n'.encode())
    message = mail.message
    assert (message["subject"], message.get_content()) == ("Grüße", "Grüße\n")
    mail = compose(draft(bcc=parse_addresses("pelé@b.example"), texts=[Text("x")]))
    assert mail.envelope.needs_utf8
    assert "pelé".encode() not in mail.content


def test_server():
    """The server of the mail's own is in the envelope, not in the message."""
    server = Server("x.example:25", "ann", "secret")
    mail = compose(draft(texts=[Text("x")], server=server))
    assert mail.envelope.server == server
    assert b"ann" not in mail.content
    assert "secret" not in repr(mail)


@pytest.mark.parametrize("charset", ["iso-8859-1", "utf-8", "koi8-r", "iso-2022-jp", "gb18030", "shift_jis"])
def test_charsets(charset):
    """A text is in the charset that the app names."""
    words = {"iso-8859-1": "Größe", "koi8-r": "привет"}.get(charset, "世界")
    message = compose(draft(texts=[Text(words, charset=charset)])).message
    assert message.get_content_charset() == charset
    assert message.get_payload(decode=True) == f"{words}\n".encode(charset)
    assert message.get_content() == f"{words}\n"


@pytest.mark.parametrize(
    ("charset", "problem"),
    [
        ("utf-16", "has other line ends"),
        ("base64", "is unknown"),
        ("none", "is unknown"),
        ("", "is unknown"),
        ("a\0", "is unknown"),
        ("latin-1", r"no character U\+4E16"),
    ],
)
def test_wrong_charsets(charset, problem):
    """A charset that no mail can have, or that lacks a character, is refused."""
    with pytest.raises(ValueError, match=problem):
        encoded_text("世", charset)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(["plain", "html"]))
def test_any_text(content, subtype):
    """Texts survive in lines of ASCII, whatever is in them: only their line ends are made LF."""
    mail = compose(draft(texts=[Text("first"), Text(content, subtype)]))
    assert mail.content.isascii()
    assert max(map(len, mail.content.split(b"\n"))) <= 78
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", mail.content)
    found = [part for part in mail.message.walk() if not part.is_multipart()][1]
    wanted = content.replace("\r\n", "\n").replace("\r", "\n")
    assert found.get_payload(decode=True).decode() == wanted + "\n" * (not wanted.endswith("\n"))


@pytest.mark.parametrize(
    "content",
    [
        "x" * 100_000,
        "é" * 100_000,
        ("word " * 30 + "\n") * 300,
        ".\n..\nFrom me\n \n\t\n",
        "a\r\nb\rc",
        "\0\x1b",
    ],
)
def test_long_lines(content):
    """Long lines, dots and blanks at the ends survive, too."""
    test_any_text.hypothesis.inner_test(content, "plain")


@given(TEXTS, TEXTS, TEXTS, st.booleans())
def test_any_header(subject, name, value, utf8):
    """Whatever is in them: subjects, names and values arrive, and add no field and no recipient."""
    made = Draft(
        subject.strip(),
        Address("pelé" if utf8 else "a", "b.example", name.strip()),
        parse_addresses("c@d.example"),
        headers={"x-value": ("X-Value", value.strip())},
        texts=[Text("x")],
    )
    mail = compose(made)
    assert max(map(len, mail.content.split(b"\n"))) <= 998
    message = mail.message
    own = ["From", "To", "Subject", "Date", "Message-ID", "X-Mailer", "X-Value", "MIME-Version"]
    assert message.keys() == [*own, "Content-Type", "Content-Transfer-Encoding"]
    assert message["subject"] == subject.strip()
    (sender,) = message["from"].addresses
    assert (name_of(mail, "from"), sender.domain) == (name.strip(), "b.example")
    if "=?" not in value:  # what has a form of its own is not encoded
        assert message["x-value"] == value.strip()


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=60))
def test_any_file_name(name):
    """Whatever characters it is of: the name of a file arrives."""
    mail = compose(draft(texts=[Text("x")], attachments=[attachment(b"x", "image/png", name, "id")]))
    assert mail.content.isascii()
    assert max(map(len, mail.content.split(b"\n"))) <= 78
    (file,) = mail.message.iter_attachments()
    assert file.get_filename() == (name.strip() or None)


def test_files(tmp_path):
    """A file is read when the mail is composed, and has the name and the type of its path."""
    path = tmp_path / "Übersicht.pdf"
    found = [attachment(path), attachment(str(path), "image/png", "other name", "<id@b.example>")]
    made = draft(texts=[Text("x")], attachments=found)
    with pytest.raises(FileNotFoundError, match="Übersicht"):
        compose(made)
    path.write_bytes(PNG)
    first, second = compose(made).message.iter_attachments()
    assert (first.get_filename(), first.get_content_type()) == ("Übersicht.pdf", "application/pdf")
    assert (second.get_filename(), second.get_content_type()) == ("other name", "image/png")
    assert second["content-id"] == "<id@b.example>"
    assert first.get_content() == second.get_content() == PNG


@pytest.mark.parametrize(
    ("name", "mimetype"),
    [
        ("a.tar.gz", "application/octet-stream"),
        ("a.unheard-of", "application/octet-stream"),
        ("a.eml", "application/octet-stream"),
        ("a.txt", "text/plain"),
        ("http://x/a.txt", "text/plain"),
    ],
)
def test_types(name, mimetype):
    """Types are those of names; a compressed file, and a message, is one of bytes."""
    assert "/".join(attachment(b"x", name=name).kind) == mimetype


def test_what_is_no_file(tmp_path):
    """A folder and a device are no attachments, and nobody waits for a pipe."""
    os.mkfifo(tmp_path / "pipe")
    for path, error in [("", IsADirectoryError), ("pipe", ValueError), ("/dev/zero", ValueError)]:
        with pytest.raises(error):
            compose(draft(attachments=[attachment(tmp_path / path)]))


def test_size(tmp_path):
    """What is too large is refused, before all of a file is read."""
    path = tmp_path / "huge.bin"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    for found in (
        attachment(path),
        attachment(bytes(1 << 20), name="x"),
        attachment(bytes(800_000), name="x"),
    ):
        with pytest.raises(ValueError, match=r"more than 1048576 bytes .*max_size"):
            compose(draft(attachments=[found]))
    many = [attachment(bytes(400_000), name="x")] * 3
    with pytest.raises(ValueError, match="max_size"):
        compose(draft(attachments=many))
    assert len(compose(draft(attachments=many), size_max=2_000_000).content) > 1_600_000


@pytest.mark.parametrize(
    "arguments",
    [
        {"source": b"x"},
        {"source": 7},
        {"source": ""},
        {"source": "a\n.txt"},
        {"source": b"x", "name": "a\r\nX: y"},
        {"source": b"x", "name": "a" * 256},
        {"source": b"x", "name": 7},
        {"source": b"x", "cid": "a b"},
        {"source": b"x", "cid": "ä"},
        {"source": b"x", "cid": 'a"b'},
        {"source": b"x", "name": "x", "mimetype": "text"},
        {"source": b"x", "name": "x", "mimetype": "text/plain; charset=x"},
        {"source": b"x", "name": "x", "mimetype": "text/plain\r\nX: y"},
        {"source": b"x", "name": "x", "mimetype": "multipart/mixed"},
    ],
)
def test_wrong_attachments(arguments):
    """What no message can have is refused where it is given."""
    with pytest.raises((TypeError, ValueError)):
        attachment(**arguments)


def test_a_text_file_in_utf8():
    """Programs that show it know its charset; others are left alone."""
    files = [attachment("Größe".encode(), name="a.txt"), attachment(b"\xff", name="b.txt")]
    first, second = compose(draft(texts=[Text("x")], attachments=files)).message.iter_attachments()
    assert first.get_content() == "Größe"
    assert second.get_content_charset() is None
    assert base64.b64decode(second.get_payload()) == b"\xff"
