"""Every HTTP service as an app meets it, under both executors."""

import hashlib
import io

import pytest

from skitai import was
from skitai.services.http import ConnectionPool, HTTPService
from skitai.services.http.service import UploadService

METHODS = ["get", "post", "put", "patch", "delete", "options", "head"]


@pytest.fixture
def pool(reactor_thread):
    """A pool in the thread of the reactor."""
    pool = reactor_thread.call(ConnectionPool, reactor_thread.reactor)
    yield pool
    reactor_thread.call(pool.close)


@pytest.fixture
def run(serve, pool):
    """Return ``run(function)``: what it returns when called within an app that has the services."""
    services = {name: HTTPService(name.upper(), pool) for name in METHODS}

    def run(function):
        outcome = []

        def app(environ, start_response):
            outcome.append(function())
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"done"]

        gateway = serve(app, services={**services, "upload": UploadService(pool)})
        assert gateway.ask().body == b"done", gateway.messages
        return outcome[0]

    return run


@pytest.fixture
def upstream(serve):
    """The URL of a server that says what it got."""

    def app(environ, start_response):
        body = environ["wsgi.input"].read()
        name = environ["REQUEST_METHOD"]
        text = f"{name} {environ['PATH_INFO']}?{environ['QUERY_STRING']} {len(body)}"
        start_response("200 OK", [("X-Method", name), ("X-Hash", hashlib.sha256(body).hexdigest())])
        return [text.encode()]

    return f"http://127.0.0.1:{serve(app).address}/"


@pytest.mark.parametrize("method", METHODS)
def test_methods(run, upstream, method):
    """Each method arrives as what it is."""
    result = run(lambda: getattr(was, method)(upstream + "x").getwait())
    assert (result.code, result.get_header("x-method")) == (200, method.upper())
    assert result.text == ("" if method == "head" else f"{method.upper()} /x? 0")


def test_query_of_delete(run, upstream):
    """What would be a form goes into the query where nobody reads a body."""
    assert run(lambda: was.delete(upstream, {"a": 1}).getwait().text) == "DELETE /?a=1 0"


def test_upload(run, upstream):
    """A large file leaves while the app waits."""
    content = bytes(range(256)) * 20_000
    text = run(lambda: was.upload(upstream, {"a": "b", "f": io.BytesIO(content)}).getwait().text)
    assert int(text.rpartition(" ")[2]) > len(content)
    digest = run(lambda: was.put(upstream, io.BytesIO(content)).getwait().get_header("x-hash"))
    assert digest == hashlib.sha256(content).hexdigest()


def test_arguments_that_make_no_sense(run, upstream):
    """They are raised where the app made the call."""

    def errors():
        for method, arguments in [("upload", (upstream, "text")), ("get", (upstream, None, "nocolon"))]:
            with pytest.raises((TypeError, ValueError)) as caught:
                getattr(was, method)(*arguments)
            yield type(caught.value)

    assert run(lambda: list(errors())) == [TypeError, ValueError]
