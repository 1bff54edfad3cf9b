"""What the tests of loading apps share: small apps in files, and an import system that forgets them."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import skitai
from skitai.server.apps.loader import AppSource, load_app

PLAIN_APP = """
    def app(environ, start_response):
        start_response("200 OK", [])
        return [__file__.encode()]
"""


def _is_below(directory, module):
    """Return whether a module was loaded from below ``directory``."""
    places = [vars(module).get("__file__") or "", *vars(module).get("__path__", ())]
    return any(place.startswith(str(directory)) for place in places)


@pytest.fixture(autouse=True)
def import_system(tmp_path):
    """Forget the modules of a test's apps after it; libraries that these imported stay."""
    modules, path, hooks = set(sys.modules), list(sys.path), list(sys.path_hooks)
    yield
    for name in [name for name in set(sys.modules) - modules if _is_below(tmp_path, sys.modules[name])]:
        del sys.modules[name]
    sys.path[:] = path
    sys.path_hooks[:] = hooks
    for entry in [entry for entry in sys.path_importer_cache if entry.startswith(str(tmp_path))]:
        del sys.path_importer_cache[entry]


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


def run_script(directory, script):
    """Run Python source in a process of its own, in ``directory``, and fail with what it printed."""
    environ = {**os.environ, "PYTHONPATH": str(Path(skitai.__file__).parent.parent)}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    if (directory / "skitai").exists():
        environ["PYTHONPATH"] = str(directory)
    done = subprocess.run(command, cwd=directory, env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
