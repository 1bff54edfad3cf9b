"""An app that keeps what it asks for, and the upstream that it asks."""

import itertools

from skitai.saddle import Saddle

app = Saddle(__name__)
_numbers = itertools.count(1)


@app.route("/number")
def number(was):
    """A new number each time: the upstream."""
    return str(next(_numbers))


@app.route("/kept")
def kept(was, url):
    """What the upstream said, now or before."""
    call = was.get(url)
    result = call.cache(60)
    return f"{result.text} {result.is_cached}"
