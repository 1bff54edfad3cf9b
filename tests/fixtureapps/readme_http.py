"""The examples of the README's chapters on HTTP, each a Flask view that runs as it is printed."""

import time
from pathlib import Path

from flask import Flask, render_template_string, request

from skitai import was

app = Flask(__name__)


@app.route("/get")
def get():
    url = request.args.get("url", "http://www.python.org")
    s = was.get(url)
    result = s.getwait(5)  # timeout
    if result.status == 3 and result.code == 200:
        return result.data
    return result.reraise()


@app.route("/post-and-upload")
def post_and_upload():
    url = request.args["url"]
    logo = Path(__file__).with_name("logo.png")
    logo.write_bytes(b"\x89PNG\r\n")
    s1 = was.post(url, {"user": "Hans Roh", "comment": "Hello"})
    s2 = was.upload(url, {"user": "Hans Roh", "file": open(logo, "rb")})

    result = s1.getwait(2)
    return was.tojson([result.text, s2.getwait(2).text])


@app.route("/template")
def template():
    s = was.get(request.args["url"])
    page = "{% set result = s.getwait(2) %}<p>{{ result.status }} {{ result.text }}</p>"
    return render_template_string(page, s=s)


@app.route("/methods")
def methods():
    """Every method of the list, with the arguments of the list."""
    url = request.args["url"]
    rest = (None, ("user", "pass"), [("X-Name", "value")], False)
    calls = {
        "get": was.get(url, *rest),
        "post": was.post(url, "text", *rest[1:]),
        "put": was.put(url, b"bytes", *rest[1:]),
        "delete": was.delete(url, *rest),
        "upload": was.upload(url, {"a": "b"}, *rest[1:]),
    }
    return was.tojson({name: call.getwait().text for name, call in calls.items()})


@app.route("/states")
def states():
    """What becomes of a call that is too slow, one that is refused, and one that finds nothing."""
    slow, refused, missing = (was.get(request.args[name]) for name in ("slow", "refused", "missing"))
    before = [slow.status, slow.code]
    began = time.monotonic()
    results = [slow.getwait(0.3), refused.getwait(5), missing.getwait(5)]
    try:
        refused.wait(5)
        raised = ""
    except Exception as error:
        raised = str(error)
    return was.tojson(
        {
            "before": before,
            "results": [[result.status, result.code] for result in results],
            "same": slow.getwait(5) is results[0],
            "after": [slow.status, slow.code],
            "raised": raised,
            "in time": time.monotonic() - began < 4,
        }
    )


@app.route("/search")
def search():
    """Load balancing and map over the members, which speak TLS."""
    one = [was.get.lb("@mysearch/who") for _ in range(4)]
    everybody = was.get.map("@mysearch/who").getswait(5)
    return was.tojson(
        {
            "lb": [call.getwait(5).text for call in one],
            "map": [result.text for result in everybody],
            "codes": everybody.code,
        }
    )


@app.route("/cached", methods=["GET", "POST"])
def cached():
    """Keep what came for 60 seconds; a POST has it asked anew, and kept in the place of the old."""
    refreshed = request.method == "POST"
    s = was.get(request.args["url"], use_cache=not refreshed)
    result = s.getwait(2)
    if result.code == 200:
        result.cache(60)  # 60 seconds
    results = was.get.map("@mysearch/count").getswait(5)
    if results.code == [200, 200]:
        results.cache(60)
    return was.tojson([result.text, result.is_cached, results.data and [r.text for r in results]])


@app.route("/utilities")
def utilities():
    """was.status and the others that an app may call at any time."""
    thing = {"name": "Hans", "numbers": [1, 2]}
    return was.tojson(
        {
            "json": was.fromjson(was.tojson(thing)) == thing,
            "xml": was.fromxml(was.toxml((thing,)))[0] == (thing,),
            "html": was.status().startswith("<!DOCTYPE html>"),
        }
    )


@app.route("/lost")
def lost():
    """A call that nobody collects, and one that may go on."""
    was.get(request.args["url"] + "forgotten")
    was.get(request.args["url"] + "detached", detach=True)
    return "gone"
