"""The second level of the result cache: results that several processes share, as plain bytes."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from skitai.calls.cache import CachePlace
from skitai.calls.result import Result, together
from skitai.formats.plain import from_bytes, to_bytes
from skitai.loop.bridge import Bridge

if TYPE_CHECKING:
    from skitai.calls.call import Call
    from skitai.interfaces import IResultCache, ISharedResults

_log = Logger()


def shared_key(key: Hashable) -> bytes | None:
    """Return what stands for ``key`` in every process; None for what only this process can tell apart.

    A node whose ``reach`` is ``"machine"`` is another one on each machine, and ``"process"`` in each process.
    """
    try:
        return hashlib.sha256(to_bytes(_plain(key))).digest()
    except (TypeError, ValueError):
        return None


def _plain(key: Any) -> Any:
    if isinstance(key, tuple):
        return ("", *map(_plain, key))
    if isinstance(key, type):
        return ("type", f"{key.__module__}.{key.__qualname__}")
    if attrs.has(type(key)):
        fields = [_plain(getattr(key, field.name)) for field in attrs.fields(type(key))]
        return (type(key).__qualname__, _reach(key), *fields)
    return key


def _reach(node: Any) -> str:
    reach = getattr(node, "reach", "")
    if reach == "process":
        raise ValueError("it is another one in each process")
    return socket.gethostname() if reach == "machine" else ""


@attrs.frozen
class SecondLevel:
    """Both levels of a cache, and the way to the reactor thread, where the second is used."""

    cache: IResultCache
    shared: ISharedResults
    bridge: Bridge

    def place(self, key: Hashable, to_all: bool) -> CachePlace:
        """Return the place of ``key``, in both levels if other processes can have the same key."""
        name = shared_key(key)
        return CachePlace(self.cache, key) if name is None else SharedPlace(self, key, name, to_all)


class SharedPlace(CachePlace):
    """A place in both levels: ``level`` is the second, ``name`` its key there. Used in any thread.

    With ``to_all`` it is that of the results of all members of a cluster.
    """

    __slots__ = ("_level", "_name", "_to_all")

    def __init__(
        self, level: SecondLevel, key: Hashable, name: bytes, to_all: bool, original: Any = None
    ) -> None:
        super().__init__(level.cache, key, original)
        self._level = level
        self._name = name
        self._to_all = to_all

    def of_filtered(self, original: Any) -> SharedPlace:
        """Return the same place for the result that a filter made of ``original``."""
        return SharedPlace(self._level, self.key, self._name, self._to_all, original)

    def keep(self, result: Any, seconds: float) -> None:
        """Keep ``result`` for ``seconds`` in both levels; in the first alone if it is no plain data."""
        super().keep(result, seconds)
        kept = result if self.original is None else self.original
        try:
            data = to_bytes([each.plain() for each in (kept if self._to_all else [kept])])
        except (TypeError, ValueError):
            return
        self._level.bridge.submit(partial(self._level.shared.store, self._name, data, seconds))

    def expire(self) -> None:
        """Forget what is kept, in both levels."""
        super().expire()
        self._level.bridge.submit(partial(self._level.shared.forget, self._name))

    def ask(self, calls: Sequence[Call], result_type: type[Result], go_on: Callable[[], None]) -> None:
        """Answer ``calls`` from the second level, or else ``go_on()``. Called in the reactor thread."""
        fetched = self._level.shared.fetch(self._name)
        fetched.addCallback(self._answer, calls, result_type)
        fetched.addErrback(_no_answer)
        fetched.addCallback(lambda answered: None if answered else go_on())

    def _answer(self, found: tuple[bytes, float] | None, calls: Sequence[Call], kind: type[Result]) -> bool:
        if found is None:
            return False
        data, seconds = found
        results = [kind.of_plain(fields) for fields in from_bytes(data)]
        if len(results) != len(calls):  # the cluster has other members there
            return False
        for call, result in zip(calls, results, strict=True):
            result.node, result.target, result.is_cached = call.node, call.operation.target, True
        if seconds > 0:
            kept: Any = together(results) if self._to_all else results[0]
            self._cache.put(self.key, kept.as_kept(), seconds)
        for call, result in zip(calls, results, strict=True):
            call.settle(result)
        return True


def _no_answer(failure: Failure) -> bool:
    """Note what went wrong: the call is made as if there were no second level."""
    _log.failure("a shared result cannot be used", failure=failure, level=LogLevel.warn)
    return False
