"""A request that breaks a limit: the client learns the limit, and the log the key that says so.

nginx logs "client intended to send too large body", and names no key either; who looks for it finds it last.
"""

import pytest

from serving import RunningServer, config_text, eventually
from wire import Client

APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(len(environ["wsgi.input"].read())).encode()]
"""
FORM = ("Content-Type", "multipart/form-data; boundary=b")


@pytest.fixture(scope="module", params=[4, 0], ids=["threads", "greenlets"])
def server(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("limits")
    (folder / "views.py").write_text(APP, encoding="utf-8")
    keys = {"body_max": "10 KB", "multipart_max": "20 KB", "uri_max": "1 KB", "header_max": "4 KB"}
    running = RunningServer(folder, config_text({"/": "./views:app"}, **keys), request.param)
    yield running
    running.stop()


@pytest.mark.parametrize(
    ("fields", "size", "key", "limit"),
    [((), 10_241, "body_max", "10 KB"), ((FORM,), 20_481, "multipart_max", "20 KB")],
)
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_bodies(server, fields, size, key, limit, chunked):
    """A body is told by its own key, also one whose length is found out as it comes."""
    target = f"/{key}/{'chunked' if chunked else 'length'}"
    if chunked:
        head = "".join(f"{name}: {value}\r\n" for name, value in fields)
        with Client(server.port) as client:
            client.send(f"POST {target} HTTP/1.1\r\nHost: a\r\n{head}".encode())
            client.send(b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % size + bytes(size))
            response = client.response()
    else:
        response = server.ask(target, "POST", fields=fields, body=bytes(size))
    assert response.code == 413
    assert f"too large for this server, which takes {limit}." in response.body.decode()
    assert key not in response.body.decode()
    # One line a second for each key: the other of the two may have it.
    line = f" was refused with 413: {key} = {limit}"
    eventually(lambda: line in server.log_text(), "the line")
    assert f"127.0.0.1 POST /{key}/" in server.log_text()


@pytest.mark.parametrize(
    ("target", "fields", "code", "words", "said"),
    [
        ("/" + "x" * 1100, (), 414, "address of this request is too long", "uri_max = 1 KB"),
        ("/", (("X", "x" * 5000),), 431, "header of this request is too large", "header_max = 4 KB"),
    ],
)
def test_heads(server, target, fields, code, words, said):
    """So are a target and a head."""
    response = server.ask(target, fields=fields)
    assert response.code == code
    assert words in response.body.decode()
    eventually(lambda: f"was refused with {code}: {said}" in server.log_text(), "the line")


def test_many(memory_server, log):
    """Whoever sends many of them does not fill the log: one line a second, with a count."""
    server = memory_server(lambda request: request.respond("200 OK", [], b""), body_max=10)

    def refused():
        client = server.connect()
        client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n")
        assert client.codes == [413]

    def lines():
        return [event for event in log if "others" in event]

    for _ in range(5):
        refused()
    assert len(lines()) == 1
    server.clock.advance(1)
    refused()
    assert [event["others"] for event in lines()] == ["", ", and 4 more before it"]
    assert lines()[0]["why"] == "body_max = 10 B"
