"""A Saddle app with websockets: an echo of each message, a talk with each visitor, a room for all."""

import json

import skitai
from skitai.saddle import Saddle

app = Saddle(__name__)
app.autoescape = True

#: The room of the page; the longest name and the longest message.
ROOM, NAME_MAX, TEXT_MAX = "kitchen", 24, 280


@app.route("/")
def index(was):
    """Show all of them in one page."""
    return was.render("websocket.html", name_max=NAME_MAX, text_max=TEXT_MAX)


@app.route("/echo")
def echo(was, message=""):
    """Answer each message: the view is called for each, as for a request."""
    if "websocket_init" in was.env:
        was.env["websocket_init"] = (skitai.WEBSOCKET_REQDATA, 60, "message")
        return ""
    return "ECHO:" + message


@app.route("/talk")
def talk(was, name):
    """Talk with one visitor: the view owns the websocket, in a thread or a greenlet of its own."""
    if "websocket_init" in was.env:
        was.env["websocket_init"] = (skitai.WEBSOCKET_DEDICATE, 60, None)
        return ""

    ws = was.env["websocket"]
    while (messages := ws.getswait(10)) is not None:
        for m in messages:
            if m.lower() == "bye":
                ws.send("Bye, have a nice day." + m)
                ws.close()
            elif m.lower() == "hello":
                ws.send("Hello, " + name)
            else:
                ws.send("You Said:" + m)
    return ""


@app.route("/chat")
def chat(was, roomid):
    """Let all who name one room hear each other: one view for the room."""
    if "websocket_init" in was.env:
        was.env["websocket_init"] = (skitai.WEBSOCKET_MULTICAST, 60, "roomid")
        return ""

    ws = was.env["websocket"]
    while (messages := ws.getswait(10)) is not None:
        for client_id, m in messages:
            ws.sendall(f"Client {client_id} Said: {m}")
    return ""


@app.websocket("/room")
async def room(was, ws, name="", last=""):
    """Let a visitor into the room of the page; who comes back with `last` gets what was said meanwhile."""
    name = " ".join(name.split())
    if not 0 < len(name) <= NAME_MAX or not name.isprintable():
        ws.close(1008, f"A name has 1 to {NAME_MAX} letters.")
        return
    kitchen = was.rooms(ROOM)
    await kitchen.join(ws, data=name, last=last)
    kitchen.send(json.dumps({"name": name, "does": "came in"}))
    async for text in ws:
        if isinstance(text, str) and 0 < len(text) <= TEXT_MAX:
            kitchen.send(json.dumps({"name": name, "says": text}))
    kitchen.send(json.dumps({"name": name, "does": "left"}))


@app.route("/who")
def who(was):
    """Say who is in the room: an ordinary request asks it, too."""
    was.response.set_header("Cache-Control", "no-store")
    return {"names": was.rooms(ROOM).presence().getwait(2).data}
