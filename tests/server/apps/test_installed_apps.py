"""Apps that are installed: found on Python's path where the folder has none, and loaded once."""

import sys

import pytest
from app_files import answering, body, import_system, rewrite, write  # noqa: F401

from instances import make_instance
from skitai.errors import ConfigError
from skitai.server.apps.installed import InstalledApp, importable_from
from skitai.server.apps.loader import AppLoadError, AppSource


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A folder of installed packages, which is on Python's path."""
    packages = tmp_path / "site-packages"
    files = {
        "hived/__init__.py": "",
        "hived/wsgi.py": answering("__name__"),
        "hived/broken.py": "import sys\n\nsys.exit('gone')\n",
        "honey.py": answering("__name__"),
    }
    write(packages, files)
    write(tmp_path / "src", {"drone/__init__.py": answering("__name__")})
    monkeypatch.setattr(sys, "path", [str(packages), str(tmp_path / "src"), *sys.path])
    return packages


def shown(loop, folder, target):
    (folder / "site.conf").write_text(f"[routes:line]\n/x = {target}\n")
    instance = make_instance(loop.reactor, folder / "site.conf")
    ((mount,),) = (host.mounts for host in instance.config.hosts)
    return instance.describe_mount(mount).removesuffix("  ; app")


def test_found(reactor_thread, tmp_path, path):
    """What is beside the config comes first, then what is installed, then what is on the path elsewhere."""
    assert shown(reactor_thread, tmp_path, "hived.wsgi:app") == "hived.wsgi:app"
    assert shown(reactor_thread, tmp_path, "honey") == "honey"
    assert shown(reactor_thread, tmp_path, "drone:app") == f"{tmp_path}/src/drone:app"
    write(tmp_path, {"honey.py": ""})
    assert shown(reactor_thread, tmp_path, "honey:app") == f"{tmp_path}/honey:app"


@pytest.mark.parametrize("target", ["./hived.wsgi:app", "hived.gone:app", "json:app", "__main__.x:app"])
def test_not_found(reactor_thread, tmp_path, path, target):
    """A path is in the folder of the config, and neither missing modules nor Python itself have apps."""
    with pytest.raises(ConfigError, match="there is neither "):
        shown(reactor_thread, tmp_path, target)


def test_places(path, monkeypatch):
    """Only modules with a file have a place, and looking for it imports none."""
    assert importable_from("hived.wsgi") == path
    assert importable_from("honey") == path
    assert "hived" not in sys.modules
    assert importable_from("surely_not_there") is None
    monkeypatch.setitem(sys.modules, "made_by_hand", type(sys)("made_by_hand"))
    assert importable_from("made_by_hand") is None


def test_loaded_once(path):
    """It is the module that others import, and a change to its file is not looked at."""
    app = InstalledApp(AppSource(path, "hived.wsgi", "app", is_installed=True))
    assert app.module is None
    assert body(app.get()) == b"hived.wsgi"
    assert app.module is sys.modules["hived.wsgi"]
    rewrite(path / "hived/wsgi.py", answering("'changed'"))
    assert body(app.get()) == b"hived.wsgi"
    assert (app.reloads, app.directories(), app.directory) == (False, set(), path)


def test_given(path):
    """A plugin may give the app instead."""
    app = InstalledApp(
        AppSource(path, "hived.wsgi", is_installed=True), given=lambda source: str(source).upper
    )
    assert app.get()() == "HIVED.WSGI:APP"
    assert "hived" not in sys.modules


def test_not_loaded(path):
    """What keeps it from being loaded is told each time; the traceback begins in its own code."""
    app = InstalledApp(AppSource(path, "hived.broken", "app", is_installed=True))
    with pytest.raises(AppLoadError, match=r"cannot load hived.broken:app: SystemExit: gone") as caught:
        app.get()
    assert caught.value.__cause__.__traceback__.tb_frame.f_code.co_filename == str(path / "hived/broken.py")
    with pytest.raises(AppLoadError) as again:
        app.get()
    assert again.value is caught.value


def test_no_such_app(path):
    """The name that is missing is told."""
    with pytest.raises(
        AppLoadError, match="the module has no 'gone'; name its WSGI callable after the colon"
    ):
        InstalledApp(AppSource(path, "honey", "gone", is_installed=True)).get()


def test_control_c(path):
    """Control-C during an import stops the server."""
    write(path, {"stopped.py": "raise KeyboardInterrupt"})
    with pytest.raises(KeyboardInterrupt):
        InstalledApp(AppSource(path, "stopped", is_installed=True)).get()
