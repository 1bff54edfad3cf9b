"""The fan-out view for Skitai: Flask, three calls of 50 ms at once."""

import os

from flask import Flask

from skitai import was

URL = f"http://127.0.0.1:{os.environ['UPSTREAM']}/50"
CALLS = 3

app = Flask(__name__)


@app.route("/")
def view():
    calls = [was.get(URL) for _ in range(CALLS)]
    return answer([call.getwait(10) for call in calls])


def answer(results):
    if any(result.code != 200 for result in results):
        return "an upstream failed", 502
    return f"{sum(was.fromjson(result.data)['answer'] for result in results)}\n"


coroutines = Flask(__name__)


@coroutines.route("/")
async def coroutine_view():
    calls = [was.get(URL) for _ in range(CALLS)]
    return answer([await call for call in calls])


slow = Flask(__name__)
SLOW_URL = f"http://127.0.0.1:{os.environ['UPSTREAM']}/1000"


@slow.route("/")
def wait():
    result = was.get(SLOW_URL).getwait(10)
    return f"{result.code}\n", 200 if result.code == 200 else 502
