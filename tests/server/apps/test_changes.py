"""What has changed of the code of a process, and what developers see."""

import os
import sys

import pytest
from app_files import answering, body, import_system, rewrite, write  # noqa: F401

from skitai.server.apps import changes
from skitai.server.apps.changes import CodeChanges
from skitai.server.apps.debugger import with_debugger
from skitai.server.apps.loader import AppLoadError, AppSource, LoadedApp


@pytest.fixture
def code(tmp_path):
    """The code of an app that imports a module from elsewhere, with a config; the app is not loaded yet."""
    write(tmp_path / "lib", {"elsewhere_lib.py": "value = 1"})
    source = answering("(helper.value, elsewhere_lib.value)", "import helper, elsewhere_lib")
    write(tmp_path / "app", {"wsgi.py": source, "helper.py": "value = 1", "a.html": "", "b.txt": ""})
    write(tmp_path, {"site.conf": ""})
    sys.path.insert(0, str(tmp_path / "lib"))
    code = CodeChanges()
    code.apps.append(LoadedApp(AppSource(tmp_path / "app", "wsgi"), reload=True))
    code.take_over([tmp_path / "site.conf"], ["*.html"])
    return code


def names(found):
    changed, is_old = found
    return sorted(os.path.basename(path) for path in changed), is_old


def test_what_counts(code, tmp_path):
    """Modules of the app and from elsewhere, the config and patterns count; nothing is loaded again."""
    (app,) = code.apps
    assert names(code.look()) == ([], False)
    before = app.get()
    assert names(code.look()) == ([], False)
    assert not app.reloads
    assert {str(tmp_path / name) for name in ("app", "lib")} <= code.directories()
    assert [code.matters(str(tmp_path / name)) for name in ("x.py", "site.conf", "c.html", "b.txt")] == [
        True,
        True,
        True,
        False,
    ]
    rewrite(tmp_path / "app" / "helper.py", "value = 2")
    rewrite(tmp_path / "lib" / "elsewhere_lib.py", "value = 2")
    rewrite(tmp_path / "app" / "b.txt", "x")
    (tmp_path / "app" / "a.html").unlink()
    assert names(code.look()) == (["a.html", "elsewhere_lib.py", "helper.py"], False)
    assert app.get() is before
    rewrite(tmp_path / "site.conf", "[server]")
    assert code.look()[1]
    code.forgive()
    assert not code.look()[1]


def test_what_cannot_be_loaded(code, tmp_path):
    """A module that is missing, and comes, is a change; the failure stays until the process is replaced."""
    (app,) = code.apps
    helper = tmp_path / "app" / "helper.py"
    helper.unlink()
    with pytest.raises(AppLoadError) as first:
        app.get()
    assert names(code.look()) == ([], False)
    helper.write_text("value = 3")
    assert names(code.look()) == (["helper.py"], False)
    with pytest.raises(AppLoadError) as second:
        app.get()
    assert second.value is first.value


def test_what_still_changes(code, tmp_path, monkeypatch):
    """A file that is being written is waited for."""
    code.apps[0].get()
    helper, texts = tmp_path / "app" / "helper.py", ["value =", "value = 4", "value = 4"]
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        text = texts.pop(0)
        if helper.read_text() != text:
            rewrite(helper, text)

    monkeypatch.setattr(changes, "sleep", sleep)
    assert names(code.settled()) == ([], False)
    assert waits == []
    rewrite(helper, "")
    assert names(code.settled()) == (["helper.py"], False)
    assert texts == []


@pytest.mark.parametrize("console", [False, True])
def test_flask_debugger(console):
    """It is around apps of Flask that are in debug, once for each of them, and around no other."""
    from flask import Flask
    from werkzeug.debug import DebuggedApplication

    plain, debugged = Flask("plain"), Flask("debugged")
    debugged.debug = True
    apps = [plain, debugged, debugged, print]
    get = with_debugger(lambda: apps.pop(0), console=console)
    assert get() is plain
    shown = get()
    assert isinstance(shown, DebuggedApplication)
    assert (shown.app, shown.evalex) == (debugged, console)
    assert get() is shown
    assert get() is print
