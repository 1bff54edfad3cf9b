"""One worker: how it starts, or does not, and how it ends."""

import socket
import threading
from concurrent.futures import Future
from threading import current_thread

import pytest
from gates import APP
from twisted.internet.defer import Deferred, fail
from twisted.logger import capturedLogs
from zope.interface.verify import verifyObject

from instances import Hooks, RunningInstance, app_threads
from serving import eventually
from skitai.config import Key, integer
from skitai.context import get_current
from skitai.errors import ConfigError, MisuseError, NoServerError, OperationTimeout
from skitai.interfaces import IInstance
from wire import PATIENCE


def app_that_says(body):
    """Return a WSGI app with ``body`` for every answer."""

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [body]

    return app


def refuses(port):
    """Whether nobody listens on ``port``."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


class TestMaking:
    """What is checked before anything starts."""

    @pytest.mark.parametrize(
        ("section", "expected"),
        [
            (
                "[@c]\ntype = gat\nmembers = a",
                "site.conf:8: [@c] type: gat is not a type of cluster; there are: gate",
            ),
            (
                "[@c]\ntype = gate\nmembers = a:1\nmemberz = 3",
                "site.conf:10: [@c] memberz: unknown key: did you mean members?",
            ),
            (
                "[@c]\ntype = gate\nmembers = a:1\nflavour = 3",
                "site.conf:10: [@c] flavour: unknown key: known are members, type",
            ),
            (
                "[@c]\nmembers = a",
                "site.conf:7: [@c] type: http is not a type of cluster; there are: gate",
            ),
            ("[@c]\ntype = gate\nmembers = a, b:x", "site.conf:9: [@c] members: "),
            (
                "[gatee]\nkey = 1",
                "site.conf:7: [gatee]: unknown section: known are cache, certificates:line, global, "
                "http, plugins",
            ),
        ],
    )
    def test_sections_refused(self, setting, section, expected):
        """A cluster that nobody can ask and a section that nobody knows point at their line."""
        assert setting.error(tail=section).startswith(expected)

    def test_section_of_a_missing_plugin(self, setting):
        """With a plugin that failed, an unknown section may be its own: a warning names both."""
        with capturedLogs():
            instance = setting.make(tail="[echo]\nkey = 1", echo=ImportError("no echo"))
        (warning,) = instance.warnings
        assert warning.startswith(f"{setting.folder}/site.conf:7: [echo]: unknown section")
        assert warning.endswith(
            "; ignored, it may be of a plugin that is not loaded:"
            " 'echo' (tested.plugin) failed: ImportError: no echo"
        )

    def test_section_of_a_plugin(self, setting):
        """A plugin gets the typed values of the section that it declared."""
        declares = Hooks(skitai_config_sections=lambda: {"echo": {"size": Key(integer(1), 5)}})
        assert setting.make(tail="[echo]\nsize = 7", echo=declares).section("echo") == {"size": 7}
        assert setting.make(echo=declares).section("echo") == {"size": 5}

    def test_config_error_of_a_plugin(self, setting):
        """What a plugin says about the config gets file and line."""

        def complain(instance):
            raise ConfigError("cannot be so", section="server", key="threads")

        plugin = Hooks(skitai_services=complain)
        assert setting.error("threads = 2", echo=plugin) == "site.conf:2: [server] threads: cannot be so"
        assert (
            setting.error("threads = 2", overrides={"threads": "3"}, echo=plugin) == "--threads: cannot be so"
        )

    def test_certificate(self, setting):
        """The certificate is read before the start: a mere check finds what is wrong with it."""
        (setting.folder / "server.pem").write_text("nothing")
        with pytest.raises(ConfigError, match=r"site\.conf:3: \[server\] certfile: .* holds no certificate"):
            setting.make("ssl = yes", "certfile = server.pem")


class TestStart:
    """How it starts."""

    def test_serves(self, setting, threads):
        """Apps are served on both executors; plugins hear of it when the server listens."""
        server = setting.start(overrides={"threads": str(threads)})
        assert server.ask("/").body == b"hello"
        assert setting.gate.events == [("startup", [f"http://127.0.0.1:{server.port}/"])]
        assert len(app_threads()) == threads

    def test_twice(self, setting):
        """Starting twice is starting once; stopping twice, or before the start, does nothing."""
        instance = setting.make()
        setting.loop.call(instance.stopService)
        server = RunningInstance(setting.loop, instance)
        urls = instance.urls
        setting.loop.call(instance.startService)
        assert instance.urls == urls
        server.stop()
        server.stop()
        assert setting.gate.events.count("shutdown") == 1

    @pytest.mark.parametrize("option", [False, True])
    def test_port_in_use(self, setting, option):
        """A port in use is one line that names the option or the line; nothing stays, no app was loaded."""
        (setting.folder / "served.py").write_text(f"open({str(setting.folder / 'loaded')!r}, 'w').close()")
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = str(other.getsockname()[1])
            lines = ["access_log = access.log", "threads = 3", "unix_socket = socket"]
            where = "--port" if option else "site.conf:2: [server] port"
            lines.insert(0, "port = 0" if option else f"port = {port}")
            assert setting.error(*lines, overrides={"port": port} if option else {}) == (
                f"{where}: 127.0.0.1:{port} is in use:"
                " end the program that listens there or choose another port"
            )
        self.assert_nothing_stayed(setting)

    def test_unix_socket_impossible(self, setting):
        """Where one of two addresses fails, the other is given up, too."""
        (setting.folder / "socket").write_text("precious")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        assert setting.error(f"port = {port}", "unix_socket = socket") == (
            "site.conf:3: [server] unix_socket: cannot listen on socket: there is a file that is no socket"
        )
        eventually(lambda: refuses(port), "the end of the port")
        self.assert_nothing_stayed(setting)

    def test_log_impossible(self, setting):
        """A log that cannot be opened after all is one line, too."""
        name = "x" * 300
        assert setting.error("threads = 2", f"access_log = {name}") == (
            f"site.conf:3: [server] access_log: cannot write {name}: File name too long"
        )
        self.assert_nothing_stayed(setting)

    def assert_nothing_stayed(self, setting):
        eventually(lambda: not app_threads(), "the end of the threads")
        with pytest.raises(NoServerError):
            get_current()
        assert setting.gate.events == ["shutdown"]
        assert not (setting.folder / "loaded").exists()

    def test_plugin_that_loads_apps(self, setting, threads):
        """A plugin may give an app: it is asked when the app loads, the server listening, and at reloads."""
        asked = []

        def give(instance, target):
            asked.append((target, bool(instance.urls)))
            return app_that_says(str(len(asked)).encode())

        plugin = Hooks(skitai_load_app=give)
        server = setting.start("reloader = yes", overrides={"threads": str(threads)}, giver=plugin)
        target = f"{setting.folder}/served:app"
        assert server.ask("/").body == b"1"
        assert asked == [(target, True)]
        (setting.folder / "served.py").write_text(APP + "# changed")
        assert server.ask("/").body == b"2"
        assert server.ask("/").body == b"2"
        assert asked == [(target, True)] * 2

    def test_no_app_is_asked_for_where_the_port_is_taken(self, setting):
        """A plugin that gives apps is not asked by a server that cannot listen."""
        asked = []
        plugin = Hooks(skitai_load_app=lambda instance, target: asked.append(target))
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            setting.error(f"port = {other.getsockname()[1]}", giver=plugin)
        assert asked == []

    def test_broken_app(self, setting):
        """An app that cannot be loaded does not keep the server from starting."""
        (setting.folder / "broken.py").write_text("import nothing_of_that_name")
        with capturedLogs():
            server = setting.start(tail="/broken = broken:app")
        assert server.ask("/broken").code == 503
        assert server.ask("/").code == 200


class TestWhatPluginsReach:
    """What an instance gives to plugins."""

    def test_run(self, setting, threads):
        """A function of a plugin runs where apps run, and may wait for its own ``was`` there."""
        server = setting.start(overrides={"threads": str(threads)})
        run = server.instance.run

        def ask(was):
            return was is get_current(), was.gate("host:1").getwait(60).data, current_thread().name

        asked = Future()
        setting.loop.call(lambda: run(ask).addCallback(asked.set_result) and None)
        setting.open_gate()
        mine, data, thread = asked.result(PATIENCE)
        assert (mine, data) == (True, "open")
        assert thread.startswith("skitai-app" if threads else "reactor")
        with pytest.raises(ZeroDivisionError):
            setting.loop.call(run, lambda was: 1 / 0)

    def test_run_before_and_after(self, setting):
        """Before the start and after the end there is nowhere to run."""
        instance = setting.make()
        with pytest.raises(MisuseError, match="from the start of the instance to its end"):
            setting.loop.call(instance.run, lambda was: None)
        RunningInstance(setting.loop, instance).stop()
        with pytest.raises(MisuseError):
            setting.loop.call(instance.run, lambda was: None)

    def test_run_while_the_instance_is_made(self, setting):
        """A plugin that is asked what it gives is told that apps do not run yet."""
        told = []

        def give(instance):
            instance.run(lambda was: None).addErrback(lambda failure: told.append(failure.type))
            return {}

        setting.make(early=Hooks(skitai_services=give))
        assert told == [MisuseError]

    def test_state(self, setting):
        """What a plugin keeps is made once for each instance."""
        one, other = setting.make(), setting.make()
        assert one.state(list, list) is one.state(list, list)
        assert one.state(list, list) is not other.state(list, list)
        assert one.state(dict, dict) == {}

    def test_contract(self, setting):
        """The instance is what plugins are promised."""
        assert verifyObject(IInstance, setting.make())

    def test_stopping_one_of_two(self, setting):
        """Code outside requests has the ``was`` of the instance that runs yet when another stops."""
        first, second = setting.start(), setting.start()
        first.stop()
        assert "gate" in dir(get_current())
        second.stop()
        with pytest.raises(NoServerError):
            get_current()


class TestStatus:
    """What it tells of itself."""

    def test_whole_or_an_error(self, setting, monkeypatch):
        """Where the reactor is busy for too long, there is an error, not half a status."""
        monkeypatch.setattr("skitai.worker.instance._STATUS_SECONDS", 0.01)
        server = setting.start()
        free = threading.Event()
        setting.loop.reactor.callFromThread(free.wait)
        with pytest.raises(OperationTimeout, match="the reactor was busy for"):
            server.instance.status()
        free.set()

    def test_what_cannot_be_told(self, setting, monkeypatch):
        """What fails in the reactor while the status is made is raised where it is asked for."""
        monkeypatch.setattr("skitai.worker.overview.resident_bytes", lambda: 1 / 0)
        server = setting.start()
        with pytest.raises(ZeroDivisionError):
            server.instance.status()

    def test_in_the_reactor(self, setting):
        """It may be asked for in the reactor as well as in any thread."""
        server = setting.start()
        assert setting.loop.call(server.instance.status)["Server"]["addresses"] == server.instance.urls[0]


class TestStop:
    """How it ends: in order, and soon."""

    def test_idle_connections(self, setting):
        """Idle connections are closed at once, nobody listens any more, and no failure is logged."""
        server = setting.start("response_timeout = 50", "keep_alive = 50", "access_log = access.log")
        port = server.port
        with server.client() as client, capturedLogs() as logged:
            assert client.ask("/").code == 200
            server.stop()
            assert client.at_end()
        assert refuses(port)
        assert [event for event in logged if "log_failure" in event] == []
        eventually(lambda: not app_threads(), "the end of the threads")
        assert setting.gate.events[-1] == "shutdown"
        assert (setting.folder / "access.log").read_text().count("GET / HTTP/1.1 200") == 1

    def test_request_under_way(self, setting, threads, aside):
        """A request under way is answered, on both executors, while new connections are refused."""
        server = setting.start("response_timeout = 50", overrides={"threads": str(threads)})
        port = server.port
        with server.client() as client:
            client.send(b"GET /gate HTTP/1.1\r\nHost: localhost\r\n\r\n")
            eventually(lambda: setting.gate.service.waiting, "the call")
            stopped = aside(server.stop)
            eventually(lambda: refuses(port), "the end of the port")
            assert not stopped.done()
            setting.open_gate()
            response = client.response()
            assert (response.code, response.body) == (200, b"3 200 open")
            assert response["Connection"] == "close"
            assert client.at_end()
        stopped.result(PATIENCE)

    def test_waiting_app_is_released(self, setting, threads):
        """An app that waits for longer than response_timeout gets status 2 and code 705, and may answer."""
        server = setting.start("response_timeout = 0.2 s", overrides={"threads": str(threads)})
        with server.client() as client:
            client.send(b"GET /gate HTTP/1.1\r\nHost: localhost\r\n\r\n")
            eventually(lambda: setting.gate.service.waiting, "the call")
            server.stop()
            assert client.response().body == b"2 705 "

    def test_thread_that_blocks_for_ever(self, setting):
        """An app that never answers does not keep the server from ending: its connection is cut."""
        server = setting.start("response_timeout = 0.2 s", "threads = 1")
        with server.client() as client:
            client.send(b"GET /block HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert setting.gate.blocking.entered.wait(PATIENCE)
            server.stop()
            assert client.at_end()
        (thread,) = app_threads()
        assert thread.daemon
        setting.gate.blocking.released.set()
        eventually(lambda: not app_threads(), "the end of the thread")

    @pytest.mark.parametrize(
        ("farewell", "expected"),
        [(Deferred, "took too long"), (lambda: fail(OSError("x")), "failed to shut down")],
    )
    def test_farewell_of_a_plugin(self, setting, farewell, expected):
        """A plugin that does not come to its end, or fails, is logged and holds nobody up."""
        server = setting.start("response_timeout = 0.2 s")
        setting.gate.farewell = farewell()
        with capturedLogs() as logged:
            server.stop()
        assert any(expected in event["log_format"] for event in logged if event.get("log_format"))


class RequestObserver:
    """Notes what it hears of requests, and what was current then."""

    def __init__(self):
        self.heard = []

    def skitai_request_started(self, request, environ):
        self.heard.append(("started", request, environ["skitai.was"] is get_current(), current_thread().name))

    def skitai_request_finished(self, request):
        self.heard.append(("finished", request, request.status_code))


class TestObserver:
    """What a plugin that observes requests hears."""

    @pytest.mark.parametrize("count", [2, 0], ids=["threads", "greenlets"])
    def test_requests(self, setting, count):
        """A request starts where its app runs; one that no app answers only ends."""
        observer = RequestObserver()
        order = []
        running = setting.start(
            f"threads = {count}",
            observing=Hooks(
                skitai_observer=lambda: observer,
                skitai_worker_started=lambda: order.append("worker"),
                skitai_startup=lambda: order.append("startup"),
            ),
        )
        assert [running.ask("/").code, running.ask("/ping").code] == [200, 200]
        started, *finished = observer.heard
        assert (started[0], started[2]) == ("started", True)
        assert started[3].startswith("skitai-app") == bool(count)
        assert finished == [("finished", started[1], 200), ("finished", finished[1][1], 200)]
        assert [finished[0][1].place.point, finished[1][1].place] == ["/", None]
        assert order == ["worker", "startup"]
