"""The hooks that are called often: as lists of plain functions, which are made at start, without pluggy."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any

from skitai.formats.spelling import nearest
from skitai.plugins import hookspecs

if TYPE_CHECKING:
    import pluggy

    from skitai.interfaces import IInstance

_INSTANCE = "instance"
_PREFIX = "skitai_"

#: The names of the arguments of each of these hooks, but for the instance.
ARGUMENTS = {
    hook.__name__: tuple(name for name in inspect.signature(hook).parameters if name != _INSTANCE)
    for hook in (
        hookspecs.skitai_request_started,
        hookspecs.skitai_request_finished,
        hookspecs.skitai_call_started,
        hookspecs.skitai_attempt,
        hookspecs.skitai_call_finished,
    )
}


def check_implementation(implementation: pluggy.HookImpl, hook: str) -> None:
    """Raise ValueError for a wrapper of a hook that is called without pluggy."""
    if hook in ARGUMENTS and (implementation.wrapper or implementation.hookwrapper):
        raise ValueError(f"{hook} is called often, so it has no wrappers")


def check_observer(observer: object) -> None:
    """Raise ValueError for what is no observer: without a method for a hook, or with an unknown one."""
    named = [name for name in dir(observer) if name.startswith(_PREFIX)]
    for name in named:
        if name not in ARGUMENTS:
            raise ValueError(f"skitai_observer returned {observer!r} with {name}: {nearest(name, ARGUMENTS)}")
    if not named:
        raise ValueError(
            f"skitai_observer returned {observer!r}, which has none of {', '.join(sorted(ARGUMENTS))}"
        )


def plain_function(implementation: pluggy.HookImpl, hook: str, instance: IInstance) -> Callable[..., Any]:
    """Return the function of a hook as one that takes the hook's arguments by position."""
    function, taken, names = implementation.function, implementation.argnames, ARGUMENTS[hook]
    if taken == names:
        return function
    if taken == (_INSTANCE, *names):
        return partial(function, instance)
    return partial(_call_by_name, function, taken, names, instance)


def _call_by_name(
    function: Callable[..., Any],
    taken: Collection[str],
    names: tuple[str, ...],
    instance: IInstance,
    *values: Any,
) -> Any:
    given = {_INSTANCE: instance, **dict(zip(names, values, strict=True))}
    return function(**{name: given[name] for name in taken})
