"""The words of Flask as arguments of Saddle: each message says what to write here."""

import logging
import re

import pytest

from skitai.saddle import Saddle, Saddlery, words


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("method", "did you mean methods?"),
        ("metods", "did you mean methods?"),
        ("defaults", "give the parameter of the view its default"),
        ("endpoint", "a view is named as its function"),
        ("strict_slashes", "there is none: "),
        ("host", "hosts have routes of their own"),
    ],
)
def test_route(word, hint):
    """A route that Flask would understand in another way is refused, and so is a misspelt argument."""
    app = Saddle("app")
    message = f"route() got an unexpected keyword argument {word!r}: {hint}"
    with pytest.raises(TypeError, match=re.escape(message)):
        app.route("/", **{word: 1})
    assert app.routes == []


def test_others_are_ignored(caplog):
    """What is no word of any framework has no effect, as in old versions of Skitai; the log says so."""
    app = Saddle("app")
    with caplog.at_level(logging.WARNING, "skitai.saddle"):
        app.route("/", tea="green")(lambda was: "found")
    assert caplog.messages == ["route '/': tea has no effect"]
    assert app.test_client().get("/").text == "found"


def test_websocket():
    """The same for websockets."""
    with pytest.raises(TypeError, match=r"^websocket\(\) got .* 'methods': there is none: a handshake"):
        Saddle("app").websocket("/", methods=["GET"])


def test_app():
    """The same for the app itself."""
    with pytest.raises(TypeError, match=r"^Saddle\(\) got .* 'static_folder': the config mounts folders"):
        Saddle("app", static_folder="static")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("get", """'get': write @app.route(rule, methods=["GET"])"""),
        ("errorhandler", "'errorhandler': write @app.error(404)"),
        ("after_request", "'after_request': did you mean finish_request?"),
        ("run", "'run': write skitai app:app"),
        ("tea", "object has no attribute 'tea'"),
    ],
)
def test_attributes(name, message):
    """Decorators and methods of Flask, and those of Bottle, say what to write instead; parts do, too."""
    for app in (Saddle("app"), Saddlery("part")):
        with pytest.raises(AttributeError, match=re.escape(message)):
            getattr(app, name)
        assert not hasattr(app, name)


def test_what_attributes_say_is_there():
    """No hint is for something that Saddle has."""
    assert not [name for name in words.ATTRIBUTES if hasattr(Saddle("app"), name)]


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (
            lambda was: was.cookie.set("a", "b", max_age=9),
            "'max_age': did you mean expires? It takes seconds",
        ),
        (lambda was: was.cookie.set("a", "b", samesit="Lax"), "'samesit': did you mean same_site?"),
        (lambda was: was.redirect("/", code=301), "'code': did you mean status?"),
        (lambda was: was.response(mimetype="text/plain"), "'mimetype': write headers="),
    ],
)
def test_views(view, message):
    """The same for what a view calls."""
    app = Saddle("app")
    seen = []

    @app.route("/")
    def call(was):
        try:
            view(was)
        except TypeError as error:
            seen.append(str(error))
        return "done"

    app.test_client().get("/")
    assert message in seen[0]
