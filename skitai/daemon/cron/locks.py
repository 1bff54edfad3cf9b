"""Which of several hosts runs a job: the first that says so to a Redis or a PostgreSQL which all reach.

What is kept is the time at which the job was due, not only a lock: a host that is late must not run it again.
"""

from __future__ import annotations

import importlib.util
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from skitai.config.forms import form
from skitai.errors import SkitaiError

#: Seconds that the server may take for each step.
_PATIENCE_SECONDS = 5
#: How long Redis remembers: longer than a job may be late.
_REMEMBERED_SECONDS = 12 * 3600
_REDIS_PORT = 6379
_PREFIX = "skitai:cron:"
_DRIVERS = {"redis": "hiredis", "rediss": "hiredis", "postgresql": "psycopg2", "postgres": "psycopg2"}
_EXTRAS = {"hiredis": "redis", "psycopg2": "postgresql"}
_PASSWORD = re.compile(r"(?<=:)[^:@/]*(?=@)")
_TABLE = "skitai_cron"
#: The number of the lock under which the table is made: two hosts may do so at once.
_MAKING = 0x736B6974


class LockError(SkitaiError):
    """It cannot be found out who is to run a job."""


class Lock(Protocol):
    """What all hosts ask."""

    #: What it is called in the log.
    name: str

    def take(self, job: str, due: int, host: str) -> bool:
        """Return whether ``host`` is the first that is to run ``job``, due at so many seconds of the epoch.

        Raises LockError. Called in any thread; waits for the server.
        """


@form("URL or `off`", "redis://127.0.0.1:6379/0")
def lock_url(value: str) -> str:
    """Cast the address of a server that has locks; the empty text for ``off``. Raises ValueError."""
    if value.lower() == "off":
        return ""
    scheme = urlsplit(value).scheme
    driver = _DRIVERS.get(scheme)
    if driver is None or not urlsplit(value).hostname:
        raise ValueError(
            "must be redis://HOST:PORT/NUMBER, rediss:// for TLS, postgresql://HOST/DATABASE, or off"
        )
    if importlib.util.find_spec(driver) is None:
        raise ValueError(f"needs {driver}: pip install 'skitai[{_EXTRAS[driver]}]'")
    return value


def make_lock(url: str) -> Lock:
    """Return the lock at ``url``, which ``lock_url`` has let pass."""
    return RedisLock(url) if _DRIVERS[urlsplit(url).scheme] == "hiredis" else PostgresLock(url)


def _shown(url: str) -> str:
    return _PASSWORD.sub("***", url)


class RedisLock:
    """Sets a key for each job and time, if it is not there (SET NX)."""

    def __init__(self, url: str) -> None:
        self.name = _shown(url)
        self._parts = urlsplit(url)

    def take(self, job: str, due: int, host: str) -> bool:
        """See ``Lock``."""
        try:
            with self._connected() as ask:
                if self._parts.password is not None:
                    user = [unquote(self._parts.username)] if self._parts.username else []
                    ask("AUTH", *user, unquote(self._parts.password))
                if number := self._parts.path.strip("/"):
                    ask("SELECT", number)
                answer = ask("SET", f"{_PREFIX}{job}:{due}", host, "NX", "EX", str(_REMEMBERED_SECONDS))
        except OSError as error:
            raise LockError(str(error)) from error
        return answer is not None

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        import hiredis

        address = self._parts.hostname, self._parts.port or _REDIS_PORT
        end = socket.create_connection(address, _PATIENCE_SECONDS)
        with closing(end):
            if self._parts.scheme == "rediss":
                end = ssl.create_default_context().wrap_socket(end, server_hostname=self._parts.hostname)
            reader = hiredis.Reader(encoding="utf-8", errors="replace")

            def ask(*words: Any) -> Any:
                end.sendall(hiredis.pack_command(words))
                while (answer := reader.gets()) is False:
                    data = end.recv(4096)
                    if not data:
                        raise OSError("the connection was closed")
                    reader.feed(data)
                if isinstance(answer, hiredis.ReplyError):
                    raise OSError(str(answer))
                return answer

            yield ask


class PostgresLock:
    """Keeps a row for each job, with the last time for which somebody ran it."""

    def __init__(self, url: str) -> None:
        self.name = _shown(url)
        self._url = url

    def take(self, job: str, due: int, host: str) -> bool:
        """See ``Lock``."""
        import psycopg2

        try:
            limit = f"-c statement_timeout={_PATIENCE_SECONDS}s"
            opened = psycopg2.connect(self._url, connect_timeout=_PATIENCE_SECONDS, options=limit)
            with closing(opened) as connection, connection, connection.cursor() as cursor:
                return self._take(cursor, job, due, host)
        except psycopg2.Error as error:
            raise LockError(" ".join(str(error).split())) from error

    def _take(self, cursor: Any, job: str, due: int, host: str) -> bool:
        cursor.execute("select to_regclass(%s)", [_TABLE])
        if cursor.fetchone()[0] is None:
            cursor.execute("select pg_advisory_xact_lock(%s)", [_MAKING])
            cursor.execute(
                f"create table if not exists {_TABLE}"
                " (job text primary key, due bigint not null, host text not null,"
                " taken timestamptz default now())"
            )
        cursor.execute(
            f"insert into {_TABLE} as kept (job, due, host) values (%s, %s, %s)"  # noqa: S608 - a constant
            " on conflict (job) do update set due = excluded.due, host = excluded.host, taken = now()"
            " where kept.due < excluded.due",
            [job, due, host],
        )
        return bool(cursor.rowcount)
