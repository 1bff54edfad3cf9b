"""A view for each driver of a database. They know of no greenlets.

Each takes what the request sent and for how many seconds it is to wait.
"""

import os
from functools import partial
from urllib.parse import parse_qs

import psycopg
import psycopg2
import redis
from sqlalchemy import create_engine, text
from sqlalchemy.orm import scoped_session, sessionmaker

from skitai import was

URI = os.environ["TEST_PG_URI"]
UPSTREAM = os.environ["TEST_UPSTREAM"]


def sessions(driver):
    """Return the session of each request, over a pool that is smaller than the number of requests."""
    uri = URI.replace("postgresql:", f"postgresql+{driver}:")
    return scoped_session(sessionmaker(create_engine(uri, pool_size=20, max_overflow=0, pool_timeout=60)))


def setup(sent, seconds):
    """Create the table of ``through_sqlalchemy``, whose engines meet their first requests all at once."""
    with psycopg.connect(URI) as connection:
        connection.execute("create table note (number integer)")
    return "made"


def through_psycopg2(sent, seconds):
    """Sleep in the database."""
    connection = psycopg2.connect(URI)
    try:
        cursor = connection.cursor()
        cursor.execute("select %s, pg_sleep(%s)", [sent, seconds])
        return cursor.fetchone()[0]
    finally:
        connection.close()


def through_psycopg(sent, seconds):
    """Sleep in the database."""
    with psycopg.connect(URI) as connection:
        return connection.execute("select %s, pg_sleep(%s)", [sent, seconds]).fetchone()[0]


def through_sqlalchemy(session, sent, seconds):
    """Write a row, wait for another machine, and keep the row of an even number only."""
    number = {"number": int(sent)}
    try:
        session.execute(text("insert into note values (:number)"), number)
        assert was.get(f"{UPSTREAM}?sent={sent}&seconds={seconds}").getwait(60).text == sent
        mine = session.scalar(text("select count(*) from note where number = :number"), number)
        if int(sent) % 2:
            session.rollback()
            return f"cancelled {mine}"
        session.commit()
        return f"kept {mine}"
    finally:
        session.remove()


class Cancelled(Exception):
    """Ends a transaction without its changes."""


def through_both(session, sent, seconds):
    """Write a row by SQLAlchemy and, while that waits, its negative by ``was.db``; keep both or none."""
    number = int(sent)
    try:
        with session.begin(), was.db.transaction(URI) as tx:
            session.execute(text("insert into note values (:number)"), {"number": number})
            tx.execute("insert into note values (%s)", (-number,))
            tx.execute("select pg_sleep(%s)", (float(seconds),))
            seen = tx.execute("select count(*) from note where abs(number) = %s", (number,))
            mine = seen.getwait(60, reraise=True).scalar()
            if number % 2:
                raise Cancelled
    except Cancelled:
        return f"cancelled {mine}"
    finally:
        session.remove()
    return f"kept {mine}"


def notes(sent, seconds):
    """Return the numbers of all rows."""
    with psycopg.connect(URI) as connection:
        return " ".join(str(row[0]) for row in connection.execute("select number from note order by 1"))


def through_redis(sent, seconds):
    """Wait for what somebody pushes to a list of this request."""
    client = redis.Redis(port=int(os.environ["TEST_REDIS_PORT"]))
    try:
        return client.blpop(f"list-{sent}", timeout=60)[1].decode()
    finally:
        client.close()


SESSIONS = {driver: sessions(driver) for driver in ("psycopg2", "psycopg")}
VIEWS = {
    "/setup": setup,
    "/psycopg2": through_psycopg2,
    "/psycopg": through_psycopg,
    "/sqlalchemy/psycopg2": partial(through_sqlalchemy, SESSIONS["psycopg2"]),
    "/sqlalchemy/psycopg": partial(through_sqlalchemy, SESSIONS["psycopg"]),
    "/both": partial(through_both, SESSIONS["psycopg2"]),
    "/notes": notes,
    "/redis": through_redis,
    "/ping": lambda sent, seconds: "pong",
}


def app(environ, start_response):
    asked = parse_qs(environ["QUERY_STRING"])
    sent, seconds = asked.get("sent", [""])[0], asked.get("seconds", ["0"])[0]
    body = VIEWS[environ["PATH_INFO"]](sent, seconds)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]
