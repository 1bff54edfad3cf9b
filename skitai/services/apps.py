"""The life of apps that want to know of it: they are told when they are loaded and when the server stops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from skitai.interfaces import IInstance, ILivingApp
from skitai.plugins import hookimpl

# Apps by instance: a process may hold several, and what one of them loaded is its to end.
_apps: WeakKeyDictionary[IInstance, list[Any]] = WeakKeyDictionary()


@hookimpl
def skitai_app_loaded(instance: IInstance, app: Any, reloaded: bool) -> None:
    """Have an app begin."""
    if ILivingApp.providedBy(app):
        _apps.setdefault(instance, []).append(app)
        app.begin(reloaded=reloaded)


@hookimpl
def skitai_app_broken(app: Any, error: BaseException) -> Callable[..., Any] | None:
    """Let the app that was say what is served until it can be loaded again."""
    return app.while_broken(error) if ILivingApp.providedBy(app) else None


@hookimpl
def skitai_shutdown(instance: IInstance) -> None:
    """Have each app end that is still the one to serve."""
    for app in _apps.pop(instance, []):
        app.end()
