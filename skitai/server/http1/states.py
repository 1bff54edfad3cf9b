"""What an HTTP/1.1 connection is at, and what it does with the body of a request."""

from __future__ import annotations

from enum import Enum, auto


class State(Enum):
    """What a connection is there for."""

    #: Requests are answered.
    SERVING = auto()
    #: All is answered; what the client still sends is read for a while and forgotten.
    LINGERING = auto()
    #: It is closed, or will be as soon as the last byte has left.
    CLOSED = auto()
    #: Another protocol has it.
    TAKEN_OVER = auto()


class BodyUse(Enum):
    """What becomes of the body of the request that is being answered."""

    #: There is none, or no more of it will come.
    NONE = auto()
    #: A resource has seen the head and has not said yet what it wants; nothing is read.
    HELD = auto()
    #: It is collected; the request is handled when it is whole.
    COLLECTED = auto()
    #: A sink takes it as it comes.
    STREAMED = auto()
    #: The answer has begun without it; it is read and forgotten.
    DROPPED = auto()
