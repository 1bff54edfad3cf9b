"""The same answer as hello.py gives, from a raw ASGI app."""

BODY = b"Hello, world!\n"
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain"), (b"content-length", str(len(BODY)).encode())],
}


async def app(_scope, _receive, send):
    await send(START)
    await send({"type": "http.response.body", "body": BODY})
