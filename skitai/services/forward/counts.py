"""What the forward proxy has counted."""

from __future__ import annotations

from collections import Counter

import attrs

from skitai.services.proxy.way import Counts


@attrs.define
class ForwardCounts(Counts):
    """Beside ``Counts``: tunnels since the start, those that are open, by client, and bytes through them.

    ``refused`` counts what was not forwarded by the key that decides.
    """

    tunnels: int = 0
    open_tunnels: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    clients: Counter[str] = attrs.field(factory=Counter)
    refused: Counter[str] = attrs.field(factory=Counter)

    def tunnel_begins(self, client: str) -> None:
        """Count a tunnel of ``client``."""
        self.tunnels += 1
        self.open_tunnels += 1
        self.clients[client] += 1

    def tunnel_ends(self, client: str) -> None:
        """Undo ``tunnel_begins``, but for the sum."""
        self.open_tunnels -= 1
        self.clients[client] -= 1
        if not self.clients[client]:
            del self.clients[client]
