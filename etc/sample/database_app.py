"""A plain WSGI app over two databases: SQLite's out of the box, PostgreSQL's if sample.conf names these."""

import re
import time
from http import HTTPStatus
from urllib.parse import parse_qs

import pages

from skitai import was
from skitai.errors import OperationError

#: The cluster of sample.conf, and how each kind of database writes the place of a value.
WAREHOUSES = "@warehouses"
PLACES = {"sqlite3": "?", "postgresql": "%s"}
KINDS = {"sqlite3": "SQLite", "postgresql": "PostgreSQL"}
#: Seconds that the page waits for a result; kettles that a warehouse has room for; letters of a name.
PATIENCE, ROOM, LONGEST = 2, 6, 40

NORMAL = 3

SET_UP = """
    create table if not exists kettles (name text, delivered double precision);
    insert into kettles select 'House kettle', 0 where not exists (select * from kettles);
"""
LIST = "select name from kettles order by delivered desc"
#: It takes a while, on purpose.
COUNT = """
    with recursive pile(n) as (select 1 union all select n + 1 from pile where n < 200000)
    select count(*) as counted from pile
"""
DELIVER = "insert into kettles values ({place}, {place})"
THROW_AWAY = f"""
    delete from kettles where delivered < (
        select min(delivered) from (select * from kettles order by delivered desc limit {ROOM}) newest
    )
"""


def app(environ, start_response):
    """Show both databases, or put a kettle into one of them."""
    if environ["REQUEST_METHOD"] == "POST":
        return pages.answer(start_response, *deliver(environ))
    return pages.answer(start_response, HTTPStatus.OK, show())


def deliver(environ):
    """Put the kettle of the form into the warehouse with the least work, and throw the oldest ones away."""
    form = parse_qs(environ["wsgi.input"].read(1000).decode("latin-1"))
    name = form.get("name", [""])[0].strip()
    if not name.isprintable() or not 0 < len(name) <= LONGEST:
        return complain(HTTPStatus.BAD_REQUEST, f"A kettle has a name of 1 to {LONGEST} letters.")
    statement = DELIVER.format(place=PLACES[was.cluster(WAREHOUSES).type])
    try:
        set_up()
        with was.db.transaction(WAREHOUSES) as tx:  # both or none; the end of the block commits
            tx.execute(statement, (name, time.time()))
            tx.execute(THROW_AWAY)
    except OperationError as error:
        return complain(HTTPStatus.SERVICE_UNAVAILABLE, f"No warehouse takes it: {error.message}.")
    return HTTPStatus.SEE_OTHER, "", environ["SCRIPT_NAME"] or "/"


def complain(status, explanation):
    """Return a page that says what went wrong."""
    values = {"code": status.value, "title": status.phrase, "explanation": explanation}
    return status, pages.render("message.html", **values), None


def set_up():
    """Create what is missing in each database. One that does not answer says so again when it is asked."""
    was.db.map(WAREHOUSES).execute(SET_UP).getswait(PATIENCE)


def show():
    """Ask both databases two things at once, and note when each result comes."""
    began = time.monotonic()
    set_up()
    set_up_after = time.monotonic() - began

    kettles = was.db.map(WAREHOUSES).execute(LIST)
    counts = was.db.map(WAREHOUSES).execute(COUNT)
    came_after = {
        id(result): time.monotonic() - began for result in was.as_completed([kettles, counts], PATIENCE)
    }

    cluster = was.cluster(WAREHOUSES)
    members = list(zip(cluster.members, kettles.getswait(), counts.getswait(), strict=True))
    # Who did what, with which result, from when to when.
    steps = [(name_of(member), "sets up", NORMAL, 0, set_up_after) for member, *_ in members]
    for verb, column in (("lists", 1), ("counts", 2)):
        for found in members:
            result = found[column]
            steps.append((name_of(found[0]), verb, result.status, set_up_after, came_after[id(result)]))
    return pages.render(
        "database.html",
        kind=KINDS[cluster.type],
        members=[(name_of(member), member, listed) for member, listed, _ in members],
        count=len(kettles.getswait().rows()),
        steps=steps,
        seconds=time.monotonic() - began,
        longest=LONGEST,
        room=ROOM,
    )


def name_of(member):
    """Return the last part of a member's address, such as that of a file."""
    return re.split(r"[/:@]", member.label)[-1].removesuffix(".db").capitalize()
