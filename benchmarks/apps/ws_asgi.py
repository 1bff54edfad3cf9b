"""The echo and the hello as a raw ASGI app: the least that a peer can do."""

from hello_asgi import app as hello


async def app(scope, receive, send):
    if scope["type"] != "websocket":
        await hello(scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"]})
