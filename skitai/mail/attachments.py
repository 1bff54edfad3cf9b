"""What an app attaches to a mail: bytes, or a file that is read when the mail is sent."""

from __future__ import annotations

import mimetypes
import os
import stat
from os import PathLike

import attrs

from skitai.mail.parts import media_type
from skitai.mail.words import checked_text, shown

#: What files have whose type nobody knows.
_UNKNOWN = ("application", "octet-stream")
#: The longest name of a file, in bytes; that of most file systems.
_NAME_MAX = 255


@attrs.frozen
class Attachment:
    """``source`` is the content, or the path of the file that has it. ``name`` and ``cid`` may be empty."""

    source: bytes | str = attrs.field(repr=False)
    kind: tuple[str, str]
    name: str
    cid: str

    def read(self, left: int, size_max: int) -> bytes:
        """Return the content, of at most ``left`` bytes; ``size_max`` is for the message of the error.

        Raises OSError for a file that cannot be read, ValueError for one that is too large or no file.
        """
        data = self.source if isinstance(self.source, bytes) else _read(self.source, left)
        if len(data) > left:
            raise too_large(size_max)
        return data


def attachment(
    source: str | PathLike[str] | bytes | bytearray | memoryview,
    mimetype: str | None = None,
    name: str | None = None,
    cid: str | None = None,
) -> Attachment:
    """Return the attachment that the arguments of ``add_attachment`` describe.

    Raises TypeError or ValueError for what no message can have, and names the argument.
    """
    content: bytes | str
    name = checked_text(name or "", "name").strip()
    if isinstance(source, bytes | bytearray | memoryview):
        content = bytes(source)
        if not name and not cid:
            raise ValueError("name: an attachment of bytes needs a name, or a cid")
    else:
        if not isinstance(source, str | PathLike) or not source:
            raise TypeError(f"an attachment is a path or bytes, not {source!r}")
        content = os.fsdecode(source)
        name = name or _readable(os.path.basename(content))
        if not os.path.isabs(
            content
        ):  # whole, so that the error for a missing file shows where it was sought
            content = os.path.join(os.getcwd(), content)
    if len(checked_text(name, "name").encode()) > _NAME_MAX:
        raise ValueError(f"name: {shown(name)} has more than {_NAME_MAX} bytes")
    return Attachment(content, _kind(mimetype, name), name, _checked_cid(cid or ""))


def _readable(name: str) -> str:
    """Return the name of a file with a mark for each byte that is not UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace")


def _checked_cid(written: str) -> str:
    cid = checked_text(written, "cid").removeprefix("<").removesuffix(">")
    if not cid.isascii() or any(character in ' "<>()\\,;:' for character in cid) or len(cid) > _NAME_MAX:
        raise ValueError(f"cid: {shown(cid)} cannot be the name of a part: use letters and digits")
    return cid


def _kind(mimetype: str | None, name: str) -> tuple[str, str]:
    if mimetype is None:
        guessed, encoding = mimetypes.guess_type(f"file:{name}" if ":" in name else name)
        kind = media_type(guessed) if guessed and encoding is None else _UNKNOWN
    else:
        kind = media_type(mimetype)
        if kind[0] == "multipart":
            raise ValueError(f"mimetype: {mimetype} is not the type of an attachment")
    # A message within a message cannot be in base64 (RFC 2046, section 5.2.1); its file can.
    return _UNKNOWN if kind[0] == "message" else kind


def _read(path: str, size_max: int) -> bytes:
    with open(path, "rb", opener=_open) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError(f"{shown(path)} is not a file")
        return file.read(size_max + 1)


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe that nobody writes to would block


def too_large(size_max: int) -> ValueError:
    """Return the error for a mail of more than ``size_max`` bytes."""
    return ValueError(
        f"the mail has more than {size_max} bytes with its attachments"
        " (max_size in the section [smtpda] of the config)"
    )
