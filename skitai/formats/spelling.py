"""What is said of a word that is none here: the one that was probably meant, or how this is called here."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Never, TypeVar

import attrs

C = TypeVar("C", bound=type)

_LONGEST_COMPARED = 80


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word most like ``word``, without regard to case; None if none is similar."""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower()[:_LONGEST_COMPARED], by_lower, n=1)
    return by_lower[close[0]] if close else None


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the hint for a misspelt word: the most similar known word, or all of them."""
    names = sorted(known)
    found = closest(word, names)
    if found is not None:
        return f"did you mean {found}?"
    return f"known are {', '.join(names)}" if names else "none is known here"


@attrs.frozen
class Keywords:
    """The keyword arguments of a function that apps may call with the words of other libraries.

    ``hints`` say what to write instead of such a word. ``known`` are the arguments that the function has.
    """

    hints: Mapping[str, str]
    known: frozenset[str] = frozenset()

    def unexpected(self, function: str, word: str, known: Iterable[str] = ()) -> str:
        """Return the message for ``word``; ``function`` is how apps call it, ``known`` are more arguments."""
        hint = self.hints.get(word) or nearest(word, {*self.known, *known})
        return f"{function} got an unexpected keyword argument {word!r}: {hint}"

    def refuse(self, function: str, given: Iterable[str]) -> None:
        """Raise TypeError for the first of the ``given`` words; return if there is none."""
        for word in given:
            raise TypeError(self.unexpected(function, word))

    def refuse_meant(self, function: str, given: Iterable[str]) -> list[str]:
        """Raise TypeError for the first that has a hint or is misspelt; return the others."""
        meant = [word for word in given if word in self.hints or closest(word, self.known)]
        self.refuse(function, meant)
        return [word for word in given if word not in meant]


class _CalledOtherwise:
    """An attribute that there is not. A ``__getattr__`` instead would make all attributes of a class slow."""

    def __init__(self, name: str, hint: str) -> None:
        self._name, self._hint = name, hint

    def __get__(self, instance: object, owner: type) -> Never:
        raise AttributeError(f"{owner.__name__} has no attribute {self._name!r}: {self._hint}")


def called_otherwise(hints: Mapping[str, str]) -> Callable[[C], C]:
    """Decorate a class whose instances users ask for the attributes of other libraries.

    Such an attribute raises AttributeError, with what to write here. Type checkers do not know it.
    """

    def decorate(decorated: C) -> C:
        for name, hint in hints.items():
            setattr(decorated, name, _CalledOtherwise(name, hint))
        return decorated

    return decorate
