"""What hello.py answers, and at /large 100 MB in pieces: as WSGI (`app`) and ASGI (`asgi`)."""

BODY = b"Hello, world!\n"
PIECE = bytes(64 * 1024)
SIZE = 100 * 1024 * 1024
TEXT = "text/plain"


def app(environ, start_response):
    large = environ["PATH_INFO"] == "/large"
    start_response("200 OK", [("Content-Type", TEXT), ("Content-Length", str(SIZE if large else len(BODY)))])
    return (PIECE for _ in range(SIZE // len(PIECE))) if large else [BODY]


async def asgi(scope, _receive, send):
    large = scope["path"] == "/large"
    length = str(SIZE if large else len(BODY)).encode()
    headers = [(b"content-type", TEXT.encode()), (b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(SIZE // len(PIECE) if large else 0):
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": b"" if large else BODY})
