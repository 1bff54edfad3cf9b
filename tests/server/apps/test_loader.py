"""Apps are found by file path, and what fails is reported."""

import importlib
import os
import sys
import traceback
from pathlib import Path

import pytest
from app_files import PLAIN_APP, answering, body, import_system, load, rewrite, two_apps, write  # noqa: F401

from skitai.server.apps.loader import AppLoadError, AppSource, load_app


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
