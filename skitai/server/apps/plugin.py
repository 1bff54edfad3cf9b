"""Mounts WSGI apps: ``/shop = ./shop:app``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from twisted.logger import Logger

from skitai.config import Mount
from skitai.config.casters import quoted
from skitai.config.server import SERVER_KEYS
from skitai.interfaces import IExecutor, IInstance
from skitai.loop.cooperative import is_patched
from skitai.plugins import Answerer, hookimpl
from skitai.server.apps.loader import AppSource, LoadedApp
from skitai.server.apps.queue import LoadQueue
from skitai.server.apps.sharing import shared_libraries
from skitai.server.apps.slot import AppWatcher, WSGIApp
from skitai.server.static.plugin import names_folder
from skitai.server.wsgi.resource import WSGIResource

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from skitai.context import Was

_log = Logger()

#: The options of an app. Those without ``threads`` share the executor of the server.
_OPTIONS = {"threads": attrs.evolve(SERVER_KEYS["threads"], default=None)}
#: What helps where requests must not share a thread.
REMEDY = "give it threads, or set cooperative = yes (pip install 'skitai[gevent]')"
_DEFAULT_CALLABLE = "app"
_CLUSTER = "@"


@hookimpl(trylast=True)  # it complains about targets that nobody else has claimed
def skitai_mount(instance: IInstance, mount: Mount) -> Answerer | None:
    """Serve the app in a file."""
    if mount.target.startswith(_CLUSTER) or names_folder(mount):
        return None
    source = _source(mount)
    make = partial(_resource, instance, mount.point, source)
    return Answerer("app", make, options=_OPTIONS, target=str(source))


def _resource(instance: IInstance, point: str, source: AppSource, options: Mapping[str, Any]) -> WSGIResource:
    server = instance.config.server
    loaded = LoadedApp(source, reload=server.reloader, given=partial(_given, instance))
    directory = loaded.directory
    executor = instance.executors.for_mount(point, options["threads"])
    queue: LoadQueue = instance.state(LoadQueue, lambda: LoadQueue(instance.bridge.call_later))

    def in_turn(function: Callable[[Was], None]) -> Deferred[None]:
        return queue.add(directory, partial(instance.run, function, executor))

    return WSGIResource(
        loaded.get,
        point,
        executor,
        instance.services,
        buffer_max=server.response_buffer_max,
        watcher=_PluginsWatch(instance, loaded, executor),
        reloads=lambda: loaded.reloads,
        in_turn=in_turn,
        directories=loaded.directories,
    )


def _given(instance: IInstance, source: AppSource) -> WSGIApp | None:
    """Return the app that a plugin provides for the source, or None."""
    found: WSGIApp | None = instance.plugins.first("skitai_load_app", instance=instance, target=str(source))
    return found


def shares_a_thread(instance: IInstance, executor: IExecutor) -> bool:
    """Return whether all requests share what libraries keep for each thread, and hold each other up."""
    return not (executor.multithread or instance.config.server.cooperative)


class _PluginsWatch(AppWatcher):
    """Tells the plugins about an app's life, and the user what its requests share."""

    def __init__(self, instance: IInstance, loaded: LoadedApp, executor: IExecutor) -> None:
        self._instance = instance
        self._loaded = loaded
        self._executor = executor

    def loaded(self, app: WSGIApp, previous: WSGIApp | None) -> None:
        if previous is None and shares_a_thread(self._instance, self._executor):
            self._warn_of_sharing()
        self._instance.plugins.notify(
            "skitai_app_loaded",
            instance=self._instance,
            app=app,
            previous=previous,
            executor=self._executor,
        )

    def _warn_of_sharing(self) -> None:
        source, module = str(self._loaded.source), self._loaded.module
        warned: set[str] = self._instance.state("skitai.server.apps.sharing", set)
        shared = {} if module is None or source in warned else shared_libraries(module)
        if shared:
            warned.add(source)  # it may be mounted several times
            _log.warn(
                "under threads = 0 the requests of {source} share {shared}: {remedy}",
                source=source,
                shared=", ".join(f"the {what} of {library}" for library, what in shared.items()),
                remedy=REMEDY,
            )

    def broken(self, app: WSGIApp, error: BaseException) -> WSGIApp | None:
        found: WSGIApp | None = self._instance.plugins.first(
            "skitai_app_broken", instance=self._instance, app=app, error=error
        )
        return found

    def failed(self, error: BaseException, doing: str) -> None:
        if doing.startswith("load ") and is_patched() and not self._instance.config.server.cooperative:
            _log.error(
                "{source}: gevent has patched the standard library while the server runs: take out"
                " monkey.patch_all(), and set cooperative = yes instead",
                source=str(self._loaded.source),
            )
        self._instance.plugins.notify("skitai_app_failed", instance=self._instance, error=error, doing=doing)


def _source(mount: Mount) -> AppSource:
    """Return the place of the app that the target names. Raises ValueError if it does not exist."""
    parent, _, last = mount.target.rpartition("/")
    if not last:
        raise ValueError(f"there is no folder {mount.folder / mount.target}: correct the path or create it")
    module, colon, attribute = last.partition(":")
    attribute = attribute or _DEFAULT_CALLABLE
    if "" in module.split("."):
        raise ValueError(f"{quoted(mount.target)} names no module: write path/module:callable")
    if not all(part.isidentifier() for part in attribute.split(".")):
        raise ValueError(f"{quoted(attribute)} cannot name a callable: write path/module:callable")
    directory = mount.folder / (parent or ("/" if mount.target.startswith("/") else ""))
    _require_module(directory, module, None if colon else mount.folder / mount.target)
    return AppSource(directory, module, attribute)


def _require_module(directory: Path, module: str, folder: Path | None) -> None:
    base = directory.joinpath(*module.split("."))
    single, package = base.parent / f"{base.name}.py", base / "__init__.py"
    if os.path.isfile(single) or os.path.isfile(package):
        return
    wanted = f"the folder {folder} nor the app {single}" if folder else f"{single} nor {package}"
    hint = "leave out .py" if module.endswith(".py") else "correct the path or create it"
    raise ValueError(f"there is neither {wanted}: {hint}")
