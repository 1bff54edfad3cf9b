"""A member that answers from a script, and a proxy with a cache in front of it, by a clock of the test."""

from __future__ import annotations

import threading
from wsgiref.handlers import format_date_time

from proxy_world import Member, shut_down

from skitai.services.proxy.plugin import _cache_of
from wire import PATIENCE


def reply(body=b"ok", *fields, code=200, length=True):
    """Return the bytes of a reply with these fields."""
    lines = [f"HTTP/1.1 {code} Fine", *fields]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class ScriptedMember(Member):
    """Answers each request with the next of ``replies``: bytes, or a function of the connection."""

    def __init__(self):
        super().__init__()
        self.replies = []
        #: The heads of the requests, and how many must have come.
        self.asked = []
        self._came = threading.Condition()
        self.socket.settimeout(None)
        self._threads = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self):
        while True:
            try:
                connection = self.accept()
            except (OSError, ValueError):
                return
            self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
            self._threads[-1].start()

    def _serve(self, connection):
        connection.socket.settimeout(None)
        try:
            while True:
                head, _ = connection.request()
                if not head:
                    return
                with self._came:
                    self.asked.append(head.decode("latin-1"))
                    found = self.replies.pop(0) if self.replies else reply(b"nothing left", code=599)
                    self._came.notify_all()
                if callable(found):
                    found(connection)
                else:
                    connection.send(found)
        except (OSError, ValueError):
            pass

    def wait_for(self, count):
        """Wait until so many requests have come."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.asked) >= count, PATIENCE)

    def close(self):
        shut_down(self.socket)
        self._accepting.join(PATIENCE)  # it may just have accepted a connection
        self.let_go()
        for thread in self._threads:
            thread.join(PATIENCE)
        super().close()


class Clock:
    """The wall clock of the cache: it stands until it is moved."""

    def __init__(self, now=1_800_000_000.0):
        self.now = now

    def __call__(self):
        return self.now

    def date(self, seconds=0):
        """Return the HTTP-date so many seconds from now."""
        return format_date_time(self.now + seconds)


class CachingProxy:
    """A proxy with ``cache=yes`` for ``/``; ``cache`` are lines of its section."""

    def __init__(self, proxy, member, clock, cache="", routes="/ = @up cache=yes", server="access_log = off"):
        self.member = member
        self.clock = clock
        self.server = proxy(member, routes=routes, server=server, up=f"[cache]\n{cache}")

    def ask(self, target="/a", *fields, method="GET", **options):
        """Return the response to one request; ``fields`` are such as ``"Cookie: a=b"``."""
        with self.server.client() as client:
            pairs = [tuple(field.split(": ", 1)) for field in fields]
            return client.ask(target, method, pairs, **options)

    def put(self, *fields, target="/a", body=b"ok", code=200, asking=()):
        """Have a reply pass through, with the Date of now unless it has one; return the response."""
        if not any(field.lower().startswith("date:") for field in fields):
            fields = (*fields, f"Date: {self.clock.date()}")
        self.member.replies.append(reply(body, *fields, code=code))
        return self.ask(target, *asking)

    @property
    def asked(self):
        """How often the member was asked."""
        return len(self.member.asked)

    @property
    def mount(self):
        """The cache of the mount."""
        return next(iter(_cache_of(self.server.instance).mounts.values()))

    def statistics(self):
        """Return the table of the status page."""
        return self.server.loop.call(self.server.instance._overview)["Cache of the reverse proxy"]
