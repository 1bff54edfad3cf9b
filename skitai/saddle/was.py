"""The ``was`` of a Saddle view: the request, the response, and the services of the server."""

from __future__ import annotations

import asyncio
import copy
import logging
import time
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from functools import cached_property
from traceback import format_exception
from typing import TYPE_CHECKING, Any, Never
from wsgiref.handlers import format_date_time

from skitai.context import current_was, registered, run_coroutine
from skitai.errors import MisuseError
from skitai.loop.contexts import current_context, steps_in
from skitai.saddle import words
from skitai.saddle.errors import HTTPError
from skitai.saddle.failures import pages
from skitai.saddle.incoming.request import Request
from skitai.saddle.outgoing.locations import as_uri, path_as_uri
from skitai.saddle.outgoing.rendering import render_template
from skitai.saddle.outgoing.response import ExcInfo, Response, ResponseBody
from skitai.saddle.visitor import csrf, mbox, session
from skitai.saddle.visitor.cookies import Cookies
from skitai.saddle.visitor.sessionstore import MemorySessions, StoredSessions

if TYPE_CHECKING:
    from skitai.saddle.app import Saddle
    from skitai.saddle.outgoing.bodies import Streamed
    from skitai.saddle.part import Saddlery

_log = logging.getLogger("skitai.saddle")
_MEMORY_OF_ONE = (
    "app.session_store is in the memory of each worker, and there are several: a visitor whose next request "
    'another worker gets is logged out; app.session_store = "redis" is for all of them'
)
_LEVELS = {"debug": 10, "info": 20, "warn": 30, "warning": 30, "error": 40, "expt": 40}

#: What the browser stores of a request.
_KEPT = ("cookie", "session", "mbox")


class Globals:
    """``was.g``: what the functions of one request share."""


class SaddleWas:
    """One request. Other names are looked up among the server's services and the registered objects."""

    def __init__(self, app: Saddle, env: dict[str, Any]) -> None:
        self.app = app
        #: The app and the parts around the view, the innermost last.
        self.scopes: tuple[Saddlery, ...] = (app,)
        #: The streams that views have returned. At the end, all but the one that is sent are closed.
        self.streams: tuple[Streamed, ...] = ()
        self.env = env
        self.request = Request(env)
        self.g = Globals()
        self.response = _response_to(self.request)
        self._saw_cookies = False
        # A server gives them with the request; a test has them around it, by FakeWas.
        self._services: Any = env.get("skitai.was") or current_was.get(None)

    def __getattr__(self, name: str) -> Any:
        if name == "session":
            raise AttributeError("was.session needs app.securekey: set it to a random text")
        if name.startswith("_"):
            raise AttributeError(name)
        if self._services is not None:  # they have the registered objects, too
            return getattr(self._services, name)
        if name in registered():
            return registered()[name]
        raise AttributeError(f"was.{name} does not exist: without Skitai, there are no services")

    # -- URLs and templates --------------------------------------------------------------------------------

    @property
    def subapp(self) -> Saddlery:
        """The part whose view serves the request, or the app."""
        return self.scopes[-1]

    @cached_property
    def mount_point(self) -> str:
        """The path at which the app is mounted, as in a URL; empty for the root."""
        return path_as_uri(self.env.get("SCRIPT_NAME", ""))

    def ab(self, function: Any, /, *arguments: Any, **named: Any) -> str:
        """Return the URL of a view, or of a static file, whose path begins with ``/``."""
        return self.app.url_at(self.mount_point, function, arguments, named)

    build_url = buld_url = ab

    def render(self, template: str, /, *values: dict[str, Any], **named: Any) -> str:
        """Return the text of a template of the app, with the variables in ``values`` or ``named``."""
        return render_template(self, self.app.templates, template, values, named)

    def render2(self, template: str, /, *values: dict[str, Any], **named: Any) -> str:
        """Return the text of a template of the part that serves the request."""
        return render_template(self, self.subapp.own_templates(self.app), template, values, named)

    def redirect(
        self,
        url: str,
        status: str = "302 Object Moved",
        body: Any = None,
        headers: list[tuple[str, str]] | None = None,
        **others: Never,
    ) -> ResponseBody:
        """Return a response that redirects to ``url``, in which non-ASCII characters are encoded."""
        words.REDIRECT.refuse("was.redirect()", others)
        self.response.set_header("Cache-Control", "max-age=0")
        self.response.set_header("Expires", format_date_time(time.time()))  # for caches of HTTP/1.0
        page = "<html><head><title>Redirecting</title></head><body>Go on.</body></html>"
        fields = [("Location", as_uri(url)), *(headers or ())]
        return self.response(status, page if body is None else body, fields)

    # -- what the browser stores ---------------------------------------------------------------------------

    @cached_property
    def cookie(self) -> Cookies:
        """The cookies of the request, and those that the response sets."""
        return Cookies(
            self.env.get("HTTP_COOKIE", ""),
            secure=self.request.get_scheme() == "https",
            hidden=(*session.HIDDEN, mbox.COOKIE, csrf.COOKIE),
        )

    @cached_property
    def session(self) -> session.Session:
        """The visitor's session. Raises AttributeError without ``app.securekey``."""
        sessions = self.app.stores.sessions
        if sessions is None:
            raise AttributeError("session")  # __getattr__ says the rest
        read, address = self.cookie.read_hidden, self.request.get_remote_addr()
        return sessions.load(read(session.COOKIE), address, read=read, stored=self._stored_sessions)

    @cached_property
    def _stored_sessions(self) -> StoredSessions | None:
        store = self.app.session_store
        if isinstance(store, str):
            try:
                store = getattr(self, f"{store}_sessions")  # such as that of the plugin for Redis
            except AttributeError as error:
                text = f"app.session_store is {store!r}, and no plugin brings such a store: {error}"
                raise MisuseError(text) from error
        if isinstance(store, MemorySessions) and self.env.get("wsgi.multiprocess"):
            self._warn_of_memory()
        return None if store is None else StoredSessions(store, self.app.session_timeout, self._wait)

    def _warn_of_memory(self) -> None:
        warned = self.app.warned
        if _MEMORY_OF_ONE not in warned:
            warned.add(_MEMORY_OF_ONE)
            self.log(_MEMORY_OF_ONE, "warning")

    @cached_property
    def mbox(self) -> mbox.MessageBox:
        """Messages for this page or the next one."""
        return self.app.stores.messages.load(self.cookie.read_hidden(mbox.COOKIE))

    @cached_property
    def _csrf(self) -> csrf.Csrf:
        stores = self.app.stores
        if stores.sessions is not None:
            return csrf.Csrf.in_session(self.session)
        return csrf.Csrf.in_cookie(self.cookie, stores.box, time.time())

    def csrf_token(self) -> str:
        """Return a token for the form field ``csrf_token`` or the header ``X-CSRF-Token``."""
        return self._csrf.token()

    def require_csrf_token(self) -> None:
        """Raise HTTPError 403 unless the request carries a token of this visitor."""
        form = self.request.form
        fields = dict(form.fields) if form is not None else {}  # not the query: others may see URLs
        if not self._csrf.check(csrf.submitted_token(self.env, fields)):
            raise HTTPError(403, "This form has expired or was not made by this site: load it again.")
        self.request.args.pop(csrf.FIELD, None)

    def kept_by_browser(self) -> list[tuple[str, str]]:
        """Return the header fields that store changed cookies, sessions and messages."""
        used, stores = self.__dict__, self.app.stores
        if "session" in used and stores.sessions is not None:
            stores.sessions.store(self.session, self.cookie, self._stored_sessions)
        if "mbox" in used:
            stores.messages.store(self.mbox, self.cookie)
        return self.cookie.headers() if "cookie" in used else []

    @property
    def depends_on_cookies(self) -> bool:
        """Whether anything has been read of what the browser stores, in any part of the request."""
        cookie: Cookies | None = self.__dict__.get("cookie")
        return self._saw_cookies or (cookie is not None and cookie.is_read)

    def changes(self) -> dict[str, Any]:
        """Return a copy of cookies, session and messages as they are now, for ``forget_changes``."""
        used = self.__dict__
        return copy.deepcopy({name: used[name] for name in _KEPT if name in used})

    def forget_changes(self, before: Mapping[str, Any] | None = None) -> None:
        """Reset cookies, session and messages to ``before``, or to what came with the request."""
        self._saw_cookies = self.depends_on_cookies
        for name in (*_KEPT, "_csrf"):
            self.__dict__.pop(name, None)
        self.__dict__.update(before or {})

    # -- logs, coroutines, errors --------------------------------------------------------------------------

    def log(self, msg: object, category: str = "info") -> None:
        """Write a line to the log of the apps, or to Python's log under another server."""
        write = getattr(self._services, "log", None)
        if write is None:
            _log.log(_LEVELS.get(category.partition(":")[0], logging.INFO), "[%s] %s", category, msg)
        else:
            write(msg, category)

    def traceback(self, identifier: str = "") -> None:
        """Write the current exception to the log, under ``identifier``."""
        write = getattr(self._services, "traceback", None)
        if write is None:
            _log.exception("expt:%s", identifier)
        else:
            write(identifier)

    def wait_for(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine and return its result: in the reactor, or in a loop of its own without Skitai."""
        try:
            self._load_session_first()
        except BaseException:
            coroutine.close()
            raise
        return self._wait(coroutine)

    def _load_session_first(self) -> None:
        """Look a session up before a coroutine asks for it, because that may not wait in the reactor."""
        app = self.app
        if app.session_store is None or app.stores.sessions is None or "session" in self.__dict__:
            return
        if f"{session.COOKIE}=" in self.env.get("HTTP_COOKIE", ""):
            _ = self.session

    def _wait(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        if self._services is None:
            return _run(coroutine)
        return run_coroutine(self._services, coroutine)

    def go_on(self, services: Any) -> None:
        """Go on after the request, with the services of what runs now."""
        self._services = services

    def start_response_again(self) -> None:
        """Start a new response in place of one that will not be sent."""
        self.response = _response_to(self.request)


def _response_to(request: Request) -> Response:
    """Return a new response. It knows no SaddleWas, which knows it: a cycle would keep the request's body."""

    def error_body(code: int, exc_info: ExcInfo | None) -> tuple[str, bytes]:
        return pages.error_page(
            code,
            "",
            wants_json=pages.wants_json(request.get_header("accept")),
            request_line=request.line,
            traceback="".join(format_exception(exc_info[1])) if exc_info else "",
        )

    return Response(error_body)


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine of a request in the request's context, in a loop of its own."""
    context = current_context()
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_awaited(coroutine, context))
    # A thread can run only one loop, and this thread's loop waits here, as in a test that is a coroutine.
    with ThreadPoolExecutor(1, thread_name_prefix="skitai-saddle") as thread:
        return thread.submit(asyncio.run, _awaited(coroutine, context)).result()


async def _awaited(coroutine: Coroutine[Any, Any, Any], context: Context) -> Any:
    return await steps_in(context, coroutine)
