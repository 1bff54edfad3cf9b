"""Executing a statement for many rows in few round trips."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from skitai.services.db.query import Params, Query
from skitai.services.postgresql.placeholders import check_places
from skitai.services.postgresql.values import adapted

#: Bytes of one message to the server; a row that is longer has one for itself.
_MESSAGE_MAX = 1 << 18
#: Rows of one message: their text is made in one turn of the reactor.
_ROWS_MAX = 1000

#: INSERT ... VALUES (...) whose values are nothing but placeholders and constants: then several rows in one
#: statement do the same as several statements. It has no ON CONFLICT DO UPDATE, which may meet each row once.
#: No part gives back what it has taken, so the time that it takes grows no faster than the statement.
_INSERT = re.compile(
    r"""(?P<head>\s*+insert\s++into\s++[\w."]++\s*+(?:\([\w\s,"]*+\)\s*+)?values\s*+)
        (?P<row>\((?:
            \s*+(?:%s|%\(\w++\)s|default|null|true|false|-?\d++)\s*+(?:::\s*+[\w\[\]]++\s*+)?(?:,|(?=\)))
        )++\))
        (?P<tail>(?:\s*+on\s++conflict\s*+(?:\([\w\s,"]*+\)\s*+)?do\s++nothing)?)\s*+;?\s*+""",
    re.IGNORECASE | re.VERBOSE,
)


@attrs.frozen
class Message:
    """What is sent at once. If ``counted``, the server tells how many rows all of it has changed."""

    sql: bytes
    counted: bool


def messages_of(cursor: Any, query: Query) -> Iterator[Message]:
    """Yield what executes the statement for all rows. Raises what psycopg2 raises for wrong parameters."""
    assert query.rows is not None
    if query.rows and "%" not in query.sql:
        check_places(query.sql, query.rows[0])
    insert = _INSERT.fullmatch(query.sql)
    if insert is not None:
        head, tail = (cursor.mogrify(insert[part]) if insert[part] else b"" for part in ("head", "tail"))
        for page in _pages(cursor, insert["row"], query.rows):
            yield Message(head + b", ".join(page) + tail, True)
    else:
        for page in _pages(cursor, query.sql, query.rows):
            # A line end, because the statement may end with a comment.
            yield Message(b"\n;".join(page), len(page) == 1)


def _pages(cursor: Any, sql: str, rows: Sequence[Params]) -> Iterator[list[bytes]]:
    page: list[bytes] = []
    length = 0
    for row in rows:
        text = cursor.mogrify(sql, adapted(row))
        if page and (length + len(text) > _MESSAGE_MAX or len(page) >= _ROWS_MAX):
            yield page
            page, length = [], 0
        page.append(text)
        length += len(text)
    if page:
        yield page


async def execute_many(
    messages: Iterator[Message],
    send: Callable[[bytes], Deferred[int]],
    commit: Callable[[], Awaitable[None]],
    begin: bool,
) -> int:
    """Send ``messages``, all or none; return how many rows were changed, -1 if that is unknown.

    ``send`` fires with the count of the last statement of a message. With ``begin`` no transaction is open:
    several messages then get one of their own, which ``commit`` ends.
    """
    message, following = next(messages, None), next(messages, None)
    if message is None:
        return 0
    if not begin or following is None:
        return await _send_all(message, following, messages, send)
    await send(b"BEGIN")
    try:
        total = await _send_all(message, following, messages, send)
    except Exception:
        with suppress(Exception):  # the app has to know what came first, such as that the connection was lost
            await send(b"ROLLBACK")
        raise
    await commit()
    return total


async def _send_all(
    message: Message | None,
    following: Message | None,
    messages: Iterator[Message],
    send: Callable[[bytes], Deferred[int]],
) -> int:
    total = 0
    while message is not None:
        changed = await send(message.sql)
        total = total + changed if message.counted and total >= 0 else -1
        message, following = following, next(messages, None)
    return total
