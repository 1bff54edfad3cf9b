"""HTML forms: urlencoded, or multipart (RFC 7578), whose files are written to disk while they are read."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, Any

import attrs
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Event, Field, File
from werkzeug.wsgi import get_content_length, get_input_stream

from skitai.errors import SkitaiError
from skitai.saddle.incoming import multipart
from skitai.saddle.incoming.pairs import byte_values, text_pairs
from skitai.saddle.incoming.uploads import TemporaryFiles, UploadedFile

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

_MB = 1 << 20
#: RFC 2046, 5.1.1, says 70; some clients in use, werkzeug's test client among them, write one or two more.
_BOUNDARY_MAX = 200
_CHARSETS = frozenset({"utf-8", "us-ascii", "ascii", "iso-8859-1"})


class FormError(SkitaiError):
    """A form that is refused with ``status``.

    That is 400 if the form is malformed, 413 if it is too large, and 507 or 503 if it cannot be stored.
    """

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(message)


@attrs.frozen
class FormLimits:
    """The limits of one form: a larger one is a FormError with status 413.

    ``file_max``: bytes of each file. ``total_max``: bytes of the whole body. ``fields_max``: the number of
    fields and files. ``field_memory_max``: bytes of all fields, which are kept in memory, and so of an
    urlencoded form.
    """

    file_max: int = 20 * _MB
    total_max: int = 100 * _MB
    fields_max: int = 10_000
    field_memory_max: int = 5 * _MB


@attrs.frozen
class Form:
    """The fields and files of a form, in their order. ``close()`` must be called when the request is over.

    ``raw`` is the body of an urlencoded form. That of a multipart form is not kept, but ``sent`` has the
    bytes of its fields that are not the UTF-8 form of their text, by their place in ``fields``.
    """

    fields: list[tuple[str, str]] = attrs.field(factory=list)
    files: list[tuple[str, UploadedFile]] = attrs.field(factory=list)
    raw: bytes = b""
    sent: dict[int, bytes] = attrs.field(factory=dict)

    def bytes_of(self, name: str) -> list[bytes]:
        """Return the values of a field, as they came."""
        if self.raw:
            return byte_values(self.raw, name)
        return [
            self.sent.get(place, text.encode())
            for place, (key, text) in enumerate(self.fields)
            if key == name
        ]

    def close(self) -> None:
        """Delete the temporary files that were not saved. May be called again.

        Raises OSError for one that cannot be deleted, when all others are.
        """
        with ExitStack() as closing:
            for _, file in self.files:
                closing.callback(file.close)


def parse_form(
    environ: dict[str, Any], limits: FormLimits, temporary: TemporaryFiles, *, strict: bool = False
) -> Form:
    """Read the form in the body of a request; its files are made by ``temporary``.

    For any other content type the form is empty, and the body is not read. Bytes that are not text become
    U+FFFD; with ``strict``, such a form is refused. Raises FormError; no file is left then.
    """
    mimetype, options = parse_options_header(environ.get("CONTENT_TYPE"))
    if mimetype.lower() == URLENCODED:
        return _parse_urlencoded(environ, limits, strict)
    if mimetype.lower() == MULTIPART:
        return _parse_multipart(environ, _boundary(options), _FormBuilder(limits, temporary, strict))
    return Form()


def _body(environ: dict[str, Any], size_max: int) -> IO[bytes]:
    """Return the body as a stream of ``size_max`` bytes at most, or one more if it has no Content-Length."""
    length = get_content_length(environ)
    if length is not None and length > size_max:
        raise _too_large(size_max)
    # One more, because werkzeug's stream also refuses a body that is just as long as the limit.
    return get_input_stream(environ, max_content_length=size_max + 1)


def _too_large(size_max: int) -> FormError:
    return FormError(413, f"the form is larger than {size_max} bytes")


def _parse_urlencoded(environ: dict[str, Any], limits: FormLimits, strict: bool) -> Form:
    size_max = min(limits.field_memory_max, limits.total_max)
    try:
        body = _body(environ, size_max).read()
        if len(body) > size_max:
            raise _too_large(size_max)
        if body.count(b"&") >= limits.fields_max:
            raise _too_many(limits)
        return Form(text_pairs(body, strict=strict), raw=body)
    except RequestEntityTooLarge:
        raise _too_large(size_max) from None
    except ClientDisconnected:
        raise _cut_short() from None
    except UnicodeDecodeError:
        raise FormError(400, "the form is not UTF-8 text") from None


def _cut_short() -> FormError:
    return FormError(400, "the form ended before its Content-Length")


def _too_many(limits: FormLimits) -> FormError:
    return FormError(413, f"the form has more than {limits.fields_max} fields")


def _boundary(options: dict[str, str]) -> bytes:
    boundary = options.get("boundary", "")
    # Not printable: a line break may come escaped, as in boundary*=utf-8''a%0Ab.
    if not boundary.isascii() or not boundary.isprintable() or not 1 <= len(boundary) <= _BOUNDARY_MAX:
        raise FormError(400, f"a multipart form needs a boundary of 1 to {_BOUNDARY_MAX} ASCII characters")
    return boundary.encode()


def _parse_multipart(environ: dict[str, Any], boundary: bytes, builder: _FormBuilder) -> Form:
    total_max = builder.limits.total_max
    try:
        with ExitStack() as undoing:
            undoing.callback(builder.discard)
            for event in multipart.events(_body(environ, total_max), boundary, strict=builder.strict):
                builder.take(event)
            undoing.pop_all()
    except RequestEntityTooLarge:
        raise _too_large(total_max) from None
    except ClientDisconnected:
        raise _cut_short() from None
    except ValueError as problem:
        raise FormError(400, f"the multipart form is malformed: {problem}") from problem
    return builder.form


@contextmanager
def _storing() -> Iterator[None]:
    """Turn an OSError into a FormError."""
    try:
        yield
    except OSError as problem:
        is_full = problem.errno in (errno.ENOSPC, errno.EDQUOT)
        raise FormError(507 if is_full else 503, "the files of the form cannot be stored") from problem


class _FormBuilder:
    """Builds a form from the events of the decoder."""

    def __init__(self, limits: FormLimits, temporary: TemporaryFiles, strict: bool) -> None:
        self.form = Form()
        self.limits = limits
        self.strict = strict
        self._temporary = temporary
        self._part: _FieldPart | _FilePart | None = None
        self._parts = 0
        self._field_bytes = 0

    def take(self, event: Event) -> None:
        """Add what ``event`` holds. Raises FormError, and ValueError for a malformed part."""
        if isinstance(event, Field | File):
            self._begin(event)
        elif isinstance(event, Data):
            self._add(event.data)
            if not event.more_data:
                self._end()

    def _begin(self, event: Field | File) -> None:
        self._parts += 1
        if self._parts > self.limits.fields_max:
            raise _too_many(self.limits)
        # In werkzeug's events a missing name is None.
        if not isinstance(event.name, str):
            raise ValueError("a part has no name")
        self._part = _FilePart(event, self._temporary) if isinstance(event, File) else _FieldPart(event)

    def _add(self, data: bytes) -> None:
        part = self._part
        assert part is not None
        if isinstance(part, _FieldPart):
            self._field_bytes += len(data)
            if self._field_bytes > self.limits.field_memory_max:
                raise FormError(
                    413, f"the form's fields are larger than {self.limits.field_memory_max} bytes"
                )
        elif part.size + len(data) > self.limits.file_max:
            raise FormError(413, f"the file in {part.name!r} is larger than {self.limits.file_max} bytes")
        part.write(data)

    def _end(self) -> None:
        part, self._part = self._part, None
        assert part is not None
        if isinstance(part, _FieldPart):
            text, sent = part.text(self.strict), part.sent()
            if text.encode() != sent:
                self.form.sent[len(self.form.fields)] = sent
            self.form.fields.append((part.name, text))
            return
        upload = part.finish()
        if part.is_blank:
            # A browser sends this for a file input that was left empty. The argument is there, and false.
            upload.close()
            self.form.fields.append((part.name, ""))
        else:
            self.form.files.append((part.name, upload))

    def discard(self) -> None:
        """Delete all files so far."""
        with ExitStack() as closing:
            closing.callback(self.form.close)
            if isinstance(self._part, _FilePart):
                closing.callback(self._part.discard)


class _FieldPart:
    def __init__(self, event: Field) -> None:
        self.name = event.name
        charset = parse_options_header(event.headers.get("content-type"))[1].get("charset", "utf-8").lower()
        self._charset = charset if charset in _CHARSETS else "utf-8"
        self._data = bytearray()

    def write(self, data: bytes) -> None:
        self._data += data

    def sent(self) -> bytes:
        return bytes(self._data)

    def text(self, strict: bool) -> str:
        try:
            return self._data.decode(self._charset, "strict" if strict else "replace")
        except UnicodeDecodeError:
            raise ValueError(f"the field {self.name!r} is not {self._charset} text") from None


class _FilePart:
    def __init__(self, event: File, temporary: TemporaryFiles) -> None:
        self.name = event.name
        self.size = 0
        self._filename = event.filename
        self._mimetype = parse_options_header(event.headers.get("content-type"))[0].lower()
        self._temporary = temporary
        with _storing():
            self._file, self._path = temporary.make()

    @property
    def is_blank(self) -> bool:
        return not self._filename and not self.size

    def write(self, data: bytes) -> None:
        with _storing():
            self._file.write(data)
        self.size += len(data)

    def finish(self) -> UploadedFile:
        try:
            with _storing():
                self._file.close()  # which writes out the buffer
        except FormError:
            self.discard()
            raise
        return self._upload()

    def discard(self) -> None:
        with suppress(OSError):  # closing writes out the buffer, and the disk may be full
            self._file.close()
        self._upload().close()

    def _upload(self) -> UploadedFile:
        kind = self._mimetype or "application/octet-stream"
        return UploadedFile(self._path, self._filename, self.size, kind, self._temporary)
