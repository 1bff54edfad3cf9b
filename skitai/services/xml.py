"""``was.toxml`` and ``was.fromxml``: values as the ``<params>`` of XML-RPC."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from skitai.formats.xmlrpc import dump_params, load_document
from skitai.plugins import hookimpl


def toxml(obj: Any) -> str:
    """Return a tuple as the ``<params>`` document that holds its items, anything else as one that holds it.

    Raises TypeError or ValueError for what XML-RPC has no form for. Called in any thread.
    """
    return dump_params(obj if isinstance(obj, tuple) else (obj,))


def fromxml(text: str | bytes) -> tuple[tuple[Any, ...], str | None]:
    """Return ``(args, method)`` of an XML-RPC document; ``method`` is None where it is no method call.

    Raises ValueError for a text that is none or a hostile one, and the ``xmlrpc.client.Fault`` that it
    holds. Called in any thread.
    """
    return load_document(text)


@hookimpl
def skitai_attributes() -> Mapping[str, Callable[[Any], Any]]:
    """Give ``was.toxml`` and ``was.fromxml``."""
    return {"toxml": lambda _was: toxml, "fromxml": lambda _was: fromxml}
