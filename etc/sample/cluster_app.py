"""A plain WSGI app that asks a cluster: the least busy member, all of them, and one that keeps its answer."""

import time
from collections import Counter
from http import HTTPStatus
from urllib.parse import parse_qs

import pages
from bakeries import BAKERIES, street

from skitai import was

#: Requests that the page sends to the least busy member.
LOAVES = 12
#: Seconds that an answer is kept, and that the page waits for one.
KEPT, PATIENCE = 15, 2

NORMAL = 3


def app(environ, start_response):
    """Show the cluster, or open and shut one of its members."""
    if environ["REQUEST_METHOD"] == "POST":
        return pages.answer(start_response, *toggle(environ))
    return pages.answer(start_response, HTTPStatus.OK, show())


def toggle(environ):
    """Open the bakery that the form names if it is shut, and shut it if it is open."""
    form = parse_qs(environ["wsgi.input"].read(1000).decode("latin-1"))
    by_port = {str(port): bakery for port, bakery in street.bakeries().items()}
    bakery = by_port.get(form.get("port", [""])[0])
    if bakery is None:
        values = {"code": 400, "title": "Bad Request", "explanation": "There is no such bakery."}
        return HTTPStatus.BAD_REQUEST, pages.render("message.html", **values), None
    if bakery.is_open:
        bakery.shut()
    else:
        bakery.open()
    return HTTPStatus.SEE_OTHER, "", environ["SCRIPT_NAME"] or "/"


def show():
    """Ask everything at once, then pick the answers up and draw them."""
    bakeries = street.bakeries()
    began = time.monotonic()
    loaves = [was.get.lb("@bakery/loaf", use_cache=False) for _ in range(LOAVES)]
    everybody = was.get.map("@bakery/stock", use_cache=False)

    special_began = time.monotonic()
    kept = was.get.lb("@bakery/special").getwait(PATIENCE)
    special_seconds = time.monotonic() - special_began
    if not kept.is_cached:
        kept.cache(KEPT)
    answers = [call.getwait(PATIENCE) for call in loaves]
    return pages.render(
        "cluster.html",
        bakeries=bakeries,
        members=was.cluster("@bakery").members,
        shares=Counter(baker(result) for result in answers if result.status == NORMAL),
        lost=sum(result.status != NORMAL for result in answers),
        loaves=LOAVES,
        everybody=zip(BAKERIES.values(), everybody.getswait(PATIENCE), strict=True),
        special=was.fromjson(kept.data) if kept.status == NORMAL else None,
        special_seconds=special_seconds,
        is_cached=kept.is_cached,
        kept=KEPT,
        seconds=time.monotonic() - began,
    )


def baker(result):
    """Return the name of the bakery that answered."""
    return was.fromjson(result.data)["bakery"]
