"""A mail as an app describes it, and the message and the envelope that are made of it."""

from __future__ import annotations

from email import message_from_string, policy
from email.message import EmailMessage

import attrs

from skitai.mail.addresses import Address
from skitai.mail.attachments import Attachment, too_large
from skitai.mail.envelope import Envelope, Server
from skitai.mail.fields import address_field, date_field, field, raw_field, text_field
from skitai.mail.parts import Part, encoded_text, file_part, multipart, text_part
from skitai.mail.plaintext import text_of_html


@attrs.frozen
class Text:
    """A text of a mail. Raises ValueError for what ``encoded_text`` does not take."""

    content: str
    subtype: str = "plain"
    charset: str = "utf-8"
    #: What stands in the mail, before its transfer encoding.
    data: bytes = attrs.field(init=False, repr=False)

    @data.default
    def _encoded(self) -> bytes:
        return encoded_text(self.content, self.charset)

    def part(self, *, inline: bool = False) -> Part:
        """Return the part of the message."""
        return text_part(self.data, self.subtype, self.charset, inline=inline)


@attrs.frozen
class Mail:
    """What is spooled: the ``envelope``, and the ``content`` of the message, with LF at the ends of lines."""

    envelope: Envelope
    content: bytes = attrs.field(repr=False)

    @property
    def message(self) -> EmailMessage:
        """The message, as the standard library reads it."""
        # Not from bytes: the library would read names in UTF-8 as bytes of no known charset.
        return message_from_string(self.content.decode(), policy=policy.default)


@attrs.define
class Draft:
    """A mail before it is sent. What is in it has been checked; ``headers`` are fields beside its own."""

    subject: str
    sender: Address
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    headers: dict[str, tuple[str, str]] = attrs.field(factory=dict)
    texts: list[Text] = attrs.field(factory=list)
    attachments: list[Attachment] = attrs.field(factory=list)
    server: Server | None = None

    @property
    def recipients(self) -> tuple[str, ...]:
        """The addresses that get it, each once."""
        everybody = (*self.to, *self.cc, *self.bcc)
        return tuple(dict.fromkeys([address.mailbox for address in everybody]))

    def copied(self) -> Draft:
        """Return a copy, which later changes of this one do not change."""
        return Draft(
            self.subject, self.sender, self.to, self.cc, self.bcc, self.reply_to, dict(self.headers),
            list(self.texts), list(self.attachments), self.server,
        )  # fmt: skip

    def compose(self, mail_id: str, created: float, size_max: int, mailer: str) -> Mail:
        """Return the mail with the name ``mail_id``, which its Message-ID has, too.

        The files of the attachments are read now. ``created`` is in seconds since the epoch, ``mailer`` is
        the value of X-Mailer. Raises OSError for a file that cannot be read, and ValueError for a mail of
        more than ``size_max`` bytes, or without content. This is work for a thread that may wait for a disk.
        """
        everybody = (self.sender, *self.to, *self.cc, *self.bcc, *self.reply_to)
        utf8 = any(address.needs_utf8 for address in everybody)
        head = self._head(mail_id, created, mailer, utf8=utf8)
        content = self._content(size_max).below(head)
        if len(content) > size_max:
            raise too_large(size_max)
        envelope = Envelope(
            mail_id, self.sender.mailbox, self.recipients, created, self.subject, utf8, self.server
        )
        return Mail(envelope, content)

    def _head(self, mail_id: str, created: float, mailer: str, *, utf8: bool) -> str:
        fields = [address_field("From", (self.sender,), utf8=utf8)]
        if self.to:
            fields.append(address_field("To", self.to, utf8=utf8))
        elif not self.cc:
            fields.append(field("To", "undisclosed-recipients:;"))
        if self.cc:
            fields.append(address_field("Cc", self.cc, utf8=utf8))
        if self.reply_to:
            fields.append(address_field("Reply-To", self.reply_to, utf8=utf8))
        fields.append(text_field("Subject", self.subject, utf8=utf8))
        fields.append(date_field(created))
        fields.append(field("Message-ID", f"<{mail_id}@{self.sender.domain}>"))
        if "x-mailer" not in self.headers:
            fields.append(field("X-Mailer", mailer))
        for name, value in self.headers.values():
            fields.append(raw_field(name, value, utf8=utf8))
        fields.append(field("MIME-Version", "1.0"))
        return "".join(fields)

    def _content(self, size_max: int) -> Part:
        """Return the content: mixed of alternatives, of which HTML holds its pictures, and attachments."""
        bodies: dict[str, Text] = {}
        further = []
        for text in self.texts:
            if bodies.setdefault(text.subtype, text) is not text:
                further.append(text.part(inline=True))
        pictures: list[Part] = []
        files: list[Part] = []
        left = size_max
        for attachment in self.attachments:
            data = attachment.read(left, size_max)
            left -= len(data)
            inline = bool(attachment.cid) and "html" in bodies
            part = file_part(data, attachment.kind, attachment.name, attachment.cid, inline=inline)
            (pictures if inline else files).append(part)
        parts = [*_alternatives(bodies, pictures), *further, *files]
        if not parts:
            raise ValueError("the mail has neither a text nor an attachment")
        return multipart("mixed", parts)


def _alternatives(bodies: dict[str, Text], pictures: list[Part]) -> list[Part]:
    """Return the texts as one part, the plainest first (RFC 2046, section 5.1.4); none if there are none."""
    plain = bodies.pop("plain", None)
    parts = []
    for subtype, text in bodies.items():
        if subtype == "html" and pictures:
            parts.append(multipart("related", [text.part(), *pictures], '; type="text/html"'))
        else:
            parts.append(text.part())
    if plain is None and "html" in bodies:
        words = text_of_html(bodies["html"].content)
        plain = Text(words) if words else None
    if plain is not None:
        parts.insert(0, plain.part())
    return [multipart("alternative", parts)] if parts else []
