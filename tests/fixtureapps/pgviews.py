"""Views on a PostgreSQL, whose cluster is ``main`` and whose replica is ``replicas``."""

import json

from skitai import was


def execute(sql, params=None, server="@main"):
    return was.db(server).execute(sql, params)


def order(number):
    """Take from the stock in a transaction, which some undo."""
    with was.db.transaction("@main") as tx:
        left = tx.execute("select left_ from stock for update").getwait(20).scalar()
        tx.execute("update stock set left_ = %s", (left - 1,))
        tx.execute("insert into orders values (%s)", (number,))
        if number % 3 == 0:
            raise ZeroDivisionError
    return "ordered"


def app(environ, start_response):
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    if path == "/make":
        script = "drop table if exists stock, orders; create table stock (left_ int);"
        execute(f"{script} create table orders (n int); insert into stock values (1000)").getwait(
            10
        ).reraise()
        body = "made"
    elif path == "/order":
        try:
            body = order(int(query))
        except ZeroDivisionError:
            body = "undone"
    elif path == "/state":
        row = execute("select (select left_ from stock), count(*) as n from orders").getwait(10).first()
        body = f"{row.left_} {row.n}"
    elif path == "/endless":
        body = execute("select pg_sleep(60)").getwait(float(query)).msg
    elif path == "/replica":
        body = execute("insert into orders values (0)", server="@replicas").getwait(10).msg
    elif path == "/status":
        body = json.dumps(was.status(fancy=False), default=str)
    elif path == "/listen":
        with was.db.listen("@main", "news") as notes:
            notes.wait()
            execute("select pg_notify('news', %s)", ("hello",))
            body = notes.get(10).payload
    else:
        body = "pong"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]
