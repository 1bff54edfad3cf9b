"""What the options of a folder's mount line say: times in caches, header fields, CORS, a fallback."""

from __future__ import annotations

import re
from fnmatch import translate

import attrs

from skitai.config.casters import quoted, seconds
from skitai.config.forms import form
from skitai.http.fields import FIELD_VALUE, HOP_BY_HOP, TOKEN
from skitai.http.origins import Origins, checked_origin

#: Fields that describe the file or the message: the server sets them.
_OWNED = HOP_BY_HOP | frozenset(
    (
        *("accept-ranges", "content-encoding", "content-length", "content-range", "content-type", "date"),
        *("etag", "last-modified", "location", "server", "set-cookie"),
    )
)
#: What a page may read of a response from another origin, beside what the Fetch standard allows anyway.
_EXPOSED = b"Accept-Ranges, Content-Encoding, Content-Range, ETag"
#: Seconds for which a browser may remember that a request is allowed: as long as Chromium does, at most.
_PREFLIGHT_SECONDS = b"7200"

Fields = tuple[tuple[bytes, bytes], ...]


@attrs.frozen
class MaxAges:
    """For how many seconds clients may cache files: those that a pattern matches, and all others.

    A pattern with a slash is one of the whole path below the mount point, ``/assets/*``; any other is one of
    the name of the file, ``*.html``. ``*`` also stands for slashes. The first that matches counts.
    """

    default: int | None
    patterns: tuple[tuple[str, int], ...] = ()
    _matching: tuple[tuple[re.Pattern[str], bool, bytes], ...] = attrs.field(init=False, eq=False, repr=False)
    _usual: bytes = attrs.field(init=False, eq=False, repr=False)

    @_matching.default
    def _compiled(self) -> tuple[tuple[re.Pattern[str], bool, bytes], ...]:
        return tuple(
            (re.compile(translate(pattern)), "/" in pattern, b"max-age=%d" % age)
            for pattern, age in self.patterns
        )

    @_usual.default
    def _for_all_others(self) -> bytes:
        return b"max-age=%d" % (self.default or 0)

    def cache_control(self, path: bytes) -> bytes:
        """Return the Cache-Control field of the file at ``path``, which begins with a slash."""
        if not self._matching:
            return self._usual
        text = path.decode("utf-8", "surrogateescape")
        name = text.rpartition("/")[2]
        for pattern, is_path, value in self._matching:
            if pattern.match(text if is_path else name):
                return value
        return self._usual

    def or_else(self, usual: float) -> MaxAges:
        """Return the same with ``usual`` for what no pattern matches, unless the line says so itself."""
        return self if self.default is not None else MaxAges(int(usual), self.patterns)


@form("time, or a list of patterns, each with a time", "/assets/* 365d, *.html 0, 1h")
def max_ages(value: str) -> MaxAges:
    """Cast ``1h``, or patterns, each with a time, and a time for the others: ``*.html 0, 1h``."""
    default: int | None = None
    patterns = []
    for item in filter(None, map(str.strip, value.split(","))):
        pattern, _, time = item.rpartition(" ")
        age = int(seconds(time))
        if pattern.strip():
            patterns.append((pattern.strip(), age))
        elif default is not None:
            raise ValueError(f"has two times without a pattern: write PATTERN {time} for one of them")
        else:
            default = age
    if default is None and not patterns:
        raise ValueError("needs a time, such as 1h")
    return MaxAges(default, tuple(patterns))


def show_max_ages(value: MaxAges | None) -> str:
    """Return the text that ``max_ages`` casts."""
    if value is None:
        return ""
    items = [f"{pattern} {age}" for pattern, age in value.patterns]
    return ", ".join([*items, *([] if value.default is None else [str(value.default)])])


@form("fields, with | between them", "X-Frame-Options: DENY | Referrer-Policy: no-referrer")
def header_fields(value: str) -> Fields:
    """Cast ``Name: value | Name: value``."""
    fields = []
    for item in filter(None, map(str.strip, value.split("|"))):
        name, colon, text = item.partition(":")
        name, text = name.strip(), text.strip()
        if not colon or not TOKEN.fullmatch(name):
            raise ValueError(f"{quoted(item)} is not a header field: write Name: value, and | between two")
        if name.lower() in _OWNED or name.lower().startswith("access-control-"):
            raise ValueError(f"{name} is set by the server itself" + _instead_of(name))
        if not FIELD_VALUE.fullmatch(text):
            raise ValueError(f"the value of {name} has a character that no header field may have")
        fields.append((name.encode("ascii"), text.encode("latin-1")))
    if not fields:
        raise ValueError("needs a field, such as X-Frame-Options: DENY")
    return tuple(fields)


def _instead_of(name: str) -> str:
    return ": write cors=ORIGIN" if name.lower().startswith("access-control-") else ""


def show_header_fields(value: Fields | None) -> str:
    """Return the text that ``header_fields`` casts."""
    return " | ".join(f"{name.decode('ascii')}: {text.decode('latin-1')}" for name, text in value or ())


@form("origins, or *", "https://www.example.com")
def cors_origins(value: str) -> tuple[str, ...]:
    """Cast ``*``, or origins with commas or spaces between: ``https://a.example, *.example.org``."""
    origins = tuple(map(checked_origin, value.replace(",", " ").split()))
    if not origins:
        raise ValueError("needs an origin, such as https://www.example.com, or *")
    return origins


@form("path of a file in the folder", "index.html")
def fallback_path(value: str) -> str:
    """Cast the path of a file below the folder, with or without a slash before it."""
    path = "/" + value.removeprefix("/")
    if path.endswith("/") or re.search(r"//|/\.|[\\%?#\x00-\x1f]", path):
        raise ValueError(f"must be the path of a file in the folder, such as index.html, not {quoted(value)}")
    return path


@attrs.frozen
class FolderOptions:
    """How the files of one folder are answered; ``headers``, ``cors`` and ``fallback`` as they were cast."""

    max_ages: MaxAges
    headers: Fields = ()
    cors: tuple[str, ...] = ()
    fallback: str | None = None
    _origins: Origins = attrs.field(init=False, eq=False, repr=False)

    @_origins.default
    def _origins_of_cors(self) -> Origins:
        return Origins(self.cors)

    def fields(self, code: int, origin: bytes | None) -> list[tuple[bytes, bytes]]:
        """Return the fields of the mount for an answer with this status to a page of ``origin``.

        Those about caching are left out of errors.
        """
        kept = [field for field in self.headers if code < 400 or field[0].lower() != b"cache-control"]
        return kept + self._cors_fields(origin)

    def preflight_fields(self, origin: bytes | None, asks: bool, names: bytes) -> list[tuple[bytes, bytes]]:
        """Return the fields of an answer to OPTIONS (Fetch standard, "CORS-preflight request").

        ``asks``: it is a preflight; ``names`` are the header fields that the page wants to send. They mean
        nothing to files, so all are allowed.
        """
        fields = self._cors_fields(origin)
        if not asks or not fields or fields[0][0] == b"Vary":
            return fields
        fields.append((b"Access-Control-Allow-Methods", b"GET, HEAD"))
        if names:
            fields.append((b"Access-Control-Allow-Headers", names))
        fields.append((b"Access-Control-Max-Age", _PREFLIGHT_SECONDS))
        return fields

    def _cors_fields(self, origin: bytes | None) -> list[tuple[bytes, bytes]]:
        if not self.cors:
            return []
        if "*" in self.cors:
            return [(b"Access-Control-Allow-Origin", b"*"), (b"Access-Control-Expose-Headers", _EXPOSED)]
        # Which origin is allowed depends on who asks, and caches must know that.
        vary = [(b"Vary", b"Origin")]
        if origin is None or not self._origins.names(origin):
            return vary
        return [
            (b"Access-Control-Allow-Origin", origin),
            (b"Access-Control-Expose-Headers", _EXPOSED),
            *vary,
        ]
