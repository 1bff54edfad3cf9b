"""Saddle: a WSGI app whose views are plain functions that take ``was``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from threading import RLock
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Never
from wsgiref.types import StartResponse

from zope.interface import implementer

from skitai.context import current_view, get_current
from skitai.interfaces import ILivingApp
from skitai.saddle import handling, words
from skitai.saddle.errors import FAILURES
from skitai.saddle.failures.pages import failure_page
from skitai.saddle.incoming.forms import FormLimits
from skitai.saddle.incoming.uploads import TemporaryFiles
from skitai.saddle.life import Life
from skitai.saddle.login.auth import ALGORITHMS, Authenticator, Challenge
from skitai.saddle.outgoing.bodies import Streamed
from skitai.saddle.outgoing.templates import Templates
from skitai.saddle.part import Endpoint, Saddlery
from skitai.saddle.registry import wasc
from skitai.saddle.routes.router import Router
from skitai.saddle.routes.tables import Tables
from skitai.saddle.visitor.stores import VisitorStores, process_key
from skitai.saddle.was import SaddleWas

if TYPE_CHECKING:
    from jinja2 import Environment
    from werkzeug.test import Client

_log = logging.getLogger("skitai.saddle")
_FORM_LIMITS = FormLimits()


@implementer(ILivingApp)
class Saddle(Saddlery):
    """A WSGI app. Its attributes are its settings, which may be changed until the first request.

    ``debug`` shows tracebacks to the client. ``use_reloader`` loads the app again when its files change.
    ``autoescape`` escapes values in templates. ``csrf`` refuses unsafe requests without a token.
    ``strict_text`` refuses queries and forms that are not UTF-8, which are else read with U+FFFD. Sessions
    need ``securekey``, a text or several, the first of which seals; they last ``session_timeout`` seconds, in
    their cookies or in ``session_store``.
    With ``authorization`` (``"basic"`` or ``"digest"``) users log in: ``realm`` names the place, and
    ``users``, or ``user`` and ``password``, tell who may.
    """

    def __init__(self, import_name: str, **others: Never) -> None:
        words.APP.refuse("Saddle()", others)
        super().__init__(import_name)
        self.debug = False
        self.use_reloader = False
        self.autoescape = False
        self.csrf = False
        self.strict_text = False
        self.securekey: str | Sequence[str] | None = None
        self.session_timeout = 1200.0
        #: An ``ISessionStore``, or "redis"; None keeps sessions in the cookies themselves.
        self.session_store: Any = None
        self.authorization: str | None = None
        #: The algorithms of Digest, the best first; a client takes the first that it supports.
        self.digest_algorithms: Sequence[str] = ALGORITHMS
        self.realm: str | None = None
        self.user: str | None = None
        self.password: str | None = None
        self.users: Mapping[str, str] | Callable[..., Any] | None = None
        #: Bytes of one uploaded file, of a whole form with files, and of a form's text fields together.
        self.upload_file_max_size = _FORM_LIMITS.file_max
        self.upload_max_size = _FORM_LIMITS.total_max
        self.form_max_size = _FORM_LIMITS.field_memory_max
        #: The uploads of the requests under way.
        self.temporary_files = TemporaryFiles()
        #: What was warned of already: texts, and routes about whose caches it was.
        self.warned: set[str] = set()
        #: For the app's own settings: ``app.config.my_setting = 1``.
        self.config = SimpleNamespace()
        #: Here and not in the parts: a part may be mounted in several apps, each with its own settings.
        self.templates_by_part: dict[Saddlery, Templates] = {}
        self._compiled: Tables | None = None
        self._compiling = RLock()
        self._life = Life()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.import_name!r}>"

    @property
    def packagename(self) -> str | None:
        """The name that the app was made with."""
        return self.import_name

    @property
    def part_modules(self) -> set[str]:
        """The names of the modules of the app and its parts: the reloader watches them."""
        return set().union(*(place.part.modules for place in self.mounted()))

    def set_devel(self, debug: bool = True, use_reloader: bool = True) -> None:
        """Set ``debug`` and ``use_reloader``."""
        self.debug, self.use_reloader = debug, use_reloader

    # -- requests ------------------------------------------------------------------------------------------

    def __call__(self, env: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333). Called in any thread or greenlet."""
        if not self._life.has_begun:
            self.begin()
        answer = handling.answer(self, env)
        try:
            start_response(answer.status, answer.headers)
        except BaseException:  # a server that refuses the head does not close the body
            if isinstance(answer.body, Streamed):
                answer.body.close()
            raise
        return answer.body

    def test_client(self) -> Client:
        """Return a client that sends requests to the app without a server. It keeps cookies.

        ``client.get("/path", follow_redirects=True)``; see werkzeug.test.Client.
        """
        from werkzeug.test import Client

        return Client(self)

    # -- life ----------------------------------------------------------------------------------------------

    def begin(self, *, reloaded: bool = False) -> None:
        """Call the ``startup`` handlers once, or the ``onreload`` handlers if the app was ``reloaded``.

        The server calls this when it has loaded the app; under other servers, the first request does. Other
        requests wait until the handlers are done. Handlers may wait for ``was``.
        """

        def begin() -> None:
            self._tell("onreload" if reloaded else "startup")
            self._try_settings()

        self._life.begin(begin)

    def while_broken(self, error: BaseException) -> Callable[..., Any] | None:
        """Return an app that shows the developer ``error``, which broke the reload; None without debug."""
        return partial(_show, error) if self.debug else None

    def end(self) -> None:
        """Call the ``shutdown`` handlers once, and delete uploads in use. Called when the server stops."""

        def end() -> None:
            self._tell("shutdown")
            self.temporary_files.delete_all()

        self._life.end(end)

    def _try_settings(self) -> None:
        """Log settings that would make every request fail."""
        try:
            _ = self.stores
            if self.authorization is not None:
                _ = self._authenticator
        except (TypeError, ValueError):
            _report("settings")

    def _tell(self, event: str) -> None:
        for part in dict.fromkeys(place.part for place in self.mounted()):
            handler = part.handlers.get(event)
            if handler is None:
                continue
            try:
                handler(wasc)
            except FAILURES:  # the other handlers must still be called, and the app must serve
                _report(f"{event} of {part.import_name}")

    # -- routes --------------------------------------------------------------------------------------------

    @property
    def _tables(self) -> Tables:
        compiled = self._compiled
        if compiled is None or compiled.is_outdated():
            with self._compiling:
                compiled = self._compiled = Tables(list(self.mounted()))
        return compiled

    @property
    def router(self) -> Router:
        """The router, which finds the view for a path."""
        return self._tables.router

    def build_url(self, function: Any, /, *arguments: Any, **named: Any) -> str:
        """Return the URL of a view, or of a static file, whose path begins with ``/``.

        The mount point of the current request comes first. Raises BuildError for an unknown view and
        AssertionError for arguments that do not fit it.
        """
        was = current_view.get(None)
        return self.url_at("" if was is None else was.mount_point, function, arguments, named)

    buld_url = build_url

    def url_at(self, mount: str, function: Any, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> str:
        """Return the same as ``build_url`` for an app that is mounted at ``mount``."""
        if isinstance(function, str) and function.startswith("/"):
            return mount + function
        return mount + self._tables.urls.build(function, arguments, named)

    def remote_endpoint(self, method: str) -> Endpoint | None:
        """Return the endpoint of the remote method ``a.b``, which is that of the path ``/a/b``."""
        return self._tables.remote.get(method)

    def remote_methods(self) -> Mapping[str, Callable[..., Any]]:
        """Return the views by the names that remote callers use."""
        return {name: endpoint.route.view for name, endpoint in self._tables.remote.items()}

    # -- templates -----------------------------------------------------------------------------------------

    @property
    def templates(self) -> Templates:
        """The templates in the folder ``templates`` beside the app."""
        return self.own_templates(self)

    @property
    def jinja_env(self) -> Environment:
        """The jinja2 environment of the app's templates."""
        return self.templates.environment

    # -- users and visitors --------------------------------------------------------------------------------

    def authenticate(self, was: SaddleWas) -> Challenge | None:
        """Set ``was.request.user``; return the challenge for a client that is not logged in."""
        if self.authorization is None:
            return None
        request = was.request
        header = request.get_header("authorization")
        found = self._authenticator.check(request.method, request.uri, header, was.wait_for)
        if isinstance(found, Challenge):
            return found
        request.user = found
        return None

    @cached_property
    def _authenticator(self) -> Authenticator:
        users = self.users
        if users is None and self.user is not None and self.password is not None:
            users = {self.user: self.password}
        if users is None or self.realm is None:
            raise ValueError("app.authorization needs app.realm, and app.users or app.user and app.password")
        if self.authorization == "basic":
            return Authenticator("basic", self.realm, users, process_key())
        if self.authorization == "digest":
            algorithms = self.digest_algorithms
            return Authenticator("digest", self.realm, users, process_key(), algorithms=algorithms)
        raise ValueError(f"app.authorization must be one of 'basic', 'digest', not {self.authorization!r}")

    @cached_property
    def stores(self) -> VisitorStores:
        """The stores of sessions, messages and tokens, which visitors keep as cookies."""
        return VisitorStores(self.securekey, self.session_timeout, _warn)

    @property
    def form_limits(self) -> FormLimits:
        """The limits of a form."""
        return FormLimits(
            file_max=self.upload_file_max_size,
            total_max=self.upload_max_size,
            field_memory_max=self.form_max_size,
        )


def _warn(line: str) -> None:
    was = current_view.get(None)
    if was is None:
        _log.warning("%s", line)
    else:
        was.log(line, "warning")


def _report(identifier: str) -> None:
    """Write the current exception to the log of the apps, outside any request."""
    try:
        write = get_current().traceback
    except AttributeError:  # no server, or one without that log
        write = partial(_log.exception, "expt:%s")
    write(identifier)  # outside the except clause: there, the current exception would be another one


def _show(error: BaseException, env: dict[str, Any], start_response: StartResponse) -> list[bytes]:
    line = f"{env['REQUEST_METHOD']} {env.get('REQUEST_URI', '')}"
    kind, page = failure_page(error, line, env.get("HTTP_ACCEPT"))
    headers = [("Content-Type", kind), ("Content-Length", str(len(page)))]
    start_response("500 Internal Server Error", headers)
    return [page]
