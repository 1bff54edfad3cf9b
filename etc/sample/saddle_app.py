"""A Saddle app: views are plain functions that get `was`, with forms, uploads, a session and messages."""

import hashlib
import secrets

from skitai.saddle import HTTPError, Saddle

app = Saddle(__name__)
app.autoescape = True
app.csrf = True
app.securekey = secrets.token_urlsafe(32)  # a real app keeps one, so that sessions outlive a restart
app.upload_file_max_size = 2 * 1024 * 1024

#: Notes that one visitor may leave, and what may be said of each.
NOTES_MAX = 5
MOODS = ("calm", "urgent", "curious")


@app.before_request
def count(was):
    """Count the visits of this browser, in its session."""
    was.session["visits"] = (was.session["visits"] or 0) + 1


@app.route("/", methods=["GET"])
def index(was):
    """Show what this browser left here."""
    return was.render("saddle.html", notes=was.session.get("notes", []), notes_max=NOTES_MAX, moods=MOODS)


@app.route("/note", methods=["POST"])
def note(was, text, mood="calm"):
    """Keep a note in the session."""
    notes = was.session.get("notes", [])
    if mood not in MOODS or not isinstance(text, str):  # several texts would be a list
        raise HTTPError(400, "The form has one text, and one of its own moods.")
    if not text.strip():
        was.mbox.send("A note needs some words.", "error")
    elif len(notes) >= NOTES_MAX:
        was.mbox.send("Your pockets are full: forget something first.", "error")
    else:
        was.session["notes"] = [*notes, {"text": text.strip()[:80], "mood": mood}]
        was.mbox.send("Noted.", "info")
    return was.redirect(was.ab("index"))


@app.route("/upload", methods=["POST"])
def upload(was, file):
    """Say what a file was, and forget it."""
    if not file:
        was.mbox.send("Choose a file first.", "error")
    elif isinstance(file, str | list):
        raise HTTPError(400, "The form has one file.")
    else:
        digest = hashlib.sha256(file.read()).hexdigest()
        was.mbox.send(f"{file.name}: {file.size:,} bytes of {file.mimetype}", "info", digest=digest)
    return was.redirect(was.ab("index"))


@app.route("/forget", methods=["POST"])
def forget(was):
    """Empty the session."""
    was.session.clear()
    was.mbox.send("Forgotten.", "info")
    return was.redirect(was.ab("index"))


@app.route("/hello/<name>")
def hello(was, name="you"):
    """Greet somebody, by a URL that `was.ab("hello", "Hans Roh")` builds."""
    address = was.ab("hello", name)
    return was.render("message.html", code=200, title=f"Hello, {name}", explanation=f"From {address}.")


@app.error(403)
@app.error(413)
def refused(was, code):
    """Say in a page of this site what was not taken."""
    title = "Too large" if code == 413 else "Not from here"
    explanation = "A file may have 2 MB." if code == 413 else "Load the form again, and send it from here."
    return was.render("message.html", code=code, title=title, explanation=explanation)
