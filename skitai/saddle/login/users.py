"""Who may come in: the app's own list of passwords, or a function of the app's that knows."""

from __future__ import annotations

import hashlib
import hmac
import inspect
import secrets
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeAlias

WaitFor: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Any]


class Users:
    """What ``app.users`` says, a dict of passwords by name or a function, which may be ``async def``.

    Nobody comes in by what a function should not return: that is a TypeError, and what the function raises
    goes through. Each method takes ``wait_for(coroutine)``, which returns what the coroutine returns. Used in
    any thread. Raises ValueError for what can be neither.
    """

    def __init__(self, known: Mapping[str, str] | Callable[..., Any]) -> None:
        if isinstance(known, Mapping):
            for name, password in known.items():
                if not isinstance(name, str) or not isinstance(password, str):
                    raise ValueError(f"user {name!r}: name and password must be text")
        elif not callable(known):
            raise ValueError(f"users must be a dict of passwords or a function, not {known!r}")
        self._known = known
        # Compared with in place of a user's password who is not there, so that it takes as long.
        self._nobodys = secrets.token_hex(16)

    def has(self, name: str, password: str, wait_for: WaitFor) -> bool:
        """Return whether that is the user's password; a function is asked with both."""
        if isinstance(self._known, Mapping):
            expected, is_known = self.password(name, wait_for)
            return same(password, expected) and is_known
        right = _called(self._known, (name, password), wait_for)
        # Not by its truth: a coroutine, a row or a match that was meant for something else is true, too.
        if right is None or isinstance(right, bool):
            return bool(right)
        raise TypeError(f"app.users must return True or False for Basic, not {type(right).__name__}")

    def password(self, name: str, wait_for: WaitFor) -> tuple[str, bool]:
        """Return a user's password and whether there is that user; a function is asked with the name."""
        known = self._known
        password = known.get(name) if isinstance(known, Mapping) else _called(known, (name,), wait_for)
        if password is None:
            return self._nobodys, False
        # Not by its text: anybody can guess that of True.
        if not isinstance(password, str):
            raise TypeError(
                f"the password of a user must be text, or None for nobody, not {type(password).__name__}"
            )
        return password, True


def same(given: str, expected: str) -> bool:
    """Whether two texts are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(
        hashlib.sha256(given.encode("utf-8", "surrogatepass")).digest(),
        hashlib.sha256(expected.encode("utf-8", "surrogatepass")).digest(),
    )


def _called(function: Callable[..., Any], credentials: tuple[str, ...], wait_for: WaitFor) -> Any:
    found = function(*credentials)
    return wait_for(found) if inspect.iscoroutine(found) else found
