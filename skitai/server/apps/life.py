"""What plugins and the user are told of an app's life."""

from __future__ import annotations

from twisted.logger import Logger

from skitai.interfaces import IExecutor, IInstance
from skitai.loop.cooperative import is_patched
from skitai.server.apps.installed import InstalledApp
from skitai.server.apps.loader import LoadedApp
from skitai.server.apps.sharing import shared_libraries, shares_a_thread
from skitai.server.apps.slot import AppWatcher, WSGIApp

_log = Logger()

#: What helps where requests must not share a thread.
_REMEDY = "give it threads, or set cooperative = yes (pip install 'skitai[gevent]')"


class PluginsWatcher(AppWatcher):
    """Tells the plugins about the life of an app in ``executor``, and the user what to change."""

    def __init__(self, instance: IInstance, loaded: LoadedApp | InstalledApp, executor: IExecutor) -> None:
        self._instance = instance
        self._loaded = loaded
        self._executor = executor

    def loaded(self, app: WSGIApp, previous: WSGIApp | None) -> None:
        """Have plugins begin what ``app`` needs; warn of what its requests share in one thread."""
        if previous is None and self._instance.is_first and shares_a_thread(self._instance, self._executor):
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
                remedy=_REMEDY,
            )

    def broken(self, app: WSGIApp, error: BaseException) -> WSGIApp | None:
        """Return what a plugin has serve instead, or None."""
        found: WSGIApp | None = self._instance.plugins.first(
            "skitai_app_broken", instance=self._instance, app=app, error=error
        )
        return found

    def not_loaded(self, error: BaseException, point: str) -> None:
        """Tell the plugins; name the remedy if the app has patched the standard library."""
        if is_patched() and not self._instance.config.server.cooperative:
            _log.error(
                "{source}: gevent has patched the standard library while the server runs: take out"
                " monkey.patch_all(), and set cooperative = yes instead",
                source=str(self._loaded.source),
            )
        super().not_loaded(error, point)

    def failed(self, error: BaseException, doing: str) -> None:
        """Tell the plugins."""
        self._instance.plugins.notify("skitai_app_failed", instance=self._instance, error=error, doing=doing)
