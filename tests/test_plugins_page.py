"""The examples of docs/plugins.md, run as they stand: one plugin, on a server with its config."""

import re
import types
from pathlib import Path

import pytest

from instances import RunningInstance, make_instance
from skitai.config import describe
from skitai.errors import ConfigError
from skitai.plugins import hookspecs
from skitai.services.http import plugin as http_plugin

PAGE = (Path(__file__).parents[1] / "docs" / "plugins.md").read_text("utf-8")
SHOP = """
from skitai import was

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/asks":
        return [was.get("http://127.0.0.1:" + environ["SERVER_PORT"] + "/mark").getwait().data]
    if environ["PATH_INFO"] == "/mark":
        return [environ.get("HTTP_X_MARK", "none").encode()]
    return [b"tea %d" % was.visits["/tea"]]
"""


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def plugin():
    module = types.ModuleType("skitai_visits")
    exec(compile("\n".join(blocks("python")), "plugins.md", "exec"), vars(module))
    return module


@pytest.fixture
def make(reactor_thread, tmp_path, plugin):
    """Return ``make(routes)``: an instance with the plugin and the config of the page."""
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "visits.txt").write_text("3 /tea\n")
    (config,) = blocks("ini")

    def instance(config=config):
        head = "[server]\nip = 127.0.0.1\nport = 0\naccess_log = off\n"
        (tmp_path / "site.conf").write_text(head + config)
        return make_instance(reactor_thread.reactor, tmp_path / "site.conf", visits=plugin, http=http_plugin)

    return instance


def test_page(reactor_thread, tmp_path, make, plugin):
    """The plugin keeps its counts, gives them to apps, serves its routes and runs code where apps run."""
    instance = make()
    server = RunningInstance(reactor_thread, instance)
    try:
        assert server.ask("/tea").body == b"tea 3"
        assert server.ask("/tea").body == b"tea 4"
        assert server.ask("/coffee").code == 200
        assert server.ask("/visits").body == b"5 /tea\n1 /coffee\n"
        assert server.ask("/popular").body.startswith(b"/tea\n")
        assert reactor_thread.call(plugin.find_busiest, instance) == [("/tea", 5)]
    finally:
        server.stop()
    assert (tmp_path / "visits.txt").read_text().startswith("5 /tea\n1 /coffee\n")


@pytest.mark.parametrize(("keys", "mark"), [("", b"none"), ("mark = tea", b"tea")])
def test_requests_are_marked(reactor_thread, make, keys, mark):
    """The plugin takes part in calls if the config asks for it."""
    (config,) = blocks("ini")
    server = RunningInstance(reactor_thread, make(config + keys))
    try:
        assert server.ask("/asks").body == mark
    finally:
        server.stop()


def test_figures(reactor_thread, make, plugin):
    """The plugin's figures are among the metrics."""
    instance = make()
    instance.state(plugin.Visits, plugin.Visits).update({"/tea": 3, "/": 1})
    metrics = {metric.name: metric.values for metric in reactor_thread.call(instance.metrics)}
    assert metrics["visits_total"] == {("tea",): 3, ("coffee",): 0}
    assert metrics["visits_paths"] == {(): 2}


@pytest.mark.parametrize("name", re.findall(r"^def (test_\w+)", PAGE, re.MULTILINE))
def test_tests_of_the_page(plugin, name):
    """What the page tests holds."""
    vars(plugin)[name]()


def test_page_is_checked(make):
    """--check shows the plugin's routes with their options filled in."""
    instance = make()
    text = describe(instance.config, instance.describe_mount)
    assert "/visits = visits: top=10 counts=yes  ; visits\n" in text
    assert "/popular = visits: top=3 counts=no  ; visits\n" in text


@pytest.mark.parametrize(
    ("route", "problem"),
    [
        ("visits:all", "visits: takes options only, not 'all'"),
        ("visits: tops=3", "unknown option tops: did you mean top?"),
    ],
)
def test_mistakes(make, route, problem):
    """What the user gets wrong in a route of the plugin is one line."""
    with pytest.raises(ConfigError, match=re.escape(problem)):
        make(f"[routes:line]\n/ = {route}")


def test_every_hook_is_in_the_table():
    """The page lists the hooks that there are."""
    hooks = {name for name in vars(hookspecs) if name.startswith("skitai_")}
    assert set(re.findall(r"^\| `(skitai_\w+)` \|", PAGE, re.MULTILINE)) == hooks
