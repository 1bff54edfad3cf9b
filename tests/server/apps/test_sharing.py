"""Apps whose libraries keep something for each thread are named where requests share one."""

import sys
from types import ModuleType

import pytest

from serving import config_text, eventually
from skitai.server.apps.sharing import shared_libraries


@pytest.fixture
def modules(monkeypatch):
    """Return ``modules(name, **names)``, which makes a module that is imported."""

    def make(name, **names):
        module = ModuleType(name)
        module.__dict__.update(names)
        monkeypatch.setitem(sys.modules, name, module)
        return module

    return make


def test_what_an_app_imported_itself(modules):
    """A library counts that the app or what it uses has imported, not one that only others have."""
    database = modules("sqlalchemy")
    orm = modules("sqlalchemy.orm")
    between = modules("shoplib", orm=orm)
    assert shared_libraries(modules("wsgi", shoplib=between)) == {"sqlalchemy": "scoped sessions"}
    assert shared_libraries(modules("wsgi2", sa=database)) == {"sqlalchemy": "scoped sessions"}
    assert shared_libraries(modules("other", sys=sys)) == {}


def test_objects_tell_where_they_come_from(modules):
    """A class, a function or an object of a library shows that the app imported it; no object is touched."""

    class Lazy:
        __module__ = "asgiref.local"

        def __getattribute__(self, name):
            raise AssertionError(name)

    modules("asgiref")
    modules("asgiref.local")
    assert shared_libraries(modules("wsgi", local=Lazy())) == {"asgiref": "locals"}
    assert shared_libraries(modules("wsgi2", Local=Lazy)) == {"asgiref": "locals"}


APP = """
{imports}

def app(environ, start_response):
    start_response("200 OK", [])
    return []
"""
START = "[info] threads = 0 at "
NAMED = "[warning] under threads = 0 the requests of "


def test_the_log_says_what_requests_share(running_server, tmp_path):
    """Under plain greenlets the start says what is shared, and each app is named once that needs more."""
    (tmp_path / "plain.py").write_text(APP.format(imports="import json"))
    (tmp_path / "database.py").write_text(APP.format(imports="from django.db import transaction"))
    mounts = {
        "/": f"{tmp_path}/plain:app",
        "/a": f"{tmp_path}/database:app",
        "/b": f"{tmp_path}/database:app",
    }
    server = running_server(config_text(mounts, threads=0, processes=2))
    assert server.ask("/b").status == "200 OK"
    server.stop()
    log = server.log_text()
    assert log.count(START) == 1
    assert f"{START}/, /a, /b: requests share threading.local" in log
    named = [line for line in log.splitlines() if NAMED in line]
    assert len(named) == 1
    assert (
        f"{NAMED}{tmp_path}/database:app share the connections and transactions of django.db,"
        " the locals of asgiref: give it threads, or set cooperative = yes" in named[0]
    )


def test_the_log_names_the_mounts_that_share(running_server, tmp_path):
    """Beside threads, only the mounts are named that have greenlets."""
    (tmp_path / "plain.py").write_text(APP.format(imports="import json"))
    mounts = {"/": f"{tmp_path}/plain:app", "/live": f"{tmp_path}/plain:app threads=0"}
    server = running_server(config_text(mounts, threads=2))
    eventually(lambda: f"{START}/live: requests share" in server.log_text(), "the line of the log")


def test_threads_share_nothing(running_server, tmp_path):
    """Under threads there is nothing to say."""
    (tmp_path / "database.py").write_text(APP.format(imports="from django.db import transaction"))
    server = running_server(config_text({"/": f"{tmp_path}/database:app"}, threads=2))
    assert server.ask("/").status == "200 OK"
    assert START not in server.log_text()
    assert NAMED not in server.log_text()
