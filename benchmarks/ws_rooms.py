"""The measurements of a room: how long it takes until all members have a message."""

from __future__ import annotations

import select
import sys
import tempfile
import time
from array import array
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.postgres import on_core
from benchmarks.process import REPOSITORY, Placement, running
from benchmarks.ws_client import EVENTS, PING, PONG, TEXT, frames_in, masked_frame, percentile, websockets
from benchmarks.ws_servers import ROOM, on_redis

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence

SETTLE_SECONDS = 1.0
QUIET_SECONDS = 5.0  # after which what has not come is lost
MEMBERS, MEMBERS_OF_TWO = 1000, 10_000
SLOWLY = 2  # messages a second that have all the time they need
ONE_BY_ONE = 10  # messages
PER_SECOND, HELD_SECONDS = 20, 5


@dataclass(frozen=True)
class Spread:
    """What members heard of messages: for each, the seconds until each member had it."""

    members: int
    times: tuple[array[float], ...]

    @property
    def lost(self) -> int:
        """How many times a member did not hear a message."""
        return self.members * len(self.times) - sum(len(each) for each in self.times)

    @property
    def slowest_ms(self) -> float:
        """Milliseconds until all members had a message: the slowest of the messages."""
        return max(max(each, default=QUIET_SECONDS) for each in self.times) * 1000

    @property
    def median_ms(self) -> float:
        """Milliseconds until all members had a message: the median of the messages."""
        return percentile([max(each, default=QUIET_SECONDS) for each in self.times], 0.5) * 1000

    @property
    def p99_ms(self) -> float:
        """Milliseconds in which 99 of 100 deliveries were there."""
        return percentile([one for each in self.times for one in each] or [QUIET_SECONDS], 0.99) * 1000


def one_server(placement: Placement) -> tuple[Spread, Spread]:
    """Return what 1,000 members heard of messages one by one, and of 20 a second."""
    with (
        running(ROOM.server, placement) as process,
        on_core(placement.client_core),
        websockets(process.port, ROOM.path, MEMBERS) as members,
    ):
        warm_up(members)
        return spread(members, ONE_BY_ONE, SLOWLY), spread(members, PER_SECOND * HELD_SECONDS, PER_SECOND)


def two_servers(placement: Placement) -> Spread:
    """Return what 10,000 members of a room heard, half of them at each of two servers with one Redis."""
    with ExitStack() as stack:
        endpoint = on_redis(stack.enter_context(redis(placement)))
        ports = [stack.enter_context(running(endpoint.server, placement)).port for _ in range(2)]
        stack.enter_context(on_core(placement.client_core))
        members = [
            member
            for port in ports
            for member in stack.enter_context(websockets(port, endpoint.path, MEMBERS_OF_TWO // 2))
        ]
        warm_up(members)
        return spread(members, ONE_BY_ONE, SLOWLY)


@contextmanager
def redis(placement: Placement) -> Iterator[int]:
    """Run a Redis on the client's core; yield its port."""
    sys.path.append(str(REPOSITORY / "tests"))
    from databases import Redis

    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        with on_core(placement.client_core):
            server = Redis(Path(folder))
        try:
            yield server.port
        finally:
            server.stop()


def warm_up(members: Sequence[socket.socket]) -> None:
    """Return when all members have joined and heard something."""
    time.sleep(SETTLE_SECONDS)
    spread(members, 2, SLOWLY)


def spread(members: Sequence[socket.socket], count: int, per_second: float) -> Spread:
    """Have the first member send ``count`` messages; return when all have heard them.

    Raises ConnectionError if the server cuts a member off. What has not come after a while is lost.
    """
    sockets = {member.fileno(): (member.recv, member.send) for member in members}
    sent: list[float] = []
    found = Spread(len(members), tuple(array("d") for _ in range(count)))
    missing = len(members) * count
    with select.epoll() as poll:
        for number in sockets:
            poll.register(number, select.EPOLLIN)
        due = time.perf_counter()
        while missing:
            now = time.perf_counter()
            if len(sent) < count and now >= due:
                due += 1 / per_second
                members[0].send(masked_frame(b"%06d" % len(sent)))
                sent.append(now)
            wait = max(due - now, 0.0) if len(sent) < count else QUIET_SECONDS
            ready = poll.poll(wait, EVENTS)
            if not ready and len(sent) == count:
                break
            for number, _ in ready:
                receive, send = sockets[number]
                data = receive(65536)
                if not data:
                    raise ConnectionError("a member was cut off")
                heard = time.perf_counter()
                for first, payload in frames_in(data):
                    if first == PING:
                        send(masked_frame(payload, PONG))
                    elif first == TEXT:
                        which = int(payload)
                        found.times[which].append(heard - sent[which])
                        missing -= 1
    return found
