"""Servers of a shop, whose views are on PostgreSQL or SQLite: what both must do on each executor.

``/make`` makes the stock, ``/order?n`` takes from it in a transaction and undoes each third, ``/state`` tells
what is left and ordered, ``/endless?s`` waits for ``s`` seconds for a statement that does not end.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

#: The keys of ``[server]`` by the name of the executor.
EXECUTORS = {
    "threads": {"threads": 16},
    "greenlets": {"threads": 0},
    "cooperative": {"cooperative": "yes"},
}


def executor_keys(name):
    """Return the keys of ``[server]``; skip the test if the executor cannot be there."""
    if name == "cooperative":
        pytest.importorskip("gevent")
    return EXECUTORS[name]


def check_transactions(server):
    """Send fifty orders at once: none is lost or mixed, and others are served meanwhile."""
    with ThreadPoolExecutor(51) as threads:
        orders = [threads.submit(server.ask, f"/order?{number}") for number in range(50)]
        began = time.monotonic()
        assert server.ask("/ping").body == b"pong"
        assert time.monotonic() - began < 2
        bodies = [order.result().body for order in orders]
    assert (bodies.count(b"ordered"), bodies.count(b"undone")) == (33, 17)
    assert server.ask("/state").body == b"967 33"


def check_deadline(server):
    """Send statements that do not end: they cost their requests the deadline, and nobody else anything."""
    with ThreadPoolExecutor(9) as threads:
        endless = [threads.submit(server.ask, "/endless?0.5") for _ in range(7)]
        assert server.ask("/state").status == "200 OK"
        assert [request.result().body for request in endless] == [b"no answer within 0.5 s"] * 7


def check_stop(server, until_it_runs):
    """Stop a server while a statement runs: it ends at once."""
    with ThreadPoolExecutor(1) as threads:
        endless = threads.submit(server.ask, "/endless?60")
        until_it_runs()
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 10
        endless.exception()
