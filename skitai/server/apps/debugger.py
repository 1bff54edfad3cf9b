"""Flask's debugger in the browser, for apps that are in debug.

The page with the traceback is no part of Flask: ``flask run`` adds werkzeug's ``DebuggedApplication``. Under
other servers an exception is a plain 500. Django shows its own page under any server.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def with_debugger(
    load: Callable[[], Callable[..., Any]], *, console: bool
) -> Callable[[], Callable[..., Any]]:
    """Return ``load`` with Flask's debugger around an app of Flask that is in debug.

    With ``console`` its pages run code, for those who know the PIN that it prints.
    """
    app: Any = None
    shown: Any = None

    def get() -> Callable[..., Any]:
        nonlocal app, shown
        loaded = load()
        if loaded is not app:
            app, shown = loaded, _shown(loaded, console)
        return shown  # type: ignore[no-any-return]

    return get


def _shown(app: Any, console: bool) -> Any:
    flask = sys.modules.get("flask")
    if flask is None or not isinstance(app, flask.Flask) or not app.debug:
        return app
    from werkzeug.debug import DebuggedApplication

    return DebuggedApplication(app, evalex=console)
