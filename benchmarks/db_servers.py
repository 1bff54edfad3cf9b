"""What is measured of databases: one `Server` for each row of the report."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.postgres import ANSWER, MEMBERS
from benchmarks.servers import Server, gunicorn, skitai, uvicorn

SELECTS = 3
SUM, ONE = f"{SELECTS * ANSWER}\n".encode(), f"{ANSWER}\n".encode()
LIMIT = 50
FOUR = "\n[@four]\ntype = postgresql\nmembers = " + ", ".join(
    f"127.0.0.1:{{database_port}}/tests{number}/tester" for number in range(MEMBERS)
)
FIFTY = f"\n[postgresql]\npool_max = {LIMIT}\npool_wait = 30\n"


def gthread(threads: int, prefix: str, drivers: str, package: str, app: str, body: bytes) -> Server:
    """Return the row for Flask with that many of gunicorn's threads."""
    settings = ("--worker-class", "gthread", "--threads", str(threads), "--env", f"THREADS={threads}")
    label = f"gthread, {threads} threads, Flask + {drivers}"
    row = gunicorn(f"{prefix}-gthread-{threads}", label, *settings, app=f"db_flask:{app}", body=body)
    return replace(row, package=package)


def starlette(loop: str, app: str, how: str) -> Server:
    """Return a row for Starlette with asyncpg's pool on that event loop."""
    name, label = f"db-starlette-{loop}-{app}", f"Starlette + asyncpg, {loop}, {how}"
    return replace(uvicorn(name, label, loop, app=f"db_asgi:{app}", body=SUM), package="asyncpg")


POSTGRESQL = (
    skitai(0, "db_skitai:flask", "db-skitai", "Skitai + Flask, was.db", SUM),
    skitai(4, "db_skitai:flask", "db-skitai", "Skitai + Flask, was.db", SUM),
    skitai(0, "db_skitai:saddle", "db-saddle", "Skitai + Saddle, was.db", SUM),
    skitai(0, "db_skitai:plain", "db-plain", "Skitai, plain WSGI, was.db", SUM),
    gthread(4, "db", "psycopg_pool", "psycopg", "postgresql", SUM),
    gthread(64, "db", "psycopg_pool", "psycopg", "postgresql", SUM),
    *(
        starlette(loop, app, how)
        for loop in ("asyncio", "uvloop")
        for app, how in (("in_turn", "in turn"), ("at_once", "at once"))
    ),
)

SQLITE = (
    skitai(0, "db_skitai:sqlite", "sqlite-skitai", "Skitai + Flask, SQLite", ONE),
    skitai(4, "db_skitai:sqlite", "sqlite-skitai", "Skitai + Flask, SQLite", ONE),
    gthread(4, "sqlite", "sqlite3", "gunicorn", "sqlite", ONE),
)

MAP = skitai(0, "db_skitai:flask", "db-map", "Skitai + Flask", SUM, FOUR)
WAITING = skitai(0, "db_skitai:flask", "db-waiting", "Skitai + Flask", SUM, FIFTY)
