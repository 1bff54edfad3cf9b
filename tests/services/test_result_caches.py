"""Which cache an instance has: the one in memory, a plugin's, or none."""

import pytest
from twisted.internet.task import Clock
from zope.interface import implementer

from instances import Hooks, make_instance
from skitai.errors import ConfigError
from skitai.interfaces import IResultCache
from skitai.services import cache as memory
from skitai.services.cache import MemoryCache


@implementer(IResultCache)
class Nothing:
    """A backend that forgets at once."""

    def get(self, key):
        return None

    def put(self, key, value, seconds):
        pass

    def expire(self, key):
        pass

    def clear(self):
        pass

    def statistics(self):
        return {"entries": 0}


@pytest.fixture
def cache_of(tmp_path):
    """Return the cache of an instance with these lines in [server] and these plugins."""

    def make(*lines, **plugins):
        path = tmp_path / "site.conf"
        path.write_text("\n".join(["[server]", "port = 0", *lines, ""]), encoding="utf-8")
        return make_instance(Clock(), path, **plugins)._dispatcher.cache

    return make


def test_memory_by_default(cache_of):
    """The plugin that every installation has keeps results in memory."""
    assert isinstance(cache_of(memory=memory), MemoryCache)


@pytest.mark.parametrize("name", ["memory", "nothing"])
def test_zero_switches_it_off(cache_of, name):
    """``num_result_cache_max = 0`` keeps nothing, whatever the backend."""
    backend = Hooks(skitai_result_caches=lambda instance: {"nothing": Nothing()})
    assert cache_of("num_result_cache_max = 0", f"result_cache = {name}", m=memory, n=backend) is None


def test_without_its_plugin_there_is_none(cache_of):
    """Who disables the plugin of the default has no cache."""
    assert cache_of() is None


def test_a_plugins_backend(cache_of):
    """The config chooses among the caches that plugins give."""
    backend = Nothing()
    plugin = Hooks(skitai_result_caches=lambda instance: {"nothing": backend})
    assert cache_of("result_cache = nothing", m=memory, n=plugin) is backend


def test_an_unknown_backend(cache_of):
    """A name that no plugin gives stops the start with one line."""
    with pytest.raises(ConfigError, match=r"memry is not a result cache: did you mean memory\?"):
        cache_of("result_cache = memry", memory=memory)


def test_a_backend_that_is_none(cache_of):
    """A plugin whose cache lacks methods fails by name; the server starts without it."""
    plugin = Hooks(skitai_result_caches=lambda instance: {"odd": object()})
    with pytest.raises(ConfigError, match="odd is not a result cache"):
        cache_of("result_cache = odd", odd=plugin)
