"""The hooks that are called often: whose functions are found, and with which arguments."""

import pytest
from twisted.logger import capturedLogs

from instances import Hooks, PluginEntry
from skitai.errors import ConfigError, PluginError
from skitai.plugins import hookimpl
from skitai.plugins.manager import create_plugin_manager

INSTANCE = object()


def manager_of(strict="", **plugins):
    entries = [PluginEntry(name, plugin) for name, plugin in plugins.items()]
    return create_plugin_manager(entry_points=entries, environ={"SKITAI_STRICT_PLUGINS": strict})


class Observer:
    def __init__(self, heard):
        self.heard = heard

    def skitai_call_finished(self, call, result):
        self.heard.append((call, result))


def observing(observer):
    return Hooks(skitai_observer=lambda instance: observer)


def test_arguments():
    """A function takes what it names, in any order; all are called by position."""
    heard = []
    manager = manager_of(
        a=Hooks(skitai_call_finished=lambda call, result: heard.append((call, result))),
        b=Hooks(skitai_call_finished=lambda instance, call, result: heard.append((instance, call, result))),
        c=Hooks(skitai_call_finished=lambda result, instance: heard.append((result, instance))),
        d=Hooks(skitai_call_finished=lambda: heard.append(())),
        e=observing(Observer(heard)),
    )
    for function in manager.functions("skitai_call_finished", INSTANCE):
        function("call", "result")
    # As with pluggy, the last one registered is the first.
    expected = [(), ("result", INSTANCE), (INSTANCE, "call", "result"), *[("call", "result")] * 2]
    assert heard == expected


def test_nobody_takes_part():
    """Without an observer, a hook has no functions."""
    manager = manager_of(a=observing(None), b=Hooks(skitai_startup=lambda: None))
    assert manager.functions("skitai_call_started", INSTANCE) == ()


def test_an_observer_for_each_instance():
    """Each instance has its own observers, and each is asked for once."""
    asked = []
    manager = manager_of(a=Hooks(skitai_observer=lambda instance: asked.append(instance) or Observer([])))
    one, other = object(), object()
    for instance in (one, one, other):
        manager.functions("skitai_call_finished", instance)
        manager.functions("skitai_call_started", instance)
    assert asked == [one, other]


class Misspelt:
    def skitai_call_finnished(self, call, result): ...


@pytest.mark.parametrize(
    ("observer", "reason"),
    [(Misspelt(), "did you mean skitai_call_finished?"), (object(), "which has none of skitai_attempt,")],
)
def test_what_is_no_observer(observer, reason):
    """A plugin that returns something else is marked failed."""
    manager = manager_of(a=observing(observer))
    with capturedLogs():
        assert manager.functions("skitai_call_finished", INSTANCE) == ()
    (info,) = manager.plugins()
    assert info.state == "failed"
    assert reason in info.reason


def test_a_plugin_that_raises():
    """It takes part in nothing; a wrong config stops the start, as everything does that is strict."""

    def broken(instance):
        raise KeyError(instance)

    def wrong(instance):
        raise ConfigError("no such thing")

    with capturedLogs():
        assert manager_of(a=Hooks(skitai_observer=broken)).functions("skitai_attempt", INSTANCE) == ()
    with pytest.raises(PluginError):
        manager_of("1", a=Hooks(skitai_observer=broken)).functions("skitai_attempt", INSTANCE)
    with pytest.raises(ConfigError):
        manager_of(a=Hooks(skitai_observer=wrong)).functions("skitai_attempt", INSTANCE)


def test_wrappers_are_refused():
    """What is called without pluggy cannot be wrapped."""

    class Wrapping:
        @hookimpl(wrapper=True)
        def skitai_request_finished(self, request):
            return (yield)

    with capturedLogs():
        (info,) = manager_of(a=Wrapping()).plugins()
    assert info.reason == "ValueError: skitai_request_finished is called often, so it has no wrappers"
