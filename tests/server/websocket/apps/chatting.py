"""A Flask-SocketIO app and one of flask-sock, as they are under any server."""

import threading

from flask import Flask, request
from flask_sock import Sock
from flask_socketio import SocketIO, disconnect, emit, join_room

app = Flask(__name__)
app.config["SECRET_KEY"] = "tested"
socketio = SocketIO(app, async_mode="threading", max_http_buffer_size=3_000_000)
left = []


@socketio.on("connect")
def connect(auth):
    return auth != {"key": "wrong"}


@socketio.on("disconnect")
def gone(*_):
    left.append(request.sid)


@socketio.on("echo")
def echo(data):
    emit("echoed", data)


@socketio.on("sum")
def total(one, other):
    return one + other


@socketio.on("enter")
def enter(room):
    join_room(room)
    return "entered"


@socketio.on("end")
def end():
    disconnect()


@app.route("/tell/<room>")
def tell(room):
    socketio.emit("told", request.args["text"], to=room)
    return "told"


@app.route("/left")
def count_left():
    return str(len(left))


plain = Flask(__name__)
sock = Sock(plain)


@sock.route("/echo")
def echo_all(ws):
    while True:
        ws.send(ws.receive())


@sock.route("/about")
def about(ws):
    ws.send(f"{threading.current_thread().name} {request.environ['wsgi.multithread']}")
