"""What is measured of websockets: one `Server` for each row of the report, and where its websockets are."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.servers import Server, skitai, uvicorn

#: So that each connection of the echo may have a thread.
MANY_THREADS = "\n[websocket]\nthreads_max = 200\n"


@dataclass(frozen=True)
class Endpoint:
    """A row: a server, and the path of its websockets."""

    server: Server
    path: str


def ours(threads: int, app: str, path: str, label: str) -> Endpoint:
    """Return a row of Skitai with that many threads: the view of that path."""
    name = f"ws-{app}-{path[1:]}"
    return Endpoint(skitai(threads, f"ws_skitai:{app}", name, label, sections=MANY_THREADS), path)


def peer(protocol: str, loop: str) -> Endpoint:
    """Return a row of uvicorn with that implementation of websockets on that event loop."""
    name, label = f"ws-uvicorn-{protocol}-{loop}", f"uvicorn, {protocol}, {loop}"
    server = uvicorn(name, label, loop, "--ws", protocol, "--lifespan", "off", app="ws_asgi:app")
    return Endpoint(replace(server, package="websockets"), "/")


FUNCTION = ours(0, "saddle", "/function", "Saddle, function")
COROUTINE = ours(0, "saddle", "/coroutine", "Saddle, coroutine")
MESSAGE = ours(0, "saddle", "/message", "Saddle, REQDATA")
TALK = ours(0, "saddle", "/talk", "Saddle, DEDICATE")
TALK_FLASK = ours(0, "flask", "/talk", "Flask, DEDICATE")
CHAT = ours(0, "saddle", "/chat?roomid=1", "Saddle, MULTICAST")
PEER = peer("websockets", "uvloop")

ECHO = (
    TALK_FLASK,
    TALK,
    FUNCTION,
    COROUTINE,
    MESSAGE,
    ours(4, "saddle", "/talk", "Saddle, DEDICATE"),
    ours(4, "saddle", "/coroutine", "Saddle, coroutine"),
    ours(4, "saddle", "/message", "Saddle, REQDATA"),
    PEER,
    peer("websockets-sansio", "uvloop"),
    peer("websockets", "asyncio"),
)
IDLE = (TALK, FUNCTION, COROUTINE, MESSAGE, CHAT, PEER)
ROOM = ours(0, "saddle", "/room", "Saddle, a room")


def on_redis(port: int) -> Endpoint:
    """Return the room whose messages go over a Redis, to all servers that know it."""
    server = skitai(
        0,
        "ws_skitai:saddle",
        "ws-redis",
        "Saddle, a room over Redis",
        sections=f"\n[redis]\nurl = redis://127.0.0.1:{port}/0\n",
    )
    config = server.config.replace("[server]\n", "[server]\nbus = redis\n")
    return Endpoint(replace(server, config=config), ROOM.path)
