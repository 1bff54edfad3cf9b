"""Which modules the imports of apps give, side by side in one process."""

import builtins
import importlib
import importlib.util
import inspect
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from app_files import PLAIN_APP, answering, body, import_system, load, rewrite, run_script, two_apps, write  # noqa: F401

import skitai
from skitai.server.apps.loader import AppSource, LoadedApp

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
        "def f(x: undefined, y=0) -> 'é': return 1 / 0\n"
    )
    for name in ("one", "two"):
        write(tmp_path / name, {"helper.py": ""})
        (tmp_path / name / "wsgi.py").write_bytes(source.encode("latin-1"))
        f = load(tmp_path / name, attribute="f")
        assert f.__annotations__ == {"x": "undefined", "return": "'é'"}
        assert sys.modules[f.__module__].__doc__ == "doc"
        assert inspect.getsource(f).startswith("def f(x: undefined, y=0)")
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
        from skitai.server.apps.loader import AppSource, LoadedApp
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
        "server/apps/__init__",
    ):
        write(tmp_path, {f"skitai/{module}.py": ""})
    source = Path(skitai.__file__).parent
    for module in (
        "errors",
        "server/apps/loader",
        "server/apps/modules",
        "server/apps/callables",
        "server/apps/finder",
        "server/apps/sibling_imports",
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
        from skitai.server.apps.loader import AppSource, load_app
        load_app(AppSource(Path({str(tmp_path / "other")!r}), "wsgi"))
        app = load_app(AppSource(Path({str(project / "mysite")!r}), "wsgi", "application"))
        environ = {{}}
        setup_testing_defaults(environ)
        print(b"".join(app(environ, lambda status, headers: None)).decode())
    """
    assert run_script(tmp_path, script).strip() == "polls.models polls.Question"
