"""An app where visitors log in and out, whose sessions are in a store."""

from skitai.saddle import Saddle


def session_app(store):
    """Return the app; ``store`` is a store, or the name of one that a plugin brings."""
    app = Saddle(__name__)
    app.securekey = "a secret of 32 characters or more"
    app.session_store = store
    app.session_timeout = 300

    @app.route("/login/<name>")
    def login(was, name):
        was.session.clear()
        was.session["name"] = name
        return "in"

    @app.route("/who")
    def who(was):
        return was.session["name"] or "nobody"

    @app.route("/async")
    async def waits(was):
        was.session["count"] = (was.session["count"] or 0) + 1
        return was.session["name"] or "nobody"

    @app.route("/logout")
    def logout(was):
        was.session.clear()
        return "out"

    return app
