"""Where a PostgreSQL database is: the arguments of ``was.db``, URLs and members of clusters.

The names of the options are those of libpq (PostgreSQL's manual, "Parameter Key Words").
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import attrs
from zope.interface import implementer

from skitai import DB_PGSQL
from skitai.config.casters import yes_no
from skitai.formats.spelling import nearest
from skitai.http.hosts import is_loopback
from skitai.interfaces import INode
from skitai.net.addresses import host_name, parse_host_port

DEFAULT_PORT = 5432
_URLS = ("postgresql://", "postgres://")

#: The options whose values are files; relative ones are in the folder of the config.
_FILES = frozenset({"passfile", "sslcert", "sslcrl", "sslcrldir", "sslkey", "sslrootcert"})
#: The options that URLs and clusters may have, besides where the database is.
OPTIONS = _FILES | {
    "application_name", "channel_binding", "connect_timeout", "fallback_application_name", "gssencmode",
    "gsslib", "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval", "krbsrvname",
    "options", "require_auth", "requirepeer", "ssl_max_protocol_version", "ssl_min_protocol_version",
    "sslcertmode", "sslcompression", "sslmode", "sslnegotiation", "sslpassword", "sslsni",
    "target_session_attrs", "tcp_user_timeout",
}  # fmt: skip
#: Instead of the two hours of the system: a server that has vanished is noticed within a minute and a half.
_KEEPALIVES = {"keepalives_idle": "60", "keepalives_interval": "10", "keepalives_count": "3"}
#: Options of libpq as sorted pairs of name and value.
Options = tuple[tuple[str, str], ...]
#: Where the database is: for URLs. In the section of a cluster, each member says it.
PLACE = frozenset({"host", "port", "dbname", "user", "password"})
_MALFORMED = (
    "the URL is malformed: it is postgresql://user:password@host:port/dbname, and a password has %2F for /,"
    " %23 for # and %3F for ?"
)
_SQLITE_FILES = (".db", ".sqlite", ".sqlite3")
_SSLMODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


class OptionError(ValueError):
    """A wrong option of a database: ``key`` is its name, which the message does not repeat."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


@implementer(INode)
@attrs.frozen(cache_hash=True)
class PGNode:
    """One database as one user.

    ``host`` is a name, an address or, with a leading ``/``, the folder of a Unix socket. What is None is left
    to libpq, which asks its environment variables and its password file. ``options`` are libpq's, as sorted
    pairs. With ``read_only`` it takes only what reads.
    """

    host: str
    port: int = DEFAULT_PORT
    dbname: str | None = None
    user: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    options: Options = attrs.field(default=(), repr=False)
    read_only: bool = False

    @property
    def reach(self) -> str:
        """Who else has the same database: see ``skitai.calls.sharing``."""
        return "machine" if self.host.startswith("/") or is_loopback(self.host) else ""

    #: The engine's name.
    dbtype = DB_PGSQL

    def __attrs_post_init__(self) -> None:
        for name in ("dbname", "user", "password"):
            if "\0" in (getattr(self, name) or ""):
                raise ValueError(f"{name} has a NUL character, which PostgreSQL does not take")

    @property
    def label(self) -> str:
        """``user@host:port/dbname``, without what is not known."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{self.user}@" if self.user else ""
        return f"{user}{host}:{self.port}" + (f"/{self.dbname}" if self.dbname else "")

    @property
    def is_socket(self) -> bool:
        """Whether it is reached through a Unix socket."""
        return self.host.startswith("/")

    def parameters(self) -> dict[str, str]:
        """Return what libpq connects with. It resolves the host, unless ``hostaddr`` is added."""
        given = {"dbname": self.dbname, "user": self.user, "password": self.password}
        found = {"host": self.host, "port": str(self.port), "client_encoding": "UTF8"}
        found.update({name: value for name, value in given.items() if value is not None})
        if not self.is_socket:
            found.update(_KEEPALIVES)
        found.update(self.options)
        if self.read_only:
            wanted = "-c default_transaction_read_only=on"
            found["options"] = f"{found['options']} {wanted}" if "options" in found else wanted
        return found


def node_of(
    server: str, dbname: str | None, user: str | None, password: str | None, folder: Path = Path()
) -> PGNode:
    """Return the node for the arguments of ``was.db``; ``server`` may be a URL, which has all of them.

    Raises ValueError, whose text holds no password.
    """
    if server.startswith(_URLS):
        if dbname is not None or user is not None or password is not None:
            raise ValueError("a URL has the database, the user and the password itself")
        return _of_url(server, (), folder)
    _check_scheme(server)
    if dbname is None and server.endswith(_SQLITE_FILES):
        raise ValueError(f"{server!r} looks like a file of SQLite: write was.db({server!r}, DB_SQLITE3)")
    if "/" in server and not server.startswith("/"):
        raise ValueError("a server is host[:port]: dbname, user and password are arguments of their own")
    host, port = _host_port(server)
    return PGNode(host, port, dbname, user, password)


def node_of_member(address: str, options: Mapping[str, str], folder: Path = Path()) -> PGNode:
    """Return the node of a member of a cluster with ``options``.

    ``address`` is ``host[:port]/dbname/user/password`` or a URL; the password may hold slashes. Raises
    ValueError, whose text holds no password; an OptionError names the key of the cluster.
    """
    written = dict(options)
    try:
        read_only = yes_no(written.pop("read_only", "no"))
    except ValueError as error:
        raise OptionError("read_only", str(error)) from error
    for name in sorted(PLACE & written.keys()):
        raise OptionError(name, "stands in each member: members = host:port/database/user/password")
    common = _options(written, folder)
    if address.startswith(_URLS):
        return attrs.evolve(_of_url(address, common, folder), read_only=read_only)
    _check_scheme(address)
    server, *rest = address.split("/", 3)
    dbname, user, password = (part or None for part in (*rest, "", "", "")[:3])
    if ":" in (user or "") or (server.count(":") > 1 and not server.startswith(("[", "/"))):
        raise ValueError("between the parts of host:port/dbname/user/password there are slashes")
    host, port = _host_port(server)
    return PGNode(host, port, dbname, user, password, common, read_only)


def check_files(node: PGNode, options: Mapping[str, str]) -> None:
    """Raise ValueError for a file of the node's options that is not there.

    It is an OptionError if the file is one of a cluster's ``options``.
    """
    for name, value in node.options:
        if name in _FILES and _is_path(value) and not os.path.exists(value):  # Path's one may raise
            text = f"{value} does not exist"
            raise OptionError(name, text) if name in options else ValueError(f"{name}: {text}")


def _of_url(url: str, common: Options, folder: Path) -> PGNode:
    try:
        parts = urlsplit(url)
        given = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:  # whose text may have a part of the password
        raise ValueError(_MALFORMED) from None
    if given.get("ssl") == "true":  # as JDBC has it; libpq takes it, too
        del given["ssl"]
        given["sslmode"] = "require"
    unknown = given.keys() - OPTIONS - PLACE
    if unknown:
        name = min(unknown)
        raise ValueError(f"{name}: unknown option in the URL: {nearest(name, OPTIONS | PLACE)}")
    place = {name: given.pop(name) for name in PLACE if name in given}
    host, port = _place_of_url(parts, place)
    try:
        own = _options(given, folder)
    except OptionError as error:
        raise ValueError(f"{error.key}: {error}") from None
    return PGNode(
        host,
        port,
        place.get("dbname") or unquote(parts.path[1:]) or None,
        place.get("user") or unquote(parts.username or "") or None,
        place.get("password") or unquote(parts.password or "") or None,
        tuple(sorted({**dict(common), **dict(own)}.items())),
    )


def _place_of_url(parts: SplitResult, place: Mapping[str, str]) -> tuple[str, int]:
    server = parts.netloc.rpartition("@")[2]
    if "," in server:
        raise ValueError("the URL has several hosts: write a cluster with a member for each")
    if server.startswith(":") or not server:
        server = place.get("host", "localhost") + server
    server = unquote(server)
    try:
        return _host_port(f"{server}:{place['port']}" if "port" in place else server)
    except ValueError:
        if "@" in parts.netloc:
            raise
        # Without it, what looks like a port may be a password with a slash.
        raise ValueError(_MALFORMED) from None


def _check_scheme(address: str) -> None:
    scheme, mark, _ = address.partition("://")
    if mark and scheme.replace("+", "").isalnum():  # otherwise it may have a part of a password
        raise ValueError(f"{scheme}:// is not known: a URL of PostgreSQL begins with postgresql://")


def _host_port(server: str) -> tuple[str, int]:
    if not server.startswith("/"):
        host, port = parse_host_port(server, DEFAULT_PORT)
        return host_name(host), port
    folder, colon, digits = server.rpartition(":")
    if not colon:
        return server, DEFAULT_PORT
    return folder, parse_host_port(f"socket:{digits}")[1]


def _options(given: Mapping[str, str], folder: Path) -> Options:
    found = dict(given)
    if found.get("sslmode", "prefer") not in _SSLMODES:
        raise OptionError("sslmode", f"{found['sslmode']!r} is not one of {', '.join(_SSLMODES)}")
    seconds = found.get("connect_timeout", "1")
    if not (seconds.isascii() and seconds.isdigit() and int(seconds)):
        raise OptionError("connect_timeout", f"{seconds!r} is not a whole number of seconds")
    found.update(_in_folder(found, folder))
    return tuple(sorted(found.items()))


def _in_folder(options: Mapping[str, str], folder: Path) -> Iterable[tuple[str, str]]:
    for name in _FILES & options.keys():
        if _is_path(options[name]):
            yield name, str(folder / Path(options[name]).expanduser())


def _is_path(value: str) -> bool:
    # "system" is not a file: libpq takes the authorities that the platform trusts.
    return bool(value) and value != "system"
