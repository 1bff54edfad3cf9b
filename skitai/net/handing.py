"""Sockets that a program hands over to the one that it becomes."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import MutableMapping, Sequence

from skitai.net.endpoints import parse_endpoint
from skitai.net.sockets import Opened

#: The variable that names them: for each the descriptor, the address, and the identity of its file.
_VARIABLE = "SKITAI_SOCKETS"


def hand_over(sockets: Sequence[Opened], environ: MutableMapping[str, str]) -> None:
    """Name ``sockets`` in ``environ``, except those that were inherited (see ``pass_on``)."""
    own = [opened for opened in sockets if opened.endpoint is not None]
    for opened in own:
        os.set_inheritable(opened.socket.fileno(), True)
    rows = [(opened.socket.fileno(), str(opened.endpoint), opened.file) for opened in own]
    environ[_VARIABLE] = json.dumps(rows)


def handed_over(environ: MutableMapping[str, str]) -> list[Opened]:
    """Return the sockets that ``environ`` names, which are this process's from now on, and remove that."""
    found = []
    for descriptor, address, file in json.loads(environ.pop(_VARIABLE, "[]")):
        os.set_inheritable(descriptor, False)
        endpoint = parse_endpoint(address)
        identity = None if file is None else (file[0], file[1])
        found.append(Opened(socket.socket(fileno=descriptor), endpoint.tls, endpoint, identity))
    return found
