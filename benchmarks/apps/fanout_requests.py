"""The fan-out view as it is written without Skitai: Flask and requests, with threads or with gevent."""

import os
import threading

import requests
from flask import Flask
from requests.adapters import HTTPAdapter

URL = f"http://127.0.0.1:{os.environ['UPSTREAM']}/50"
CALLS = 3

app = Flask(__name__)
local = threading.local()


def session():
    """Return this thread's session; under gevent a thread is a greenlet, so a pool of sessions serves all."""
    if not hasattr(local, "session"):
        local.session = requests.Session()
        local.session.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=CALLS))
    return local.session


def ask(http):
    response = http.get(URL, timeout=10)
    response.raise_for_status()
    return response.json()["answer"]


@app.route("/")
def one_after_the_other():
    http = session()
    return f"{sum(ask(http) for _ in range(CALLS))}\n"


together = Flask(__name__)
shared = requests.Session()
shared.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=1000))


@together.route("/")
def all_at_once():
    import gevent

    jobs = [gevent.spawn(ask, shared) for _ in range(CALLS)]
    gevent.joinall(jobs, timeout=10)
    return f"{sum(job.get() for job in jobs)}\n"
