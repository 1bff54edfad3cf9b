"""Imports between the rooms of the house point one way."""

import ast
import re
from contextlib import suppress
from pathlib import Path

import pytest

import skitai

PACKAGE = Path(skitai.__file__).parent

#: What each room may import besides itself. A room is a folder of the package, or one of its modules.
FLOOR = {"errors", "interfaces"}
TOOLS = FLOOR | {"formats", "http", "loop", "mail", "messaging", "net", "processes", "websocket"}
CALLS = TOOLS | {"calls", "context"}
PLUGIN = CALLS | {"config", "plugins", "services"}
ROOMS = {
    "errors": set(),
    "interfaces": {"errors"},
    "formats": FLOOR,
    "http": FLOOR,
    "loop": FLOOR | {"processes"},
    "net": FLOOR | {"http", "loop"},
    "mail": FLOOR | {"net", "processes"},
    "messaging": FLOOR | {"formats"},
    "processes": FLOOR | {"formats"},
    "websocket": FLOOR | {"http", "loop"},
    "calls": TOOLS,
    "context": TOOLS | {"calls"},
    "config": FLOOR | {"formats", "http", "net"},
    "plugins": FLOOR | {"config", "context", "formats"},
    "services": PLUGIN,
    "server": CALLS | {"config", "plugins"},
    "saddle": CALLS,
    "testing": CALLS | {"config", "plugins"},
    "worker": PLUGIN | {"server", "saddle"},
    "daemon": TOOLS | {"config"},
    "program": PLUGIN | {"worker", "daemon"},
    "command": PLUGIN | {"daemon"},
    "building": PLUGIN | {"worker", "daemon", "program", "command"},
    "tap": PLUGIN | {"worker", "daemon", "command", "building"},
    "__main__": {"command"},
    "__init__": {"context", "worker"},  # the worker within ``standalone``, where it is asked for
}
#: What annotations may name besides: a contract speaks of what is handed over.
ANNOTATIONS = {"interfaces": {"calls", "messaging", "plugins", "server"}}


def _modules():
    return sorted(PACKAGE.rglob("*.py"))


def _room(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def _imports(tree, *, typing):
    """Yield what ``tree`` imports from the package; with ``typing``, only what is for type checkers."""
    for node in ast.iter_child_nodes(tree):
        guarded = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if guarded:
            if typing:
                yield from _imports(node, typing=False)
            continue
        if not typing and isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("skitai"))
        elif not typing and isinstance(node, ast.ImportFrom) and (node.module or "").startswith("skitai"):
            if node.module == "skitai":
                yield from (f"skitai.{alias.name}" for alias in node.names)
            else:
                yield node.module
        else:
            yield from _imports(node, typing=typing)


def _parsed(path):
    """Return the tree of a module.

    Python 3.11 may lose count of how deep it is (CPython's issue 106905), and fails then, whatever the module
    holds: probably when another thread of the tests parses something at the same time.
    """
    text = path.read_text("utf-8")
    for _ in range(20):
        with suppress(SystemError):
            return ast.parse(text)
    return ast.parse(text)


def _offences(path, *, typing):
    relative = path.relative_to(PACKAGE)
    room = relative.parts[0].removesuffix(".py")
    for imported in _imports(_parsed(path), typing=typing):
        other = _room(imported)
        if other not in ROOMS:  # a name of the package itself, such as __version__
            other = "__init__"
        allowed = ROOMS[room] | {room, "__init__"}
        if other not in (allowed | ANNOTATIONS.get(room, set()) if typing else allowed):
            yield f"{relative} imports {imported}"


def test_every_room_is_in_the_table():
    """A new folder or module of the package says what it may import."""
    found = {path.name.removesuffix(".py") for path in PACKAGE.iterdir()}
    assert found - {"__pycache__", "data", "py.typed"} == set(ROOMS)


@pytest.mark.parametrize("typing", [False, True], ids=["code", "annotations"])
def test_imports_point_one_way(typing):
    """No module imports a room that stands above its own, for running or for annotations."""
    assert [offence for path in _modules() for offence in _offences(path, typing=typing)] == []


def test_the_reactor_is_imported_by_the_entry_points_alone():
    """Everybody else is handed the reactor: importing Skitai chooses none."""
    users = {
        str(path.relative_to(PACKAGE))
        for path in _modules()
        if "from twisted.internet import reactor" in path.read_text("utf-8")
    }
    assert users <= {"tap.py", "daemon/hub.py", "daemon/mail/tap.py", "worker/standalone.py"}


def test_one_package_knows_of_gevent():
    """Everybody else asks the hub of the reactor, so greenlets are the same with and without gevent."""
    imports = re.compile(r"^\s*(?:import|from) (?:gevent|psycogreen)", re.MULTILINE)
    users = {path.parent for path in _modules() if imports.search(path.read_text("utf-8"))}
    assert users == {PACKAGE / "loop" / "cooperative"}


def test_real_threads_come_from_one_module():
    """A thread that is started by another name is a greenlet where the standard library is patched."""
    names = re.compile(r"(?<!native\.)\b(?:Thread|SimpleQueue|start_new_thread|select\.poll)\(")
    users = {str(path.relative_to(PACKAGE)) for path in _modules() if names.search(path.read_text("utf-8"))}
    assert users == {"loop/native.py"}


def test_only_the_net_opens_connections():
    """Everybody connects through the one Connector, and listens through skitai.net."""
    calls = re.compile(r"\b(?:connect|listen)(?:TCP|UNIX|SSL|UDP)\(|\bClientEndpoint\b|\bHostnameEndpoint\b")
    users = {
        path.relative_to(PACKAGE).parts[0] for path in _modules() if calls.search(path.read_text("utf-8"))
    }
    assert users == {"net"}
