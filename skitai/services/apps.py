"""The life of apps that want to know of it: they are told when they are loaded and when the server stops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from skitai.interfaces import IInstance, ILivingApp
from skitai.plugins import hookimpl

# Apps by instance: a process may hold several, and what one of them loaded is its to end.
_apps: WeakKeyDictionary[IInstance, list[Any]] = WeakKeyDictionary()
# What came in the place of an app: mounted twice, it is replaced at one mount before it is at the other.
_heirs: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


@hookimpl
def skitai_app_loaded(instance: IInstance, app: Any, previous: Any) -> None:
    """Have an app begin; the one whose place it takes does not end, it goes on as this one."""
    apps = _apps.setdefault(instance, [])
    if ILivingApp.providedBy(previous) and ILivingApp.providedBy(app):
        latest = previous
        while latest in _heirs:
            latest = _heirs[latest]
        if latest is not app:
            apps[:] = [each for each in apps if each is not latest]
            _heirs.pop(app, None)  # so that nothing is its own heir
            _heirs[latest] = app
    if ILivingApp.providedBy(app) and app not in apps:
        apps.append(app)
        app.begin(reloaded=previous is not None)


@hookimpl
def skitai_app_broken(app: Any, error: BaseException) -> Callable[..., Any] | None:
    """Let the app that was say what is served until it can be loaded again."""
    return app.while_broken(error) if ILivingApp.providedBy(app) else None


@hookimpl
def skitai_shutdown(instance: IInstance) -> None:
    """Have each app end that is still the one to serve."""
    for app in _apps.pop(instance, []):
        app.end()
