"""The catalogue of hooks: what a plugin of Skitai can take part in.

A plugin is a module (or object) under the entry-point group ``skitai`` with functions of these names,
decorated with ``skitai.plugins.hookimpl``. An implementation takes the arguments that it needs, by name.

A plugin that raises at start is marked failed and gives nothing; the server starts without it. Raise
``skitai.errors.ConfigError`` if the config is wrong: that stops the start with its one line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from skitai.config import Mount
    from skitai.interfaces import IBus, IExecutor, IInstance, IResultCache, IService
    from skitai.plugins.metrics import Metric
    from skitai.plugins.mounting import Answerer

hookspec = pluggy.HookspecMarker("skitai")
hookimpl = pluggy.HookimplMarker("skitai")


@hookspec
def skitai_config_sections() -> Mapping[str, Mapping[str, Any]]:  # type: ignore[empty-body]
    """Return ``{section: {key: Key(...)}}`` for sections of your own: fires while the config is checked.

    This is the only hook without ``instance``: the instance is made after the config was checked.
    """


@hookspec
def skitai_keys() -> Mapping[str, Mapping[str, Any]]:  # type: ignore[empty-body]
    """Return ``{title: {name: Key(...)}}`` of your keys in sections of others: fires for ``skitai keys``.

    A title is a section and what is yours in it: ``[routes:line] a lobby`` for the options of your routes,
    ``[@NAME] type = echo`` for the keys of your clusters.
    """


@hookspec
def skitai_services(instance: IInstance) -> Mapping[str, IService]:  # type: ignore[empty-body]
    """Return ``{name: service}``, each ``was.name`` with lb and map: fires once at start, reactor thread."""


@hookspec
def skitai_attributes(instance: IInstance) -> Mapping[str, Callable[[Any], Any]]:  # type: ignore[empty-body]
    """Return ``{name: factory}``, ``was.name`` is ``factory(was)``: fires once at start, reactor thread."""


@hookspec
def skitai_cluster_types(instance: IInstance) -> Mapping[str, IService]:  # type: ignore[empty-body]
    """Return ``{type: service}`` whose ``member()`` reads addresses: fires once at start, reactor thread."""


@hookspec
def skitai_mounts(instance: IInstance) -> Mapping[str, Any]:  # type: ignore[empty-body]
    """Return ``{mount point: IResource}`` for every virtual host: fires once at start, reactor thread."""


@hookspec
def skitai_mount(instance: IInstance, mount: Mount) -> Answerer | None:
    """Return what serves ``mount``, or None to pass: fires once for each route, reactor thread.

    ``mount`` is a line of ``[routes:line]``. Pass unless its target has the form of your plugin. If it has,
    but cannot be served, raise ValueError with the problem and the fix: the user reads that if no other
    plugin takes the target. A target that two plugins take is an error. Fires for ``--check``, too.
    """


@hookspec
def skitai_result_caches(instance: IInstance) -> Mapping[str, IResultCache]:  # type: ignore[empty-body]
    """Return ``{name: cache}`` for ``[server] result_cache = name``: fires once at start, reactor thread."""


@hookspec
def skitai_buses(instance: IInstance) -> Mapping[str, IBus]:  # type: ignore[empty-body]
    """Return ``{name: bus}`` for ``[server] bus = name``: fires once at start, reactor thread."""


@hookspec(firstresult=True)
def skitai_upgrades(instance: IInstance) -> Any:
    """Return the ``Upgrades`` that let apps take other protocols, or None: fires for each mount of an app.

    See ``skitai.server.wsgi.resource``. Fires in the reactor thread, for ``--check``, too.
    """


@hookspec(firstresult=True)
def skitai_forward_proxy(instance: IInstance) -> Any:
    """Return what answers for other hosts, or None: fires once at start if ``enable_proxy`` is set.

    It is an ``IResource`` and an ``IHeadResource``. It gets requests with the method CONNECT, and those whose
    target names another host, if its method ``takes(request)`` returns true for them. Fires in the reactor
    thread, for ``--check``, too.
    """


@hookspec(firstresult=True)
def skitai_load_app(instance: IInstance, target: str) -> Callable[..., Any] | None:
    """Return the WSGI callable of ``target``, or None to pass: fires at each load, where apps run.

    ``target`` is the app's path and callable, such as ``/srv/shop/wsgi:app``. The server listens already. The
    hook may wait for ``was``; requests for the app wait meanwhile.
    """


@hookspec
def skitai_app_loaded(instance: IInstance, app: Any, previous: Any, executor: IExecutor) -> None:
    """Begin what ``app`` needs, in the place of ``previous`` or None: fires at each load, where apps run.

    ``executor``, which ``instance.run`` takes, is that of the mount. The hook may wait for ``was``; requests
    for the app wait meanwhile.
    """


@hookspec(firstresult=True)
def skitai_app_broken(instance: IInstance, app: Any, error: BaseException) -> Callable[..., Any] | None:
    """Return what to serve until ``app`` can be loaded again, or None (500): fires where apps run."""


@hookspec
def skitai_app_failed(instance: IInstance, error: BaseException, doing: str) -> None:
    """Note what an app raised and did not catch while ``doing``, such as ``GET /``: fires in any thread."""


@hookspec
def skitai_worker_started(instance: IInstance) -> None:
    """Begin what a fork would break, such as threads: fires in the process that serves, reactor thread.

    It is the first hook there, before ``skitai_startup``. The hooks above may fire in the process before.
    """


@hookspec
def skitai_startup(instance: IInstance) -> None:
    """Begin what needs open sockets: fires when they listen, before apps are loaded, reactor thread.

    ``skitai.standalone`` has no sockets and no apps: it fires when that begins.
    """


@hookspec
def skitai_reopen_logs(instance: IInstance) -> None:
    """Go on in new files: those of the logs were moved away. Fires at SIGUSR1, in the reactor thread."""


@hookspec
def skitai_closing(instance: IInstance) -> None:
    """End responses that last for as long as somebody reads: fires when the stop begins, reactor thread.

    The sockets still listen, and requests are under way.
    """


@hookspec
def skitai_stopping(instance: IInstance) -> Any:
    """End what uses ``was``: fires when the requests have ended, reactor thread; a Deferred is waited for.

    Calls to other machines and ``instance.run`` are still possible.
    """


@hookspec
def skitai_shutdown(instance: IInstance) -> Any:
    """Let go of what you hold: fires when the instance stops, reactor thread; a Deferred is waited for."""


@hookspec
def skitai_observer(instance: IInstance) -> object | None:
    """Return an object with some of the five hooks below as its methods; None takes part in none of them.

    Its methods take the same arguments by position, without ``instance``. A plugin that takes part only if
    the config asks for it costs nothing otherwise. Fires once at start, reactor thread, for ``--check``, too.
    """


@hookspec
def skitai_request_started(instance: IInstance, request: Any, environ: dict[str, Any]) -> None:
    """Note that an app is called: fires for each call, where the app runs, in the context of the request.

    ``environ`` is what the app gets. Files, routes of other plugins and handshakes of websockets have none.
    """


@hookspec
def skitai_request_finished(instance: IInstance, request: Any) -> None:
    """Note a response that left or broke off: fires after each, reactor thread; return value ignored.

    It does not see the context variables of the request.
    """


@hookspec
def skitai_call_started(instance: IInstance, call: Any) -> None:
    """Note a call of ``was``: fires when it is made, there and in its context.

    ``call.service`` is the name after ``was.``. A call to all members is one for each. A result from the
    cache is none.
    """


@hookspec
def skitai_attempt(instance: IInstance, call: Any, node: Any, operation: Any) -> Any:
    """Return the operation to perform on ``node``, or None for ``operation``: fires for each try.

    An operation is never changed: make another with ``attrs.evolve``. Where equal calls share a request,
    ``call`` is the first. Fires in the reactor thread, outside of the context of the call.
    """


@hookspec
def skitai_call_finished(instance: IInstance, call: Any, result: Any) -> None:
    """Note the end of a call that has started: fires once, in any thread, before anybody has the result.

    ``result`` is what came before a filter changes it. It must not be changed.
    """


@hookspec
def skitai_status(instance: IInstance) -> Mapping[str, Any]:  # type: ignore[empty-body]
    """Return ``{title: table}`` for the status page: fires when it is asked for, reactor thread.

    A table is a mapping, or a list of mappings with the same keys. Keys that end in ``_bytes`` or
    ``_seconds`` are shown with their unit.
    """


@hookspec
def skitai_metrics(instance: IInstance) -> Sequence[Metric]:  # type: ignore[empty-body]
    """Return figures for monitoring, as ``counter`` and ``gauge`` make them: fires once a second.

    It fires in the reactor thread, only if somebody monitors the server. The values are those of this worker,
    and those of all workers are added up. Labels must have few values: no addresses of clients.
    """


@hookspec
def skitai_common_metrics(instance: IInstance) -> Sequence[Metric]:  # type: ignore[empty-body]
    """Return figures that are not those of one worker, and that each worker knows: fires when somebody asks.

    It fires in the reactor thread of the worker that is asked, and nothing is added up.
    """
