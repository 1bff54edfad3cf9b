"""The states of an HTTP/1.1 connection, and of the body of its current request."""

from __future__ import annotations

from enum import Enum, auto


class State(Enum):
    """The state of a connection."""

    #: Requests are answered.
    SERVING = auto()
    #: The last response was written. Further input is read for a while and discarded.
    LINGERING = auto()
    #: The connection is closed, or will be as soon as the last byte was sent.
    CLOSED = auto()
    #: The connection belongs to another protocol.
    TAKEN_OVER = auto()


class BodyUse(Enum):
    """What happens with the body of the current request."""

    #: There is no body, or all of it has arrived.
    NONE = auto()
    #: A resource has been asked at the head and has not decided. Nothing is read.
    HELD = auto()
    #: The body is collected. The request is handled when it is complete.
    COLLECTED = auto()
    #: The body goes to a sink as it arrives.
    STREAMED = auto()
    #: The response has begun without the body, which is read and discarded.
    DROPPED = auto()
