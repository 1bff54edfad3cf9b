"""The socket of a connection, offered to an app whose own library speaks the protocol of websockets.

Gunicorn puts the client's socket into the environ as ``gunicorn.socket``, and libraries such as
simple-websocket, the base of flask-sock and Flask-SocketIO, look for it there. Here it is one end of a pair,
made when it is first used.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from enum import Enum
from errno import EBADF
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import greenlet

from skitai.interfaces import IThreadExecutor
from skitai.loop import native
from skitai.loop.bridge import Pending
from skitai.server.websocket.pump import Pump

if TYPE_CHECKING:
    import _socket

    from _typeshed import ReadableBuffer as Buffer

    from skitai.interfaces import IExecutor
    from skitai.server.request.request import Request
    from skitai.server.websocket.state import WebSockets

#: The name in the environ.
OFFER = "gunicorn.socket"


class Unwind(BaseException):
    """Ends a call of an app: it cannot have the socket there. No ``except Exception`` may catch it."""


class LazySocket:
    """A socket that is what ``make()`` returns, from its first use on.

    In two ways it is better than that. ``send`` sends all, which libraries take for granted: gevent's sends a
    part. And what two threads send does not mix.
    """

    def __init__(self, make: Callable[[], socket.socket]) -> None:
        self._make = make
        self._made: socket.socket | None = None
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copying and debugging is no use
            raise AttributeError(name)
        return getattr(self._socket(), name)

    def _socket(self) -> socket.socket:
        if self._made is None:
            self._made = self._make()
        return self._made

    def send(self, data: Buffer, flags: int = 0) -> int:
        """Send ``data``, and return how much; all, unless the socket has a time-out or does not block."""
        made = self._socket()
        if made.gettimeout() is not None:
            return made.send(data, flags)
        with self._lock:
            made.sendall(data, flags)
        return memoryview(data).nbytes

    def sendall(self, data: Buffer, flags: int = 0) -> None:
        """Send all of ``data``."""
        made = self._socket()
        with self._lock:
            made.sendall(data, flags)

    def __del__(self) -> None:
        if self._made is not None:
            self._made.close()  # whoever has it no more need not have closed it


class Use(Enum):
    """What has become of an offer."""

    NONE = "none"
    TAKEN = "taken"
    #: The app wants it, but where it runs nothing may block.
    MISPLACED = "misplaced"
    #: There is no thread for its view, or its client has left.
    REFUSED = "refused"


class Asker(Protocol):
    """Who is told what becomes of an offer. All methods are called in the reactor thread."""

    def taken(self) -> None:
        """Note that the app has taken the socket."""

    def misplaced(self) -> None:
        """Note that the app wants the socket, but that nothing may block where it was called."""

    def no_thread(self) -> None:
        """Answer the request: there is no thread for the app's view."""


class Offer:
    """The offer of a socket for ``request`` in one call of an app.

    An app that runs in one of a few threads keeps its thread when it takes the socket, and another takes the
    place of that. In a greenlet that must not block, ``Unwind`` ends the call. ``in_own_thread`` says that
    the call has a thread to itself.
    """

    kind = "socket"

    def __init__(
        self,
        websockets: WebSockets,
        executor: IExecutor,
        request: Request,
        asker: Asker,
        in_own_thread: bool,
    ) -> None:
        self.socket = LazySocket(self._take)
        self.use = Use.NONE
        self._websockets = websockets
        self._bridge = websockets.bridge
        self._executor = executor
        self._request = request
        self._asker = asker
        self._in_own_thread = in_own_thread
        self._caller: greenlet.greenlet | None = None
        self._adopted: int | None = None
        self._pump: Pump | None = None

    # -- in the app's thread or greenlet -------------------------------------------------------------------

    def begin(self) -> None:
        """Note that the call of the app begins, in the current thread and greenlet."""
        self._caller = greenlet.getcurrent()

    def end(self) -> None:
        """Note that the call of the app is over: what it has sent is passed on, and the connection closed."""
        self._caller = None
        del self.socket  # which closes it, if nobody else has it
        if self._is_taken:
            self._bridge.submit(self._over)
        elif self.use is Use.MISPLACED:
            self._bridge.submit(self._asker.misplaced)

    def _take(self) -> socket.socket:
        if greenlet.getcurrent() is not self._caller or self.use is not Use.NONE:
            self._fail()
        if self._bridge.blocks_here():
            self.use = Use.MISPLACED
            raise Unwind
        ours, theirs = native.socketpair()
        answered = Pending()
        self._bridge.submit(partial(self._answer, ours, native.get_ident(), answered))
        self._bridge.wait(answered, inf)
        if not self._is_taken:
            theirs.close()
            raise Unwind
        return socket.socket(theirs.family, theirs.type, theirs.proto, theirs.detach())

    @property
    def _is_taken(self) -> bool:
        return self.use is Use.TAKEN

    def _fail(self) -> NoReturn:
        if self.use is Use.NONE:
            text = "the socket must first be used where the app is called, before it has answered"
        else:
            text = "the connection could not be taken over"
        raise OSError(EBADF, text)

    # -- in the reactor thread -----------------------------------------------------------------------------

    def _answer(self, ours: _socket.socket, ident: int, answered: Pending) -> None:
        try:
            self.use = self._judge(ident)
            if self.use is Use.TAKEN:
                self._begin(ours)
        except Exception:
            self.use = Use.REFUSED
            self._over()
            raise
        finally:
            if self.use is Use.REFUSED:
                ours.close()
            answered.end()

    def _judge(self, ident: int) -> Use:
        if self._request.gone or self._request.written:
            return Use.REFUSED
        if self._executor.multithread and not self._in_own_thread:
            threads = self._websockets.threads
            try:
                self._adopted = threads.adopt()
                IThreadExecutor(self._executor).let_go(ident)
            except RuntimeError:  # too many threads, or the system has no more
                self._release()
                self._asker.no_thread()
                return Use.REFUSED
        return Use.TAKEN

    def _begin(self, ours: _socket.socket) -> None:
        websockets = self._websockets
        pump = Pump(
            websockets.instance.reactor,
            ours,
            websockets.queue,
            websockets.watch,
            websockets.settings.close_timeout,
            partial(websockets.closed, self),
        )
        websockets.opened(self)
        websockets.began(self)
        self._asker.taken()
        self._request.take_over(pump, "101 Switching Protocols", None)
        self._pump = pump

    def stop(self) -> None:
        """Cut the connection: the server stops, and the view did not end in time."""
        if self._pump is not None:
            self._pump.abort()

    def _over(self) -> None:
        self._release()
        if self._pump is not None:
            self._pump.finish()
        self._websockets.ended(self)

    def _release(self) -> None:
        if self._adopted is not None:
            self._websockets.threads.release(self._adopted)
            self._adopted = None
