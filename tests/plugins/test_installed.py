"""Which plugins are installed, where the metadata of some package is broken."""

import subprocess
import sys

import pytest

from skitai.errors import PluginError
from skitai.plugins.installed import installed
from skitai.plugins.manager import create_plugin_manager


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Return ``site(folder, **files)``: metadata of a package, in ``NAME-VERSION.dist-info`` on the path."""
    monkeypatch.syspath_prepend(tmp_path)

    def add(folder, entry_points=b"[skitai]\nthing = thing_module\n", metadata=None, name="METADATA"):
        package, _, version = folder.removesuffix(".dist-info").removesuffix(".egg-info").partition("-")
        place = tmp_path / folder
        place.mkdir()
        if metadata is None:
            metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n".encode()
        if metadata:
            (place / name).write_bytes(metadata)
        if entry_points is not None:
            (place / "entry_points.txt").write_bytes(entry_points)
        return str(place)

    return add


def things(found):
    """The versions of the packages that bring the plugin ``thing``."""
    return [entry.dist.version for entry in found.entry_points if entry.name == "thing"]


def about(found, place):
    """What is said of the package at ``place``."""
    return [warning for warning in found.warnings if warning.startswith(f"{place} is passed over: ")]


BROKEN = {
    "nothing in it": (".dist-info", {"metadata": b"", "entry_points": None}, "it has no METADATA"),
    "no METADATA": ("lost-1.0.dist-info", {"metadata": b""}, "it has no METADATA"),
    "no PKG-INFO": ("egg-1.0.egg-info", {"metadata": b"", "entry_points": None}, "it has no METADATA"),
    "an interrupted upgrade": ("~thing-0.9.dist-info", {}, "an interrupted upgrade has left it"),
    "not UTF-8": ("odd-1.0.dist-info", {"entry_points": b"[skitai]\nx\xff = y\n"}, "cannot be read"),
    "no pairs": ("odd-1.0.dist-info", {"entry_points": b"[skitai]\nno pair\n"}, "cannot be read"),
    "METADATA not UTF-8": ("odd-1.0.dist-info", {"metadata": b"Name: odd\xff\n"}, "cannot be read"),
    "no name": ("odd-1.0.dist-info", {"metadata": b"Version: 1\n"}, "name and version"),
    "no version": ("odd-1.0.dist-info", {"metadata": b"Name: odd\n"}, "name and version"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_packages_are_named_and_passed_over(site, case):
    """The sound plugin is found, and one sentence says which folder is broken and how, as pip's does."""
    folder, files, words = BROKEN[case]
    site("thing-1.0.dist-info")
    place = site(folder, **files)
    found = installed("skitai")
    assert things(found) == ["1.0"]
    (warning,) = about(found, place)
    assert words in warning


def test_sound_packages_are_not_named(site):
    """Neither wheels nor eggs are complained of, with plugins or without."""
    places = [
        site("thing-1.0.dist-info"),
        site("other-1.0.dist-info", entry_points=None),
        site("egg-1.0-py3.11.egg-info", name="PKG-INFO", entry_points=b"[console_scripts]\na = b:c\n"),
    ]
    found = installed("skitai")
    assert things(found) == ["1.0"]
    assert not any(about(found, place) for place in places)


def test_the_first_on_the_path_counts(tmp_path, monkeypatch, site):
    """A package that is installed twice is imported from the first place, so its metadata counts there.

    A broken one does not hide the next, and names are compared as PyPI has them (PEP 503).
    """
    site("my_thing-2.0.dist-info")
    later = tmp_path / "later"
    later.mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(later)])
    for name, version in (("My.Thing", "1.0"), ("lost", "3.0")):
        place = later / f"{name}-{version}.dist-info"
        place.mkdir()
        (place / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
        (place / "entry_points.txt").write_text("[skitai]\nthing = thing_module\n")
    site("lost-0.1.dist-info", metadata=b"")
    assert sorted(things(installed("skitai"))) == ["2.0", "3.0"]


def test_two_packages_of_one_plugin_are_still_an_error(site):
    """Which of two sound packages is meant is not for the server to guess."""
    site("thing-1.0.dist-info")
    site("another-1.0.dist-info")
    with pytest.raises(PluginError, match="both bring it; uninstall one of them"):
        create_plugin_manager(environ={"SKITAI_PLUGINS": "thing"})


def test_the_check_of_a_config_names_them(site, tmp_path):
    """``--check`` and the start go on, and say what was passed over; a type of a lost plugin says why."""
    (tmp_path / "memcache_plugin.py").write_text("import no_such_module\n")
    site("memcache-1.0.dist-info", entry_points=b"[skitai]\nmemcache = memcache_plugin\n")
    place = site("~kitai-0.15.dist-info", entry_points=b"[skitai]\nhttp = skitai.services.http.plugin\n")
    config = tmp_path / "a.conf"

    def check(text):
        config.write_text(f"[server]\nport = 0\n{text}")
        command = [sys.executable, "-m", "twisted", "skitai", "--config", str(config), "--check"]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={"PYTHONPATH": str(tmp_path)},
        )

    sound = check("")
    assert sound.returncode == 0, sound.stderr
    assert f"{place} is passed over: an interrupted upgrade has left it" in sound.stderr
    for text, wrong in (
        ("[@cache]\ntype = memcache\nmembers = 127.0.0.1:1\n", "memcache is not a type of cluster"),
        ("result_cache = memcache\n", "memcache is not a result cache"),
        ("bus = memcache\n", "memcache is not a bus"),
        ("[routes:line]\n/ = memcache:x\n", "memcache"),
    ):
        found = check(text)
        assert found.returncode != 0
        why = "plugin 'memcache' (memcache 1.0) failed: ModuleNotFoundError: No module named 'no_such_module'"
        assert wrong in found.stderr
        assert why.removeprefix("plugin ") in found.stderr, found.stderr
