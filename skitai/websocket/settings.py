"""What ``[websocket]`` says about every websocket, of the server and of ``was.ws``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import attrs

from skitai.websocket.conversation import ConversationLimits

#: The config section.
SECTION = "websocket"


@attrs.frozen(kw_only=True)
class WebSocketSettings:
    """How large, how long and how many; the keys are explained in ``skitai.config.websocket``.

    Sizes are in bytes, times in seconds. 0 for ``frame_max`` means ``message_max``, 0 for ``ping_interval``
    means no pings, and 0 for ``ping_timeout`` that they need no answer.
    """

    message_max: int = 1024 * 1024
    frame_max: int = 0
    deflate: bool = False
    ping_interval: float = 20.0
    ping_timeout: float = 20.0
    close_timeout: float = 5.0
    inbox_max: int = 1024 * 1024
    outbox_max: int = 1024 * 1024
    send_timeout: float = 30.0
    origins: tuple[str, ...] = ()
    threads_max: int = 100
    #: How many bytes one frame may have. It is looked up for each message.
    largest_frame: int = attrs.field(init=False)

    @largest_frame.default
    def _smaller_limit(self) -> int:
        return min(self.frame_max or self.message_max, self.message_max)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the settings for typed ``values`` of the section."""
        return cls(**values)

    @property
    def conversation_limits(self) -> ConversationLimits:
        """How much may wait at our end of a websocket."""
        return ConversationLimits(self.inbox_max, self.outbox_max, self.send_timeout)
