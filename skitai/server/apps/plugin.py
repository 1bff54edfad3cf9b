"""Mounts WSGI apps: ``/shop = ./shop:app``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from skitai.config import Key, Mount, ServerConfig
from skitai.config.casters import quoted
from skitai.config.server import SERVER_KEYS
from skitai.formats.spelling import closest
from skitai.http.hosts import is_loopback
from skitai.interfaces import IInstance
from skitai.loop.lines import Limits
from skitai.net.endpoints import PortEndpoint
from skitai.plugins import Answerer, hookimpl
from skitai.server.apps.callables import normal_form
from skitai.server.apps.changes import CodeChanges
from skitai.server.apps.debugger import with_debugger
from skitai.server.apps.handlers import may_set_handlers
from skitai.server.apps.installed import InstalledApp, importable_from
from skitai.server.apps.life import PluginsWatcher
from skitai.server.apps.loader import AppSource, LoadedApp
from skitai.server.apps.modules import is_installed
from skitai.server.apps.queue import LoadQueue
from skitai.server.apps.slot import WSGIApp
from skitai.server.static.plugin import names_folder
from skitai.server.wsgi.resource import WSGIResource

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from skitai.context import Was

#: The options of an app. Those without ``threads`` share the executor of the server, where each has a line
#: of its own. The limits of a line that are not given are those of the server.
_OPTIONS = {
    name: attrs.evolve(SERVER_KEYS[name], default=None, unset="that of [server]")
    for name in ("threads", "queue_max", "queue_timeout")
}
#: A target whose app is what a call returns.
_CALL = re.compile(r"(?P<path>[^:]+):(?P<call>[^:/(]+\(.*\))", re.DOTALL)
#: A target that is the address of a server: a URL, or a host with a port.
_ADDRESS = re.compile(
    r"(?P<scheme>https?://(?:[^/@]*@)?)?(?P<host>\[[0-9a-f:.]+\]|[^\s:/@\[\]]+)(?P<port>:[0-9]{1,5})?(?:[/?#].*)?",
    re.ASCII | re.DOTALL | re.IGNORECASE,
)
_CLUSTER = "@"
#: How many modules of a folder a message names.
_NAMES_MAX = 6
_INIT = "__init__"


@hookimpl
def skitai_keys() -> Mapping[str, Mapping[str, Key]]:
    """Describe the options of apps."""
    return {"[routes:line] an app": _OPTIONS}


@hookimpl(trylast=True)  # it complains about targets that nobody else has claimed
def skitai_mount(instance: IInstance, mount: Mount) -> Answerer | None:
    """Serve the app in a file."""
    if mount.target.startswith(_CLUSTER) or names_folder(mount):
        return None
    source = _source(mount)
    make = partial(_resource, instance, mount, source)
    return Answerer("app", make, options=_OPTIONS, target=str(source))


def _resource(
    instance: IInstance, mount: Mount, source: AppSource, options: Mapping[str, Any]
) -> WSGIResource:
    server = instance.config.server
    given = partial(_given, instance)
    loaded: LoadedApp | InstalledApp
    if source.is_installed:
        loaded = InstalledApp(source, given=given)
    else:
        loaded = LoadedApp(source, reload=server.reloader, given=given)
        instance.state(CodeChanges, CodeChanges).apps.append(loaded)
    directory = loaded.directory
    executor = instance.executors.for_mount(mount.point, options["threads"])
    queue: LoadQueue = instance.state(LoadQueue, lambda: LoadQueue(instance.bridge.call_later))

    def in_turn(function: Callable[[Was], None]) -> Deferred[None]:
        load = may_set_handlers(instance.bridge, function)
        return queue.add(directory, partial(instance.run, load, executor))

    return WSGIResource(
        with_debugger(loaded.get, console=_is_for_this_machine(server)) if server.reloader else loaded.get,
        mount.point,
        executor,
        instance.services,
        buffer_max=server.response_buffer_max,
        multiprocess=server.processes > 1,
        watcher=PluginsWatcher(instance, loaded, executor),
        reloads=lambda: loaded.reloads,
        in_turn=in_turn,
        directories=loaded.directories,
        upgrades=instance.plugins.first("skitai_upgrades", instance=instance),
        # Two mounts of one instance differ in this, and the same config says the same on all machines.
        name=f"{mount.point}={mount.target}",
        observers=instance.plugins.functions("skitai_request_started", instance),
        limits=_limits(server, options),
        shows_failures=server.reloader,
    )


def _is_for_this_machine(server: ServerConfig) -> bool:
    """Return whether only programs of this machine reach the server."""
    return all(isinstance(each, PortEndpoint) and is_loopback(each.ip) for each in server.endpoints)


def _limits(server: ServerConfig, options: Mapping[str, Any]) -> Limits:
    most, seconds = options["queue_max"], options["queue_timeout"]
    return Limits(
        server.queue_max if most is None else most,
        server.queue_timeout if seconds is None else seconds,
    )


def _given(instance: IInstance, source: AppSource) -> WSGIApp | None:
    """Return the app that a plugin provides for the source, or None."""
    found: WSGIApp | None = instance.plugins.first("skitai_load_app", instance=instance, target=str(source))
    return found


def _source(mount: Mount) -> AppSource:
    """Return the place of the app that the target names. Raises ValueError if it does not exist."""
    _refuse_address(mount)
    call = _CALL.fullmatch(mount.target)  # its arguments may have slashes and colons in them
    parent, _, last = (call["path"] if call else mount.target).rpartition("/")
    if not last:
        raise ValueError(f"there is no folder {mount.folder / mount.target}: correct the path or create it")
    module, colon, attribute = last.partition(":")
    if "" in module.split("."):
        raise ValueError(f"{quoted(mount.target)} names no module: write path/module:callable")
    attribute = normal_form(call["call"] if call else attribute) if call or attribute else ""
    directory = mount.folder / (parent or ("/" if mount.target.startswith("/") else ""))
    if module == _INIT:  # the package is meant: its other modules import it, which would run the file again
        package = directory.resolve()
        parent, directory, module = str(package.parent), package.parent, package.name
    module = module.removesuffix(f".{_INIT}")
    place = None if parent or _has(directory, module) else importable_from(module)
    if place is not None and _has(place, module):
        return AppSource(place, module, attribute, is_installed=is_installed(str(place / module)))
    _require_module(directory, module, None if colon or call else mount.folder / mount.target)
    return AppSource(directory, module, attribute)


def _refuse_address(mount: Mount) -> None:
    """Raise ValueError for the address of another server; the message has no user or password of a URL."""
    found = _ADDRESS.fullmatch(mount.target)
    if found is None or not (found["scheme"] or (found["port"] and not _has(mount.folder, found["host"]))):
        return
    address = found["host"] + (found["port"] or "")
    ssl = " and ssl = yes" if (found["scheme"] or "").lower().startswith("https") else ""
    raise ValueError(
        f"{quoted(address)} is the address of a server, and another server is a cluster: "
        f"write {mount.point or '/'} = {_CLUSTER}NAME here, and members = {address}{ssl} in [{_CLUSTER}NAME]"
    )


def _has(directory: Path, module: str) -> bool:
    return any(map(os.path.isfile, _files(directory, module)))


def _files(directory: Path, module: str) -> tuple[Path, Path]:
    base = directory.joinpath(*module.split("."))
    return base.parent / f"{base.name}.py", base / "__init__.py"


def _require_module(directory: Path, module: str, folder: Path | None) -> None:
    if _has(directory, module):
        return
    single, package = _files(directory, module)
    wanted = f"the folder {folder} nor the app {single}" if folder else f"{single} nor {package}"
    names = sorted(path.stem for path in directory.glob("[!_]*.py"))
    near = closest(module, names)
    base, dot, name = module.rpartition(".")
    if near:
        hint = f"did you mean {near}?"
    elif folder and dot and _has(directory, base):
        hint = f"did you mean {base}:{name}?"
    else:
        hint = "correct the path or create it"
        if 0 < len(names) <= _NAMES_MAX:
            hint += f"; that folder has {', '.join(names)}"
    hint = "leave out .py" if module.endswith(".py") else hint
    raise ValueError(f"there is neither {wanted}: {hint}")
