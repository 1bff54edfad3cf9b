"""Websockets of Skitai: echo in each design, as docs/ writes it, a page beside them, and a room."""

import flask as framework

import skitai
from skitai.saddle import Saddle

HELLO = "Hello, world!\n"

saddle = Saddle(__name__)
flask = framework.Flask(__name__)


@saddle.route("/")
def hello(_was):
    return HELLO


@saddle.route("/message")
def message(was, message=""):
    if "websocket_init" in was.env:
        was.env["websocket_init"] = (skitai.WEBSOCKET_REQDATA, 60, "message")
        return ""
    return message


@saddle.route("/talk")
def talk(was):
    if "websocket_init" in was.env:
        was.env["websocket_init"] = (skitai.WEBSOCKET_DEDICATE, 60, None)
        return ""
    return echo(was.env["websocket"])


def echo(ws):
    while True:
        messages = ws.getswait(10)
        if messages is None:
            return ""
        for each in messages:
            ws.send(each)


@saddle.websocket("/function")
def function(_was, ws):
    for each in ws:
        ws.send(each)


@saddle.websocket("/coroutine")
async def coroutine(_was, ws):
    async for each in ws:
        await ws.send(each)


@saddle.websocket("/room")
async def room(was, ws):
    members = was.rooms("benchmark")
    await members.join(ws)
    async for each in ws:
        members.send(each)


@saddle.route("/chat")
def chat(was, roomid):  # noqa: ARG001 - the name of the room
    if "websocket_init" in was.env:
        was.env["websocket_init"] = (skitai.WEBSOCKET_MULTICAST, 60, "roomid")
        return ""
    ws = was.env["websocket"]
    while True:
        messages = ws.getswait(10)
        if messages is None:
            return ""
        for _, each in messages:
            ws.sendall(each)


@flask.route("/")
def flask_hello():
    return HELLO


@flask.route("/talk")
def flask_talk():
    environ = framework.request.environ
    if "websocket_init" in environ:
        environ["websocket_init"] = (skitai.WEBSOCKET_DEDICATE, 60, None)
        return ""
    return echo(environ["websocket"])
