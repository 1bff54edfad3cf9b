"""A reply's body as it comes in: undone from its Content-Encoding, and never larger than allowed."""

from __future__ import annotations

from skitai.http.codings import DECODABLE, CodingError, Decoder, decoder_for, goes_on


class BadReplyError(Exception):
    """The peer's reply breaks a rule or a limit: the text says which."""


class ReplyBody:
    """Collects a body of at most ``limit`` bytes, counted after decoding.

    Codings that cannot be undone here stay as they came: only an app that asked for one gets one.
    """

    __slots__ = ("_chunks", "_coding", "_decoder", "_limit", "_size")

    def __init__(self, limit: int, coding: str | None = None) -> None:
        self._limit = limit
        self._size = 0
        self._chunks: list[bytes] = []
        self._coding = coding.strip().lower() if coding else ""
        if "," in self._coding and DECODABLE.intersection(map(str.strip, self._coding.split(","))):
            # Handed over as they came, such bodies would look like what they are not.
            raise BadReplyError(f"the body has several codings ({self._coding}), which nobody asked for")
        self._decoder: Decoder | None = None

    def add(self, data: bytes) -> None:
        """Take the next bytes from the wire; raise ``BadReplyError`` for too many or undecodable ones."""
        if self._coding in DECODABLE:
            self._decode(data)
        else:
            self._keep(data)

    def finish(self) -> bytes:
        """Return the whole body; raise ``BadReplyError`` where its coding ends too early."""
        if self._decoder is not None and not self._decoder.eof:
            raise BadReplyError(f"the {self._coding} data of the body ends in the middle")
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit:
            raise BadReplyError(f"the body is larger than {self._limit} bytes")
        self._chunks.append(data)

    def _decode(self, data: bytes) -> None:
        while data:
            if self._decoder is None:
                self._decoder = decoder_for(self._coding, data)
            elif self._decoder.eof:
                if not goes_on(self._coding, data):
                    return  # Padding after the last member: browsers and curl pass over it too.
                self._decoder = decoder_for(self._coding, data)
            try:
                # A little more than allowed is enough to know, however much a bomb would unpack to.
                self._keep(self._decoder.decompress(data, self._limit - self._size))
            except CodingError as error:
                raise BadReplyError(f"the body is not the {self._coding} that it claims: {error}") from error
            data = self._decoder.unused_data
