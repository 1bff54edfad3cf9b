"""An app that keeps its sessions in Redis."""

from skitai.saddle import Saddle

app = Saddle(__name__)
app.securekey = "a secret of 32 characters or more"
app.session_store = "redis"
app.session_timeout = 300


@app.route("/login/<name>")
def login(was, name):
    """Begin a session."""
    was.session.clear()
    was.session["name"] = name
    return "in"


@app.route("/who")
def who(was):
    """Whose session it is."""
    return was.session["name"] or "nobody"


@app.route("/async")
async def waits(was):
    """The same in a coroutine, which also changes it."""
    was.session["seen"] = (was.session["seen"] or 0) + 1
    return was.session["name"] or "nobody"


@app.route("/logout")
def logout(was):
    """End the session."""
    was.session.clear()
    return "out"
