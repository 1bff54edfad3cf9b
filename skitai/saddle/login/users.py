"""The users of an app: a dict of passwords, or a function that checks or returns them."""

from __future__ import annotations

import hashlib
import hmac
import inspect
import secrets
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeAlias

WaitFor: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Any]


class Users:
    """``app.users``: a dict of passwords by name, or a function, which may be ``async def``.

    A value that the function should not return is a TypeError. What the function raises is not caught. Each
    method takes ``wait_for(coroutine)``, which returns the coroutine's result. Used in any thread. Raises
    ValueError for anything else than a dict or a function.
    """

    def __init__(self, known: Mapping[str, str] | Callable[..., Any]) -> None:
        if isinstance(known, Mapping):
            for name, password in known.items():
                if not isinstance(name, str) or not isinstance(password, str):
                    raise ValueError(f"user {name!r}: name and password must be text")
        elif not callable(known):
            raise ValueError(f"users must be a dict of passwords or a function, not {known!r}")
        self._known = known
        # Stands for the password of an unknown user, so that the comparison takes as long.
        self._nobodys = secrets.token_hex(16)

    def has(self, name: str, password: str, wait_for: WaitFor) -> bool:
        """Return whether this is the user's password; a function is called with both."""
        if isinstance(self._known, Mapping):
            expected, is_known = self.password(name, wait_for)
            return same(password, expected) and is_known
        right = _call(self._known, (name, password), wait_for)
        # Not any true value: a row, a match or a coroutine that was returned by mistake is true, too.
        if right is None or isinstance(right, bool):
            return bool(right)
        raise TypeError(f"app.users must return True or False for Basic, not {type(right).__name__}")

    def password(self, name: str, wait_for: WaitFor) -> tuple[str, bool]:
        """Return the user's password and whether the user exists; a function is called with the name."""
        known = self._known
        password = known.get(name) if isinstance(known, Mapping) else _call(known, (name,), wait_for)
        if password is None:
            return self._nobodys, False
        # Not the text of any value: anybody can guess that of True.
        if not isinstance(password, str):
            raise TypeError(
                f"the password of a user must be text, or None for nobody, not {type(password).__name__}"
            )
        return password, True


def same(given: str, expected: str) -> bool:
    """Whether two texts are equal, in a time that does not depend on where they differ."""
    return hmac.compare_digest(
        hashlib.sha256(given.encode("utf-8", "surrogatepass")).digest(),
        hashlib.sha256(expected.encode("utf-8", "surrogatepass")).digest(),
    )


def _call(function: Callable[..., Any], credentials: tuple[str, ...], wait_for: WaitFor) -> Any:
    found = function(*credentials)
    return wait_for(found) if inspect.iscoroutine(found) else found
