"""A Flask app: `was` is imported, the rest is Flask as everybody knows it."""

import inspect
import time

from flask import Flask, Response, render_template, request, url_for
from machines import neighbourhood
from werkzeug.exceptions import HTTPException

from skitai import was

app = Flask(__name__, static_folder=None)


def ask(*names):
    """Ask every machine at once, so that the wait is as long as the slowest one takes."""
    began = time.monotonic()
    calls = {name: was.get(neighbourhood.url(name)) for name in names}  # request early

    answers = {}
    for name, call in calls.items():
        result = call.getwait(2)  # use late
        answered = result.status == 3 and result.code == 200
        answers[name] = was.fromjson(result.data)["answer"] if answered else "no answer"
    return {"answers": answers, "seconds": round(time.monotonic() - began, 3)}


@app.get("/")
def index():
    """Show what three machines say, and the code that asked them."""
    summary = ask("weather", "stock", "orders")
    source = inspect.getsource(ask)
    return render_template("flask.html", summary=summary, source=source, routes=list(routes()))


@app.get("/summary.json")
def summary():
    """Return the same for programs."""
    return Response(was.tojson(ask("weather", "stock", "orders")), content_type="application/json")


@app.route("/echo", methods=["GET", "POST"])
def echo():
    """Give back what a form sent."""
    return render_template("echo.html", sent=request.form if request.method == "POST" else None)


@app.errorhandler(HTTPException)
def complain(error):
    """Say what went wrong in a page of this site, with the headers that belong to it."""
    page = render_template("message.html", code=error.code, title=error.name, explanation=error.description)
    response = error.get_response()
    response.set_data(page)
    return response


def routes():
    """Yield (methods, address, what it does) for each route, at whatever path this app is mounted."""
    for rule in app.url_map.iter_rules():
        methods = sorted(rule.methods - {"HEAD", "OPTIONS"})
        yield ", ".join(methods), url_for(rule.endpoint), inspect.getdoc(app.view_functions[rule.endpoint])
