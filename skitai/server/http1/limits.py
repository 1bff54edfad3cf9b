"""The limits of what clients may take from the server."""

from __future__ import annotations

import attrs

from skitai.config import SERVER_KEYS


@attrs.frozen
class ServerLimits:
    """Limits in seconds and bytes, with the defaults of the config's section [server].

    ``header_timeout``: seconds from the first byte of a request's head to its last. ``keep_alive``: idle
    seconds between requests. ``response_timeout``: seconds without progress while a body arrives, or (twice
    as many) while a response is sent. ``uri_max``, ``header_max``: bytes of the target, and of the whole
    head. ``body_max``, ``multipart_max``: bytes of a body, and of a multipart/form-data one.
    ``response_buffer_max``: bytes of a response that may wait for a slow client before the app is paused.
    ``buffers_max``: bytes of all bodies and responses that may wait, in memory and on disk.
    ``connections_max``: open connections. ``http2_streams``: requests under way on one of HTTP/2.
    """

    header_timeout: float = SERVER_KEYS["header_timeout"].default
    keep_alive: float = SERVER_KEYS["keep_alive"].default
    response_timeout: float = SERVER_KEYS["response_timeout"].default
    uri_max: int = SERVER_KEYS["uri_max"].default
    header_max: int = SERVER_KEYS["header_max"].default
    body_max: int = SERVER_KEYS["body_max"].default
    multipart_max: int = SERVER_KEYS["multipart_max"].default
    response_buffer_max: int = SERVER_KEYS["response_buffer_max"].default
    buffers_max: int = SERVER_KEYS["buffers_max"].default
    connections_max: int = SERVER_KEYS["connections_max"].default
    http2_streams: int = SERVER_KEYS["http2_streams"].default

    def body_max_of(self, content_type: bytes) -> int:
        """Return how long a body of this Content-Type may be; empty if the request has none."""
        multipart = content_type[:19].lower() == b"multipart/form-data"
        return self.multipart_max if multipart else self.body_max
