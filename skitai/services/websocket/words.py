"""What users of websocket-client, websockets and aiohttp write, with how it is called here."""

from __future__ import annotations

from skitai.formats.spelling import Keywords
from skitai.services.http.words import COMMON_HINTS

_LIMIT = "message_max and inbox_max are keys in the section [websocket] of the config"
_PING = "ping_interval and ping_timeout are keys in the section [websocket] of the config"

_HINTS = {
    **COMMON_HINTS,
    **dict.fromkeys(("subprotocol", "protocols", "protocol"), "did you mean subprotocols?"),
    **dict.fromkeys(("max_size", "max_msg_size", "max_queue", "write_limit"), _LIMIT),
    **dict.fromkeys(("ping_interval", "ping_timeout", "heartbeat", "autoping"), _PING),
    **dict.fromkeys(("origin", "host", "user_agent_header"), 'write headers={"Origin": "https://name"}'),
}

#: Of ``was.ws``.
KEYWORDS = Keywords(
    {
        **_HINTS,
        **dict.fromkeys(("data", "text", "payload", "content"), "did you mean message?"),
        **dict.fromkeys(("opcode", "binary"), 'did you mean encoding? It is "text" or "binary"'),
        "timeout": "write was.ws(...).getwait(timeout)",
    },
    frozenset({"detach"}),
)
#: Of ``was.ws.connect``.
CONNECT_KEYWORDS = Keywords(
    {**_HINTS, "open_timeout": "did you mean timeout?", "connect_timeout": "did you mean timeout?"},
    frozenset({"timeout"}),
)
