"""The reference of all keys: docs/config.md, and what ``skitai keys`` prints."""

import sys
from pathlib import Path

import pytest

import preloaded
from instances import make_instance
from processes import environment
from serving import START_PATIENCE
from skitai.command.keys import chapters, for_terminal, page
from skitai.config.keys import Key
from skitai.config.mounts import Mount
from skitai.plugins.manager import create_plugin_manager
from skitai.server.apps import plugin as apps
from skitai.server.static import plugin as static
from skitai.services.http import plugin as http
from skitai.services.proxy import plugin as proxy

PAGE = Path(__file__).parents[1] / "docs" / "config.md"


@pytest.fixture(scope="module")
def found():
    return chapters(create_plugin_manager())


def test_the_page_is_what_the_code_says(found):
    """The page is generated: where this fails, ``make docs/config.md`` makes it anew."""
    assert PAGE.read_text("utf-8") == page(found)


def test_the_module_prints_it():
    """So the page is made."""
    command = [sys.executable, "-m", "skitai.command.keys"]
    made = preloaded.run(command, env=environment(), timeout=START_PATIENCE)
    assert made.stdout == PAGE.read_text("utf-8")


def test_every_key_is_described(found):
    """Each key of Skitai says what it means and what its values are, and its example is one of them."""
    for chapter in found:
        for name, key in chapter.keys.items():
            assert key.help, (chapter.title, name)
            assert key.words, (chapter.title, name)
            key.cast(key.example)


def test_every_option_of_a_route_is_described(found, reactor_thread, tmp_path):
    """What a route takes is what the page says of it."""
    (tmp_path / "shop.py").write_text("app = print\n")
    (tmp_path / "site.conf").write_text("[@search]\nmembers = 127.0.0.1:1\n")
    instance = make_instance(reactor_thread.reactor, tmp_path / "site.conf", http=http)
    described = {chapter.title: set(chapter.keys) for chapter in found}
    for kind, plugin, target in (
        ("an app", apps, f"{tmp_path}/shop:app"),
        ("a folder", static, str(tmp_path)),
        ("a cluster", proxy, "@search"),
    ):
        taken = plugin.skitai_mount(instance, Mount("", target)).options
        assert set(taken) == described[f"[routes:line] {kind}"]


def test_terminal(found):
    """It prints all, a section with or without its brackets, and a key wherever it stands."""
    everything = for_terminal(found)
    assert everything.startswith("[server]\n    The server itself.\n  name =\n")
    assert all(f"{chapter.title}\n" in everything for chapter in found)
    assert for_terminal(found, "plugins") == (
        "[plugins]\n"
        "    Which plugins take part.\n"
        "  disable =\n"
        "      names of plugins that are not loaded\n"
        "      list; for example disable = otel, redis\n"
    )
    assert for_terminal(found, "[plugins]") == for_terminal(found, "plugins")
    assert for_terminal(found, "routes").count("[routes:line]") == 4
    assert for_terminal(found, "@search") == for_terminal(found, "@NAME")
    assert for_terminal(found, "keep_alive") == (
        "[server]\n"
        "  keep_alive = 10\n"
        "      idle time between requests\n"
        "      time; for example keep_alive = 75 s\n"
    )
    assert for_terminal(found, "verify").count("refuse servers") == 3


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [
        ("sever", "did you mean server?"),
        ("body_maks", "did you mean body_max?"),
        ("zzzzzzzzz", "known are @NAME, cache, certificates:line, "),
    ],
)
def test_unknown(found, wanted, hint):
    """What is not there is refused, with its nearest kin."""
    with pytest.raises(ValueError, match=f"there is neither a section nor a key {wanted}: {hint}"):
        for_terminal(found, wanted)


def test_a_key_of_others():
    """A caster that says nothing of itself leaves the columns empty."""
    key = Key(int, 0, "a number")
    assert (key.words, key.example) == ("", "")
