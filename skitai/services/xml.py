"""``was.toxml`` and ``was.fromxml``: values as the ``<params>`` of XML-RPC."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from skitai.formats.xmlrpc import dump_params, load_document
from skitai.plugins import hookimpl


def toxml(obj: Any) -> str:
    """Return a ``<params>`` document with the items of a tuple, or with any other object as its one item.

    Raises TypeError or ValueError for an object that XML-RPC cannot express. Called in any thread.
    """
    return dump_params(obj if isinstance(obj, tuple) else (obj,))


def fromxml(text: str | bytes) -> tuple[tuple[Any, ...], str | None]:
    """Return ``(args, method)`` of an XML-RPC document; ``method`` is None if it is no method call.

    Raises ValueError for a text that is malformed or an attack, and the ``xmlrpc.client.Fault`` of a document
    that holds one. Called in any thread.
    """
    return load_document(text)


@hookimpl
def skitai_attributes() -> Mapping[str, Callable[[Any], Any]]:
    """Give ``was.toxml`` and ``was.fromxml``."""
    return {"toxml": lambda _was: toxml, "fromxml": lambda _was: fromxml}
