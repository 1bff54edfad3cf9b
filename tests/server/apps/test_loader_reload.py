"""Apps are loaded again when their files change, and only then."""

import importlib
import importlib.util
import os
import sys
import traceback
from pathlib import Path

import pytest
from app_files import PLAIN_APP, answering, body, import_system, load, rewrite, write  # noqa: F401

from skitai.server.apps.loader import AppLoadError, AppSource, LoadedApp


def reloading(directory, module="wsgi"):
    return LoadedApp(AppSource(directory, module), reload=True)


def test_without_reload_what_serves_stays(tmp_path):
    """Without reload an app stays as it was loaded, though another of its directory is mended."""
    write(
        tmp_path,
        {"good.py": answering("helper.value", "import helper"), "bad.py": "1 / 0", "helper.py": "value = 1"},
    )
    good, bad = (LoadedApp(AppSource(tmp_path, module), reload=False) for module in ("good", "bad"))
    before = good.get()
    error = fails(bad)
    assert fails(bad) is error
    rewrite(tmp_path / "helper.py", "value = 2")
    rewrite(tmp_path / "bad.py", answering("helper.value", "import helper"))
    assert body(bad.get()) == b"1"
    assert good.get() is before
    rewrite(tmp_path / "bad.py", answering("3"))
    assert body(bad.get()) == b"1"


RELOADING = "app = type('App', (), {'use_reloader': True, '__call__': lambda *_: [b'%s']})()"


def test_an_app_that_was_never_loaded_comes_back(tmp_path, monkeypatch):
    """An app that is broken when the server starts is tried again when it changes, and reloads as it says."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    write(tmp_path, {"wsgi.py": "import helper\n" + RELOADING % "1", "helper.py": "value = "})
    app = LoadedApp(AppSource(tmp_path, "wsgi"), reload=False)
    assert isinstance(fails(app).__cause__, SyntaxError)
    rewrite(tmp_path / "helper.py", "1 / 0")
    assert isinstance(fails(app).__cause__, ZeroDivisionError)
    rewrite(tmp_path / "helper.py", "value = 1")
    assert body(app.get()) == b"1"
    rewrite(tmp_path / "wsgi.py", RELOADING % "2")
    assert body(app.get()) == b"2"


def test_a_part_elsewhere_is_reloaded(tmp_path):
    """Modules that an app names as its parts are loaded again with it, wherever they are, and mend it."""
    part = (
        "from skitai.saddle import Saddlery\npart = Saddlery(__name__)\npart.route('/')(lambda was: '%s')\n"
    )
    source = """
        from skitai.saddle import Saddle
        import ext_part, ext_package
        app = Saddle(__name__)
        app.mount("/one", ext_part, "part")
        app.mount("/two", ext_package, "part")
    """
    common = write(tmp_path / "common", {"ext_part.py": part % "1"})
    write(common, {"ext_package/__init__.py": "from .inner import part", "ext_package/inner.py": part % "2"})
    sys.path.insert(0, str(common))
    app = reloading(write(tmp_path / "app", {"wsgi.py": source}))

    def bodies():
        return body(app.get(), "/one/"), body(app.get(), "/two/")

    assert bodies() == (b"1", b"2")
    assert str(common) in app.directories()
    before = app.get()
    rewrite(common / "ext_part.py", part % "3")
    assert bodies() == (b"3", b"2")
    assert app.get() is not before
    rewrite(common / "ext_package/inner.py", part % "4")
    assert bodies() == (b"3", b"4")
    rewrite(tmp_path / "app/wsgi.py", source + "    value = ext_part.value\n")
    fails(app)
    rewrite(common / "ext_part.py", part % "5" + "value = 1")
    assert bodies() == (b"5", b"4")


def test_a_part_of_another_app_reloads_both(tmp_path):
    """If an app has a part in the directory of another app, both see its changes, in either order."""
    write(
        tmp_path / "owner",
        {"owner_part.py": "value = 1", "owner.py": answering("p.value", "import owner_part as p")},
    )
    guest = """
        import owner_part
        class App:
            part_modules = {"owner_part", "json", "no_module"}
            def __call__(self, environ, start_response):
                return [str(owner_part.value).encode()]
        app = App()
    """
    apps = [reloading(tmp_path / "owner", "owner"), reloading(write(tmp_path / "guest", {"wsgi.py": guest}))]
    assert [body(app.get()) for app in apps] == [b"1", b"1"]
    json = sys.modules["json"]
    for value, order in ((2, apps), (3, apps[::-1])):
        rewrite(tmp_path / "owner/owner_part.py", f"value = {value}")
        assert [body(app.get()) for app in order] == [b"%d" % value] * 2
    assert sys.modules["json"] is json


BROKEN_PARTS = [
    ("import stray_part; app = stray_part.part", "prt = 1"),  # which lacks the name
    ("from stray_part import part as app", "prt = 1"),
    ("import stray_part; app = stray_part.part; 1 / 0", None),  # which is well, and changes meanwhile
]


@pytest.mark.parametrize(("source", "broken"), BROKEN_PARTS)
@pytest.mark.parametrize("was_well", [True, False])
def test_a_load_that_failed_leaves_no_part_behind(tmp_path, source, broken, was_well):
    """A module from elsewhere that met a failed load is loaded anew by the next, and its change is seen."""
    common = write(tmp_path / "common", {"stray_part.py": broken or "part = lambda *_: [b'old']"})
    sys.path.insert(0, str(common))
    directory = write(tmp_path / "app", {"wsgi.py": PLAIN_APP if was_well else source})
    app = reloading(directory) if was_well else LoadedApp(AppSource(directory, "wsgi"), reload=False)
    if was_well:
        app.get()
        rewrite(directory / "wsgi.py", source)
    fails(app)
    rewrite(common / "stray_part.py", "part = lambda *_: [b'new']")
    if broken is None:
        rewrite(directory / "wsgi.py", source.replace("1 / 0", "0"))
    assert body(app.get()) == b"new"


def test_a_load_that_failed_leaves_what_others_import(tmp_path):
    """Modules that another thread or another app has imported meanwhile stay when a load fails."""
    owner = write(tmp_path / "owner", {"owner.py": PLAIN_APP, "owned.py": ""})
    LoadedApp(AppSource(owner, "owner"), reload=False).get()
    write(tmp_path / "common", {"by_a_thread.py": "", "by_the_load.py": ""})
    sys.path.insert(0, str(tmp_path / "common"))
    source = """
        import importlib, threading
        import by_the_load, owned
        thread = threading.Thread(target=importlib.import_module, args=("by_a_thread",))
        thread.start()
        thread.join()
        1 / 0
    """
    app = LoadedApp(AppSource(write(tmp_path / "app", {"wsgi.py": source}), "wsgi"), reload=False)
    fails(app)
    there = {"by_a_thread", "by_the_load", "owned"} & sys.modules.keys()
    assert there == {"by_a_thread", "owned"}


def test_an_app_that_stays_keeps_its_modules(tmp_path):
    """Another app that reloads a part of its directory leaves it the modules that it has."""
    lazy = """
        import owner_part, state
        def app(environ, start_response):
            import state as now
            return [str(now is state).encode()]
    """
    write(tmp_path / "owner", {"owner.py": lazy, "owner_part.py": "value = 1", "state.py": ""})
    owner = LoadedApp(AppSource(tmp_path / "owner", "owner"), reload=False)
    assert body(owner.get()) == b"True"
    guest = """
        import owner_part
        class App:
            part_modules = {"owner_part"}
            def __call__(self, environ, start_response):
                return [str(owner_part.value).encode()]
        app = App()
    """
    app = reloading(write(tmp_path / "guest", {"wsgi.py": guest}))
    app.get()
    rewrite(tmp_path / "owner/owner_part.py", "value = 2")
    assert body(app.get()) == b"2"
    assert body(owner.get()) == b"True"


def test_raising_the_same_error_does_not_grow_it(tmp_path):
    """The traceback of an error that is raised for each request stays as long as it was."""
    app = LoadedApp(AppSource(tmp_path, "gone"), reload=False)
    lengths = set()
    for _ in range(3):
        with pytest.raises(AppLoadError) as caught:
            app.get()
        lengths.add(len(traceback.extract_tb(caught.value.__traceback__)))
    assert len(lengths) == 1


def test_unchanged_app_is_not_reloaded(tmp_path):
    """As long as no file changes, get() returns the same object."""
    write(tmp_path, {"wsgi.py": PLAIN_APP})
    app = reloading(tmp_path)
    assert app.get() is app.get()


@pytest.mark.parametrize("file", ["wsgi.py", "helper.py", "pkg/sub.py", "lazy.py"])
def test_changed_file_is_reloaded(tmp_path, file):
    """A change to any module of the app, lazily imported ones included, gives the new version."""
    source = """
        import helper, pkg.sub
        value = 1
        def app(environ, start_response):
            from . import lazy
            return [str(value + helper.value + pkg.sub.value + lazy.value).encode()]
    """
    files = {"wsgi.py": source, "pkg/__init__.py": ""}
    files |= dict.fromkeys(("helper.py", "pkg/sub.py", "lazy.py"), "value = 1")
    apps = [reloading(write(tmp_path / name, files)) for name in ("one", "two")]
    assert [body(app.get()) for app in apps] == [b"4", b"4"]
    for name, app in zip(("one", "two"), apps, strict=True):
        path = tmp_path / name / file
        rewrite(path, path.read_text().replace("value = 1", "value = 5"))
        assert body(app.get()) == b"8"


def test_change_of_equal_size_within_a_second_is_seen(tmp_path, monkeypatch):
    """Byte code from the same second as a change of equal size does not hide it."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    write(tmp_path, {"wsgi.py": answering("helper.value", "import helper"), "helper.py": "value = 1"})
    os.utime(tmp_path / "helper.py", ns=(5_000_000_000, 5_000_000_000))
    load(tmp_path)
    assert Path(importlib.util.cache_from_source(str(tmp_path / "helper.py"))).exists()
    for name in ("wsgi", "helper"):
        del sys.modules[name]
    app = reloading(tmp_path)
    assert body(app.get()) == b"1"
    (tmp_path / "helper.py").write_text("value = 2")
    os.utime(tmp_path / "helper.py", ns=(5_000_000_001, 5_000_000_001))
    assert body(app.get()) == b"2"


def test_package_that_was_imported_before_is_watched(tmp_path):
    """Modules that the app adds to a package which, say, a plugin imported before are reloaded, too."""
    write(tmp_path, {"pkg/__init__.py": "", "pkg/first.py": "", "pkg/second.py": "value = 1"})
    write(tmp_path, {"wsgi.py": answering("value", "from pkg.second import value")})
    sys.path.insert(0, str(tmp_path))
    package = importlib.import_module("pkg.first")
    app = reloading(tmp_path)
    assert body(app.get()) == b"1"
    rewrite(tmp_path / "pkg/second.py", "value = 2")
    assert body(app.get()) == b"2"
    assert sys.modules["pkg.first"] is package


def test_reload_leaves_other_modules(tmp_path):
    """A reload replaces the modules of the changed app's directory and no others."""
    files = {"wsgi.py": answering("id(helper)", "import helper, colorsys"), "helper.py": ""}
    one, two = (reloading(write(tmp_path / name, files)) for name in ("one", "two"))
    before = (one.get(), two.get(), importlib.import_module("colorsys"), body(one.get()))
    rewrite(tmp_path / "one/wsgi.py", files["wsgi.py"] + "\n")
    assert one.get() is not before[0]
    assert two.get() is before[1]
    assert importlib.import_module("colorsys") is before[2]
    assert sys.modules["helper"] is one.get().__globals__["helper"]


def test_apps_of_one_directory_reload_together(tmp_path):
    """A change to a shared sibling reaches every app of the directory."""
    files = dict.fromkeys(("a.py", "b.py"), answering("helper.value", "import helper"))
    write(tmp_path, {**files, "helper.py": "value = 1"})
    apps = [reloading(tmp_path, name) for name in ("a", "b")]
    assert [body(app.get()) for app in apps] == [b"1", b"1"]
    rewrite(tmp_path / "helper.py", "value = 2")
    assert [body(app.get()) for app in apps] == [b"2", b"2"]
    assert apps[0].get().__globals__["helper"] is apps[1].get().__globals__["helper"]


def fails(app):
    with pytest.raises(AppLoadError) as caught:
        app.get()
    return caught.value


def test_failed_reload_is_an_error_until_mended(tmp_path):
    """A broken new version is an error rather than the old version; the mended one serves."""
    write(tmp_path, {"wsgi.py": answering("helper.value", "import helper"), "helper.py": "value = 1"})
    app = reloading(tmp_path)
    app.get()
    rewrite(tmp_path / "helper.py", "value = ")
    error = fails(app)
    assert fails(app) is error
    rewrite(tmp_path / "helper.py", "value = 1 / 0")
    assert isinstance(fails(app).__cause__, ZeroDivisionError)
    rewrite(tmp_path / "helper.py", "value = 3")
    assert body(app.get()) == b"3"


def test_failed_app_is_not_tried_again_before_a_change(tmp_path):
    """The code of an app that fails runs once, not once a request."""
    write(tmp_path, {"wsgi.py": "import sys\nsys.attempts.append(1)\n1 / 0"})
    sys.attempts = []
    try:
        app = reloading(tmp_path)
        assert fails(app) is fails(app)
        assert sys.attempts == [1]
    finally:
        del sys.attempts


@pytest.mark.parametrize("missing", ["wsgi.py", "helper.py", "pkg/sub.py"])
def test_missing_file_mends_the_app(tmp_path, missing):
    """A failed app is tried again when the file that it lacks appears."""
    files = {
        "wsgi.py": answering("helper.value + pkg.sub.value", "import helper\nimport pkg.sub"),
        "helper.py": "value = 1",
        "pkg/__init__.py": "",
        "pkg/sub.py": "value = 1",
    }
    write(tmp_path, {name: text for name, text in files.items() if name != missing})
    app = reloading(tmp_path)
    assert fails(app) is fails(app)
    write(tmp_path, {missing: files[missing]})
    assert body(app.get()) == b"2"


@pytest.mark.parametrize("name", ["helper", "email"])
def test_file_that_appears_within_the_same_clock_tick_is_found(tmp_path, name):
    """A listing of the directory from before a file was written does not hide the file."""
    write(tmp_path, {"wsgi.py": answering("value", f"from {name} import value")})
    app = reloading(tmp_path)
    fails(app)
    listed = tmp_path.stat().st_mtime_ns
    write(tmp_path, {f"{name}.py": "value = 1"})
    os.utime(tmp_path, ns=(listed, listed))
    assert body(app.get()) == b"1"


def test_missing_module_in_a_directory_without_init_mends_the_app(tmp_path):
    """An app with a dotted name is tried again when its file appears."""
    write(tmp_path, {"sub/other.txt": ""})
    app = reloading(tmp_path, "sub.wsgi")
    fails(app)
    write(tmp_path, {"sub/wsgi.py": answering("1")})
    assert body(app.get()) == b"1"


def test_name_that_others_took_is_private_after_a_reload(tmp_path):
    """An app keeps its sibling when, before a reload, a library of that name comes first on sys.path."""
    source = answering("helper.value", "import helper")
    app = reloading(write(tmp_path / "app", {"wsgi.py": source, "helper.py": "value = 1"}))
    assert body(app.get()) == b"1"
    sys.path.insert(0, str(write(tmp_path / "lib", {"helper.py": "value = 'other'"})))
    rewrite(tmp_path / "app/helper.py", "value = 2")
    assert body(app.get()) == b"2"


def test_missing_directory_that_appears_mends_the_app(tmp_path):
    """An app whose directory did not exist serves once it is there, package or not."""
    app = reloading(tmp_path / "later")
    fails(app)
    write(
        tmp_path / "later",
        {"__init__.py": "", "b.py": "value = 1", "wsgi.py": answering("value", "from .b import value")},
    )
    assert body(app.get()) == b"1"


def test_failing_file_elsewhere_is_watched(tmp_path):
    """An app that failed in a library is tried again when that library's file changes."""
    sys.path.insert(0, str(write(tmp_path / "lib", {"a_library.py": "1 / 0"})))
    app = reloading(write(tmp_path / "app", {"wsgi.py": answering("a_library.value", "import a_library")}))
    fails(app)
    rewrite(tmp_path / "lib/a_library.py", "value = 1")
    assert body(app.get()) == b"1"


def test_deleted_file_is_a_change(tmp_path):
    """An app whose file is gone is an error until it is back."""
    write(tmp_path, {"wsgi.py": answering("1")})
    app = reloading(tmp_path)
    app.get()
    (tmp_path / "wsgi.py").unlink()
    assert "there is no module" in str(fails(app))
    rewrite(tmp_path / "wsgi.py", answering("2"))
    assert body(app.get()) == b"2"


def test_interrupted_load_is_done_again(tmp_path):
    """After Control-C in the middle of loading, the app can still be loaded."""
    write(tmp_path, {"wsgi.py": "raise KeyboardInterrupt"})
    app = LoadedApp(AppSource(tmp_path, "wsgi"), reload=False)
    with pytest.raises(KeyboardInterrupt):
        app.get()
    rewrite(tmp_path / "wsgi.py", answering("1"))
    assert body(app.get()) == b"1"
