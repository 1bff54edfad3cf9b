"""What views ask: a PostgreSQL of the benchmarks' own and a file of SQLite, with the same rows."""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.process import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.process import Placement

ROWS = 10_000
ANSWER = 42
TABLE = "CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL, answer int NOT NULL)"
#: As many databases as a map asks; they are called tests0, tests1, ...
MEMBERS = 4


@contextmanager
def databases(placement: Placement) -> Iterator[Placement]:
    """Run a PostgreSQL on the client's core, and write the file; yield the placement that knows both."""
    sys.path.append(str(REPOSITORY / "tests"))
    from databases import Postgres

    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as folder,
        tempfile.TemporaryDirectory(prefix="benchmark-") as files,
    ):
        with on_core(placement.client_core):
            server = Postgres(Path(folder))
        try:
            fill_postgres(server)
            file = Path(files) / "items.db"
            fill_sqlite(file)
            yield replace(placement, database_port=server.port, sqlite=file)
        finally:
            server.stop()


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Have the processes that are started in the block run on that core, and those that they start."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def fill_postgres(server) -> None:
    """Make the table and the databases of the map."""
    import psycopg

    for _ in range(MEMBERS):
        server.make_database()
    with psycopg.connect(server.uri(), autocommit=True) as connection:
        connection.execute(TABLE)
        connection.execute(
            f"INSERT INTO items SELECT id, 'item ' || id, {ANSWER} FROM generate_series(1, {ROWS}) AS id"
        )
        connection.execute("VACUUM ANALYZE items")  # or the server would do it while it is measured


def fill_sqlite(file: Path) -> None:
    """Make the table in a file with a write-ahead log, as Skitai's files have."""
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute(TABLE)
    rows = ((number, f"item {number}", ANSWER) for number in range(1, ROWS + 1))
    connection.executemany("INSERT INTO items VALUES (?, ?, ?)", rows)
    connection.commit()
    connection.close()
