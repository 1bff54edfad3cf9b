"""``from skitai import was`` without a server: the real machinery on a fake clock, with scripted answers."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Hashable, Mapping
from contextvars import Token
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.internet.testing import MemoryReactorClock
from zope.interface import implementer

from skitai.calls.cluster import Cluster, Member
from skitai.calls.result import Result
from skitai.config import Config
from skitai.context import ServiceTable, Was, current_was, registered, run_in_executor
from skitai.errors import MisuseError
from skitai.interfaces import IExecutor, IInstance, INode, IService
from skitai.loop.executors import Executors
from skitai.mail.message import Mail
from skitai.messaging.local import LocalBus
from skitai.net.connector import Connector
from skitai.plugins.manager import PluginManager, create_plugin_manager
from skitai.plugins.metrics import Metric
from skitai.processes import Board
from skitai.testing.clockbridge import ClockBridge
from skitai.testing.executor import InlineExecutor
from skitai.testing.recording import CLUSTER_TYPE, RecordedRequest, RecordingDispatcher, RecordingService
from skitai.testing.script import Script, ScriptedReply
from skitai.testing.services import verify_service
from skitai.testing.sockets import played_websocket
from skitai.websocket.conversation import WebSocket

#: What stands for the answer's own default in ``reply``.
_EMPTY: Any = object()


class FakeWas:
    """Answers what an app asks ``was``, from a script, in the thread that enters the block.

    Arguments are checked, clusters asked, failures tried again elsewhere, results cached and time-outs
    counted as on a server; only the nodes and the clock are not real, so that no test waits. ``was`` has the
    names that the installed plugins give, and those of ``services``. ``clusters`` gives names and numbers of
    members. ``env`` is what ``was.env`` shows. Leaving the block raises AssertionError for a request without
    an answer and, if ``strict``, for an answer that nobody asked for::

        with FakeWas(clusters={"search": 2}) as fake:
            fake.reply("get", "@search/q", b"found", code=200)
            assert app.test_client().get("/find").data == b"found"
        assert fake.requests[0].mode == "lb"
    """

    def __init__(
        self,
        *,
        services: Mapping[str, IService] | None = None,
        clusters: Mapping[str, int] | None = None,
        env: dict[str, Any] | None = None,
        strict: bool = True,
    ) -> None:
        #: The fake clock: ``fake.clock.seconds()`` says how long the app has waited so far.
        self.clock = MemoryReactorClock()  # type: ignore[no-untyped-call]
        self._script = Script()
        self._strict = strict
        self._bridge = ClockBridge(self.clock)
        members = {name: _cluster(name, count, self.clock) for name, count in (clusters or {}).items()}
        for service in (services or {}).values():
            verify_service(service)
        plugins = _plugins()
        instance = _TestInstance(plugins, self._bridge, self.clock)
        cache = plugins.result_caches(instance).get(instance.config.server.result_cache)
        self._dispatcher = RecordingDispatcher(self._bridge, members, self._script, cache)
        recording = {
            name: RecordingService(name, service, self._script, self.clock)
            for name, service in {**plugins.services(instance), **(services or {})}.items()
        }
        #: What a ``WSGIResource`` takes.
        self.services = ServiceTable(
            self._dispatcher, recording, plugins.attributes(instance), explain=plugins.missing
        )
        self.services.registered = registered()  # an app may have begun before this block
        instance.services = self.services
        #: The object behind ``skitai.was`` within the block.
        self.was = Was(self.services, env)
        self._token: Token[Was] | None = None

    @property
    def requests(self) -> list[RecordedRequest]:
        """What the app has asked so far, in order, also where the cache answered.

        It is one for a ``map``, however many members that asks.
        """
        return list(self._dispatcher.requests)

    @property
    def mails(self) -> list[Mail]:
        """What the app has sent by ``was.email``, in order: the ``message`` and the ``envelope`` of each.

        Nothing is written, and the script needs no answers for mail.
        """
        found = (getattr(request.request, "mail", None) for request in self._dispatcher.requests)
        return [mail for mail in found if isinstance(mail, Mail)]

    def reply(
        self,
        service: str,
        target: str,
        data: Any = _EMPTY,
        *,
        delay: float = 0.0,
        times: int = 1,
        **fields: Any,
    ) -> None:
        """Answer the next ``times`` requests to ``target``, each after ``delay`` seconds of the fake clock.

        ``service`` is the name after ``was.``; ``target`` is compared as the app writes it. ``data`` is
        what ``result.data`` shows, or a whole ``Result``; ``fields`` are its others, such as ``code=404``.
        In a ``map`` and after a failure in a cluster, each member that is asked uses up one answer. Raises
        ValueError for a service that does not exist, TypeError for a field that its results do not have.
        """
        if isinstance(data, Result):
            if fields:
                raise TypeError(f"{data!r} is a whole result: give it {', '.join(fields)} itself")
            self._add(service, target, lambda: copy.copy(data), delay, times)
            return
        result_type = self._service(service).result_type
        content = result_type.empty if data is _EMPTY else _with_rows(result_type, data)
        result_type(content, **fields)  # complains here, where the mistake is, not where the app asks
        self._add(service, target, lambda: result_type(content, **fields), delay, times)

    def fail(
        self, service: str, target: str, error: BaseException, *, delay: float = 0.0, times: int = 1
    ) -> None:
        """Fail the next ``times`` requests to ``target`` with ``error``, such as an ``OperationError``."""

        def outcome() -> NoReturn:
            raise copy.copy(error)  # each request has its own, which comes to name its node

        self._add(service, target, outcome, delay, times)

    def stall(self, service: str, target: str, *, times: int = 1) -> None:
        """Never answer the next ``times`` requests to ``target``: the app gets a time-out without waiting."""
        self._add(service, target, lambda: Result(), None, times)

    def websocket(self, *messages: str | bytes) -> WebSocket:
        """Return a websocket for a view: its client sends ``messages`` while the app waits, and then leaves.

        ``wire.sent`` is what the client got: a list of str and bytes.
        """
        return played_websocket(self._bridge, messages)

    def _add(
        self, service: str, target: str, outcome: Callable[[], Result], delay: float | None, times: int
    ) -> None:
        self._service(service)
        self._script.add(ScriptedReply(service, target, outcome, delay, times))

    def _service(self, name: str) -> IService:
        try:
            return self.services.services[name]
        except KeyError:
            known = ", ".join(sorted(self.services.services))
            raise ValueError(f"was.{name} is not a service; there are: {known}") from None

    def __enter__(self) -> Self:
        self._bridge.start()
        self._token = current_was.set(self.was)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._token is not None
        current_was.reset(self._token)
        self._dispatcher.stop()
        if error is None:
            self._script.check_no_surprise()
            if self._strict:
                self._script.check_used_up()


def _with_rows(result_type: type[Result], data: Any) -> Any:
    """Return ``data`` with rows for the dicts that a test writes, if the results have a class of rows."""
    row_type = getattr(result_type, "row_type", None)
    if row_type is None or not isinstance(data, list):
        return data
    return [row_type(item) if type(item) is dict else item for item in data]


@implementer(INode)
@attrs.frozen
class _Node:
    label: str


def _cluster(name: str, count: int, clock: MemoryReactorClock) -> Cluster:
    members = [Member(_Node(f"{name}-{number}")) for number in range(1, count + 1)]
    return Cluster(name, CLUSTER_TYPE, members, clock.seconds)


@cache
def _plugins() -> PluginManager:
    """Load what is installed, as a server does, once."""
    return create_plugin_manager()


@implementer(IInstance)
class _TestInstance:
    """What plugins see of the instance: the defaults of every key, and a reactor that opens no sockets."""

    def __init__(self, plugins: PluginManager, bridge: ClockBridge, reactor: MemoryReactorClock) -> None:
        self.config = Config(path=Path("skitai.testing"))
        self.reactor = reactor
        self.executors = Executors(lambda _threads, _mount: InlineExecutor(), self.config.server.threads)
        self.executor = self.executors.shared
        self.connector = Connector(reactor)
        self.bridge = bridge
        self.plugins = plugins
        self.bus = LocalBus(reactor.seconds)
        self.board = Board.alone()
        self.slot = self.board[0]
        self.main_pid = os.getpid()
        self.is_first = True
        self.others_serve = False
        #: What ``run`` gives its functions; not there while plugins say what they bring.
        self.services: ServiceTable | None = None
        self._sections = self.config.claim(plugins.config_sections())
        self._states: dict[Hashable, Any] = {}

    def run(self, function: Callable[[Was], Any], executor: IExecutor | None = None) -> Deferred[Any]:
        if self.services is None:
            return fail(MisuseError("apps run from the start of the instance to its end"))
        return run_in_executor(executor or self.executor, self.services, function)

    def state(self, owner: Hashable, make: Callable[[], Any]) -> Any:
        if owner not in self._states:
            self._states[owner] = make()
        return self._states[owner]

    def section(self, name: str) -> Mapping[str, Any]:
        return self._sections[name]

    def status(self) -> dict[str, Any]:
        return {}

    def metrics(self) -> list[Metric]:
        return []

    def common_metrics(self) -> list[Metric]:
        return []

    def leave(self, *, restart: bool = False, fast: bool = False) -> None:
        """Stay: the test that asks goes on."""
