"""Apps that raise: what the path names, at the point in time that the query names."""

import builtins

from greenlet import GreenletExit


class Body:
    """A body that raises when it is told to, and counts how often it was closed."""

    def __init__(self, error, when, counts):
        self._error = error
        self._when = when
        self._counts = counts

    def __iter__(self):
        if self._when == "first":
            raise self._error
        yield b"first piece"
        if self._when == "later":
            raise self._error

    def close(self):
        self._counts.append(self._when)
        if self._when == "close":
            raise self._error


#: One entry for each call of a body's close().
closed = []


def app(environ, start_response):
    name, when = environ["PATH_INFO"].strip("/"), environ["QUERY_STRING"]
    if not name:
        start_response("200 OK", [])
        return [b"still here"]
    kind = GreenletExit if name == "GreenletExit" else getattr(builtins, name)
    error = kind("on purpose")
    if when == "called":
        raise error
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    if when == "started":
        raise error
    if when == "written":
        write(b"first piece")
        raise error
    return Body(error, when, closed)
