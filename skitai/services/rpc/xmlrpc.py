"""XML-RPC as a codec (xmlrpc.com/spec)."""

from __future__ import annotations

from typing import Any

from skitai.formats.xmlrpc import DocumentReader, dump_call
from skitai.services.rpc.codec import Codec, Reader


class XMLRPC(Codec):
    """Arguments by position only."""

    name = "XML-RPC"
    service = "rpc"
    media_types = ("text/xml", "application/xml")

    def encode(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Return a ``<methodCall>``; raise what ``dump_call`` raises, TypeError for named arguments."""
        if kwargs:
            raise TypeError(f"{method}() has named arguments ({', '.join(kwargs)}), but XML-RPC has none")
        return dump_call(method, args).encode()

    def reader(self) -> Reader:
        """Return the reader of a ``<methodResponse>``."""
        return _ResponseReader()


class _ResponseReader(DocumentReader):
    """Unwraps the one value of a response."""

    def close(self) -> Any:
        params, method = super().close()
        if method is not None or len(params) != 1:
            raise ValueError("not an XML-RPC response: it must hold one value")
        return params[0]
