"""The views of databases for Skitai: three SELECTs at once, one of SQLite, and what waits."""

import itertools

from flask import Flask
from items import DATABASE, SELECT, SELECTS, SQLITE, any_id

from skitai import DB_SQLITE3, was
from skitai.saddle import Saddle

SQL = SELECT.format("%s")
SQLITE_SQL = SELECT.format("?")
SLEEP = "SELECT pg_sleep(0.05)"
SLOW = "SELECT extract(epoch FROM clock_timestamp())::float8 AS began, pg_sleep(1)"
numbers = itertools.count()

flask = Flask(__name__)


def three():
    calls = [was.db(DATABASE).execute(SQL, (any_id(),)) for _ in range(SELECTS)]
    return f"{sum(call.getwait(10).first().answer for call in calls)}\n"


@flask.route("/")
def view():
    return three()


@flask.route("/ping")
def ping():
    return "pong\n"


@flask.route("/one")
def one():
    was.db.lb("@four").execute(SLEEP).getwait(10).reraise()
    return "1\n"


@flask.route("/map")
def four():
    results = was.db.map("@four").execute(SLEEP).getswait(10)
    return f"{len(results.rows())}\n"


@flask.route("/slow")
def slow():
    number = next(numbers)
    row = was.db(DATABASE).execute(SLOW).getwait(60).first()
    return f"{number} {row.began:.6f}\n"


saddle = Saddle(__name__)


@saddle.route("/")
def saddle_view(_was):
    return three()


def plain(_environ, start_response):
    body = three().encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


sqlite = Flask(__name__)


@sqlite.route("/")
def one_of_sqlite():
    row = was.db(SQLITE, DB_SQLITE3).execute(SQLITE_SQL, (any_id(),)).getwait(10).first()
    return f"{row.answer}\n"
