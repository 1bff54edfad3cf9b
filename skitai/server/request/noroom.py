"""Why a body or a response cannot be kept until it can be used, and what the operator can do."""

from __future__ import annotations

import errno
import tempfile
from typing import TYPE_CHECKING

from twisted.logger import Logger

from skitai.net.exhaustion import no_descriptor
from skitai.server.request.refusallog import NO_ADDRESS, asked_by, shown
from skitai.server.request.storage import StorageFull

if TYPE_CHECKING:
    from skitai.server.request.request import Request

_log = Logger()

_FULL = (errno.ENOSPC, errno.EDQUOT)
_MOVE = "name another folder in the variable TMPDIR"


def why(error: OSError) -> str:
    """Return the reason of ``error`` and what mends it: a key, a limit or a folder.

    There are few such sentences, whatever clients send: see ``RefusalLog``.
    """
    if isinstance(error, StorageFull):
        return f"{error.strerror}: raise that key of [server]"
    if want := no_descriptor(error.errno):
        return want
    what = error.strerror or str(error)
    if tempfile.tempdir is not None:  # else what failed is the search for one, which names the folders
        what = f"{what} in the folder {tempfile.tempdir}"
    return f"{what}: make room there, or {_MOVE}" if error.errno in _FULL else f"{what}: {_MOVE}"


def cut_off(request: Request, error: OSError) -> None:
    """Say that the response to ``request`` is cut off: what its client has not read cannot be kept."""
    tell(request.connection.addresses["REMOTE_ADDR"], shown(asked_by(request)), error)


def tell(client: str, what: str, error: OSError) -> None:
    """Say the same of ``what`` was to be sent to ``client``, whatever request that was for."""
    _log.error(
        "{client} {what}: its client does not read, and the response cannot be kept, so it is cut off: {why}",
        client=client or NO_ADDRESS,
        what=what,
        why=why(error),
    )
