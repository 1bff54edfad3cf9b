"""Tells apps that provide ``ILivingApp`` when they are loaded and when the server stops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from skitai.interfaces import IExecutor, IInstance, ILivingApp
from skitai.loop.native import Lock
from skitai.plugins import hookimpl

_log = Logger()


@attrs.frozen(eq=False)
class Living:
    """An app that has begun, and the executor where: it ends there, too."""

    app: Any
    executor: IExecutor


class LivingApps:
    """The apps of one instance that must end when it stops. Used in any thread."""

    def __init__(self) -> None:
        self._apps: list[Living] = []
        # The app that replaced each. An app that is mounted twice is replaced at one mount before the other.
        self._heirs: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        self._changing = Lock()

    def add(self, app: Any, previous: Any, executor: IExecutor) -> bool:
        """Note an app in ``executor`` and forget the one that it replaces; return whether it is new."""
        with self._changing:
            if ILivingApp.providedBy(previous) and ILivingApp.providedBy(app):
                self._replace(previous, app)
            if not ILivingApp.providedBy(app) or any(each.app is app for each in self._apps):
                return False
            self._apps.append(Living(app, executor))
            return True

    def _replace(self, previous: Any, app: Any) -> None:
        latest = previous
        while latest in self._heirs:
            latest = self._heirs[latest]
        if latest is not app:
            self._apps = [each for each in self._apps if each.app is not latest]
            self._heirs.pop(app, None)  # or the chain could become a circle
            self._heirs[latest] = app

    def take_all(self) -> list[Living]:
        """Return the apps, and forget them."""
        with self._changing:
            apps, self._apps = self._apps, []
            return apps


def _living_apps(instance: IInstance) -> LivingApps:
    apps: LivingApps = instance.state(LivingApps, LivingApps)
    return apps


@hookimpl
def skitai_app_loaded(instance: IInstance, app: Any, previous: Any, executor: IExecutor) -> None:
    """Begin an app. The app that it replaces does not end: it lives on as the new one."""
    if _living_apps(instance).add(app, previous, executor):
        app.begin(reloaded=previous is not None)


@hookimpl
def skitai_app_broken(app: Any, error: BaseException) -> Callable[..., Any] | None:
    """Ask the former app what to serve until it can be loaded again."""
    return app.while_broken(error) if ILivingApp.providedBy(app) else None


@hookimpl
def skitai_stopping(instance: IInstance) -> Deferred[Any]:
    """End each app, all at the same time, where it began."""
    return DeferredList([_ended(instance, living) for living in _living_apps(instance).take_all()])


def _ended(instance: IInstance, living: Living) -> Deferred[Any]:
    ended: Deferred[Any] = instance.run(lambda _was: living.app.end(), living.executor)
    return ended.addErrback(_log_end, living.app)


def _log_end(failure: Failure, app: Any) -> None:
    if failure.check(CancelledError):  # type: ignore[no-untyped-call]
        _log.error("{app} took too long to end", app=app)
    else:
        _log.failure("{app} failed to end", failure, app=app, level=LogLevel.error)
