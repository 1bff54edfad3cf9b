"""What apps loaded by file path see of each other, of their siblings, and of changes to their files."""

import builtins
import importlib
import importlib.util
import inspect
import os
import subprocess
import sys
import textwrap
import traceback
from pathlib import Path

import pytest

import skitai
from skitai.server.loader import AppLoadError, AppSource, LoadedApp, load_app

PLAIN_APP = """
    def app(environ, start_response):
        start_response("200 OK", [])
        return [__file__.encode()]
"""


@pytest.fixture(autouse=True)
def import_system():
    """Give each test the import system as it was before."""
    modules, path, hooks = dict(sys.modules), list(sys.path), list(sys.path_hooks)
    finders = dict(sys.path_importer_cache)
    yield
    sys.modules.clear()
    sys.modules.update(modules)
    sys.path[:] = path
    sys.path_hooks[:] = hooks
    sys.path_importer_cache.clear()
    sys.path_importer_cache.update(finders)


def write(directory, files):
    """Write ``{relative path: source}`` below ``directory`` and return it."""
    for name, source in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source), encoding="utf-8")
    return directory


def rewrite(path, source):
    """Replace a file and move its modification time, however coarse the clock of the file system is."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    os.utime(path, ns=(before + 1_000_000_000, before + 1_000_000_000))


def body(app, path="/"):
    """Return the body of the app's answer to a GET request."""
    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.input": None,
    }
    return b"".join(app(environ, lambda status, headers, exc_info=None: None))


def answering(expression, imports=""):
    """Return the source of an app that answers the value of ``expression``."""
    return f"{imports}\ndef app(environ, start_response):\n    return [str({expression}).encode()]\n"


def load(directory, module="wsgi", attribute="app"):
    return load_app(AppSource(directory, module, attribute))


def two_apps(tmp_path, files_of):
    """Write and load two apps of the same file names; ``files_of(name)`` gives the files of one."""
    return [load(write(tmp_path / name, files_of(name))) for name in ("one", "two")]


# Loading


def test_callable_of_a_file_is_loaded(tmp_path):
    """An app is found by directory, module and attribute, which is ``app`` when not given."""
    write(tmp_path, {"wsgi.py": PLAIN_APP})
    assert body(load_app(AppSource(tmp_path, "wsgi"))) == os.fsencode(tmp_path / "wsgi.py")


def test_same_file_twice_is_one_app(tmp_path):
    """A file that is mounted twice is executed once."""
    write(tmp_path, {"wsgi.py": PLAIN_APP})
    assert load(tmp_path) is load(tmp_path)


def test_same_module_name_in_two_directories_is_two_apps(tmp_path):
    """Apps of the same module name in two directories are two apps in two modules of different names."""
    one, two = two_apps(tmp_path, lambda name: {"wsgi.py": PLAIN_APP})
    assert body(one) == os.fsencode(tmp_path / "one/wsgi.py")
    assert body(two) == os.fsencode(tmp_path / "two/wsgi.py")
    assert one.__module__ != two.__module__
    assert [sys.modules[app.__module__].app for app in (one, two)] == [one, two]


def test_attribute_may_be_dotted(tmp_path):
    """A dotted attribute leads through objects to the callable."""
    write(tmp_path, {"wsgi.py": "class site:\n    def wsgi(environ, start_response): return [b'dotted']\n"})
    assert body(load(tmp_path, attribute="site.wsgi")) == b"dotted"


def test_factory_is_not_called(tmp_path):
    """What is named is the app, even if it is a function that would make one."""
    write(tmp_path, {"wsgi.py": "def create_app():\n    raise AssertionError\n"})
    assert load(tmp_path, attribute="create_app").__name__ == "create_app"


@pytest.mark.parametrize("mount", [("", "project.wsgi"), ("project", "wsgi")])
def test_module_in_a_package_has_its_package_name(tmp_path, mount):
    """A module in a package is mounted by its directory or by its dotted name, and knows its package."""
    write(
        tmp_path,
        {
            "project/__init__.py": "",
            "project/wsgi.py": answering("(value, __name__)", "from project.a import value"),
            "project/a.py": "from .b import value",
            "project/b.py": "value = 7",
        },
    )
    assert body(load(tmp_path / mount[0], mount[1])) == b"(7, 'project.wsgi')"


def test_package_mounted_both_ways_is_one_app(tmp_path):
    """A module mounted by dotted name and by its directory is executed once."""
    write(tmp_path, {"project/__init__.py": "", "project/wsgi.py": PLAIN_APP})
    assert load(tmp_path, "project.wsgi") is load(tmp_path / "project")


def test_package_itself_can_be_the_app(tmp_path):
    """A package that defines the callable is mounted like a module."""
    write(
        tmp_path,
        {"site_a/__init__.py": answering("value", "from .b import value"), "site_a/b.py": "value = 1"},
    )
    assert body(load(tmp_path, "site_a")) == b"1"


@pytest.mark.parametrize(
    "module", ["my app", "1st", "my-app", "v1.2 app", "grüße", "class", "__main__", "time"]
)
def test_file_name_need_not_be_an_identifier(tmp_path, module):
    """An app loads from a file of any name, relative imports included."""
    write(tmp_path, {f"{module}.py": answering("(value, __name__ != '__main__')", "from .b import value")})
    write(tmp_path, {"b.py": "value = 1"})
    assert body(load(tmp_path, module)) == b"(1, True)"


def test_shadowed_odd_file_name_is_private(tmp_path):
    """Two apps whose file name contains a dot are two apps."""
    apps = [load(write(tmp_path / name, {"my.app.py": PLAIN_APP}), "my.app") for name in ("one", "two")]
    assert [body(app) for app in apps] == [
        os.fsencode(tmp_path / name / "my.app.py") for name in ("one", "two")
    ]


@pytest.mark.parametrize("name", ["www.example.com", "my apps", "2024", "grüße"])
def test_directory_name_need_not_be_an_identifier(tmp_path, name):
    """An app loads from a directory of any name, even one that calls itself a package."""
    write(
        tmp_path / name,
        {"__init__.py": "", "wsgi.py": answering("value", "from .b import value"), "b.py": "value = 1"},
    )
    assert body(load(tmp_path / name)) == b"1"


def test_directory_may_be_relative_and_a_link(tmp_path, monkeypatch):
    """A directory spelled in another way is the same directory."""
    write(tmp_path / "real", {"wsgi.py": PLAIN_APP})
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path)
    assert load(Path("link")) is load(tmp_path / "real")


def test_directory_on_the_path_by_another_name_is_the_same(tmp_path):
    """A module that was imported by way of a symbolic link on sys.path is not executed again."""
    write(tmp_path / "real", {"wsgi.py": answering("helper.__name__", "import helper"), "helper.py": ""})
    (tmp_path / "link").symlink_to(tmp_path / "real")
    sys.path.insert(0, str(tmp_path / "link"))
    helper = importlib.import_module("helper")
    load(tmp_path / "real")
    assert sys.modules["wsgi"].helper is helper


# Errors


def failure(directory, module="wsgi", attribute="app"):
    with pytest.raises(AppLoadError) as caught:
        load(directory, module, attribute)
    return caught.value


def test_failing_import_keeps_its_traceback(tmp_path):
    """The error names the app and is chained to what the code raised, with its file, line and source."""
    write(tmp_path, {"wsgi.py": "import helper\n", "helper.py": "\nvalue = 1 / 0\n"})
    error = failure(tmp_path)
    assert str(error) == f"cannot load {tmp_path}/wsgi:app: ZeroDivisionError: division by zero"
    frames = traceback.extract_tb(error.__cause__.__traceback__)
    assert (frames[0].filename, frames[0].lineno, frames[0].line) == (
        str(tmp_path / "wsgi.py"),
        1,
        "import helper",
    )
    assert (frames[-1].filename, frames[-1].lineno, frames[-1].line) == (
        str(tmp_path / "helper.py"),
        2,
        "value = 1 / 0",
    )
    assert len(frames) == 2


def test_syntax_error_names_file_and_line(tmp_path):
    """A syntax error is an AppLoadError whose cause says where it is."""
    write(tmp_path, {"wsgi.py": "\n\ndef app(:\n"})
    cause = failure(tmp_path).__cause__
    assert (cause.filename, cause.lineno) == (str(tmp_path / "wsgi.py"), 3)


@pytest.mark.parametrize(
    "statement", ["raise SystemExit(2)", "raise GeneratorExit", "raise BaseException('x')"]
)
def test_exit_at_import_is_a_load_error(tmp_path, statement):
    """A script that exits when imported does not take the server with it."""
    write(tmp_path, {"wsgi.py": statement})
    assert type(failure(tmp_path).__cause__).__name__ in statement


def test_keyboard_interrupt_passes(tmp_path):
    """Control-C during an import stops the server, and leaves no module behind."""
    write(tmp_path, {"wsgi.py": "import helper\nraise KeyboardInterrupt", "helper.py": ""})
    with pytest.raises(KeyboardInterrupt):
        load(tmp_path)
    assert not {"wsgi", "helper"} & set(sys.modules)


@pytest.mark.parametrize("module", ["nothing", "pkg.nothing", "nothing.at.all", "", "..", "../wsgi", "a\0b"])
def test_missing_module_is_named(tmp_path, module):
    """A module that does not exist is reported as the user wrote it."""
    write(tmp_path, {"pkg/__init__.py": "", "wsgi.py": PLAIN_APP})
    assert f"there is no module {module!r} in {tmp_path}" in str(failure(tmp_path, module))


def test_missing_directory_is_named(tmp_path):
    """A directory that does not exist is reported."""
    assert f"there is no module 'wsgi' in {tmp_path / 'gone'}" in str(failure(tmp_path / "gone"))


def test_missing_import_of_the_app_is_not_taken_for_a_missing_app(tmp_path):
    """The name of a library that is not installed is reported."""
    write(tmp_path, {"wsgi.py": "import surely_not_installed"})
    assert "No module named 'surely_not_installed'" in str(failure(tmp_path))


def test_missing_attribute_is_named(tmp_path):
    """A module or directory without the callable is reported with the name that it lacks."""
    write(tmp_path, {"wsgi.py": PLAIN_APP, "directory/wsgi.py": PLAIN_APP})
    for module in ("wsgi", "directory"):
        error = failure(tmp_path, module, "application")
        assert f"cannot load {tmp_path / module}:application: the module has no 'application'" in str(error)
        assert isinstance(error.__cause__, AttributeError)


def test_attribute_that_cannot_be_called_is_named(tmp_path):
    """An attribute that is no callable is reported with its type."""
    write(tmp_path, {"wsgi.py": "app = 'hello'"})
    assert "'app'" in str(failure(tmp_path))
    assert "'str'" in str(failure(tmp_path))


def test_failed_import_leaves_no_modules(tmp_path):
    """Neither the failed module, nor siblings that hold it half-made, nor its package attributes stay."""
    files = {
        "wsgi.py": "from . import helper\nimport pkg.sub\n1 / 0",
        "helper.py": "import wsgi",
        "pkg/__init__.py": "",
        "pkg/sub.py": "",
    }
    two = [write(tmp_path / name, files) for name in ("one", "two")]
    before = set(sys.modules)
    for directory in two * 2:
        failure(directory)
        left = {name.rpartition(".")[2] for name in set(sys.modules) - before}
        assert not left & {"wsgi", "helper", "pkg", "sub"}
    rewrite(two[0] / "wsgi.py", answering("helper.value", "from . import helper"))
    rewrite(two[0] / "helper.py", "value = 1")
    assert body(load(two[0])) == b"1"


def test_failed_import_leaves_the_other_apps_of_the_directory(tmp_path):
    """Siblings that another app of the same directory uses stay when one app fails."""
    write(
        tmp_path,
        {"good.py": answering("1", "import helper"), "bad.py": "import helper\n1 / 0", "helper.py": ""},
    )
    good = load(tmp_path, "good")
    failure(tmp_path, "bad")
    assert good.__globals__["helper"] is sys.modules["helper"]


# Siblings

SIBLINGS = {
    "from . import helper": "helper.value",
    "from .helper import value": "value",
    "import helper": "helper.value",
    "import helper as h": "h.value",
    "import os, helper": "(os, helper.value)[1]",
    "from helper import value": "value",
    "from helper import *": "value",
    "import helper.sub": "(helper.sub.value, helper.value)[1]",
    "import helper.sub as s": "s.value",
    "from helper.sub import value": "value",
    "from helper import sub": "sub.value",
    "import helper.sub, helper.more": "(helper.more, helper.sub.value)[1]",
}


def helper_package(name):
    return {
        "helper/__init__.py": f"value = {name!r}",
        "helper/sub.py": "from helper import value",
        "helper/more.py": "import other\nfrom .sub import value\nassert value == other.value",
        "other.py": "from helper.sub import value",
    }


@pytest.mark.parametrize("statement", SIBLINGS)
def test_sibling_imports_mean_the_siblings_of_the_app(tmp_path, statement):
    """Every form of import of a module beside the app gives that module, at import and at request time."""
    lazily = f"def value_of():\n    {statement}\n    return {SIBLINGS[statement]}\n"
    if "*" in statement:
        lazily = f"def value_of():\n    return {SIBLINGS[statement]}\n"
    source = answering(f"{SIBLINGS[statement]} + value_of()", f"{statement}\n{lazily}")
    one, two = two_apps(tmp_path, lambda name: {"wsgi.py": source, **helper_package(name)})
    assert (body(one), body(two)) == (b"oneone", b"twotwo")


@pytest.mark.parametrize("statement", [one for one in SIBLINGS if "*" not in one])
def test_siblings_first_imported_at_request_time(tmp_path, statement):
    """Imports inside a view find the app's siblings, in whatever order the apps are asked."""
    source = (
        f"def app(environ, start_response):\n    {statement}\n    return [{SIBLINGS[statement]}.encode()]\n"
    )
    one, two = two_apps(tmp_path, lambda name: {"wsgi.py": source, **helper_package(name)})
    assert (body(two), body(one), body(two)) == (b"two", b"one", b"two")


def test_siblings_of_siblings(tmp_path):
    """A module that was imported plainly finds its own directory's modules, too, public or not."""
    two_apps(tmp_path, lambda name: {"wsgi.py": PLAIN_APP, "util.py": f"value = {name!r}"})
    three = write(tmp_path / "three", {"wsgi.py": answering("only_here.util.value", "import only_here")})
    write(three, {"only_here.py": "import util", "util.py": "value = 'three'"})
    sys.path.insert(0, str(tmp_path / "one"))
    importlib.import_module("util")
    assert body(load(three)) == b"three"
    assert sys.modules["only_here"].util.value == "three"


@pytest.mark.parametrize(
    "plainly", ["import app", "from app import registered", "from . import app", "import views"]
)
def test_circular_imports(tmp_path, plainly):
    """A sibling that imports the app module gets the one module that is the app, not a second copy."""
    views = (
        f"{plainly}\nfrom app import registered\nregistered.append(1)\nimport app\nf = lambda: app.registered"
    )
    source = "registered = []\nimport views\nfrom . import views as again\nassert again is views\n"
    source += answering("(registered, views.f() is registered)")
    apps = [load(write(tmp_path / n, {"app.py": source, "views.py": views}), "app") for n in ("one", "two")]
    assert [body(app) for app in apps] == [b"([1], True)"] * 2


def test_relative_and_plain_import_give_one_module(tmp_path):
    """A sibling is one module, whichever way and in whatever order it is imported."""
    source = "import a\nfrom . import a as b\nfrom . import c\nimport c as d\nimport p.q\nfrom .p import q\n"
    source += answering(
        "(a is b, c is d, p.q is q, a.__spec__.name == a.__name__, c.__spec__.name == c.__name__)"
    )
    files = {
        "wsgi.py": source,
        "a.py": "",
        "c.py": "from . import c as me",
        "p/__init__.py": "",
        "p/q.py": "",
    }
    for app in two_apps(tmp_path, lambda name: files):
        assert body(app) == b"(True, True, True, True, True)"


@pytest.mark.parametrize("name", ["email", "test", "colorsys", "pluggy"])
def test_sibling_shadows_a_library(tmp_path, name):
    """A sibling named like a library is what the app means, and only the app."""
    source = answering(f"{name}.value + other.value", f"import {name}, other")
    write(tmp_path, {"wsgi.py": source, f"{name}.py": "value = 1", "other.py": f"from {name} import value"})
    assert body(load(tmp_path)) == b"2"
    assert not hasattr(importlib.import_module(name), "value")


def test_builtin_modules_are_not_shadowed(tmp_path):
    """A file named like a module built into the interpreter does not hide it from the app."""
    write(tmp_path, {"wsgi.py": answering("time.time() > 0", "import time"), "time.py": "", "sys.py": ""})
    assert body(load(tmp_path)) == b"True"


def test_directory_without_code_does_not_shadow_a_library(tmp_path):
    """A directory of mail templates named ``email`` does not hide the standard library's package."""
    write(
        tmp_path, {"wsgi.py": answering("email.__name__", "import email.message"), "email/hello.txt": "Hello"}
    )
    assert body(load(tmp_path)) == b"email"


def test_packages_without_init_are_apart(tmp_path):
    """Directories of modules without ``__init__.py`` belong to their own app."""
    source = answering("parts.a.value", "import parts.a")
    apps = two_apps(tmp_path, lambda name: {"wsgi.py": source, "parts/a.py": f"value = {name!r}"})
    assert [body(app) for app in apps] == [b"one", b"two"]


def test_file_shared_by_links_sees_the_siblings_of_each_app(tmp_path):
    """A sibling linked into two app directories is loaded once for each, with its siblings."""
    write(tmp_path, {"shared.py": "from config import value"})
    for name in ("one", "two"):
        write(
            tmp_path / name,
            {"wsgi.py": answering("shared.value", "import shared"), "config.py": f"value = {name!r}"},
        )
        (tmp_path / name / "shared.py").symlink_to(tmp_path / "shared.py")
    assert [body(load(tmp_path / name)) for name in ("one", "two")] == [b"one", b"two"]


def test_directory_is_last_on_the_path_once(tmp_path):
    """Frameworks find the app's modules by name, after all libraries."""
    write(tmp_path, {"wsgi.py": PLAIN_APP, "b.py": PLAIN_APP})
    load(tmp_path), load(tmp_path, "b")
    assert sys.path.count(str(tmp_path)) == 1
    assert sys.path[-1] == str(tmp_path)


def test_byte_code_cache_holds_the_file_as_it_is(tmp_path, monkeypatch):
    """Another server that reads the byte code beside a file gets what the file says."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    apps = two_apps(
        tmp_path, lambda n: {"wsgi.py": answering("helper.v", "import helper"), "helper.py": f"v = {n!r}"}
    )
    assert [body(app) for app in apps] == [b"one", b"two"]
    assert Path(importlib.util.cache_from_source(str(tmp_path / "two/wsgi.py"))).exists()
    code = "import wsgi; print(wsgi.helper.__name__, wsgi.helper.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "two", capture_output=True, text=True)
    assert done.stdout.split() == ["helper", str(tmp_path / "two" / "helper.py")]


def test_names_added_to_builtins_reach_the_app(tmp_path):
    """What is installed into ``builtins`` after the app was loaded, as by gettext, is seen by it."""
    one, two = two_apps(tmp_path, lambda name: {"wsgi.py": answering("_('x')", "import b"), "b.py": ""})
    builtins._ = str.upper
    try:
        assert (body(one), body(two)) == (b"X", b"X")
    finally:
        del builtins._


def test_future_statements_encoding_and_positions_survive(tmp_path):
    """A module whose imports were redirected behaves like its text: flags, encoding, line numbers, source."""
    source = (
        "# coding: latin-1\n'doc'\nfrom __future__ import annotations\nimport helper\n\n\n"
        "def f(x: undefined) -> 'é': return 1 / 0\n"
    )
    for name in ("one", "two"):
        write(tmp_path / name, {"helper.py": ""})
        (tmp_path / name / "wsgi.py").write_bytes(source.encode("latin-1"))
        f = load(tmp_path / name, attribute="f")
        assert f.__annotations__ == {"x": "undefined", "return": "'é'"}
        assert sys.modules[f.__module__].__doc__ == "doc"
        assert inspect.getsource(f).startswith("def f(x: undefined)")
        with pytest.raises(ZeroDivisionError) as caught:
            f(1)
        assert traceback.extract_tb(caught.value.__traceback__)[-1].lineno == 7


def test_resources_and_listing(tmp_path):
    """importlib.resources, pkgutil and relative names by string work from the app's package."""
    source = """
        import importlib, importlib.resources, pkgutil
        text = importlib.resources.files(__package__).joinpath("data.txt").read_text()
        data = pkgutil.get_data(__name__, "data.txt")
        package = importlib.import_module(__package__)
        names = [module.name for module in pkgutil.iter_modules(package.__path__)]
        helper = importlib.import_module(".helper", __package__)
        app = lambda environ, start_response: [repr((text, data, names, helper.value)).encode()]
    """
    files = {"wsgi.py": source, "data.txt": "d", "helper.py": "value = 1"}
    for app in two_apps(tmp_path, lambda name: files):
        assert body(app) == b"('d', b'd', ['helper', 'wsgi'], 1)"


def test_libraries_below_the_app_are_not_part_of_it(tmp_path):
    """A library in a virtual environment below the app directory is loaded and kept as any library."""
    write(tmp_path, {"wsgi.py": answering("lib.value", "import lib"), ".venv/site/lib.py": "value = []"})
    sys.path.insert(0, str(tmp_path / ".venv/site"))
    app = LoadedApp(AppSource(tmp_path, "wsgi"), reload=True)
    app.get()
    lib = sys.modules["lib"]
    rewrite(tmp_path / "wsgi.py", answering("lib.value == [] and 2", "import lib"))
    assert body(app.get()) == b"2"
    assert sys.modules["lib"] is lib


def test_app_in_the_source_tree_of_the_server_does_not_reload_it(tmp_path):
    """Reloading an app that lies beside the package ``skitai`` leaves the server's modules alone."""
    script = f"""
        import os, sys
        from pathlib import Path
        from skitai.server.loader import AppSource, LoadedApp
        app = LoadedApp(AppSource(Path({str(tmp_path)!r}), "wsgi"), reload=True)
        app.get()
        result = sys.modules["skitai.calls.result"]
        wsgi = Path({str(tmp_path)!r}, "wsgi.py")
        wsgi.write_text(wsgi.read_text() + "reloaded = True\\n")
        app.get()
        assert sys.modules["wsgi"].reloaded and sys.modules["skitai.calls.result"] is result
    """
    (tmp_path / "skitai").mkdir()
    for module in (
        "__init__",
        "errors",
        "calls/__init__",
        "calls/operation",
        "calls/result",
        "server/__init__",
    ):
        write(tmp_path, {f"skitai/{module}.py": ""})
    source = Path(skitai.__file__).parent
    for module in (
        "errors",
        "server/loader",
        "server/app_modules",
        "server/app_finder",
        "server/sibling_imports",
    ):
        (tmp_path / f"skitai/{module}.py").write_text((source / f"{module}.py").read_text())
    write(tmp_path, {"wsgi.py": "import skitai.calls.result\ndef app(environ, start_response): pass\n"})
    run_script(tmp_path, script)


# Frameworks


def test_flask_apps_side_by_side(tmp_path):
    """Flask apps of the same module name have their own templates, static and instance folders and views."""
    files = {
        "app.py": """
            from flask import Flask, render_template
            app = Flask(__name__)
            from views import *
        """,
        "views.py": """
            from app import app
            from flask import render_template
            @app.route("/")
            def index():
                from helper import name
                return render_template("index.html", name=name)
        """,
    }
    for name in ("one", "two"):
        write(tmp_path / name, {**files, "helper.py": f"name = {name!r}"})
        write(tmp_path / name, {"templates/index.html": f"{{{{ name }}}} by {name}"})
    one, two = (load(tmp_path / name, "app") for name in ("one", "two"))
    assert (body(one), body(two)) == (b"one by one", b"two by two")
    for name, app in (("one", one), ("two", two)):
        assert app.static_folder == str(tmp_path / name / "static")
        assert app.instance_path == str(tmp_path / name / "instance")


def run_script(directory, script):
    """Run Python source in a process of its own, in ``directory``, and fail with what it printed."""
    environ = {**os.environ, "PYTHONPATH": str(Path(skitai.__file__).parent.parent)}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    if (directory / "skitai").exists():
        environ["PYTHONPATH"] = str(directory)
    done = subprocess.run(command, cwd=directory, env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def django_project(directory):
    return write(
        directory,
        {
            "mysite/__init__.py": "",
            "mysite/settings.py": """
                SECRET_KEY = "x"
                ROOT_URLCONF = "mysite.urls"
                ALLOWED_HOSTS = ["*"]
                INSTALLED_APPS = ["django.contrib.contenttypes", "polls"]
                DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
            """,
            "mysite/wsgi.py": """
                import os
                from django.core.wsgi import get_wsgi_application
                os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
                application = get_wsgi_application()
            """,
            "mysite/urls.py": """
                from django.http import HttpResponse
                from django.urls import path
                from polls.models import Question
                def index(request):
                    return HttpResponse(f"{Question.__module__} {Question._meta.label}")
                urlpatterns = [path("", index)]
            """,
            "polls/__init__.py": "",
            "polls/models.py": """
                from django.db import models
                class Question(models.Model):
                    text = models.CharField(max_length=9)
            """,
        },
    )


def test_django_project(tmp_path):
    """A Django project runs unmodified, with one copy of its models, beside an app of like names."""
    project = django_project(tmp_path / "project")
    write(tmp_path / "other", {"wsgi.py": PLAIN_APP, "settings.py": "", "urls.py": ""})
    script = f"""
        import io
        from pathlib import Path
        from wsgiref.util import setup_testing_defaults
        from skitai.server.loader import AppSource, load_app
        load_app(AppSource(Path({str(tmp_path / "other")!r}), "wsgi"))
        app = load_app(AppSource(Path({str(project / "mysite")!r}), "wsgi", "application"))
        environ = {{}}
        setup_testing_defaults(environ)
        print(b"".join(app(environ, lambda status, headers: None)).decode())
    """
    assert run_script(tmp_path, script).strip() == "polls.models polls.Question"


# Reloading


def reloading(directory, module="wsgi"):
    return LoadedApp(AppSource(directory, module), reload=True)


def test_without_reload_nothing_changes(tmp_path):
    """Without reload an app stays as it was loaded, good or bad, and the error stays the same object."""
    write(tmp_path, {"good.py": answering("1"), "bad.py": "1 / 0"})
    good, bad = (LoadedApp(AppSource(tmp_path, module), reload=False) for module in ("good", "bad"))
    assert body(good.get()) == b"1"
    with pytest.raises(AppLoadError) as first:
        bad.get()
    rewrite(tmp_path / "good.py", answering("2"))
    rewrite(tmp_path / "bad.py", answering("2"))
    assert body(good.get()) == b"1"
    with pytest.raises(AppLoadError) as second:
        bad.get()
    assert second.value is first.value


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
