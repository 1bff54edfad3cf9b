"""The ``was`` object: what an app sees of Skitai, assembled from the registered services."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from skitai.calls.call import Call, CallGroup
from skitai.calls.dispatch import Dispatcher, Mode
from skitai.calls.operation import Operation
from skitai.errors import NoServerError
from skitai.interfaces import IService

#: The ``was`` of the request that this thread, greenlet or coroutine serves.
current_was: ContextVar[Was] = ContextVar("skitai.was")


class ServiceTable:
    """What ``was.NAME`` can be in one instance: built once at start, shared by all requests.

    ``services`` and ``attributes`` are by name; ``explain(name)`` is asked for the sentence to raise when a
    plugin that failed or is switched off would have given ``name``, and returns None for other names.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        services: Mapping[str, IService],
        attributes: Mapping[str, Callable[[Was], Any]],
        explain: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self.dispatcher = dispatcher
        self.services = services
        self.attributes = attributes
        self.explain = explain


class Caller:
    """``was.get``: call it, or its ``lb`` or ``map``, to start a request at once."""

    __slots__ = ("_dispatcher", "_mode", "_service")

    def __init__(self, dispatcher: Dispatcher, service: IService, mode: Mode = "one") -> None:
        self._dispatcher = dispatcher
        self._service = service
        self._mode = mode

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Start the operation that the arguments describe; what they are is the service's affair."""
        return self._service.begin(self._submit, *args, **kwargs)

    def _submit(self, operation: Operation) -> Call | CallGroup:
        return self._dispatcher.submit(self._service, operation, self._mode)

    @property
    def lb(self) -> Caller:
        """The same service, for the least busy member of a cluster."""
        return Caller(self._dispatcher, self._service, "lb")

    @property
    def map(self) -> Caller:
        """The same service, for all members of a cluster at once."""
        return Caller(self._dispatcher, self._service, "map")


class Was:
    """One request's view of the services; ``env`` is its WSGI environ (empty outside a request)."""

    def __init__(self, table: ServiceTable, env: dict[str, Any] | None = None) -> None:
        self.env = {} if env is None else env
        self._table = table

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # no service's; a copy that is being made has no table yet
            raise AttributeError(name)
        table = self._table
        service = table.services.get(name)
        if service is not None:
            value: Any = Caller(table.dispatcher, service)
        elif name in table.attributes:
            value = table.attributes[name](self)
        else:
            raise AttributeError(table.explain(name) or _unknown(name, table))
        # Kept, so that the next look-up finds it without coming here.
        self.__dict__[name] = value
        return value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._table.services, *self._table.attributes})


def _unknown(name: str, table: ServiceTable) -> str:
    known = ", ".join(sorted({*table.services, *table.attributes}))
    return f"was.{name} does not exist; there are: {known}"


_default: Was | None = None


def set_default(was: Was | None) -> None:
    """Say which ``was`` serves code outside any request, such as a thread of an app's own (None: none)."""
    global _default  # one server runs in a process
    _default = was


def get_current() -> Was:
    """Return the ``was`` of the current request, or else of the running instance.

    Raises NoServerError when no server runs in this process.
    """
    found = current_was.get(None) or _default
    if found is None:
        raise NoServerError("no Skitai server runs in this process: `was` works in apps that Skitai serves")
    return found


class CurrentWas:
    """What ``from skitai import was`` gives: every attribute is that of ``get_current()``.

    It has no methods of its own, because any name may be a service's.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # no service's: a copy, a notebook or a doctest looks at it
            raise AttributeError(name)
        return getattr(get_current(), name)

    def __dir__(self) -> list[str]:
        try:
            return dir(get_current())
        except NoServerError:
            return [*super().__dir__()]

    def __repr__(self) -> str:
        return "<skitai.was>"
