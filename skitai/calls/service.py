"""The base class that most services share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs
from zope.interface import implementer

from skitai.calls.result import Result
from skitai.interfaces import INode, IService

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from skitai.calls.operation import Operation


@implementer(INode)
@attrs.frozen
class HostNode:
    """A node that is a host and a port."""

    host: str
    port: int

    @property
    def label(self) -> str:
        """``host:port``, with an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


_HOST_PORT = re.compile(r"(?:\[(?P<ipv6>[^\[\]\s]+)\]|(?P<host>[^\[\]\s:/]+))(?P<rest>(?::.*)?)")


def parse_host_port(text: str, default_port: int | None = None) -> tuple[str, int]:
    """Split ``host[:port]`` or ``[ipv6][:port]``.

    Raises ValueError when the host is missing or the port is missing, not a number or out of range.
    """
    if "@" in text:  # not repeated: it may be a password
        raise ValueError("an address is host[:port], without a user or a password")
    match = _HOST_PORT.fullmatch(text.strip())
    if match is None or "//" in text:
        raise ValueError(f"{text!r} is not host[:port]")
    host, rest = match["ipv6"] or match["host"], match["rest"]
    if not rest:
        if default_port is None:
            raise ValueError(f"{text!r} has no port: write {host}:PORT")
        return host, default_port
    digits = rest[1:]
    if not (digits.isascii() and digits.isdigit() and 0 < int(digits) < 65536):
        raise ValueError(f"{digits!r} in {text!r} is not a port (1 to 65535)")
    return host, int(digits)


@implementer(IService)
class Service:
    """A service whose nodes are ``host:port`` and whose calls start at once.

    A subclass writes ``operation`` and ``perform``, and names its ``default_port`` where it has one.
    """

    cluster_type: str | None = None
    cluster_keys: frozenset[str] = frozenset()
    result_type: type[Result] = Result
    default_port: int | None = None

    def operation(self, *args: Any, **kwargs: Any) -> Operation:
        """Return the operation for an app's arguments; raise TypeError or ValueError for senseless ones."""
        raise NotImplementedError

    def perform(self, node: Any, operation: Operation) -> Deferred[Any]:
        """Carry out ``operation`` on ``node``; see ``IService.perform``. Called in the reactor thread."""
        raise NotImplementedError

    def begin(self, submit: Callable[[Operation], Any], *args: Any, **kwargs: Any) -> Any:
        """Submit the operation at once and return its ``Call``. Called in the app's thread."""
        return submit(self.operation(*args, **kwargs))

    def node(self, target: str) -> Any:
        """Return the node that ``host:port`` names. Called in the app's thread."""
        return HostNode(*parse_host_port(target, self.default_port))

    def member(self, address: str, options: Mapping[str, str]) -> Any:  # noqa: ARG002 - others need them
        """Return the node of a cluster member. Called once, before the server starts."""
        return self.node(address)
