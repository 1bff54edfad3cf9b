"""The ``was`` object, through which an app uses the services, and which one is the current one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Never, TypeVar

from greenlet import GreenletExit
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from skitai.calls.call import Call
from skitai.calls.clusterview import ClusterView
from skitai.calls.dispatch import Dispatcher, Mode
from skitai.calls.gather import GATHER, Completions, as_completed, gather
from skitai.calls.group import CallGroup
from skitai.calls.operation import Operation
from skitai.calls.result import Results
from skitai.calls.uncollected import OpenCalls, detach
from skitai.errors import NoServerError
from skitai.http.requestids import ENVIRON_KEY
from skitai.loop import coroutines
from skitai.loop.bridge import Bridge, Pending, wait_in_thread
from skitai.loop.contexts import start_in

if TYPE_CHECKING:
    from pathlib import Path

    from skitai.interfaces import IExecutor, IService

T = TypeVar("T")

#: Seconds of one wait in a loop of waits without a deadline.
_LOOK_SECONDS = 60.0

#: The ``was`` of the request that this thread, greenlet or coroutine serves.
current_was: ContextVar[Was] = ContextVar("skitai.was")

#: What Saddle gives the view of this request: a ``was`` that can ``render`` the templates of its app.
current_view: ContextVar[Any] = ContextVar("skitai.saddle.was")


class ServiceTable:
    """All that ``was.NAME`` can be in one instance: built once at start, shared by all requests.

    ``services`` and ``attributes`` are by name. ``explain(name)`` returns the message for a name that a
    plugin would give that failed or is disabled, and None for other names. ``source`` is the config's
    file, as an absolute path. ``registered`` is what the apps of the instance registered for each other.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        services: Mapping[str, IService],
        attributes: Mapping[str, Callable[[Was], Any]],
        explain: Callable[[str], str | None] = lambda _: None,
        source: Path | None = None,
    ) -> None:
        self.dispatcher = dispatcher
        self.services = services
        self.attributes = attributes
        self.explain = explain
        self.source = source
        self.registered: dict[str, Any] = {}


class Caller:
    """``was.get``: call it, or its ``lb`` or ``map``, to start a request at once.

    ``name`` is that of the service. ``open_calls`` notes each call that is started; None outside a request,
    where each call is detached. A service that provides ``IServiceMethods`` has further functions here, such
    as ``was.db.transaction``: they are given this object, and use ``bridge``, ``submit`` and ``at_end``.
    """

    __slots__ = ("_dispatcher", "_mode", "_name", "_open_calls", "_service")

    def __init__(
        self,
        dispatcher: Dispatcher,
        service: IService,
        mode: Mode = "one",
        *,
        name: str = "",
        open_calls: OpenCalls | None = None,
    ) -> None:
        self._dispatcher = dispatcher
        self._service = service
        self._mode = mode
        self._name = name
        self._open_calls = open_calls

    def __call__(self, /, *args: Any, detach: bool = False, **kwargs: Any) -> Any:
        """Start the operation that the arguments describe; the service defines them.

        At the end of the request a call that nobody has waited for is cancelled. With ``detach`` it goes on
        for up to ``LONGEST_LIFE`` seconds.
        """
        if not detach:
            return self._service.begin(self.submit, *args, **kwargs)
        with _outside_request():
            return self._service.begin(self._submit_detached, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        method = None if name.startswith("_") else getattr(self._service, "methods", {}).get(name)
        if method is None:
            raise AttributeError(f"was.{self._name} has no {name!r}")
        return partial(method, self)

    @property
    def bridge(self) -> Bridge:
        """The bridge of the instance."""
        return self._dispatcher.bridge

    def at_end(self, function: Callable[[], object]) -> Callable[[], None]:
        """Have ``function`` called when the request ends; it must not wait. Called in any thread.

        Returns a function that undoes this. Outside a request nothing is called.
        """
        open_calls = self._open_calls
        if open_calls is None:
            return lambda: None
        open_calls.at_end(function)
        return partial(open_calls.forget, function)

    def submit(self, operation: Operation) -> Call | CallGroup:
        """Start ``operation`` and return its call, which ends with the request. Called in any thread."""
        if self._open_calls is None:
            return self._submit_detached(operation)
        started = self._dispatcher.submit(self._service, operation, self._mode, self._name)
        self._open_calls.add(started)
        return started

    def _submit_detached(self, operation: Operation) -> Call | CallGroup:
        started = self._dispatcher.submit(self._service, operation, self._mode, self._name)
        detach(started)
        return started

    @property
    def lb(self) -> Caller:
        """The same service, for the least busy member of a cluster."""
        return self._in_mode("lb")

    @property
    def map(self) -> Caller:
        """The same service, for all members of a cluster at once."""
        return self._in_mode("map")

    def _in_mode(self, mode: Mode) -> Caller:
        return Caller(self._dispatcher, self._service, mode, name=self._name, open_calls=self._open_calls)


class Was:
    """The services as one request sees them; ``env`` is its WSGI environ (empty outside a request).

    ``open_calls`` notes each call that is started here.
    """

    #: The id of the request for what outlives it.
    _request_id = ""

    def __init__(
        self, table: ServiceTable, env: dict[str, Any] | None = None, open_calls: OpenCalls | None = None
    ) -> None:
        self.env = {} if env is None else env
        self._table = table
        self._open_calls = open_calls

    @property
    def request_id(self) -> str:
        """The id of the request, which stands in the logs; empty outside a request."""
        return self._request_id or self.env.get(ENVIRON_KEY, "")

    def gather(
        self, *calls: Any, timeout: float | None = None, **others: Never
    ) -> Results | Deferred[Results]:
        """Wait for all ``calls`` and return their results in the order of the calls.

        A group gives the results of its members, in its place. Each call has until ``timeout`` seconds after
        its own creation. A coroutine writes ``await was.gather(...)``, and this does not wait: in the reactor
        it returns a Deferred. Raises TypeError or ValueError if an item is no call or ``timeout`` no
        number, and for ``others``.
        """
        GATHER.refuse("was.gather()", others)
        return gather(self._table.dispatcher.bridge, calls, timeout)

    def as_completed(
        self, calls: Iterable[Any], timeout: float | None = None, **others: Never
    ) -> Completions:
        """Return an iterable of the results of ``calls``, each as it comes; a group gives one per member.

        A call that has no result ``timeout`` seconds after its creation is cancelled and gives a failed one.
        Raises TypeError or ValueError as ``gather`` does. A coroutine writes ``async for``.
        """
        GATHER.refuse("was.as_completed()", others)
        return as_completed(self._table.dispatcher.bridge, calls, timeout)

    def sleep(self, seconds: float) -> Awaitable[None] | None:
        """Wait for ``seconds``, at least 0, and let others go on meanwhile.

        A coroutine, in the reactor or in an asyncio loop, writes ``await was.sleep(1)``. Raises
        OperationError (code 705) if the server stops meanwhile, TypeError or ValueError if ``seconds`` is no
        such number. Called in any thread.
        """
        return self._table.dispatcher.sleep(seconds)

    def cluster(self, name: str) -> ClusterView:
        """Return the present state of the members of the cluster ``"@name"``.

        Raises MisuseError for a cluster that is not in the config. Called in any thread.
        """
        return self._table.dispatcher.cluster(name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # never a service; and copy looks here before there is a table
            raise AttributeError(name)
        table = self._table
        service = table.services.get(name)
        if service is not None:
            value: Any = Caller(table.dispatcher, service, name=name, open_calls=self._open_calls)
        elif name in table.attributes:
            value = table.attributes[name](self)
        elif name in table.registered:
            return table.registered[name]  # not kept, because it may be registered anew
        else:
            raise AttributeError(table.explain(name) or _unknown(name, table))
        # Kept, so that the next look-up finds it without this method.
        self.__dict__[name] = value
        return value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._table.services, *self._table.attributes})


def _unknown(name: str, table: ServiceTable) -> str:
    known = ", ".join(sorted({*table.services, *table.attributes, *OWN_NAMES}))
    return f"was.{name} does not exist; there are: {known}"


#: The names that every ``was`` has by itself: no plugin can give them.
OWN_NAMES = frozenset({"env", *(name for name in vars(Was) if not name.startswith("_"))})


@contextmanager
def _outside_request() -> Iterator[None]:
    """Make the ``was`` of the instance the current one: what begins here may outlive the request."""
    was = current_was.get(None)
    if was is None:
        yield
        return
    outside = Was(was._table)
    outside._request_id = was.request_id
    token = current_was.set(outside)
    try:
        yield
    finally:
        current_was.reset(token)


def call_with_was(table: ServiceTable, function: Callable[[Was], T], env: dict[str, Any] | None = None) -> T:
    """Return ``function(was)``, called with a ``was`` of its own, which stays the current one of the context.

    ``env`` is what ``was.env`` shows. When the function has returned, its calls that nobody has waited for
    are cancelled. Called where apps run, in the context of the request or task.
    """
    open_calls = OpenCalls()
    was = Was(table, env, open_calls)
    current_was.set(was)
    try:
        return function(was)
    finally:
        open_calls.end()


def start_with_was(
    table: ServiceTable, function: Callable[[], Coroutine[Any, Any, T]], env: dict[str, Any] | None = None
) -> Deferred[T]:
    """Run the coroutine that ``function()`` makes in the reactor, with a ``was`` of its own as ``current``.

    Returns a Deferred of its outcome; cancelling it cancels the coroutine. ``env`` is what ``was.env`` shows.
    When it has ended, its calls that nobody has waited for are cancelled. Called in the reactor thread.
    """
    open_calls = OpenCalls()
    context = Context()
    context.run(current_was.set, Was(table, env, open_calls))

    async def run() -> T:
        return await function()  # called here: what the call raises is of the coroutine, too

    running = start_in(context, run())

    def end(outcome: Any) -> Any:
        open_calls.end()
        return outcome

    return running.addBoth(end)


def run_in_executor(executor: IExecutor, table: ServiceTable, function: Callable[[Was], T]) -> Deferred[T]:
    """Have ``call_with_was`` call ``function`` where ``executor`` runs apps.

    Returns a Deferred that fires with what ``function`` returns, or fails with what it raises, in the reactor
    itself, where nothing may wait. Cancelling it ends the wait only: ``function`` goes on. Called in the
    reactor thread.
    """
    finished: Deferred[T] = Deferred()
    give = table.dispatcher.bridge.submit_to_reactor

    def task() -> None:
        try:
            value = call_with_was(table, function)
        except BaseException as error:  # an app may raise anything
            give(partial(finished.errback, Failure()))  # type: ignore[no-untyped-call]
            if isinstance(error, GreenletExit):
                raise  # it ends the greenlet, not only this task
        else:
            give(partial(finished.callback, value))

    executor.submit(task)
    return finished


def run_coroutine(was: Was, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run ``coroutine`` in the reactor of ``was``, and return what it returns.

    Called in a thread or a greenlet.
    """
    return coroutines.run_coroutine(was._table.dispatcher.bridge, coroutine)


#: The ``was`` of each instance that runs in this process, in the order of their starts. Each change makes a
#: new tuple, because any thread may read it.
_defaults: tuple[Was, ...] = ()
#: What apps registered for each other while no server runs.
_registered_without_server: dict[str, Any] = {}


def add_default(was: Was) -> None:
    """Make ``was`` the one for code outside any request, such as a thread of an app's own.

    If several instances run in one process, the one that started last has that place. Reactor thread.
    """
    global _defaults
    _defaults = (*_defaults, was)


def remove_default(was: Was) -> None:
    """Undo ``add_default``, if it was called for ``was``. Reactor thread."""
    global _defaults
    _defaults = tuple(other for other in _defaults if other is not was)


def forget_defaults() -> None:
    """Forget all: a forked child has none of the instances of its parent."""
    global _defaults
    _defaults = ()


def source_in_use() -> Path | None:
    """Return the config file of the running instance; None if none runs. Called in any thread."""
    found = _default()
    return None if found is None else found._table.source


def _default() -> Was | None:
    latest = _defaults[-1:]  # read once: another thread may change it before a second read
    return latest[0] if latest else None


def current_request_id() -> str:
    """Return the id of the request that this thread, greenlet or coroutine serves; empty if there is none."""
    was = current_was.get(None)
    return "" if was is None else was.request_id


def get_current() -> Was:
    """Return the ``was`` of the current request, or else of the running instance.

    Raises NoServerError when no server runs in this process.
    """
    found = current_was.get(None) or _default()
    if found is None:
        raise NoServerError(
            "no Skitai server runs in this process: `was` works in apps that Skitai serves,"
            " and elsewhere within `with skitai.standalone():`"
        )
    return found


def is_given(name: str) -> bool:
    """Return whether every ``was`` has ``name``, or the plugins of the running instance give it."""
    if name in OWN_NAMES:
        return True
    found = current_was.get(None) or _default()
    return found is not None and (name in found._table.services or name in found._table.attributes)


def registered() -> dict[str, Any]:
    """Return what apps registered for each other, in one instance or, without one, in the process."""
    found = current_was.get(None) or _default()
    return _registered_without_server if found is None else found._table.registered


def wait_until_over(pending: Pending) -> None:
    """Wait until ``pending`` is over, with or without a running server.

    Called in a thread or a greenlet; raises MisuseError in the reactor.
    """
    found = current_was.get(None) or _default()
    wait = wait_in_thread if found is None else found._table.dispatcher.bridge.wait
    while not wait(pending, _LOOK_SECONDS):
        pass


class CurrentWas:
    """The ``was`` of ``from skitai import was``: each attribute is that of ``get_current()``.

    It has no methods of its own, because any name may be that of a service.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # never a service: copy, a notebook or doctest looks for it
            raise AttributeError(name)
        return getattr(get_current(), name)

    def __dir__(self) -> list[str]:
        try:
            return dir(get_current())
        except NoServerError:
            return [*super().__dir__()]

    def __repr__(self) -> str:
        return "<skitai.was>"
