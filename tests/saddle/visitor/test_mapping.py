"""The dictionary methods that README gives to was.cookie and was.session, on both."""

import copy

import jinja2
import pytest

from skitai.saddle.visitor.cookies import Cookies
from skitai.saddle.visitor.seal import SecureBox
from skitai.saddle.visitor.session import Sessions


@pytest.fixture(params=["cookie", "session"])
def store(request):
    """An empty cookie or session; what is true of one is true of the other."""
    return Cookies("") if request.param == "cookie" else Sessions(SecureBox("k"), 60).load(None, "::1")


def test_it_reads_like_a_dictionary(store):
    """README's methods and their aliases answer as a dictionary's do."""
    store.set("a", "1")
    store["b"] = "2"
    assert store["b"] == store.get("b") == "2"
    assert store.get("c") is None
    assert store.get("c", "x") == "x"
    assert list(store) == list(store.keys()) == list(store.kyes()) == ["a", "b"]
    assert list(store.iterkeys()) == list(store.iterkyes()) == ["a", "b"]
    assert list(store.values()) == list(store.itervalues()) == ["1", "2"]
    assert list(store.items()) == list(store.iteritems()) == [("a", "1"), ("b", "2")]
    assert "a" in store
    assert "c" not in store
    assert store.has_key("a")
    assert not store.has_key("c")
    assert len(store) == 2
    assert dict(store) == {"a": "1", "b": "2"}


def test_it_forgets_like_a_dictionary(store):
    """Keys can be removed, popped, deleted and cleared; a missing key is as quiet as a dictionary's."""
    store.update(a="1", b="2", c="3", d="4")
    store.remove("a")
    store.remove("a")
    assert store.pop("b") == "2"
    assert store.pop("b", "gone") == "gone"
    with pytest.raises(KeyError, match="b"):
        store.pop("b")
    del store["c"]
    with pytest.raises(KeyError, match="c"):
        del store["c"]
    assert list(store) == ["d"]
    store.clear()
    assert not store


def test_setdefault_keeps_what_is_there(store):
    """A default is stored where the key is missing, and only there."""
    assert store.setdefault("a", "1") == "1"
    assert store.setdefault("a", "2") == "1"


def test_templates_may_use_attributes(store):
    """``{{ store.name }}`` shows the value, also of a key named like a method, which stays callable."""
    store.update(username="Hans", items="shadowed")
    template = jinja2.Template("{{ s.username }} {{ s['items'] }} {{ s.items() | length }}")
    assert template.render(s=store) == "Hans shadowed 2"
    assert store.username == "Hans"


def test_a_missing_attribute_is_one(store):
    """Names that are neither method nor key raise AttributeError, which hasattr and templates understand."""
    with pytest.raises(AttributeError, match="neither an attribute nor a key 'nobody'"):
        _ = store.nobody
    assert not hasattr(store, "__nothing__")


def test_it_can_be_looked_at_while_half_made(store):
    """Copying looks up attributes before there are any, and must not recurse."""
    empty = type(store).__new__(type(store))
    assert not hasattr(empty, "_values_of_nothing")
    assert list(copy.copy(store)) == []


def test_its_text_shows_no_values(store):
    """repr, which ends up in logs and on debug pages, tells the keys only."""
    store["card"] = "4111"
    assert "card" in repr(store)
    assert "4111" not in repr(store)
