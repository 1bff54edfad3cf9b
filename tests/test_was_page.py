"""Examples of docs/was.md, run as they stand."""

import re
import sqlite3
from pathlib import Path

import pytest

from instances import RunningInstance, make_instance
from processes import environment, run_python
from skitai.services.http import plugin as http_plugin
from skitai.services.run import plugin as run_plugin

PAGE = (Path(__file__).parents[1] / "docs" / "was.md").read_text("utf-8")


def blocks(title, language):
    """Return the examples in a section of the page."""
    (section,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    return re.findall(rf"^```{language}\n(.*?)^```", section, re.DOTALL | re.MULTILINE)


def stock(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"7"]


@pytest.fixture
def site(serve, tmp_path, monkeypatch):
    """Return the config of a shop whose stock another server knows; its folder is the current one."""
    (limits,) = blocks("Functions that block", "ini")
    path = tmp_path / "site.conf"
    path.write_text(
        "[server]\nip = 127.0.0.1\nport = 0\naccess_log = off\n"
        f"[@stock]\nmembers = 127.0.0.1:{serve(stock).address}\n{limits}"
    )
    with sqlite3.connect(tmp_path / "shop.db") as db:
        db.execute("create table orders (customer, item, count)")
        db.execute("insert into orders values ('ann', 'tea', 2)")
    db.close()
    monkeypatch.chdir(tmp_path)
    return path


def test_functions_that_block(reactor_thread, site, threads):
    """The view of the page, under each executor."""
    (example,) = blocks("Functions that block", "python")
    names = {}
    exec(compile(example, "was.md", "exec"), names)
    instance = make_instance(
        reactor_thread.reactor, site, {"threads": str(threads)}, run=run_plugin, http=http_plugin
    )
    running = RunningInstance(reactor_thread, instance)
    try:
        assert reactor_thread.call(instance.run, lambda was: names["page"]("ann")) == ["2 of 7 tea"]
    finally:
        running.stop()


def test_context_variables(serve):
    """The app of the page: its generator resets the token that it made, request after request."""
    (example,) = blocks("Context variables", "python")
    names = {}
    exec(compile(example, "was.md", "exec"), names)
    gateway = serve(names["app"])
    assert [gateway.ask().body for _ in range(3)] == [b"Hello, None"] * 3
    assert not gateway.failures


def test_the_limits_are_the_defaults():
    """The section of the config shows what holds without it."""
    (limits,) = blocks("Functions that block", "ini")
    shown = re.findall(r"^(\w+) = (\d+)", limits, re.MULTILINE)
    (keys,) = run_plugin.skitai_config_sections().values()
    assert {name: int(value) for name, value in shown} == {name: key.default for name, key in keys.items()}


def test_without_a_server(site):
    """The script of the page."""
    (example,) = blocks("Without a server", "python")
    assert run_python("-c", example, env=environment()).stdout == "200 3\n"
