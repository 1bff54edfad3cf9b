"""The bounds within which one client may use the server."""

from __future__ import annotations

import attrs


@attrs.frozen
class ServerLimits:
    """Seconds and bytes; the config's [server] section sets them.

    ``header_timeout``: from the first byte of a request's head to its last. ``keep_alive``: idle between
    requests. ``response_timeout``: without progress while a body arrives or (doubled) a response leaves.
    ``uri_max``, ``header_max``: length of the target and of the whole head. ``body_max``, ``multipart_max``:
    length of a body, and of a multipart/form-data one. ``response_buffer_max``: how much of a response may
    wait for a slow client before the app is paused. ``connections_max``: open connections.
    """

    header_timeout: float = 10.0
    keep_alive: float = 10.0
    response_timeout: float = 10.0
    uri_max: int = 8 * 1024
    header_max: int = 32 * 1024
    body_max: int = 5 * 1024 * 1024
    multipart_max: int = 100 * 1024 * 1024
    response_buffer_max: int = 1024**3
    connections_max: int = 20_000
