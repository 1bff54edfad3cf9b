"""The dictionary methods of ``was.cookie`` and ``was.session``, with README's names for them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, KeysView, Mapping, MutableMapping
from typing import Any


class DictMethods(MutableMapping[str, Any]):
    """A dictionary whose subclass stores the values.

    Templates may write ``{{ was.cookie.username }}``: an unknown attribute is looked up as a key.
    """

    @abstractmethod
    def _held(self) -> Mapping[str, Any]:
        """Return the present values. Called for each access."""

    @abstractmethod
    def _put(self, key: str, value: Any) -> None:
        """Store ``value``; raise TypeError or ValueError if it cannot be stored."""

    @abstractmethod
    def _drop(self, key: str) -> None:
        """Remove ``key``, which is there."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of ``key``, or ``default``."""
        return self._held().get(key, default)

    def remove(self, key: str) -> None:
        """Remove ``key``, if it is there."""
        if key in self._held():
            self._drop(key)

    def clear(self) -> None:
        """Remove all keys."""
        for key in list(self._held()):
            self._drop(key)

    def pop(self, key: str, *default: Any) -> Any:
        """Remove ``key`` and return its value; if it is missing, return the default or raise KeyError."""
        held = self._held()
        if key not in held:
            if default:
                return default[0]
            raise KeyError(key)
        value = held[key]
        self._drop(key)
        return value

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the value of ``key``; if it is missing, set it to ``default`` first."""
        if key not in self._held():
            self._put(key, default)
        return self._held()[key]

    def has_key(self, key: str) -> bool:
        """Return whether ``key`` is there."""
        return key in self._held()

    def iterkeys(self) -> Iterator[str]:
        """Return an iterator of the keys."""
        return iter(self.keys())

    def itervalues(self) -> Iterator[Any]:
        """Return an iterator of the values."""
        return iter(self.values())

    def iteritems(self) -> Iterator[tuple[str, Any]]:
        """Return an iterator of (key, value)."""
        return iter(self.items())

    # README spells these two so.
    def kyes(self) -> KeysView[str]:
        """Return ``keys()``."""
        return self.keys()

    def iterkyes(self) -> Iterator[str]:
        """Return ``iterkeys()``."""
        return self.iterkeys()

    def __contains__(self, key: object) -> bool:
        return key in self._held()

    def __iter__(self) -> Iterator[str]:
        return iter(self._held())

    def __len__(self) -> int:
        return len(self._held())

    def __setitem__(self, key: str, value: Any) -> None:
        self._put(key, value)

    def __delitem__(self, key: str) -> None:
        if key not in self._held():
            raise KeyError(key)
        self._drop(key)

    def __getattr__(self, name: str) -> Any:
        # Called for unknown names only. Those that Python looks up itself (copy, pickle) begin with "_".
        if not name.startswith("_"):
            held = self._held()
            if name in held:
                return held[name]
        raise AttributeError(f"{type(self).__name__} has neither an attribute nor a key {name!r}")
