"""A Saddlery: routes, events and error handlers that can be mounted in an app together."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from inspect import iscoroutinefunction
from pathlib import Path
from types import ModuleType
from typing import Any, Never, TypeVar

import attrs

from skitai.context import current_view
from skitai.formats.spelling import called_otherwise
from skitai.saddle import words
from skitai.saddle.outgoing.rendering import render_template
from skitai.saddle.outgoing.templates import Templates
from skitai.saddle.routes.rules import Rule
from skitai.saddle.routes.sockets import HANDSHAKE, WebSocketOptions, check_view

_log = logging.getLogger("skitai.saddle")

#: The folder of the templates, beside the module.
TEMPLATES = "templates"

_MOUNT_TAKES = 'mount takes (module, "part", "/path") or ("/path", module, "part")'

#: The events whose handlers may be coroutines.
_REQUEST_EVENTS = ("before_request", "finish_request", "failed_request", "teardown_request")

Function = TypeVar("Function", bound=Callable[..., Any])
Handler = Callable[..., Any]


@attrs.frozen(eq=False)
class Route:
    """A view of a part and the rule that leads to it."""

    rule: Rule
    view: Handler
    part: Saddlery
    #: None for a view of requests.
    websocket: WebSocketOptions | None = None

    @property
    def name(self) -> str:
        """The name by which URLs are built: that of the function, also inside a partial, or of the class."""
        view = self.view
        while isinstance(view, partial):
            view = view.func
        return getattr(view, "__name__", None) or type(view).__name__


@attrs.frozen(eq=False)
class MountedPart:
    """A part at a path of an app. ``scopes`` are the app, the parts around it, and itself last."""

    part: Saddlery
    prefix: str
    scopes: tuple[Saddlery, ...]


@attrs.frozen
class Endpoint:
    """A route of a mounted part: its ``scopes``, and the rule with the path of the part before it."""

    route: Route
    scopes: tuple[Saddlery, ...]
    full_rule: str


@called_otherwise(words.ATTRIBUTES)
class Saddlery:
    """Routes, events and error handlers. ``import_name`` (``__name__``) tells where its templates are.

    The decorators return the function as it is. If an event is given two functions, the last one counts.
    """

    def __init__(self, import_name: str | None = None) -> None:
        self.import_name = import_name
        #: The folder of the module ``import_name``, or the working directory.
        self.folder = _folder(import_name)
        #: The names of its modules and of those of the parts mounted in it.
        self.modules: set[str] = {import_name} if import_name else set()
        self.routes: list[Route] = []
        self.handlers: dict[str, Handler] = {}
        self.error_handlers: dict[int | type[BaseException], Handler] = {}
        self._mounts: list[tuple[Saddlery, str]] = []
        #: The number of changes so far. When it has changed, an app builds its routes again.
        self.changes = 0

    def own_templates(self, app: Any) -> Templates:
        """Return the templates in the folder of this part, with the settings of ``app``."""
        made: dict[Saddlery, Templates] = app.templates_by_part
        templates = made.get(self)
        if templates is None:
            templates = Templates(
                self.folder / TEMPLATES,
                autoescape=app.autoescape,
                debug=app.debug,
                parent=None if self is app else lambda: app.jinja_env,
            )
            templates = made.setdefault(self, templates)  # another thread may have been first
        templates.configure(autoescape=app.autoescape, debug=app.debug)
        return templates

    def render2(self, *arguments: Any, **named: Any) -> str:
        """Return the text of a template in the folder of this part. Called within a request.

        ``render2("show.htm", ...)`` or ``render2(was, "show.htm", ...)``.
        """
        was = current_view.get()
        name, *dicts = arguments if isinstance(arguments[0], str) else arguments[1:]
        return render_template(was, self.own_templates(was.app), name, dicts, named)

    # -- routes --------------------------------------------------------------------------------------------

    def route(
        self, rule: str, methods: Collection[str] | None = None, **others: Never
    ) -> Callable[[Function], Function]:
        """Let the function answer requests whose path matches ``rule``: ``view(was, **arguments)``.

        ``methods`` are the methods that it takes, None for all. Raises ValueError for a malformed rule,
        TypeError for an argument of another framework or a misspelt one. ``others`` beside them have no
        effect, as ever; the log says so.
        """
        for ignored in words.ROUTE.refuse_meant("route()", others):
            _log.warning("route %r: %s has no effect", rule, ignored)
        parsed = Rule(rule, methods)

        def register(view: Function) -> Function:
            if not callable(view):
                raise TypeError(f"route {rule!r}: {view!r} is not a function")
            self.routes.append(Route(parsed, view, self))
            self.changes += 1
            return view

        return register

    def websocket(
        self, rule: str, keep_alive: float | None = None, subprotocols: Sequence[str] = (), **others: Never
    ) -> Callable[[Function], Function]:
        """Let the function serve websockets whose path matches ``rule``: ``view(was, ws, **arguments)``.

        ``ws`` is a ``skitai.websocket.conversation.WebSocket``. A plain function writes ``for message in
        ws`` and waits in a thread or a greenlet of its own; a coroutine function writes ``async for``, and
        runs in the reactor. When it returns, the websocket is closed. The events of a request surround the
        handshake. ``keep_alive``: seconds without a message before the websocket is closed; None closes none.
        ``subprotocols`` are those that the view speaks, the best first: ``ws.subprotocol`` is the one that
        the client speaks, too. Raises ValueError for a malformed rule, TypeError for a view without ``ws``
        and for an argument that is none.
        """
        words.WEBSOCKET.refuse("websocket()", others)
        parsed = Rule(rule, [HANDSHAKE])
        options = WebSocketOptions(keep_alive, tuple(subprotocols))

        def register(view: Function) -> Function:
            check_view(rule, view)
            self.routes.append(Route(parsed, view, self, options))
            self.changes += 1
            return view

        return register

    def mount(self, *arguments: Any) -> None:
        """Mount a part: ``mount(module, "part", "/admin")`` or ``mount("/admin", module, "part")``.

        The Saddlery itself may stand for the module; the name is then left out. The path is below the app's
        mount point. Raises TypeError or ValueError if the part or the path is malformed.
        """
        part, path = _part_and_path(arguments)
        if part is self:
            raise ValueError("a part cannot be mounted in itself")
        self._mounts.append((part, path.rstrip("/")))
        self.modules.update(each.__name__ for each in arguments if isinstance(each, ModuleType))
        self.changes += 1

    def mounted(self, prefix: str = "", outer: tuple[Saddlery, ...] = ()) -> Iterator[MountedPart]:
        """Yield this part and those mounted in it, in the order of mounting."""
        scopes = (*outer, self)
        yield MountedPart(self, prefix, scopes)
        for part, path in self._mounts:
            if part not in scopes:  # two parts that mount each other
                yield from part.mounted(path, scopes)

    # -- events --------------------------------------------------------------------------------------------

    def before_request(self, function: Function) -> Function:
        """Call ``function(was)`` before the view. A true value that it returns is the response."""
        return self._handle("before_request", function)

    def finish_request(self, function: Function) -> Function:
        """Call ``function(was)`` when the view has succeeded."""
        return self._handle("finish_request", function)

    def failed_request(self, function: Function) -> Function:
        """Call ``function(was, exc_info)`` when the view has failed. What it returns is the response."""
        return self._handle("failed_request", function)

    def teardown_request(self, function: Function) -> Function:
        """Call ``function(was)`` at the end of each request, whatever happened."""
        return self._handle("teardown_request", function)

    def startup(self, function: Function) -> Function:
        """Call ``function(wasc)`` once, when the app has been loaded."""
        return self._handle("startup", function)

    def onreload(self, function: Function) -> Function:
        """Call ``function(wasc)`` when the app has been loaded again."""
        return self._handle("onreload", function)

    def shutdown(self, function: Function) -> Function:
        """Call ``function(wasc)`` once, when the server stops."""
        return self._handle("shutdown", function)

    def got_template(self, function: Function) -> Function:
        """Call ``function(was, template, variables)`` before a template is render_template."""
        return self._handle("got_template", function)

    def template_rendered(self, function: Function) -> Function:
        """Call ``function(was, template, variables, text)`` when a template has been render_template."""
        return self._handle("template_rendered", function)

    def error(self, what: int | type[BaseException]) -> Callable[[Function], Function]:
        """Have the function handle a status, ``function(was, code)``, or exception, ``function(was, error)``.

        A class includes its subclasses, and the nearest class counts. A part comes before its app.
        """
        if not (isinstance(what, int) or (isinstance(what, type) and issubclass(what, BaseException))):
            raise TypeError(f"error() takes a status or a class of exceptions, not {what!r}")

        def register(function: Function) -> Function:
            self.error_handlers[what] = function
            return function

        return register

    def _handle(self, event: str, function: Function) -> Function:
        if not callable(function):
            raise TypeError(f"{event}: {function!r} is not a function")
        if event not in _REQUEST_EVENTS and iscoroutinefunction(function):
            raise TypeError(f"{event}: {function!r} is a coroutine, and no request waits for it")
        self.handlers[event] = function
        return function


def _folder(import_name: str | None) -> Path:
    # Looked up at once: while the app is loaded again, its module is missing in sys.modules.
    file = getattr(sys.modules.get(import_name or ""), "__file__", None)
    return Path(file).parent if file else Path.cwd()


def _part_and_path(arguments: tuple[Any, ...]) -> tuple[Saddlery, str]:
    rest = list(arguments)
    if rest and isinstance(rest[0], str):
        rest.append(rest.pop(0))
    if not (len(rest) in (2, 3) and all(isinstance(text, str) for text in rest[1:])):
        raise TypeError(_MOUNT_TAKES)
    owner, path = rest[0], rest[-1]
    name = rest[1] if len(rest) == 3 else "part"
    part = owner if isinstance(owner, Saddlery) else getattr(owner, name, None)
    if not isinstance(part, Saddlery):
        where = owner.__name__ if isinstance(owner, ModuleType) else repr(owner)
        raise TypeError(f"{where} has no Saddlery named {name!r}")
    if path and not path.startswith("/"):
        raise ValueError(f"{path!r} must begin with a slash: {_MOUNT_TAKES}")
    if "<" in path or "//" in path:
        raise ValueError(f"a part cannot be mounted at {path!r}: it takes plain text between single slashes")
    return part, path
