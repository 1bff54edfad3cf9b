"""Each of the plugins that Skitai brings can be switched off alone."""

import importlib.metadata
import sys
from pathlib import Path

import pytest
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import globalLogPublisher

from instances import RunningInstance
from skitai.config import Config, load
from skitai.errors import ConfigError
from skitai.plugins.manager import GROUP, create_plugin_manager
from skitai.worker.instance import Instance
from skitai.worker.serving import Server

BUILT_IN = {
    entry_point.name: entry_point
    for entry_point in importlib.metadata.entry_points(group=GROUP)
    if entry_point.dist.name == "skitai"
}
APP = """
from skitai import was

def app(environ, start_response):
    name = environ["PATH_INFO"].strip("/")
    try:
        said = f"there is {getattr(was, name)}" if name else "hello"
    except AttributeError as error:
        said = str(error)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [said.encode()]
"""


@pytest.fixture
def make(tmp_path, reactor_thread):
    """Give ``make(disabled)``: an instance with all built-in plugins but one, and that manager."""
    (tmp_path / "wsgi.py").write_text(APP)
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "a.txt").write_text("a")

    def make_without(disabled, route):
        config = tmp_path / "site.conf"
        config.write_text(
            "[server]\nip = 127.0.0.1\nport = 0\naccess_log = off\n"
            f"[plugins]\ndisable = {disabled}\n[routes:line]\n/ = {route}\n"
        )
        manager = create_plugin_manager({disabled}, entry_points=BUILT_IN.values(), environ={})
        return Server(load(config, {}), manager, reactor_thread.reactor), manager

    yield make_without
    # Two apps of one name may be loaded at once, and the second is told so; those of other tests are alone.
    sys.modules.pop("wsgi", None)


@pytest.mark.parametrize("disabled", sorted(BUILT_IN))
def test_the_others_work(make, reactor_thread, disabled):
    """The server starts and serves; what the plugin would have given says why it is not there."""
    route = "./static" if disabled == "wsgi" else "./wsgi:app"
    failures = []
    watch = lambda event: failures.append(event) if "log_failure" in event else None  # noqa: E731
    globalLogPublisher.addObserver(watch)
    instance, manager = make(disabled, route)
    given = next(info.names for info in create_all().plugins() if info.name == disabled)
    running = RunningInstance(reactor_thread, instance)
    try:
        assert running.ask("/a.txt" if disabled == "wsgi" else "/").code == 200
        for name in given if disabled != "wsgi" else ():
            said = running.ask(f"/{name}").body.decode()
            elsewhere = any(name in info.names for info in manager.plugins() if info.state == "loaded")
            assert elsewhere or f"{disabled!r} (skitai" in said
            assert elsewhere or "is disabled: switched off in the config" in said
    finally:
        running.stop()
        globalLogPublisher.removeObserver(watch)
    assert failures == []


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_hook_of_a_plugin_is_called(name):
    """Where a package is the plugin, it gives all that its module ``plugin`` takes part in."""
    given = BUILT_IN[name].load()
    module = sys.modules.get(f"{given.__name__}.plugin", given)
    taken = {each for each, value in vars(module).items() if hasattr(value, "skitai_impl")}
    assert taken
    assert taken <= set(vars(given))


def create_all():
    """Return a manager of all built-in plugins that has been asked what they give to an instance."""
    manager = create_plugin_manager(entry_points=BUILT_IN.values(), environ={})
    Instance(Config(path=Path("site.conf")), manager, MemoryReactorClock())
    return manager


@pytest.mark.parametrize(
    ("disabled", "route"), [("wsgi", "./wsgi:app"), ("static", "./static"), ("proxy", "@upstream")]
)
def test_routes_of_the_plugin(make, disabled, route):
    """A route that only the disabled plugin serves is refused, and the plugin named."""
    with pytest.raises(ConfigError, match=f"{disabled}.* is disabled") as caught:
        make(disabled, route)
    assert ":8: [routes:line] /: " in str(caught.value)
