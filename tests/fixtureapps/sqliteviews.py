"""Views on a file of SQLite beside the config."""

import os
import threading

from skitai import DB_SQLITE3, was

ENDLESS = "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c"


def execute(sql, params=None):
    return was.db("shop.db", DB_SQLITE3).execute(sql, params)


def order(number):
    """Take from the stock in a transaction, which some undo."""
    with was.db.transaction("shop.db", DB_SQLITE3) as tx:
        left = tx.execute("select left from stock").getwait(20).scalar()
        tx.execute("update stock set left = ?", (left - 1,))
        tx.execute("insert into orders values (?)", (number,))
        if number % 3 == 0:
            raise ZeroDivisionError
    return "ordered"


def app(environ, start_response):
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    if path == "/make":
        script = "drop table if exists stock; drop table if exists orders; create table stock (left);"
        execute(f"{script} create table orders (number); insert into stock values (1000)").wait(10)
        body = "made"
    elif path == "/order":
        try:
            body = order(int(query))
        except ZeroDivisionError:
            body = "undone"
    elif path == "/state":
        row = (
            execute("select (select left from stock) as left, count(*) as n from orders").getwait(10).first()
        )
        body = f"{row.left} {row.n}"
    elif path == "/endless":
        body = execute(ENDLESS).getwait(float(query)).msg
    elif path == "/threads":
        body = f"{threading.current_thread().name} {was.status(fancy=False)['SQLite, threads']['running']}"
    elif path == "/die":
        with was.db.transaction("shop.db", DB_SQLITE3) as tx:
            tx.execute("delete from orders").wait(10)
            os.kill(os.getpid(), 9)
    else:
        body = "pong"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]
