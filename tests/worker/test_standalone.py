"""``skitai.standalone``: ``was`` in a process that serves nothing."""

import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import twisted.internet
from twisted.internet.epollreactor import EPollReactor

import skitai
from instances import Hooks, PluginEntry
from serving import REPOSITORY, eventually
from skitai import was
from skitai.errors import ConfigError, MisuseError, NoServerError
from skitai.plugins.manager import create_plugin_manager
from skitai.worker import standalone as module
from wire import PATIENCE


def run_script(folder, code, *, check=True):
    """Return the process of a script that has ended."""
    path = folder / "script.py"
    path.write_text(textwrap.dedent(code))
    environment = {"PYTHONPATH": str(REPOSITORY), "PYTHONDEVMODE": "1", "PATH": ""}
    return subprocess.run(
        [sys.executable, path], cwd=folder, env=environment, timeout=PATIENCE, check=check,
        capture_output=True, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def own_reactor():
    """Other tests run the reactor of this process in the main thread: these have one of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(twisted.internet, "reactor", EPollReactor(), raising=False)
        patch.setattr(module, "_process", module._Process())
        yield
        if module._process.background is not None:
            module._process.background.stop()


@pytest.fixture
def config(tmp_path):
    """A configuration that this process could not serve."""
    path = tmp_path / "site.conf"
    path.write_text(
        "[server]\nport = 443\nssl = yes\ncertfile = absent.pem\naccess_log = absent/access.log\n"
        "[routes:line]\n/ = ./absent:app\n[run]\nthreads = 3\n[@up]\nmembers = 127.0.0.1:1\n"
    )
    return path


class TestBlock:
    """``with skitai.standalone(...) as was:``."""

    def test_services(self, config):
        """``was`` has the services of a server with that config, clusters too, everywhere in the process."""
        with skitai.standalone(config) as mine:
            assert mine.run(sum, [1, 2]).getwait().data == 3
            assert was.get.lb("@up/").getwait(PATIENCE).code == 701
            elsewhere = []
            thread = threading.Thread(
                target=lambda: elsewhere.append(was.run(lambda: was.env).getwait().data)
            )
            thread.start()
            thread.join()
            assert elsewhere == [{}]
            assert was.status("was.run", fancy=False) == {
                "was.run": {"running": 0, "given_up": 0, "queued": 0, "threads": 1}
            }
        with pytest.raises(NoServerError, match=r"within `with skitai\.standalone\(\):`"):
            was.get  # noqa: B018

    def test_rooms(self):
        """A script sends to rooms, and may listen."""
        with skitai.standalone() as mine:
            events = iter(mine.rooms("a").events())
            assert next(events) == b":\n\n"
            assert next(events).endswith(b":0\n\n")
            position = mine.rooms("a").send("hello").getwait().data
            assert next(events) == f"id: {position}\ndata: hello\n\n".encode()
            events.close()

    def test_sleep(self):
        """``was.sleep`` waits."""
        with skitai.standalone() as mine:
            began = time.monotonic()
            mine.sleep(0.02)
            assert time.monotonic() - began >= 0.02

    def test_again(self):
        """It may begin again after its end."""
        for _ in range(2):
            with skitai.standalone() as mine:
                assert mine.run(int).getwait().data == 0

    def test_within_another(self, config):
        """Who comes meanwhile shares it, with the same config or none; the last to leave ends it."""
        outer = skitai.standalone(config)
        with outer as mine:
            with skitai.standalone() as inner, outer as again, skitai.standalone(str(config)) as same:
                assert inner is again is same is mine
            assert mine.run(int).getwait().data == 0

    def test_another_config(self, config, tmp_path):
        """One process has one config at a time."""
        other = tmp_path / "other.conf"
        other.write_text("")
        with (
            skitai.standalone(config),
            pytest.raises(MisuseError, match=r"site\.conf is in use in this process"),
        ):
            skitai.standalone(other).start()
        with skitai.standalone(other):
            """Now it is its turn."""

    def test_mistakes_in_the_config(self, config):
        """They are raised, and the next try may go well."""
        text = config.read_text()
        config.write_text(text.replace("threads = 3", "threads = 0"))
        with pytest.raises(ConfigError, match=r"site\.conf:9: \[run\] threads: must be"):
            skitai.standalone(config).start()
        config.write_text(text)
        with skitai.standalone(config):
            """It goes well."""
        with pytest.raises(ConfigError, match="cannot read the configuration"):
            skitai.standalone("absent.conf").start()

    def test_careless_config(self, config):
        """What a server would print is a warning."""
        config.write_text("[http]\nverify = no\n")
        with pytest.warns(UserWarning, match="anybody on the way there") as caught, skitai.standalone(config):
            pass
        assert caught[0].filename == __file__
        with pytest.raises(UserWarning, match="anybody on the way there"):  # as an error, which ends it
            skitai.standalone(config).start()
        assert not hasattr(was, "get")

    def test_calls_under_way(self):
        """Leaving the block ends what nobody waits for."""
        with skitai.standalone() as mine:
            released = threading.Event()
            calls = [mine.run(released.wait, 0.01), mine.get("http://127.0.0.1:1/")]
        assert [call.status for call in calls] == [3, 2]
        with pytest.raises(MisuseError, match="there is no server to restart"):
            mine.shutdown()

    def test_hooks(self, monkeypatch):
        """Plugins are told of start and end."""
        told = []
        plugin = Hooks(
            skitai_startup=lambda instance: told.append("startup"),
            skitai_stopping=lambda instance: told.append("stopping"),
            skitai_shutdown=lambda instance: told.append("shutdown"),
        )
        manager = create_plugin_manager(entry_points=[PluginEntry("told", plugin)], environ={})
        monkeypatch.setattr(module, "load_plugins", lambda config: manager)
        with skitai.standalone():
            assert told == ["startup"]
        assert told == ["startup", "stopping", "shutdown"]


class TestShell:
    """``start`` and ``stop``."""

    def test_start_and_stop(self):
        """Starting twice is starting once, whoever stops it."""
        mine = skitai.standalone().start()
        assert skitai.standalone().start() is mine
        with skitai.standalone():
            skitai.standalone().stop()
            assert mine.run(int).getwait().data == 0
        with pytest.raises(NoServerError):
            was.get  # noqa: B018
        skitai.standalone().stop()

    def test_in_the_reactor_during_the_end(self):
        """Who tries it in the reactor thread while the block ends gets an error, and the block ends."""
        refused = []

        def enter():
            try:
                skitai.standalone().start()
            except MisuseError as error:
                refused.append(str(error))

        with skitai.standalone():
            bridge = module._process.instance.bridge
            bridge.submit(lambda: bridge.call_later(0.1, enter))
            was.run(time.sleep, 0.3, detach=True)
        assert refused == ["skitai.standalone cannot be used in the reactor thread: it waits for the reactor"]

    def test_in_the_reactor(self):
        """In the reactor thread nothing may wait."""
        with skitai.standalone():
            instance = module._process.instance
            refused = []

            def enter():
                try:
                    skitai.standalone().stop()
                    skitai.standalone("other.conf").start()
                except MisuseError as error:
                    refused.append(str(error))

            instance.bridge.submit(enter)
            eventually(lambda: refused)


class TestInAServer:
    """A process in which Skitai serves."""

    def test_has_the_was_of_the_server(self, setting):
        """A function that scripts use as well works in views, with the server's ``was``, and ends nothing."""
        server = setting.start()
        with skitai.standalone() as inner:
            assert inner.gate is not None
        with skitai.standalone(setting.folder / "site.conf"):
            pass
        with pytest.raises(MisuseError, match="is in use in this process"):
            skitai.standalone("other.conf").start()
        assert server.ask("/").code == 200


class TestProcess:
    """What it does to the process that uses it."""

    def test_importing_it_is_cheap(self, tmp_path):
        """``import skitai`` loads neither the server nor a reactor."""
        code = """
            import sys, skitai
            print([name for name in ("twisted.internet.reactor", "skitai.worker") if name in sys.modules])
        """
        assert run_script(tmp_path, code).stdout == "[]\n"

    def test_its_end(self, tmp_path):
        """A process that has started it ends at once and silently, with calls and functions under way."""
        code = """
            import time
            import skitai
            was = skitai.standalone().start()
            was.get("http://localhost:{port}/")
            was.run(time.sleep, 600)
            was.run(was.sleep, 600)
        """
        began = time.monotonic()
        with socket.create_server(("127.0.0.1", 0)) as silent:
            ended = run_script(tmp_path, code.format(port=silent.getsockname()[1]))
        assert (ended.stdout, ended.stderr) == ("", "")
        assert time.monotonic() - began < 60

    def test_an_error_of_the_script(self, tmp_path):
        """What the script raises ends it, as ever."""
        code = """
            import skitai
            with skitai.standalone() as was:
                was.get("http://127.0.0.1:1/").wait()
        """
        ended = run_script(tmp_path, code, check=False)
        assert ended.returncode == 1
        assert ended.stderr.splitlines()[-1].endswith("127.0.0.1:1 refused the connection (status: 2)")

    def test_beside_asyncio(self, tmp_path):
        """A notebook runs asyncio in its main thread: calls may be awaited there, or waited for."""
        code = """
            import asyncio
            import skitai
            async def cell():
                with skitai.standalone() as was:
                    print(was.run(int, "5").getwait().data)
                    await was.sleep(0.001)
                    print((await was.run(int, "6")).data)
            asyncio.run(cell())
        """
        assert run_script(tmp_path, code).stdout == "5\n6\n"

    def test_fork(self, tmp_path):
        """A forked child has no ``was``, and says why it cannot begin; the parent goes on."""
        code = """
            import os, sys
            import skitai
            with skitai.standalone() as was:
                child = os.fork()
                if not child:
                    print(hasattr(skitai.was, "get"))
                    try:
                        skitai.standalone().start()
                    except Exception as error:
                        print(error)
                    sys.exit(3)
                print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), was.run(int, "5").getwait().data)
        """
        first, second, last = run_script(tmp_path, code).stdout.splitlines()
        assert first == "False"
        assert second.startswith("this process was forked from one whose reactor runs in a thread")
        assert last == "3 5"

    def test_begun_after_the_fork(self, tmp_path):
        """Processes that are forked before may each begin."""
        code = """
            import multiprocessing
            import skitai
            def work(number):
                with skitai.standalone() as was:
                    return was.run(int, number).getwait().data
            with multiprocessing.get_context("fork").Pool(2) as pool:
                print(pool.map(work, "12"))
        """
        assert run_script(tmp_path, code).stdout.strip() == "[1, 2]"

    def test_a_reactor_that_was_stopped(self, tmp_path):
        """Twisted's reactor runs once in a process."""
        code = """
            import skitai
            with skitai.standalone() as was:
                from twisted.internet import reactor
                reactor.callFromThread(reactor.stop)
                print(was.run(int).getwait(0.5).status)
        """
        ended = run_script(tmp_path, code, check=False)
        assert ended.stderr.splitlines()[-1].endswith("Twisted's reactor was stopped in this process")

    def test_in_a_program_of_twisted(self, tmp_path):
        """A reactor that runs already is used, and goes on after the block."""
        code = """
            import threading
            from twisted.internet import reactor
            import skitai
            def use():
                for _ in range(2):
                    with skitai.standalone() as was:
                        print(was.run(int, "5").getwait().data)
                reactor.callFromThread(reactor.stop)
            reactor.callWhenRunning(lambda: threading.Thread(target=use).start())
            reactor.run()
        """
        assert run_script(tmp_path, code).stdout.split() == ["5", "5"]

    def test_under_gevent(self, tmp_path):
        """Where gevent has patched the standard library, a reactor cannot run in a thread."""
        pytest.importorskip("gevent")
        code = """
            from gevent import monkey
            monkey.patch_all()
            import skitai
            skitai.standalone().start()
        """
        ended = run_script(tmp_path, code, check=False)
        assert "MisuseError: gevent has patched the standard library" in ended.stderr
