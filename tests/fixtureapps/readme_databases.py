"""The examples of the README's chapters on databases, each a Flask view that runs as it is printed."""

import os

from flask import Flask, request

from skitai import DB_PGSQL, DB_SQLITE3, was

app = Flask(__name__)
SERVER, DBNAME, USER = os.environ["TEST_DATABASE"].split()


@app.route("/simple")
def simple():
    s = was.db(SERVER, DBNAME, USER, "password")
    s.execute("SELECT * FROM weather;")
    result = s.getwait(2)
    return was.tojson([result.status, result.data[0]["city"], [row.city for row in result]])


@app.route("/load-balancing")
def load_balancing():
    s = was.db.lb("@mydb")
    s.execute("INSERT INTO CITIES VALUES ('New York');")
    s.wait(2)  # no return, just wait for completing query, if failed exception will be raised

    s = was.db.lb("@mydb")
    s.execute("SELECT * FROM CITIES;")
    result = s.getwait(2)
    return was.tojson([result.status, result.data])


@app.route("/map")
def map_reducing():
    s = was.db.map("@mydb")
    s.execute("SELECT * FROM CITIES;")

    results = s.getswait(2)
    all_results = []
    for result in results:
        if result.status == 3:
            all_results.append(result.data)
    return was.tojson(all_results)


@app.route("/wrong")
def wrong():
    """What wait() raises for a wrong statement, and what reraise() does."""
    found = []
    for s in (was.db.lb("@mydb"), was.db("wrong.db", DB_SQLITE3)):
        s.execute("SELECT * FROM nowhere;")
        result = s.getwait(2)
        for raising in (s.wait, result.reraise):
            try:
                raising()
            except Exception as error:
                found.append([result.status, result.code, result.data, type(error).__name__])
    return was.tojson(found)


@app.route("/methods")
def methods():
    """Every line of the list; of several arguments the last ones may be left out."""
    place = (SERVER, DBNAME, USER, "password")
    calls = [
        was.db(*place, DB_PGSQL, True),
        was.db(*place, dbtype="postgresql", use_cache=False),
        was.db.lb(*place, "postgresql", True),
        was.db.map(*place),
        was.db("@mydb", use_cache=True),
        was.db.lb("@mydb", use_cache=False),
        was.db.map("@mydb", use_cache=True),
    ]
    for call in calls:
        call.execute("SELECT 1 AS one")
    return was.tojson([[result.data for result in call.getswait(2)] for call in calls])


@app.route("/sqlite")
def sqlite():
    s = was.db("sqlite3.db", DB_SQLITE3)
    s.execute("""
      drop table if exists people;
      create table people (name_last, age);
      insert into people values ('Cho', 42);
    """)
    # result is not needed use wait(), and if failed, excpetion will be raised
    s.wait(5)

    s = was.db("sqlite3.db", DB_SQLITE3)
    s.execute("select * from people;")
    result = s.getwait(2)
    return was.tojson([result.status, result.data])


@app.route("/sqlite-cluster")
def sqlite_cluster():
    """Each of two files has its rows; one of them or both are asked."""
    s = was.db.map("@mysqlite3")
    s.execute("create table if not exists visits (path); insert into visits values ('/')")
    s.wait(5)
    one = was.db.lb("@mysqlite3")
    one.execute("select * from visits")
    both = was.db.map("@mysqlite3")
    both.execute("select * from visits")
    return was.tojson([one.getwait(2).data, [result.data for result in both.getswait(2)]])


@app.route("/cached", methods=["GET", "POST"])
def cached():
    has_new_data = False
    if request.method == "POST":
        has_new_data = True

    s = was.db.lb("@mydb", use_cache=not has_new_data and True or False)  # noqa: RUF021 - as printed
    s.execute("select nextval('visits')")
    result = s.getwait(2)
    result.cache(60)

    s = was.db.map("@mydb", use_cache=not has_new_data)
    s.execute("select nextval('visits'), 'everywhere'")
    results = s.getswait(2)
    results.cache(60)
    return was.tojson([result.scalar(), result.is_cached, [each.scalar() for each in results]])


@app.route("/failed-once")
def failed_once():
    """A statement that fails until its table is there; the result of a failure is not kept."""
    s = was.db.lb("@mydb")
    s.execute("select * from later")
    result = s.getwait(2)
    result.cache(60)
    return was.tojson([result.status, result.is_cached])
