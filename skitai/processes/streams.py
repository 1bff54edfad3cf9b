"""The standard streams of a process, as the server itself writes to them, whatever apps do to theirs.

Programs that want another encoding put an object of their own in the place of ``sys.stdout``, and take its
buffer away (``sys.stdout.detach()``). Others close it. Their own words may go where they like, but the logs
of the server must not end with them.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import IO

_STANDARD = {"stdout": 1, "stderr": 2}
#: Streams of our own, by the names in ``sys``.
_own: dict[str, IO[str]] = {}


def keep_own_streams() -> None:
    """Have ``own_stream`` give streams of our own from now on. Called before any app is loaded."""
    for name, descriptor in _STANDARD.items():
        stream = getattr(sys, name)
        with suppress(AttributeError, OSError, ValueError):  # there is none, or it has no descriptor
            if stream.fileno() == descriptor:
                _own[name] = open(  # noqa: SIM115 - it is open as long as the process is
                    descriptor, "w", buffering=1,
                    encoding=stream.encoding, errors=stream.errors, closefd=False,
                )  # fmt: skip


def own_stream(name: str) -> IO[str]:
    """Return where the server writes what is meant for ``sys.stdout`` or ``sys.stderr``, as ``name`` says.

    It is the stream of that name as it is now, where there was no ``keep_own_streams``.
    """
    return _own.get(name) or getattr(sys, name)


def flush_streams() -> None:
    """Write out what waits in the standard streams: those of ``sys``, and our own. Called in any thread."""
    for stream in (*(getattr(sys, name) for name in _STANDARD), *_own.values()):
        with suppress(AttributeError, OSError, ValueError):  # an app may have closed it, or taken it away
            stream.flush()
