"""What is installed: the wheel, and the command that it brings."""

import zipfile

import pytest

import skitai
from processes import environment, run_python, run_twist
from serving import REPOSITORY

#: What `twist` finds us by.
TWIST_PLUGINS = ["twisted/plugins/skitai_mail.py", "twisted/plugins/skitai_plugin.py"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, as a zip file that is open for reading."""
    folder = tmp_path_factory.mktemp("wheel")
    run_python("-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=REPOSITORY)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


def test_contents(wheel):
    """The wheel has all of the package, the sample app and the plugin of twist."""
    packaged = {
        f"skitai/{path.relative_to(REPOSITORY / 'skitai')}"
        for path in (REPOSITORY / "skitai").rglob("*")
        if path.suffix in (".py", ".html")
    }
    sample = {
        f"skitai/data/sample/{path.relative_to(REPOSITORY / 'etc/sample')}"
        for path in (REPOSITORY / "etc/sample").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    others = {"skitai/py.typed", "skitai/data/sample.conf", *TWIST_PLUGINS}
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == packaged | sample | others


def test_nothing_of_twisted_is_replaced(wheel):
    """The folder twisted/plugins is shared: neither packages nor a cache may come with ours."""
    assert [name for name in wheel.namelist() if name.startswith("twisted/")] == TWIST_PLUGINS


def test_metadata(wheel):
    """Version and entry points are those of the project."""
    (metadata,) = (name for name in wheel.namelist() if name.endswith("dist-info/METADATA"))
    assert f"\nVersion: {skitai.__version__}\n" in wheel.read(metadata).decode()
    (entry_points,) = (name for name in wheel.namelist() if name.endswith("dist-info/entry_points.txt"))
    assert "[skitai]\n" in wheel.read(entry_points).decode()


def test_installed_wheel(wheel, tmp_path):
    """What the wheel holds is enough to check, and so to serve, the sample app."""
    wheel.extractall(tmp_path)
    ended = run_twist("skitai", "--check", cwd="/", env={**environment(), "PYTHONPATH": str(tmp_path)})
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"/ = {tmp_path}/skitai/data/sample/static max_age=" in ended.stdout


def test_help():
    """``twist --help`` lists Skitai wherever it is called, where the project is installed."""
    environ = environment()
    del environ["PYTHONPATH"]
    ended = run_twist("--help", cwd="/", env=environ)
    assert ended.returncode == 0
    assert "    skitai " in ended.stdout
