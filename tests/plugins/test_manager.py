"""The plugin manager: every plugin alone, and none of them trusted."""

import attrs
import pytest
from twisted.internet.defer import succeed
from twisted.logger import LogLevel, capturedLogs
from twisted.web.resource import Resource

from skitai.calls.service import Service
from skitai.errors import ConfigError, PluginError
from skitai.plugins import hookimpl
from skitai.plugins.listing import PluginInfo, describe_plugins
from skitai.plugins.manager import create_plugin_manager

INSTANCE = object()


@attrs.frozen
class FakeDistribution:
    name: str
    version: str = "1.0"


@attrs.frozen
class FakeEntryPoint:
    """What importlib.metadata finds for an installed plugin; loading it gives ``plugin`` or raises it."""

    name: str
    plugin: object
    distribution: str = ""

    @property
    def value(self):
        return f"{self.name}.module"

    @property
    def dist(self):
        return FakeDistribution(self.distribution or f"skitai-{self.name}")

    def load(self):
        if isinstance(self.plugin, BaseException):
            raise self.plugin
        return self.plugin


class Gives:
    """A plugin that returns from each hook what it was made with, or raises it."""

    def __init__(self, services=(), attributes=(), cluster_types=(), mounts=(), sections=()):
        self.returned = {
            "services": services,
            "attributes": attributes,
            "cluster_types": cluster_types,
            "mounts": mounts,
            "sections": sections,
        }

    def give(self, hook):
        value = self.returned[hook]
        if isinstance(value, BaseException):
            raise value
        return dict(value) if value == () else value

    @hookimpl
    def skitai_services(self, instance):
        return self.give("services")

    @hookimpl
    def skitai_attributes(self, instance):
        return self.give("attributes")

    @hookimpl
    def skitai_cluster_types(self, instance):
        return self.give("cluster_types")

    @hookimpl
    def skitai_mounts(self):
        return self.give("mounts")

    @hookimpl
    def skitai_config_sections(self):
        return self.give("sections")


def manager_of(disabled=(), environ=None, **plugins):
    entry_points = [FakeEntryPoint(name, plugin) for name, plugin in plugins.items()]
    return create_plugin_manager(frozenset(disabled), entry_points=entry_points, environ=environ or {})


def infos(manager):
    return {info.name: info for info in manager.plugins()}


def started(**plugins):
    """Return a manager whose plugins were asked for all they give."""
    manager = manager_of(**plugins)
    manager.services(INSTANCE)
    return manager


class TestLoading:
    """Each plugin is imported and registered alone."""

    def test_installed_plugins(self, tmp_path, monkeypatch):
        """Without entry points of its own, the manager loads what is installed under the group skitai."""
        (tmp_path / "installed_thing.py").write_text(
            "from skitai.plugins import hookimpl\n\n@hookimpl\ndef skitai_startup(): pass\n"
        )
        metadata = tmp_path / "installed_thing-2.5.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: installed-thing\nVersion: 2.5\n")
        (metadata / "entry_points.txt").write_text("[skitai]\nthing = installed_thing\n")
        monkeypatch.syspath_prepend(tmp_path)
        thing = infos(create_plugin_manager(environ={"SKITAI_PLUGINS": "thing"}))["thing"]
        assert thing == PluginInfo("thing", "installed-thing", "2.5", hooks=("skitai_startup",))

    def test_broken_import(self):
        """A plugin that cannot be imported is named with its origin and one line; the others are loaded."""
        with capturedLogs() as logged:
            manager = manager_of(broken=ImportError("no module\nnamed x"), sound=Gives())
        broken = infos(manager)["broken"]
        assert (broken.state, broken.reason) == ("failed", "ImportError: no module named x")
        assert (broken.distribution, broken.version) == ("skitai-broken", "1.0")
        assert infos(manager)["sound"].state == "loaded"
        assert [event["log_failure"].type for event in logged if "log_failure" in event] == [ImportError]

    def test_exit_at_import(self):
        """A plugin that calls sys.exit() when imported does not end the server."""
        assert infos(manager_of(rash=SystemExit(3)))["rash"].reason == "SystemExit: 3"

    def test_misspelt_hook(self):
        """A hook that does not exist fails the plugin, and the message has the nearest name."""

        class Misspelt:
            @hookimpl
            def skitai_servces(self, instance):
                return {}

        manager = manager_of(typo=Misspelt(), sound=Gives({"echo": Service()}))
        typo = infos(manager)["typo"]
        assert typo.state == "failed"
        assert typo.reason == "there is no hook 'skitai_servces': did you mean skitai_services?"
        assert list(manager.services(INSTANCE)) == ["echo"]

    def test_wrong_argument(self):
        """A hook implementation with an argument that the hook does not have fails its plugin in one line."""

        class Wrong:
            @hookimpl
            def skitai_services(self, instanz):
                return {}

        wrong = infos(manager_of(wrong=Wrong()))["wrong"]
        assert wrong.state == "failed"
        assert "instanz" in wrong.reason
        assert "\n" not in wrong.reason

    def test_forgotten_decorator(self):
        """A hook function without its decorator fails the plugin: it would never be called."""

        class Forgot:
            def skitai_services(self, instance):
                return {}

        assert "skitai_services lacks the decorator" in infos(manager_of(forgot=Forgot()))["forgot"].reason

    @pytest.mark.parametrize("plugin", [object(), None])
    def test_no_hooks(self, plugin):
        """An entry point that leads to something without hooks is a failed plugin."""
        assert (
            infos(manager_of(odd=plugin))["odd"].reason == "it implements no hook of skitai.plugins.hookspecs"
        )

    def test_unhashable_plugin(self):
        """A plugin object without a hash fails alone."""
        manager = manager_of(odd=[], sound=Gives({"echo": Service()}))
        assert infos(manager)["odd"].state == "failed"
        assert list(manager.services(INSTANCE)) == ["echo"]

    def test_strict(self):
        """With SKITAI_STRICT_PLUGINS=1 the first failure raises, with its cause."""
        with pytest.raises(PluginError, match="plugin 'broken': ImportError: gone") as raised:
            manager_of(environ={"SKITAI_STRICT_PLUGINS": "1"}, broken=ImportError("gone"))
        assert isinstance(raised.value.__cause__, ImportError)

    def test_strict_at_start(self):
        """With SKITAI_STRICT_PLUGINS=1 a hook that raises at start raises too."""
        manager = manager_of(environ={"SKITAI_STRICT_PLUGINS": "1"}, broken=Gives(OSError("no key")))
        with pytest.raises(PluginError, match="plugin 'broken': OSError: no key"):
            manager.services(INSTANCE)

    def test_strict_off(self):
        """SKITAI_STRICT_PLUGINS=0 is not strict."""
        manager = manager_of(environ={"SKITAI_STRICT_PLUGINS": "0"}, broken=ImportError("gone"))
        assert infos(manager)["broken"].state == "failed"

    def test_one_name_of_two_distributions(self):
        """Two distributions that bring a plugin of the same name stop the start, both named."""
        entry_points = [
            FakeEntryPoint("echo", Gives(), "skitai-echo"),
            FakeEntryPoint("echo", Gives(), "rival"),
        ]
        with pytest.raises(PluginError, match=r"plugin 'echo': skitai-echo 1.0 and rival 1.0 both"):
            create_plugin_manager(entry_points=entry_points, environ={})


class TestChoice:
    """Which plugins are loaded at all."""

    def test_disabled(self):
        """A disabled plugin is listed, and not even imported."""
        manager = manager_of(disabled=["broken"], broken=ImportError("would be logged"), sound=Gives())
        broken = infos(manager)["broken"]
        assert (broken.state, broken.reason) == ("disabled", "switched off in the config")

    def test_disabled_name_unknown(self):
        """A disabled name that no plugin has is an error with the nearest name."""
        with pytest.raises(PluginError, match=r"'smpt': disable names it.*did you mean smtp\?"):
            manager_of(disabled=["smpt"], smtp=Gives())

    def test_only_named_ones(self):
        """SKITAI_PLUGINS limits the plugins to those that it names."""
        manager = manager_of(environ={"SKITAI_PLUGINS": "a, b"}, a=Gives(), b=Gives(), c=Gives())
        assert [info.state for info in manager.plugins()] == ["loaded", "loaded", "disabled"]
        assert infos(manager)["c"].reason == "not named in SKITAI_PLUGINS"

    def test_only_named_ones_unknown(self):
        """A name in SKITAI_PLUGINS that no plugin has is an error."""
        with pytest.raises(PluginError, match=r"'zebra': SKITAI_PLUGINS names it, but it is not installed: "):
            manager_of(environ={"SKITAI_PLUGINS": "zebra"}, a=Gives())

    def test_empty_choice(self):
        """An empty SKITAI_PLUGINS is as good as none."""
        assert infos(manager_of(environ={"SKITAI_PLUGINS": ""}, a=Gives()))["a"].state == "loaded"


class TestGiving:
    """What the plugins give to an instance."""

    def test_everything_is_collected(self):
        """Services, attributes, cluster types, mounts and config sections of all plugins come together."""
        echo, log, resource = Service(), lambda was: None, Resource()
        manager = manager_of(
            a=Gives({"echo": echo}, {"log": log}, sections={"echo": {}}),
            b=Gives(cluster_types={"echo": echo}, mounts={"/status": resource}),
        )
        assert manager.config_sections() == {"echo": {}}
        assert manager.services(INSTANCE) == {"echo": echo}
        assert manager.attributes(INSTANCE) == {"log": log}
        assert manager.cluster_types(INSTANCE) == {"echo": echo}
        assert manager.mounts(INSTANCE) == {"/status": resource}

    def test_each_hook_is_called_once(self):
        """A plugin is asked once for an instance, however often the manager is."""

        class Counting:
            calls = 0

            @hookimpl
            def skitai_services(self, instance):
                assert instance is INSTANCE
                self.calls += 1
                return {}

        plugin = Counting()
        manager = manager_of(counting=plugin)
        manager.services(INSTANCE)
        manager.mounts(INSTANCE)
        manager.services(INSTANCE)
        assert plugin.calls == 1

    def test_raising_hook(self):
        """A plugin whose hook raises at start is failed and gives nothing, the others give theirs."""
        manager = manager_of(
            broken=Gives({"lost": Service()}, RuntimeError("no licence")), sound=Gives({"echo": Service()})
        )
        assert list(manager.services(INSTANCE)) == ["echo"]
        broken = infos(manager)["broken"]
        assert (broken.state, broken.reason) == ("failed", "RuntimeError: no licence")

    def test_exit_at_start(self):
        """A plugin that calls sys.exit() in a hook at start does not end the server."""
        manager = manager_of(rash=Gives(SystemExit(3)), sound=Gives({"echo": Service()}))
        assert list(manager.services(INSTANCE)) == ["echo"]
        assert infos(manager)["rash"].reason == "SystemExit: 3"

    def test_failed_plugin_hears_nothing_more(self):
        """A plugin that failed at start gets no notification."""

        class Broken:
            @hookimpl
            def skitai_services(self, instance):
                raise RuntimeError

            @hookimpl
            def skitai_startup(self):
                pytest.fail("called")

        started(broken=Broken()).notify("skitai_startup", instance=INSTANCE)

    def test_config_error(self):
        """A ConfigError of a plugin is the user's to mend: it stops the start as it is."""
        with pytest.raises(ConfigError, match="no such directory"):
            started(logging=Gives(attributes=ConfigError("no such directory")))

    @pytest.mark.parametrize(
        ("plugin", "reason"),
        [
            (Gives(["echo"]), "skitai_services returned list, not a mapping"),
            (Gives({1: Service()}), "skitai_services returned the name 1, which is not a str"),
            (Gives({"two words": Service()}), "gave was.two words: an app cannot write this name"),
            (Gives({"_echo": Service()}), "gave was._echo: an app cannot write this name"),
            (Gives({"echo": object()}), "IService.perform(node, operation) attribute was not provided"),
            (Gives(cluster_types={"echo": object()}), "skitai_cluster_types gave cluster type 'echo'"),
            (Gives(attributes={"log": "text"}), "skitai_attributes gave was.log: 'text' is not a factory"),
            (
                Gives(mounts={"status": Resource()}),
                "skitai_mounts gave mount point status: a mount point starts",
            ),
            (Gives(mounts={"/status": object()}), "does not provide twisted.web.resource.IResource"),
        ],
    )
    def test_senseless_gifts(self, plugin, reason):
        """What cannot be used fails its plugin, with the hook, the name and what is wrong."""
        manager = started(odd=plugin, sound=Gives())
        assert infos(manager)["odd"].state == "failed"
        assert reason in infos(manager)["odd"].reason
        assert infos(manager)["sound"].state == "loaded"

    def test_senseless_config_section(self):
        """A config section that is no mapping fails its plugin while the config is read."""
        manager = manager_of(odd=Gives(sections={"echo": 3}), sound=Gives(sections={"fine": {}}))
        assert manager.config_sections() == {"fine": {}}
        assert infos(manager)["odd"].state == "failed"

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (Gives({"echo": Service()}), Gives({"echo": Service()})),
            (Gives({"echo": Service()}), Gives(attributes={"echo": lambda was: None})),
        ],
    )
    def test_name_clash(self, first, second):
        """Two plugins that claim one was.* name stop the start, both named with the name."""
        with pytest.raises(PluginError) as raised:
            started(a=first, b=second)
        for part in ("was.echo is claimed twice", "'a' (skitai-a 1.0)", "'b' (skitai-b 1.0)"):
            assert part in str(raised.value)

    def test_clash_within_one_plugin(self):
        """A name that one plugin gives as a service and as an attribute is a clash as well."""
        with pytest.raises(PluginError, match=r"was\.echo is claimed twice"):
            started(a=Gives({"echo": Service()}, {"echo": lambda was: None}))

    def test_other_names_clash_among_themselves(self):
        """A cluster type, a mount point and a config section have one owner each."""
        for kind, name, make in (("cluster_types", "x", Service), ("mounts", "/x", Resource)):
            with pytest.raises(PluginError, match="claimed twice"):
                started(a=Gives(**{kind: {name: make()}}), b=Gives(**{kind: {name: make()}}))
        with pytest.raises(PluginError, match=r"config section \[x\] is claimed twice"):
            manager_of(a=Gives(sections={"x": {}}), b=Gives(sections={"x": {}})).config_sections()

    def test_shared_by_two_plugins(self):
        """Two plugins may give one and the same object, so that either may be disabled."""
        shared = {"cluster_types": {"x": Service()}}
        manager = started(a=Gives(**shared), b=Gives(**shared))
        assert manager.cluster_types(INSTANCE) == shared["cluster_types"]

    def test_sections_that_are_there_anyway(self):
        """No plugin declares a section that is there without any."""
        manager = manager_of(a=Gives(sections={"http": {}}))
        assert manager.config_sections() == {}
        assert "config section [http]: it is there without any plugin" in manager.plugins()[0].reason

    def test_same_name_of_different_kinds(self):
        """A service, a cluster type and a config section of one name do not clash."""
        echo = Service()
        manager = started(
            a=Gives({"echo": echo}), b=Gives(cluster_types={"echo": echo}, sections={"echo": {}})
        )
        assert list(manager.cluster_types(INSTANCE)) == ["echo"]


class Listener:
    """A plugin that notes what it hears."""

    def __init__(self):
        self.heard = []

    @hookimpl
    def skitai_request_finished(self, instance, request):
        assert instance is INSTANCE
        self.heard.append(request)

    @hookimpl
    def skitai_shutdown(self, instance):
        return succeed(instance)


class Raiser:
    """A plugin that raises at every request."""

    def __init__(self, error):
        self.error = error

    @hookimpl
    def skitai_request_finished(self, request):
        raise self.error(request)


class TestNotification:
    """What the plugins hear while the server runs."""

    @pytest.mark.parametrize("error", [KeyError, SystemExit])
    def test_a_raising_plugin_stops_nobody(self, error):
        """A plugin that raises is logged by name, and all others are called, each time."""
        first, last = Listener(), Listener()
        manager = manager_of(a=first, b=Raiser(error), c=last)
        with capturedLogs() as logged:
            manager.notify("skitai_request_finished", instance=INSTANCE, request="one")
            manager.notify("skitai_request_finished", instance=INSTANCE, request="two")
        assert first.heard == last.heard == ["one", "two"]
        assert [event["plugin"] for event in logged] == ["'b' (skitai-b 1.0)"] * 2
        assert [event["log_failure"].type for event in logged] == [error] * 2
        assert [event["log_level"] for event in logged] == [LogLevel.error] * 2

    def test_what_they_return(self):
        """The return values of all plugins come back, as the Deferreds of a shutdown."""
        deferreds = manager_of(a=Listener(), b=Listener()).notify("skitai_shutdown", instance=INSTANCE)
        assert [deferred.result for deferred in deferreds] == [INSTANCE, INSTANCE]

    def test_nobody_listens(self):
        """A hook that no plugin implements is heard by nobody."""
        assert manager_of().notify("skitai_startup", instance=INSTANCE) == []

    def test_first_result(self):
        """Of a hook whose first result counts, plugins after the one that gives it are not asked."""

        class Loader:
            def __init__(self, app):
                self.app = app

            @hookimpl
            def skitai_load_app(self, target):
                if self.app is None:
                    raise OSError(target)
                return self.app if target == "known" else None

        manager = manager_of(a=Loader(len), b=Loader(print), c=Loader(None))
        for target, expected in [("known", print), ("unknown", None)]:
            with capturedLogs() as logged:
                assert manager.first("skitai_load_app", instance=INSTANCE, target=target) is expected
            assert [event["plugin"] for event in logged] == ["'c' (skitai-c 1.0)"]

    def test_hooks_themselves(self):
        """The first plugin that knows an app's target loads it."""

        class Loader:
            @hookimpl
            def skitai_load_app(self, target):
                return print if target == "known" else None

        manager = manager_of(loader=Loader())
        assert manager.hook.skitai_load_app(instance=INSTANCE, target="known") is print
        assert manager.hook.skitai_load_app(instance=INSTANCE, target="unknown") is None


class TestMissing:
    """The words for a was.* name that is not there."""

    def test_failed_plugin_of_that_name(self):
        """A failed plugin that has the name is named with its origin and reason."""
        assert manager_of(echo=ImportError("gone")).missing("echo") == (
            "was.echo is not available: plugin 'echo' (skitai-echo 1.0) failed: ImportError: gone"
        )

    def test_declared_before_it_failed(self):
        """A plugin that failed after it declared its names is known by these."""
        manager = started(broken=Gives({"lost": Service()}, RuntimeError("no licence")))
        assert manager.missing("lost") == (
            "was.lost is not available: plugin 'broken' (skitai-broken 1.0) failed: RuntimeError: no licence"
        )
        assert manager.missing("other") is None

    def test_disabled_plugin(self):
        """A disabled plugin is said to be disabled."""
        assert manager_of(disabled=["echo"], echo=Gives()).missing("echo") == (
            "was.echo is not available: plugin 'echo' (skitai-echo 1.0) is disabled:"
            " switched off in the config"
        )

    def test_plugin_that_never_told_its_names(self):
        """Any name may be of a plugin that was never asked."""
        assert manager_of(http=ImportError("gone")).missing("get") == (
            "was.get is not available; it may be of a plugin that is not loaded:"
            " 'http' (skitai-http 1.0) failed: ImportError: gone"
        )

    def test_no_plugin_to_blame(self):
        """With all plugins loaded there is nothing to say."""
        assert started(echo=Gives({"echo": Service()})).missing("ehco") is None


class TestListing:
    """What ``twist skitai --plugins`` shows."""

    def test_information(self):
        """A loaded plugin tells its origin, its hooks and the was.* names that it gives."""
        manager = started(echo=Gives({"echo": Service()}, {"echoes": lambda was: 0}))
        echo = infos(manager)["echo"]
        assert echo.origin == "skitai-echo 1.0"
        assert echo.names == ("echo", "echoes")
        assert echo.hooks == (
            "skitai_attributes",
            "skitai_cluster_types",
            "skitai_config_sections",
            "skitai_mounts",
            "skitai_services",
        )

    def test_origin_without_distribution(self):
        """An entry point of no distribution is known by its module."""

        @attrs.frozen
        class Loose:
            name: str = "loose"
            value: str = "loose.module"
            dist: None = None

        assert PluginInfo.of(Loose()).origin == "loose.module"

    def test_table(self):
        """The table has a line for each plugin in columns, and its names, hooks or trouble below."""
        table = describe_plugins(
            [
                PluginInfo(
                    "echo", "skitai-echo", "1.0", hooks=("skitai_services",), names=("echo", "echoes")
                ),
                PluginInfo("x", "x", "2", "failed", "ImportError: gone"),
            ]
        )
        assert table == (
            "echo  skitai-echo 1.0  loaded\n"
            "      gives: was.echo, was.echoes\n"
            "      hooks: skitai_services\n"
            "x     x 2              failed\n"
            "      why:   ImportError: gone\n"
        )

    def test_long_lines_wrap(self):
        """Many names take several lines under each other."""
        names = tuple(f"name{number}" for number in range(30))
        lines = describe_plugins([PluginInfo("a", "a", names=names)]).splitlines()
        assert max(map(len, lines)) <= 100
        assert len(lines) > 3
        assert "".join(line.strip() for line in lines[1:]).count("was.name") == 30

    def test_no_plugins(self):
        """Nothing installed is said in words."""
        assert describe_plugins([]) == "no plugins are installed\n"
