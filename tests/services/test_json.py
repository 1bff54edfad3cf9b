"""was.tojson and was.fromjson."""

import pytest

from skitai.net.addresses import HostNode
from skitai.plugins.manager import create_plugin_manager
from skitai.services import json as plugin


def test_tojson_is_compact():
    """The JSON has no spaces and keeps letters of every script."""
    assert plugin.tojson({"a": [1, None, "grüße 日本"]}) == '{"a":[1,null,"grüße 日本"]}'


def test_tojson_of_what_json_cannot_say():
    """An object without a form in JSON raises TypeError."""
    with pytest.raises(TypeError):
        plugin.tojson(object())
    with pytest.raises(ValueError, match="Out of range float"):
        plugin.tojson([float("nan")])


def test_tojson_of_a_node():
    """The node of a result is its label, as in the JSON of Saddle and Flask."""
    assert plugin.tojson({"node": HostNode("10.0.0.1", 80)}) == '{"node":"10.0.0.1:80"}'


@pytest.mark.parametrize("text", ['{"ü": 1}', '{"ü": 1}'.encode(), '{"ü": 1}'.encode("utf-16")])
def test_fromjson(text):
    """Text and bytes in the encodings of JSON are read."""
    assert plugin.fromjson(text) == {"ü": 1}


@pytest.mark.parametrize("text", ["{", b"\xff\x00", "", "NaN", "[" * 100_000])
def test_fromjson_of_no_json(text):
    """What is not JSON raises ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011 - json's own words
        plugin.fromjson(text)


def test_plugin():
    """The plugin gives both functions as attributes of was."""

    class EntryPoint:
        name, value, dist = "json", "skitai.services.json", None

        def load(self):
            return plugin

    attributes = create_plugin_manager(entry_points=[EntryPoint()], environ={}).attributes(object())
    assert attributes.keys() == {"tojson", "fromjson"}
    assert attributes["tojson"](None) is plugin.tojson
    assert attributes["fromjson"](None) is plugin.fromjson
