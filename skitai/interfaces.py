"""The contracts between the parts of Skitai, and between Skitai and plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IConsumer
from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory

    from skitai.calls.result import Result
    from skitai.server.request.request import Request


class INode(Interface):
    """One address that a service can ask: immutable and hashable."""

    label: str = Attribute("How people name this node, such as ``'search1:443'``; unique within a service.")


class IService(Interface):
    """What ``was.NAME`` is made of: arguments in, an operation out, performed on one node.

    A service knows nothing of threads, greenlets, clusters, deadlines or caches: the call machinery adds
    them. ``skitai.calls.service.Service`` is a base class with the usual defaults.
    """

    cluster_type: str | None = Attribute(
        "The ``type`` of the clusters it can ask; None: it knows no clusters."
    )

    cluster_keys: frozenset[str] = Attribute(
        "The keys that its ``[@cluster]`` sections may have besides ``type`` and ``members``."
    )

    result_type: type[Result] = Attribute(
        "The ``Result`` class of its answers: plain data and failures are made into it."
    )

    def begin(submit: Callable[[Any], Any], *args: Any, **kwargs: Any) -> Any:
        """Turn an app's arguments into an ``Operation``, hand it to ``submit`` and return what the app gets.

        ``submit(operation)`` starts it at once and returns the ``Call``. Most services return that; one like
        XML-RPC returns an object of its own that submits on the first method call. A class that overrides it
        must take exactly ``(submit, *args, **kwargs)``, or the service is refused at start.
        Raises TypeError or ValueError for arguments that make no sense. Called in the app's thread.
        """

    def node(target: str) -> INode:
        """Return the node that a target outside any cluster names, such as ``"http://host:8080/path"``.

        Raises ValueError for a target that names none. Called in the app's thread.
        """

    def member(address: str, options: Mapping[str, str]) -> INode:
        """Return the node for one ``members`` entry of a ``[@cluster]`` section.

        ``options`` are the other keys of that section, such as ``{"ssl": "yes"}``. Raises ValueError for an
        address that cannot be one. Called once, before the server starts.
        """

    def perform(node: INode, operation: Any) -> Deferred[Any]:
        """Carry out ``operation`` on ``node``: fire with a ``Result``, or with plain data for one.

        Failing says that the node is unwell: it rests for a while, and another may be asked. Best is an
        ``OperationError``; an ``UnsentError`` where no byte left, so that another node may be tried whatever
        the operation. What a healthy node refused is a ``Result`` with status 2.
        Cancelling the Deferred must release whatever it holds (close the socket). It may be an ``async``
        method. Called in the reactor thread.
        """


class IExecutor(Interface):
    """Where app code runs."""

    multithread: bool = Attribute("What PEP 3333 calls ``wsgi.multithread``.")

    def start() -> None:
        """Make ready. Called in the reactor thread, in the process that will serve."""

    def stop() -> None:
        """Take no more tasks and let go of idle threads or greenlets. Called in the reactor thread."""

    def submit(task: Callable[[], None]) -> None:
        """Run ``task`` soon, where it may wait for ``was``; it must not raise.

        Called in the reactor thread.
        """

    def statistics() -> dict[str, int]:
        """Return what the status page shows: at least ``running`` and ``queued``."""


class IConnector(Interface):
    """One way to a connection, as the ``[http]`` section says: for every protocol, not for HTTP alone.

    All methods are called in the reactor thread.
    """

    tls: Any = Attribute("The ``TLSContexts`` of ``skitai.net.client_tls``, for nodes with a profile.")

    def connect(node: Any, factory: IProtocolFactory, *, proxy: Any = None) -> Deferred[Any]:
        """Connect to ``node``: fire with the protocol that ``factory`` made, once it is connected.

        ``node`` is a ``HostNode``, with TLS where it says so, or a ``UnixNode``, both of
        ``skitai.net.addresses``. A name's addresses race for the connection (RFC 8305), a certificate is
        verified, and the protocol's ``connectionMade`` is called after the handshake. ``proxy``, such as
        ``proxy_for`` returns, is asked for a tunnel (RFC 9110, section 9.3.6); None: straight to the node.

        Fails with UnsentError, so that another node may be asked. Its codes: 701 refused, no tunnel, or TLS
        failed; 702 not in time; 704 name not found; 705 the server stops; 706 any other socket error.
        Cancelling closes the socket.
        """

    def proxy_for(node: Any) -> Any:
        """Return the proxy that the config names for a host, or None."""


class IInstance(Interface):
    """The running worker as a plugin sees it."""

    config: Any = Attribute("The frozen ``skitai.config.Config``.")
    reactor: Any = Attribute("The Twisted reactor (or a fake one in tests).")
    plugins: Any = Attribute("The ``skitai.plugins.manager.PluginManager``, to call hooks of other plugins.")
    services: Any = Attribute("The ``skitai.context.ServiceTable`` of ``was``: a ``WSGIResource`` takes it.")
    executor: IExecutor = Attribute("Where apps run; ``run`` is the way there for all but apps themselves.")
    connector: IConnector = Attribute("What connects to other machines.")
    bridge: Any = Attribute("The ``skitai.loop.bridge.Bridge`` between apps and the reactor.")

    def run(function: Callable[[Any], Any]) -> Deferred[Any]:
        """Call ``function(was)`` where apps run, with a ``was`` of its own as the current one.

        It may wait there. Returns a Deferred of what it returns or raises, which fires in the reactor itself;
        nothing is logged. Calls that nobody has waited for when it returns are cancelled, as after a request.
        MisuseError where the instance has not started or has stopped. Called in the reactor thread.
        """

    def state(owner: Hashable, make: Callable[[], Any]) -> Any:
        """Return what ``owner`` keeps in this instance: what ``make()`` returned the first time.

        ``owner`` is any hashable that nobody else has, such as the class of what is kept. ``make`` must not
        wait. Called in any thread, also before the start.
        """

    def section(name: str) -> Mapping[str, Any]:
        """Return the typed values of a config section that a plugin declared, defaults filled in."""

    def status() -> dict[str, Any]:
        """Return what the worker knows of itself, a table for each title; see the hook ``skitai_status``.

        Raises OperationTimeout where the reactor does not answer within ten seconds. Called in any thread.
        """

    def leave(*, restart: bool = False, fast: bool = False) -> None:
        """End the worker in good order, and start it anew with ``restart``.

        Requests under way get the config's ``response_timeout``, with ``fast`` one second. Returns at once.
        Called in any thread.
        """


class ILivingApp(Interface):
    """A WSGI app that wants to know of its own life.

    All methods are called where apps run, in a thread or a greenlet, and may wait for ``was``.
    """

    def begin(*, reloaded: bool) -> None:
        """Begin: it was loaded, or with ``reloaded`` takes the place of what it was.

        Requests for it wait meanwhile.
        """

    def while_broken(error: BaseException) -> Callable[..., Any] | None:
        """Return the WSGI app to serve while ``error`` keeps it from being loaded again; None: 500."""

    def end() -> None:
        """End: the server stops, and no request is under way any more.

        It is waited for as long as requests are, the config's ``response_timeout``.
        """


class IResultCache(Interface):
    """Where results are kept that apps ``cache()``.

    All methods are called in the app's thread, which may be the reactor's, at each request that could be
    answered from the cache: they must be quick, wait for nothing and raise nothing.
    """

    def get(key: Hashable) -> Any:
        """Return the ``Result`` or ``Results`` that ``put`` was given last for ``key``, or None.

        Only a value that is not over; it is shared by all that get it.
        """

    def put(key: Hashable, value: Any, seconds: float) -> None:
        """Keep ``value`` under ``key`` for ``seconds`` (more than 0), in the place of what is there.

        ``value.is_cached`` is true. A cache that is full may drop what it likes.
        """

    def expire(key: Hashable) -> None:
        """Forget what is kept under ``key``, if anything."""

    def clear() -> None:
        """Forget everything."""

    def statistics() -> dict[str, int]:
        """Return what the status page shows: ``entries``, ``hits``, ``misses``, ``stores``, ``evictions``."""


class IConnection(Interface):
    """What carries one request at a time: an HTTP/1.1 connection, or one stream of an HTTP/2 connection.

    A ``Request`` knows no more of the protocol than this. ``start``, ``send`` and ``end`` are about the
    answer to the request at hand. All methods are called in the reactor thread.
    """

    reactor: Any = Attribute("The reactor that serves it.")
    transport: Any = Attribute("The Twisted transport below.")
    client: IAddress = Attribute("The address of who asks.")
    server: IAddress = Attribute("The address that was asked.")
    addresses: Mapping[str, str] = Attribute(
        "The same as the environ's SERVER_NAME, SERVER_PORT, REMOTE_ADDR and REMOTE_PORT."
    )
    secure: bool = Attribute("Whether it is encrypted.")
    waiting: int = Attribute("How many bytes wait for the client. Read in any thread.")
    blocked: bool = Attribute("Whether anything waits for the client; then ``Request.drained`` is called.")

    def start(
        request: Request, status: str, headers: Sequence[tuple[str, str]], length: int | None
    ) -> int | None:
        """Begin the answer to ``request``; its head leaves with the first piece of the body.

        ``status`` is such as ``"200 OK"``, ``length`` the length of the body where all of it is at hand;
        otherwise an announced Content-Length is believed. Returns the length of the body: None if it is
        unknown, or if there is no body. Raises ValueError for what would break the framing.
        """

    def send(data: bytes) -> None:
        """Send a piece of the body, at the latest when the reactor's turn ends."""

    def flush() -> None:
        """Send at once what waits for the end of the turn."""

    def end() -> None:
        """Complete the answer."""

    def abort() -> None:
        """Cut the connection, so that the client sees that the answer is incomplete."""

    holds_body: bool = Attribute("Whether it is still open what becomes of the body of the request at hand.")

    def stream_body() -> None:
        """Let the body of the request at hand come to its ``stream``; a client may wait for 100."""

    def body_wanted(wanted: bool) -> None:
        """Let the body that is streamed come, or hold it back."""

    def take_over(
        request: Request, protocol: IProtocol, status: str, headers: Sequence[tuple[str, str]]
    ) -> None:
        """Answer ``request`` with ``status`` (101 or 2xx) and let ``protocol`` have what carries it.

        Raises MisuseError where that is not open any more, ValueError for what would break the framing.
        """


class IHeadResource(Interface):
    """A resource that wants to see a request before its body is read.

    The server asks what is mounted, not its children, and only about requests that have a body, an Upgrade
    field, or the method CONNECT; so a plain GET costs nothing.
    """

    def at_head(request: Request) -> bool:
        """Return whether it takes care of ``request``; if not, the whole body is read and ``render`` called.

        It may, now or later: answer (``respond``, ``fail``, or ``write`` and ``finish``; the body is dropped
        and the connection ends with the answer), have the body come piece by piece (``stream_body``), or take
        the connection over (``take_over``, where the request has ``upgrade`` or the method CONNECT). Until
        then the client is not read. Called in the reactor thread; what it raises is answered 500.
        """


class IBodySink(IConsumer):
    """Where a request's body goes as it comes, at the pace of the sink. Called in the reactor thread.

    The calls are ``registerProducer``, any number of ``write``, ``unregisterProducer`` and ``end``. The
    producer is a push producer: while it is paused, the client is not read, nor blamed for its silence.
    Stopped, it drops the rest of the body, and nothing more is called.
    """

    def end(error: BaseException | None) -> None:
        """Learn that the body is whole, or with what ``error`` it broke off.

        That is a HeadError where it broke the rules or a limit, or why the connection or the answer ended.
        """


class ILastingProtocol(Interface):
    """A protocol that took a connection over and says goodbye when the server stops."""

    def stop() -> None:
        """Close the connection in good order, soon: it is cut when the server's patience is over.

        The connections of protocols that do not provide this are closed at once.
        """
