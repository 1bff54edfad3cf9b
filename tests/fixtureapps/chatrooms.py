"""Rooms in Saddle and in Flask: what is sent in one app reaches those who listen in another."""

import flask

from skitai import WEBSOCKET_DEDICATE, was
from skitai.saddle import Saddle

app = Saddle(__name__)
flask_app = flask.Flask(__name__)
closed = []


@app.route("/events/<room>")
def events(was, room, last=None, who=None, event=None, retry=None):
    return was.rooms(room).events(last, data=who, event=event, retry=None if retry is None else float(retry))


@app.route("/send/<room>", methods=["POST"])
def send(was, room):
    return was.rooms(room).send(was.request.get_body().decode()).getwait().data


@app.route("/forget/<room>", methods=["POST"])
def forget(was, room):
    """Nobody waits for this one."""
    was.rooms(room).send(was.request.get_body())
    return "sent"


@app.route("/who/<room>")
def who(was, room):
    return {"who": was.rooms(room).presence().getwait().data}


@flask_app.route("/events/<room>")
def flask_events(room):
    response = flask.Response(was.rooms(room).events(), mimetype="text/event-stream")
    response.call_on_close(lambda: closed.append(room))
    return response


@flask_app.route("/changed/<room>")
def changed(room):
    """Pieces that were changed on their way are no event stream that the server knows."""
    pieces = was.rooms(room).events()
    return flask.Response((piece.replace(b"data", b"Data") for piece in pieces), headers=pieces.headers)


@flask_app.route("/send/<room>", methods=["POST"])
async def flask_send(room):
    return (await was.rooms(room).send(flask.request.get_data(as_text=True))).data


@flask_app.route("/closed")
def closed_responses():
    return closed


@app.websocket("/coroutine/<room>")
async def coroutine(was, ws, room, last=None):
    joined = was.rooms(room)
    await joined.join(ws, last=last)
    async for message in ws:
        joined.send(message)


@app.websocket("/function/<room>")
def function(was, ws, room, last=None):
    joined = was.rooms(room)
    joined.join(ws, last=last).wait()
    for message in ws:
        if message == "leave":
            joined.leave(ws).wait()
            ws.send("left")
        else:
            joined.send(message)


@flask_app.route("/talk/<room>")
def talk(room):
    environ = flask.request.environ
    if "websocket_init" in environ:
        environ["websocket_init"] = (WEBSOCKET_DEDICATE, 60, None)
        return ""
    ws = environ["websocket"]
    joined = was.rooms(room)
    joined.join(ws).wait()
    for message in ws:
        joined.send(message)
    return ""


@app.route("/state")
def state(was):
    return was.status("was.rooms", fancy=False)["was.rooms"]
