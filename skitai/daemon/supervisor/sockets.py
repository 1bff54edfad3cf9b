"""The sockets of a server, which outlive its generations."""

from __future__ import annotations

from collections.abc import Sequence

from skitai.net.closing import begin_nothing
from skitai.net.endpoints import parse_endpoint
from skitai.net.sockets import Opened, open_sockets


class Sockets:
    """What a server listens on.

    ``inherited`` are descriptors of sockets that systemd passed, ``present`` those that listen already.
    """

    def __init__(self, inherited: Sequence[int] = (), present: Sequence[Opened] = ()) -> None:
        self._inherited = inherited
        self._opened = list(present)

    def want(self, addresses: Sequence[str]) -> list[Opened]:
        """Return the sockets for ``addresses``, in the form of ``Endpoint``: those there are, and new ones.

        The others stay open until ``keep`` is called. Raises ListenError, and then all is as before.
        """
        endpoints = [parse_endpoint(address) for address in addresses]
        found = open_sockets(endpoints, self._inherited, self._opened)
        self._opened = [*_others(self._opened, found), *found]
        return found

    def keep(self, wanted: Sequence[Opened]) -> None:
        """Close all but ``wanted``."""
        for opened in _others(self._opened, wanted):
            if opened.endpoint is not None:  # else it is not ours, and will be served again
                begin_nothing(opened.socket)
            opened.close()
        present = [opened.socket for opened in self._opened]
        self._opened = [opened for opened in wanted if opened.socket in present]  # not what was closed before

    def close(self) -> None:
        """Listen no longer."""
        self.keep([])


def _others(all_opened: Sequence[Opened], some: Sequence[Opened]) -> list[Opened]:
    """Return those of ``all_opened`` whose sockets are not among ``some``."""
    sockets = [opened.socket for opened in some]
    return [opened for opened in all_opened if opened.socket not in sockets]
