"""A view for each driver of a database. They know of no greenlets."""

import os

import psycopg
import psycopg2
import redis
from sqlalchemy import create_engine, text
from sqlalchemy.orm import scoped_session, sessionmaker

from skitai import was

URI = os.environ["TEST_PG_URI"]
UPSTREAM = os.environ["TEST_UPSTREAM"]
#: Seconds that a query takes which sleeps in the database.
SECONDS = float(os.environ["TEST_SECONDS"])
ENGINE = create_engine(URI.replace("postgresql:", "postgresql+psycopg2:"), pool_size=100, max_overflow=100)
session = scoped_session(sessionmaker(ENGINE))


def setup(_):
    """Create the table of ``through_sqlalchemy``."""
    with ENGINE.begin() as connection:
        connection.execute(text("create table note (number integer)"))
    return "made"


def through_psycopg2(number):
    """Sleep in the database."""
    connection = psycopg2.connect(URI)
    try:
        cursor = connection.cursor()
        cursor.execute("select %s, pg_sleep(%s)", [number, SECONDS])
        return cursor.fetchone()[0]
    finally:
        connection.close()


def through_psycopg(number):
    """Sleep in the database."""
    with psycopg.connect(URI) as connection:
        return connection.execute("select %s, pg_sleep(%s)", [number, SECONDS]).fetchone()[0]


def through_sqlalchemy(number):
    """Write a row, wait for another machine, and keep the row of an even number only."""
    try:
        session.execute(text("insert into note values (:number)"), {"number": int(number)})
        assert was.get(f"{UPSTREAM}?{number}").getwait(60).data == number.encode()
        seen = session.execute(text("select count(*) from note where number = :n"), {"n": int(number)})
        count = seen.scalar()
        if int(number) % 2:
            session.rollback()
        else:
            session.commit()
        return str(count)
    finally:
        session.remove()


def notes(_):
    """Return the numbers of all rows."""
    with ENGINE.connect() as connection:
        return " ".join(str(row[0]) for row in connection.execute(text("select number from note order by 1")))


def through_redis(number):
    """Wait for what somebody pushes to a list of this request."""
    client = redis.Redis(port=int(os.environ["TEST_REDIS_PORT"]))
    try:
        return client.blpop(f"list-{number}", timeout=60)[1].decode()
    finally:
        client.close()


VIEWS = {
    "/setup": setup,
    "/psycopg2": through_psycopg2,
    "/psycopg": through_psycopg,
    "/sqlalchemy": through_sqlalchemy,
    "/notes": notes,
    "/redis": through_redis,
    "/ping": lambda _: "pong",
}


def app(environ, start_response):
    body = VIEWS[environ["PATH_INFO"]](environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]
