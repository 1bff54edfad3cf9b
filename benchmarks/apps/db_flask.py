"""The views of databases as they are written for threads: Flask, with psycopg's pool or with sqlite3."""

import os
import sqlite3
import threading

from flask import Flask
from items import DATABASE, SELECT, SELECTS, SQLITE, any_id
from psycopg_pool import ConnectionPool

THREADS = int(os.environ.get("THREADS", "4"))

postgresql = Flask(__name__)
# Without autocommit each view would have a BEGIN and a COMMIT, too.
pool = ConnectionPool(DATABASE, min_size=THREADS, max_size=THREADS, kwargs={"autocommit": True}, open=True)


@postgresql.route("/")
def three():
    with pool.connection() as connection:
        rows = [connection.execute(SELECT.format("%s"), (any_id(),)).fetchone() for _ in range(SELECTS)]
    return f"{sum(answer for _, _, answer in rows)}\n"


sqlite = Flask(__name__)
local = threading.local()


@sqlite.route("/")
def one():
    if not hasattr(local, "connection"):
        local.connection = sqlite3.connect(SQLITE)
    _, _, answer = local.connection.execute(SELECT.format("?"), (any_id(),)).fetchone()
    return f"{answer}\n"
