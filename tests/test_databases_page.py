"""Examples of docs/databases.md, run as they stand, under each executor."""

import re
from pathlib import Path

from instances import RunningInstance, make_instance
from skitai.services.sqlite import plugin as sqlite_plugin

PAGE = (Path(__file__).parents[1] / "docs" / "databases.md").read_text("utf-8")
PLUGINS = {"sqlite": sqlite_plugin}
SERVER = "[server]\nip = 127.0.0.1\nport = 0\naccess_log = off\n"


def blocks(title, language):
    """Return the examples in a section of the page."""
    (section,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    return re.findall(rf"^```{language}\n(.*?)^```", section, re.DOTALL | re.MULTILINE)


def functions(title):
    """Return the names that the Python examples of a section define."""
    names = {}
    for example in blocks(title, "python"):
        exec(compile(example, "databases.md", "exec"), names)
    return names


def test_sqlite(reactor_thread, threads, tmp_path):
    """The example of SQLite, twice: it finds its table there."""
    path = tmp_path / "site.conf"
    path.write_text(SERVER)
    people = functions("SQLite")["people"]
    instance = make_instance(reactor_thread.reactor, path, {"threads": str(threads)}, **PLUGINS)
    running = RunningInstance(reactor_thread, instance)
    try:
        for _ in range(2):
            assert reactor_thread.call(instance.run, lambda was: people()) == ["Cho is 42"]
    finally:
        running.stop()
    assert (tmp_path / "people.db").exists()
