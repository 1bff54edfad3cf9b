"""The contracts between the parts of Skitai, and between Skitai and plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IConsumer
from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory

    from skitai.calls.outcome import Outcome
    from skitai.calls.result import Result
    from skitai.messaging.words import Position, Published, Recent
    from skitai.plugins.metrics import Metric
    from skitai.server.request.request import Request


class INode(Interface):
    """An address that a service can ask: immutable and hashable."""

    label: str = Attribute("Its name in messages, such as ``'search1:443'``; unique within a service.")


class IService(Interface):
    """What stands behind ``was.NAME``: it turns arguments into an operation and performs that on one node.

    A service knows nothing of threads, greenlets, clusters, deadlines or caches: ``skitai.calls`` adds them.
    ``skitai.calls.service.Service`` is a base class with the usual defaults.
    """

    cluster_types: frozenset[str] = Attribute(
        "Each ``type`` of the clusters that it can ask; empty: it asks no clusters."
    )

    cluster_keys: frozenset[str] = Attribute(
        "The keys that its ``[@cluster]`` sections may have besides ``type`` and ``members``."
    )

    result_type: type[Result] = Attribute(
        "The ``Result`` class of its results: plain data and failures become one of it."
    )

    def begin(submit: Callable[[Any], Any], /, *args: Any, **kwargs: Any) -> Any:
        """Turn an app's arguments into an ``Operation``, hand it to ``submit`` and return what the app gets.

        ``submit(operation)`` starts it at once and returns the ``Call``. Most services return that call. The
        XML-RPC service returns an object that submits when a method of it is called. The method must take
        exactly ``(submit, *args, **kwargs)``, or the service is refused at start.
        Raises TypeError or ValueError for wrong arguments. Called in the app's thread.
        """

    def node(target: str) -> INode:
        """Return the node that a target outside any cluster names, such as ``"http://host:8080/path"``.

        Raises ValueError if it names none. Called in the app's thread.
        """

    def member(address: str, options: Mapping[str, str]) -> INode:
        """Return the node for one ``members`` entry of a ``[@cluster]`` section.

        ``options`` are the other keys of that section, such as ``{"ssl": "yes"}``. Raises ValueError for a
        wrong address. Called once, before the server starts.
        """

    def perform(node: INode, operation: Any) -> Deferred[Any] | Outcome:
        """Carry out ``operation`` on ``node``: fire with a ``Result``, or with plain data for one.

        A failure says that the node is unwell: it rests for a while, and another may be asked. The failure
        should be an ``OperationError``, or an ``UnsentError`` if no byte was sent, so that another node can
        be asked for any operation. If a healthy node refuses, fire with a ``Result`` of status 2. Cancelling
        the Deferred must release what it holds (close the socket). This may be an ``async`` method, or return
        an ``Outcome``, which costs less than a Deferred. Called in the reactor thread.
        """


class IServiceMethods(Interface):
    """A service that has further functions beside its calls, such as ``was.db.transaction(...)``.

    What these submit are operations whose ``request`` is a ``skitai.calls.step.Step``.
    """

    methods: Mapping[str, Callable[..., Any]] = Attribute(
        "By name: ``was.NAME.method(...)`` is ``function(caller, ...)``, with a ``skitai.context.Caller``."
        " Called in the app's thread."
    )


class IExecutor(Interface):
    """Where app code runs."""

    multithread: bool = Attribute("What PEP 3333 calls ``wsgi.multithread``.")

    def start() -> None:
        """Prepare to run tasks. Called in the reactor thread, in the process that will serve."""

    def stop() -> None:
        """Take no more tasks and let go of idle threads or greenlets. Called in the reactor thread."""

    def submit(task: Callable[[], None]) -> None:
        """Run ``task`` soon, where it may wait for ``was``, in an empty ``contextvars.Context`` of its own.

        The task must not raise. Called in the reactor thread.
        """

    lines: Any = Attribute("What waits: the ``Lines`` of ``skitai.loop.lines``.")

    def line(name: str, limits: Any) -> Any:
        """Return a new ``Line`` of requests for the mount ``name``; both are of ``skitai.loop.lines``.

        What is submitted to it may be refused while it waits; what is submitted to the executor may not.
        Called before the start.
        """

    def statistics() -> dict[str, int]:
        """Return what the status page shows: at least ``running`` and ``queued``. Called in any thread."""


class IThreadExecutor(IExecutor):
    """An executor that runs each task in a thread, and shows which ones are busy. Called in any thread.

    Its ``statistics`` have ``threads``, too: how many there are.
    """

    def tasks() -> list[tuple[int, float]]:
        """Return the ``get_ident()`` of each thread that runs a task, and when it began, by ``monotonic``."""

    def let_go(ident: int) -> None:
        """Let the task that runs in the thread ``ident`` keep it; a new thread takes its place.

        The thread ends with its task. Raises RuntimeError where the system has no more threads.
        """


class IConnector(Interface):
    """Makes connections to other machines as the ``[http]`` section says, for every protocol, not only HTTP.

    All methods are called in the reactor thread.
    """

    tls: Any = Attribute("The ``TLSContexts`` of ``skitai.net.client_tls``, for nodes with a profile.")

    def connect(node: Any, factory: IProtocolFactory, *, proxy: Any = None) -> Deferred[Any]:
        """Connect to ``node``: fire with the protocol that ``factory`` made, once it is connected.

        ``node`` is a ``HostNode`` or a ``UnixNode`` of ``skitai.net.addresses``. The addresses of a name race
        for the connection (RFC 8305). With TLS the certificate is verified, and ``connectionMade`` is called
        after the handshake. ``proxy``, as ``proxy_for`` returns it, is asked for a tunnel (RFC 9110, section
        9.3.6); None: the connection is direct.

        Fails with UnsentError, so that another node may be asked. Its codes: 701 refused, no tunnel, or TLS
        failed; 702 not in time; 704 name not found; 705 the server stops; 706 any other socket error.
        Cancelling closes the socket.
        """

    timeout: float = Attribute("Seconds within which a connection is made.")

    def resolve(host: str) -> Deferred[list[str]]:
        """Fire with the addresses of ``host``, the best first, for what makes its connections by itself.

        Fails with UnsentError (code 704) if it has none. Cancelling ends the wait.
        """

    def proxy_for(node: Any) -> Any:
        """Return the proxy that the config names for a host, or None."""


class IInstance(Interface):
    """The running worker as a plugin sees it."""

    config: Any = Attribute("The frozen ``skitai.config.Config``.")
    reactor: Any = Attribute("The Twisted reactor (or a fake one in tests).")
    plugins: Any = Attribute("The ``skitai.plugins.manager.PluginManager``, to call hooks of other plugins.")
    services: Any = Attribute("The ``skitai.context.ServiceTable`` of ``was``: a ``WSGIResource`` takes it.")
    executor: IExecutor = Attribute("Where the apps run whose mounts have no executor of their own.")
    executors: Any = Attribute("All executors: the ``Executors`` of ``skitai.loop.executors``.")
    connector: IConnector = Attribute("The way to connect to other machines.")
    bridge: Any = Attribute("The ``skitai.loop.bridge.Bridge`` between apps and the reactor.")
    bus: IBus = Attribute("What carries messages to other workers and machines: ``[server] bus``.")
    board: Any = Attribute("The figures of all workers of the server: a ``skitai.processes.Board``.")
    slot: Any = Attribute("The place of this worker on the board, from the start of the instance on.")
    main_pid: int = Attribute("The process id of the server: of its supervisor, if it has one.")
    is_first: bool = Attribute("Whether this process tells in the log what is the same for all workers.")
    others_serve: bool = Attribute("Whether a process that is not on the board serves: this one is replaced.")

    def run(function: Callable[[Any], Any], executor: IExecutor | None = None) -> Deferred[Any]:
        """Call ``function(was)`` where apps run, with a ``was`` of its own as the current one.

        That is in ``executor``, one of ``executors``; if None, in the one that mounts share. The function may
        wait, and has an empty ``contextvars.Context`` of its own. Returns a Deferred of what it returns or
        raises, which fires in the reactor itself; nothing is logged. When the function has returned, its
        calls that nobody has waited for are cancelled, as after a request. Fails with MisuseError before the
        start and after the stop of the instance. Called in the reactor thread.
        """

    def state(owner: Hashable, make: Callable[[], Any]) -> Any:
        """Return the state that ``owner`` keeps in this instance, made by ``make()`` at the first call.

        ``owner`` is any hashable that nobody else uses, such as the class of the state. ``make`` must not
        wait. Called in any thread, also before the start.
        """

    def section(name: str) -> Mapping[str, Any]:
        """Return the typed values of a config section that a plugin declared, with defaults filled in."""

    def status() -> dict[str, Any]:
        """Return the state of the worker, a table for each title; see the hook ``skitai_status``.

        Raises OperationTimeout if the reactor is busy for ten seconds. Called in any thread.
        """

    def metrics() -> list[Metric]:
        """Return the figures of the worker and its plugins for monitoring; see the hook ``skitai_metrics``.

        Called in the reactor thread.
        """

    def common_metrics() -> list[Metric]:
        """Return the figures that are not those of one worker; see the hook ``skitai_common_metrics``.

        Called in the reactor thread.
        """

    def leave(*, restart: bool = False, fast: bool = False) -> None:
        """Stop the worker gracefully, and with ``restart`` start it again.

        Requests under way have the config's ``response_timeout`` to end, with ``fast`` one second. Returns at
        once. Called in any thread.
        """


class ILivingApp(Interface):
    """A WSGI app that is told when it begins and ends.

    All methods are called where the app runs, in a thread or a greenlet, and may wait for ``was``. An app
    that is mounted several times begins and ends once, in the executor of the mount that loaded it first.
    """

    def begin(*, reloaded: bool) -> None:
        """Begin: the app was loaded; with ``reloaded`` it replaces its former self.

        Requests for the app wait meanwhile.
        """

    def while_broken(error: BaseException) -> Callable[..., Any] | None:
        """Return the WSGI app to serve while ``error`` prevents the reload; None: respond with 500."""

    def end() -> None:
        """End: the server stops, and no request is under way any more.

        The server waits up to the config's ``response_timeout``.
        """


class IResultCache(Interface):
    """Keeps the results for which apps call ``cache()``.

    All methods are called in the app's thread, which may be the reactor's, for each call whose result may be
    kept. So they must be quick, must not wait, and must not raise.
    """

    def get(key: Hashable) -> Any:
        """Return the ``Result`` or ``Results`` that ``put`` was last given for ``key``, or None.

        An expired value is not returned. The value is shared by all that get it.
        """

    def put(key: Hashable, value: Any, seconds: float) -> None:
        """Keep ``value`` under ``key`` for ``seconds`` (more than 0); it replaces what is there.

        ``value.is_cached`` is true. A full cache may drop any entry.
        """

    def expire(key: Hashable) -> None:
        """Forget what is kept under ``key``, if anything."""

    def clear() -> None:
        """Forget everything."""

    def statistics() -> dict[str, int]:
        """Return what the status page shows: ``entries``, ``hits``, ``misses``, ``stores``, ``evictions``."""


class ISessionStore(Interface):
    """Keeps the sessions of Saddle apps on the server's side, so that a logout ends every copy of a cookie.

    Methods may be ``async def``: these run in the reactor, the others in the app's thread, where they may
    wait. Keys are text of 64 hexadecimal digits. What a method raises fails the request.
    """

    def load(key: str) -> Any:
        """Return the bytes last kept under ``key``, or None if they were removed or have expired."""

    def create(key: str, data: bytes, seconds: float) -> Any:
        """Keep ``data`` under a key that is new, for ``seconds``."""

    def replace(key: str, data: bytes, seconds: float) -> Any:
        """Keep ``data`` in the place of what is kept under ``key``, for ``seconds`` from now; return True.

        If nothing is, return False and keep nothing, in one step: a session that another request has ended
        must not come back.
        """

    def remove(key: str) -> Any:
        """Forget what is kept under ``key``, if anything."""


class ISharedResults(Interface):
    """The second level of a result cache, which several processes share.

    An ``IResultCache`` that provides this, too, is asked where it has nothing itself. No app may notice that
    the store is slow or gone: each method gives up soon, and none fails. Keys and values are any bytes. All
    methods are called in the reactor thread.
    """

    def fetch(key: bytes) -> Deferred[tuple[bytes, float] | None]:
        """Fire with the value and the seconds that are left of its life; None: ask the other machine.

        If a value has expired, only the first that asks gets None; the others wait for a new value for a
        while.
        """

    def store(key: bytes, value: bytes, seconds: float) -> None:
        """Keep ``value`` for ``seconds``."""

    def forget(key: bytes) -> None:
        """Undo ``store``."""


class IConnection(Interface):
    """What carries one request at a time: an HTTP/1.1 connection, or one stream of an HTTP/2 connection.

    This is all that a ``Request`` knows of the protocol. ``start``, ``send`` and ``end`` make the response to
    the present request. All methods are called in the reactor thread.
    """

    reactor: Any = Attribute("The reactor that serves it.")
    transport: Any = Attribute("The Twisted transport below.")
    client: IAddress = Attribute("The address of the client.")
    server: IAddress = Attribute("The address that the client connected to.")
    peer: IAddress = Attribute("The address of who sends the requests: a proxy's where it names ``client``.")
    addresses: Mapping[str, str] = Attribute(
        "The environ's SERVER_NAME, SERVER_PORT, REMOTE_ADDR, REMOTE_PORT and wsgi.url_scheme."
    )
    secure: bool = Attribute("Whether it is encrypted.")
    waiting: int = Attribute("How many bytes the client has yet to take. Read in any thread.")
    blocked: bool = Attribute(
        "Whether ``waiting`` is above 0; when it is 0 again, ``Request.drained`` is called."
    )

    def start(
        request: Request, status: str, headers: Sequence[tuple[str, str]], length: int | None
    ) -> int | None:
        """Begin the response to ``request``; its head is sent with the first piece of the body.

        ``status`` is such as ``"200 OK"``. ``length`` is that of the body, if all of it is known; if None,
        the Content-Length in ``headers`` holds. Returns the length of the body: None if it is unknown, or if
        there is no body. Raises ValueError for headers that would break the framing.
        """

    def inform(status: str, headers: Sequence[tuple[str, str]]) -> None:
        """Send an interim response, such as ``"103 Early Hints"`` (RFC 9110, section 15.2).

        Raises ValueError for headers that would break the framing.
        """

    def send(data: bytes) -> None:
        """Send a piece of the body, at the latest when the reactor's turn ends."""

    def flush() -> None:
        """Send now what waits for the end of the turn."""

    def end(trailers: Sequence[tuple[str, str]] = ()) -> None:
        """Complete the response.

        ``trailers`` follow a body whose length was not announced; any other response goes without them.
        Raises ValueError for those that would break the framing.
        """

    def abort() -> None:
        """Cut the connection or reset the stream, so that the client sees that the response is incomplete."""

    holds_body: bool = Attribute("Whether the body of the present request waits for a decision.")

    def stream_body() -> None:
        """Let the body of the present request come to its ``stream``; send 100 if the client waits for it."""

    def body_wanted(wanted: bool) -> None:
        """Resume or pause the streamed body."""

    def take_over(
        request: Request, protocol: IProtocol, status: str, headers: Sequence[tuple[str, str]] | None
    ) -> None:
        """Respond to ``request`` with ``status`` (101 or 2xx), and give the connection to ``protocol``.

        Without ``headers`` nothing is sent: the protocol responds, and ``status`` is what the log shows.
        A stream of HTTP/2 has 200 in the place of 101, also where the protocol responds (RFC 8441).
        Raises MisuseError if it is too late for that, ValueError for headers that would break the framing.
        """


class IHeadResource(Interface):
    """A resource that gets a request before its body is read.

    The server asks the mounted resource, not its children, and only about requests with a body, an Upgrade
    field or the method CONNECT, so a plain GET costs nothing.
    """

    def at_head(request: Request) -> bool:
        """Return whether this resource handles ``request``; if not, the body is read and ``render`` called.

        Now or later the resource must do one of three things. Until then the client is not read, so its
        leaving is not noticed, and no time-out runs:

        - respond (``respond``, ``fail``, or ``write`` and ``finish``): the body is dropped, and the
          connection ends with the response;
        - take the body piece by piece (``stream_body``);
        - take over the connection (``take_over``), if the request has ``upgrade`` or the method CONNECT.

        Called in the reactor thread; if it raises, the response is 500.
        """


class IBodySink(IConsumer):
    """Takes the body of a request as it comes, at its own pace. All of it is called in the reactor thread.

    The order is ``registerProducer``, any number of ``write``, ``unregisterProducer``, ``end``. The producer
    is a push producer: while it is paused, the client is not read, and its time-out does not run. After
    ``stopProducing`` the rest of the body is dropped, and nothing more is called.
    """

    def end(error: BaseException | None) -> None:
        """End: the body is complete, or broke off with ``error``.

        ``error`` is a HeadError if the body broke the rules or a limit, or else the reason why the connection
        or the response ended.
        """


class ILastingProtocol(Interface):
    """A protocol that took over a connection and closes it gracefully when the server stops."""

    def stop() -> None:
        """Close the connection soon: it is cut when the time of the requests under way is over.

        The connection of a protocol that does not provide this interface is closed at once.
        """


class IBusSubscriber(Interface):
    """Who takes the messages of a channel. Called in the reactor thread."""

    def published(message: Published) -> None:
        """Take a message; each channel keeps its order."""

    def interrupted(channel: str) -> None:
        """Note that messages of ``channel`` may have been missed: the bus was lost, and is back."""


class IBus(Interface):
    """Carries messages between rooms, on one machine or several; ``[server] bus = NAME`` chooses it.

    A channel is any text. A bus that cannot be reached fails with OperationError, but still gives what is
    published to the subscribers of its own process. All methods are called in the reactor thread.
    """

    shared: bool = Attribute("Whether it reaches other processes.")

    def publish(
        channel: str, data: bytes, *, history: int = 0, seconds: float = 0
    ) -> Deferred[Position | None]:
        """Give ``data`` to all subscribers of ``channel``, and keep it among the last ``history`` messages.

        Each is kept for ``seconds``. Fires with its position when the bus has it; None if none is kept.
        """

    def recent(channel: str, since: Position | None = None) -> Deferred[Recent]:
        """Fire with the messages after ``since`` that are kept, and the present position.

        With a position of another epoch, all messages come, and the answer is not complete. None: only the
        present position.
        """

    def subscribe(channel: str, subscriber: IBusSubscriber) -> Deferred[None]:
        """Fire when ``subscriber``, which is hashable, gets what is published to ``channel``."""

    def unsubscribe(channel: str, subscriber: IBusSubscriber) -> None:
        """Undo ``subscribe``: at once, nothing more is given."""

    def enter(channel: str, member: str, data: bytes) -> Deferred[None]:
        """Note that ``member``, unique on all machines, is there, with ``data``; again: with other data."""

    def leave(channel: str, member: str) -> Deferred[None]:
        """Undo ``enter``. Those of a process that dies disappear by themselves, soon."""

    def members(channel: str) -> Deferred[dict[str, bytes]]:
        """Fire with the data of all members that are there, on all machines."""
