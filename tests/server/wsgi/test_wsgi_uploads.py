"""Uploads to apps, and beside them: what is read, and what is refused before."""


def app(environ, start_response):
    """Answer how long the body is."""
    length = len(environ["wsgi.input"].read())
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % length]


HEAD = b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n"


def test_upload_for_nobody(serve):
    """An upload where nothing is served is answered before it is sent; one for an app is whole."""
    gateway = serve({"/app": app})
    with gateway.client() as client:
        client.send(HEAD % (b"/nowhere", 4_000_000, b""))
        response = client.response()
        assert (response.code, response["Connection"]) == (404, "close")
        assert client.at_end()
    assert gateway.ask("/app", "POST", body=b"x" * 4_000_000).body == b"4000000"


def test_upload_that_waits_for_leave(serve):
    """A client that waits for "100 Continue" gets it from an app, and a refusal from nobody."""
    gateway = serve({"/app": app})
    with gateway.client() as client:
        client.send(HEAD % (b"/app", 5, b"Expect: 100-continue\r\n"))
        assert client.read_head().code == 100
        client.send(b"hello")
        assert client.response().body == b"5"
        client.send(HEAD % (b"/nowhere", 5, b"Expect: 100-continue\r\n"))
        assert client.read_head().code == 404


def test_upgrade_that_no_app_can_take(serve):
    """An app answers a client that offers another protocol in HTTP/1.1, and the connection goes on."""
    gateway = serve({"": app})
    with gateway.client() as client:
        for _ in range(2):
            upgrade = [
                ("Connection", "Upgrade, HTTP2-Settings"),
                ("Upgrade", "h2c"),
                ("HTTP2-Settings", "AAMAAABk"),
            ]
            response = client.ask("/", fields=upgrade)
            assert (response.code, response.body, response["Upgrade"]) == (200, b"0", None)
