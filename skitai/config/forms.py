"""What the value of a key may be, in words: casters say it themselves, so the reference of keys has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import attrs

T = TypeVar("T")

#: Takes the text of a value and returns a typed one, or raises ValueError with the problem and the fix.
Caster = Callable[[str], Any]


@attrs.frozen
class Form(Generic[T]):
    """A caster that says in ``words`` what it takes, such as ``time``, and gives an ``example`` of it."""

    cast: Callable[[str], T]
    words: str
    example: str

    def __call__(self, value: str) -> T:
        """Cast ``value``."""
        return self.cast(value)


def form(words: str, example: str) -> Callable[[Callable[[str], T]], Form[T]]:
    """Return a decorator that makes a ``Form`` of a caster."""
    return lambda cast: Form(cast, words, example)


def words_of(cast: Caster) -> str:
    """Return what ``cast`` takes; nothing, if it does not say so."""
    return cast.words if isinstance(cast, Form) else ""


def example_of(cast: Caster) -> str:
    """Return a value that ``cast`` takes; nothing, if it gives none."""
    return cast.example if isinstance(cast, Form) else ""


def like(cast: Caster, other: Callable[[str], T], words: str) -> Form[T]:
    """Return ``other`` as a form that takes what ``cast`` does, and more: ``words`` follow its own."""
    return Form(other, " ".join(filter(None, (words_of(cast), words))), example_of(cast))
