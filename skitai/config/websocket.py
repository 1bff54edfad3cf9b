"""The keys of ``[websocket]``: see ``skitai.websocket.settings``.

The section does not depend on any plugin: the server and ``was.ws`` share it.
"""

from __future__ import annotations

from collections.abc import Mapping

from skitai.config.casters import comma_list, integer, positive, seconds, show_size, size, yes_no
from skitai.config.forms import form
from skitai.config.keys import Key
from skitai.http.origins import checked_origin

_MB = 1 << 20


@form("list of origins", "https://example.com, *.example.org")
def _origins(value: str) -> tuple[str, ...]:
    return tuple(map(checked_origin, comma_list(value)))


WEBSOCKET_KEYS: Mapping[str, Key] = {
    "message_max": Key(
        positive(size), _MB, "the largest message, counted when unpacked; beyond: 1009", show_size
    ),
    "frame_max": Key(
        size, 0, "the largest frame of a message; 0: as message_max", show_size, example="256 KB"
    ),
    "deflate": Key(yes_no, False, "compress messages (permessage-deflate) where the peer can"),
    "ping_interval": Key(seconds, 20.0, "so often the peer is pinged; 0: never"),
    "ping_timeout": Key(seconds, 20.0, "a peer silent for so long after a ping is cut off; 0: never"),
    "close_timeout": Key(positive(seconds), 5.0, "so long the peer may take to answer a close"),
    "inbox_max": Key(positive(size), _MB, "what may wait for the app before the peer is not read", show_size),
    "outbox_max": Key(positive(size), _MB, "what may wait for the peer before send waits, too", show_size),
    "send_timeout": Key(positive(seconds), 30.0, "a peer that reads nothing while send waits is cut off"),
    "origins": Key(
        _origins,
        (),
        "other origins whose pages may connect: https://example.com, *.example.com, null, or * for all",
    ),
    "threads_max": Key(integer(0), 100, "websockets with a thread of their own; the next gets 503"),
}
