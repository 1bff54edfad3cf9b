"""What answers at a route is a plugin's to say: one of its own, and what goes wrong with others."""

import pytest
from twisted.logger import capturedLogs
from twisted.web.resource import Resource

from instances import Hooks, RunningInstance, make_instance
from skitai.config import Key, describe, show_secret, text, yes_no
from skitai.errors import ConfigError
from skitai.plugins import Answerer, hookimpl

OPTIONS = {"loud": Key(yes_no, False), "secret": Key(text, "", show=show_secret)}


class Echo(Resource):
    """Answers with what the route names, and with what follows the mount point."""

    isLeaf = True

    def __init__(self, word, loud):
        super().__init__()
        self.word = word.upper() if loud else word

    def render_GET(self, request):
        return b" ".join([self.word.encode(), *request.postpath])


class EchoPlugin:
    """Serves routes such as ``/hello = echo:hello loud=yes``."""

    def __init__(self, **answer):
        self.answer = answer
        self.asked = []

    @hookimpl
    def skitai_mount(self, instance, mount):
        self.asked.append(mount.target)
        scheme, _, word = mount.target.partition(":")
        if scheme != "echo":
            return None
        if not word:
            raise ValueError("needs a word: write echo:WORD")
        answer = {"make": lambda options: Echo(word, options["loud"]), **self.answer}
        return Answerer("echo", options=OPTIONS, **answer)


class Routes:
    """A folder with an app, and instances of what the routes say."""

    def __init__(self, loop, folder):
        self.loop = loop
        self.folder = folder
        (folder / "files").mkdir()
        (folder / "wsgi.py").write_text("")

    def make(self, *lines, disabled=(), **plugins):
        file = self.folder / "site.conf"
        plugins.setdefault("echo", EchoPlugin())
        head = ["[server]", "ip = 127.0.0.1", "port = 0", "access_log = off", "[routes:line]"]
        file.write_text("\n".join([*head, *lines]))
        return make_instance(self.loop.reactor, file, disabled=disabled, **plugins)

    def error(self, *lines, **options):
        """Return the line that refuses the routes, without the folder's name and where it is the first."""
        with pytest.raises(ConfigError) as caught:
            self.make(*lines, **options)
        line = str(caught.value)
        assert len(line.splitlines()) == 1
        return line.replace(f"{self.folder}/", "").removeprefix("site.conf:6: [routes:line] /: ")


@pytest.fixture
def routes(reactor_thread, tmp_path):
    return Routes(reactor_thread, tmp_path)


def test_a_kind_of_its_own(routes):
    """A plugin serves its own targets, with its options, beside apps and folders of one host."""
    (routes.folder / "files" / "file.txt").write_text("file")
    instance = routes.make("/ = files max_age=1min", "/a = echo:hello", "/b = echo:hello loud=yes")
    server = RunningInstance(routes.loop, instance)
    try:
        assert server.ask("/a/x/y").body == b"hello x y"
        assert server.ask("/b").body == b"HELLO"
        assert server.ask("/file.txt")["Cache-Control"] == "max-age=60"
        assert server.ask("/c").code == 404
    finally:
        server.stop()


def test_described(routes):
    """The description shows each route as its plugin understands it, with its kind, secrets as stars."""
    instance = routes.make("/ = echo:hello secret=hunter2", "/a = files", "/b = wsgi")
    lines = describe(instance.config, instance.describe_mount).splitlines()
    assert lines[lines.index("[routes:line]") + 1 :] == [
        ": default",
        "/ = echo:hello loud=no secret=****  ; echo",
        f"/a = {routes.folder}/files max_age=300  ; static files",
        f"/b = {routes.folder}/wsgi  ; app",
    ]


def test_shown_target_and_warning(routes):
    """A plugin may show another target than the line has, and warn of it with the line."""
    plugin = EchoPlugin(target="echo:HELLO", warning="is not ready yet")
    instance = routes.make("/ = echo:hello", echo=plugin)
    (mount,) = instance.config.hosts[0].mounts
    assert instance.describe_mount(mount).startswith("echo:HELLO ")
    assert instance.warnings == (f"{routes.folder}/site.conf:6: [routes:line] /: is not ready yet",)


def test_one_resource_for_a_line(routes):
    """A line that stands under several hosts is asked for once."""
    plugin = EchoPlugin()
    routes.make(": a b", "/ = echo:x", ": b", "/y = echo:y", echo=plugin)
    assert plugin.asked == ["echo:x", "echo:y"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("echo:", "needs a word: write echo:WORD; there is neither echo.py nor"),
        ("echo:x lout=yes", "unknown option lout: did you mean loud?"),
        ("echo:x loud=1", "option loud: must be yes or no, not '1'"),
        ("wsgi:app thread=8", "unknown option thread: did you mean threads?"),
        ("files max_age=soon", "option max_age: must be a number of seconds"),
        (
            "ehco:x",
            "there is neither ehco.py nor ehco/__init__.py: correct the path or create it;"
            " that folder has wsgi; the plugins that serve routes are echo, proxy, static, wsgi",
        ),
    ],
)
def test_refused(routes, line, problem):
    """What the plugins say against a route is one line with the file, the line and the mount point."""
    assert routes.error(f"/ = {line}").startswith(problem)


def test_two_plugins_for_one_target(routes):
    """A target that two plugins take is refused with both names: no order decides."""
    assert routes.error("/ = echo:x", rival=EchoPlugin()) == (
        "plugins 'rival' (tested.plugin) and 'echo' (tested.plugin) both take 'echo:x': disable one of them"
    )


def test_another_plugin_may_take_what_one_refuses(routes):
    """A refusal counts only where no other plugin takes the target."""
    assert routes.make("/ = echo:x").warnings == ()  # though there is no echo.py, as the plugin of apps finds


def test_nobody_takes_it(routes):
    """Where all plugins pass, the line names those that there are."""
    assert routes.error("/ = wsgi:app", disabled=["wsgi"]) == (
        "no plugin takes 'wsgi:app'; the plugins that serve routes are echo, proxy, static;"
        " it may be of a plugin that is not loaded: 'wsgi' (tested.plugin) is disabled: switched off in the"
        " config"
    )


def test_plugin_that_is_not_loaded(routes):
    """A plugin that failed may have been the one: it is named with its reason."""
    assert routes.error("/ = echo:x", echo=ImportError("no echo")).endswith(
        "; it may be of a plugin that is not loaded: 'echo' (tested.plugin) failed: ImportError: no echo"
    )


def test_plugin_that_is_not_to_blame(routes):
    """Where a plugin knows the form of a target, those that are not loaded are not named."""
    assert routes.error("/ = ./shop:app", disabled=["echo"]) == (
        "there is neither shop.py nor shop/__init__.py: correct the path or create it; that folder has wsgi"
    )


def broken(options):
    raise KeyError("make")


def rash(*_):
    raise SystemExit("enough")


@pytest.mark.parametrize(
    ("plugin", "problem"),
    [
        (EchoPlugin(make=broken), "plugin 'echo' (tested.plugin) failed: KeyError: 'make'"),
        (EchoPlugin(make=rash), "plugin 'echo' (tested.plugin) failed: SystemExit: enough"),
        (Hooks(skitai_mount=lambda mount: rash()), "failed: SystemExit: enough"),
        (EchoPlugin(make=dict), "does not provide twisted.web.resource.IResource"),
        (Hooks(skitai_mount=lambda mount: [][0]), "failed: IndexError: list index out of range"),
        (Hooks(skitai_mount=lambda mount: Resource()), "TypeError: skitai_mount returned Resource, not an"),
    ],
)
def test_plugins_that_fail(routes, plugin, problem):
    """A plugin that raises, or returns what cannot be used, is named in the line; the log has the rest."""
    with capturedLogs() as logged:
        assert problem in routes.error("/ = echo:x", echo=plugin)
    assert [event["plugin"] for event in logged] == ["'echo' (tested.plugin)"]


def test_options_that_do_not_go_together(routes):
    """A ValueError where the resource is made is the user's to mend."""

    def refuse(options):
        raise ValueError("loud needs a secret")

    assert routes.error("/ = echo:x loud=yes", echo=EchoPlugin(make=refuse)) == "loud needs a secret"


def test_config_error_of_a_plugin(routes):
    """A ConfigError for another part of the config points there."""

    def complain(options):
        raise ConfigError("is too low for an echo", section="server", key="port")

    assert routes.error("/ = echo:x", echo=EchoPlugin(make=complain)) == (
        "site.conf:3: [server] port: is too low for an echo"
    )


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("/x = wsgi", "/x/ = wsgi:other"), "site.conf:7: [routes:line] /x: contradicts line 6"),
        ((": a", "/ = files", ": b a", "/ = ."), "site.conf:9: [routes:line] /: contradicts line 7"),
        (("/ = echo:x", "/ = echo:x"), "site.conf:7: [routes:line] /: contradicts line 6"),
    ],
)
def test_contradictions(routes, lines, expected):
    """Two mounts of one kind on one point of one host are refused with both lines."""
    host = "a" if lines[0].startswith(":") else "default"
    assert routes.error(*lines) == f"{expected}, the same mount point of host {host}: keep one of the two"
