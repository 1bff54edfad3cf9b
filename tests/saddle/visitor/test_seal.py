"""Sealed text: only what a key of the box sealed for that purpose, and in time, ever opens."""

import base64

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skitai.errors import SkitaiError
from skitai.saddle.visitor.seal import SEALED_LIMIT, SealedTooLargeError, SecureBox, require_json

NOW = 1_800_000_000.0
BOX = SecureBox(["a key of some length"])
SEALED = BOX.seal("session", {"user": "hansroh"}, expires=NOW + 60, now=NOW)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
# What a slow, shared machine needs; the examples themselves take microseconds.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
URL_SAFE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@patient
@given(JSON_VALUES, st.booleans())
def test_what_is_sealed_comes_back(value, compress):
    """Any JSON value comes back as it was, compressed or not."""
    box = SecureBox("key", compress=compress)
    assert box.look("p", box.seal("p", value, expires=None, now=NOW), NOW).value == value


def test_the_text_is_safe_in_urls_and_cookies():
    """Sealed text has letters, digits, - and _ only, and shows nothing of the value."""
    assert set(SEALED) <= set(URL_SAFE)
    assert b"hansroh" not in base64.urlsafe_b64decode(SEALED + "==")


def test_two_seals_of_one_value_differ():
    """Equal values cannot be told to be equal."""
    assert BOX.seal("p", 1, expires=None, now=NOW) != BOX.seal("p", 1, expires=None, now=NOW)


@patient
@given(st.data())
def test_a_changed_character_is_never_accepted(data):
    """Whichever character is changed, and into whatever, the text is refused."""
    at = data.draw(st.integers(0, len(SEALED) - 1))
    other = data.draw(st.sampled_from(URL_SAFE + "+/=. \n\x00é") | st.characters())
    forged = SEALED[:at] + other + SEALED[at + 1 :]
    assert (BOX.look("session", forged, NOW).reason is None) == (forged == SEALED)


def test_every_bit_counts():
    """No single bit of a sealed text, the unused ones of base64 included, can be flipped."""
    raw = base64.urlsafe_b64decode(SEALED + "=" * (-len(SEALED) % 4))
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        text = base64.urlsafe_b64encode(flipped).rstrip(b"=").decode()
        assert BOX.look("session", text, NOW).reason
    for character in URL_SAFE:
        forged = SEALED[:-1] + character
        assert (BOX.open("session", forged, NOW) is not None) == (forged == SEALED)


@patient
@given(st.integers(0, len(SEALED) - 1), st.integers(0, len(SEALED)))
def test_a_cut_text_is_never_accepted(start, end):
    """Any part of a sealed text but the whole is refused."""
    cut = SEALED[start:end]
    assert (BOX.open("session", cut, NOW) is None) == (cut != SEALED)


@patient
@given(
    st.text()
    | st.text(URL_SAFE, max_size=200)
    | st.binary().map(lambda b: base64.urlsafe_b64encode(b).decode())
)
def test_invented_text_is_never_accepted(text):
    """Text that nobody sealed is refused, and raises nothing."""
    opened = BOX.look("session", text, NOW)
    assert opened.value is None
    assert opened.reason


@patient
@given(st.text(max_size=20), st.text(max_size=20))
def test_parts_of_two_seals_never_make_a_third(left, right):
    """A text glued from halves of two good ones is refused."""
    one, two = (BOX.seal("session", each, expires=None, now=NOW) for each in (left, right))
    middle = min(len(one), len(two)) // 2
    assert BOX.look("session", one[:middle] + two[middle:], NOW).reason


def test_a_text_is_for_one_purpose():
    """What was sealed as a message does not open as a session."""
    assert BOX.open("messages", SEALED, NOW) is None
    assert "purpose" in BOX.look("messages", SEALED, NOW).reason


def test_a_text_of_another_key_is_foreign():
    """Another server's text does not open."""
    assert SecureBox("another key").open("session", SEALED, NOW) is None


@pytest.mark.parametrize(("later", "accepted"), [(59.9, True), (60, False), (1e9, False)])
def test_a_text_expires(later, accepted):
    """From the second of its expiry on, a text is refused and the reason says so."""
    opened = BOX.look("session", SEALED, NOW + later)
    assert (opened.reason is None) == accepted
    assert opened.reason in (None, "expired")


def test_the_expiry_is_told():
    """Who opens a text learns how long it is good for."""
    assert BOX.look("session", SEALED, NOW).expires == NOW + 60
    assert BOX.look("p", BOX.seal("p", 1, expires=None, now=NOW), NOW * 100).expires is None


def test_keys_rotate():
    """A new first key seals; texts of older keys in the list open; those of removed keys do not."""
    old, both, new = SecureBox("old"), SecureBox(["new", b"old"]), SecureBox([b"new"])
    assert both.open("p", old.seal("p", 1, expires=None, now=NOW), NOW) == 1
    sealed = both.seal("p", 2, expires=None, now=NOW)
    assert new.open("p", sealed, NOW) == 2
    assert old.open("p", sealed, NOW) is None


@pytest.mark.parametrize("keys", [[], "", b"", [""], ["good", b""]])
def test_a_box_needs_keys(keys):
    """No key, or an empty one, is refused at once."""
    with pytest.raises(ValueError, match="needs at least one key"):
        SecureBox(keys)


def test_a_large_value_is_refused_where_it_is_sealed():
    """A value that no cookie can hold is an error naming purpose and sizes, when it is sealed."""
    with pytest.raises(SealedTooLargeError, match=r"^session takes \d+ bytes, a cookie holds 3800"):
        BOX.seal("session", "x" * 4000, expires=None, now=NOW)
    assert issubclass(SealedTooLargeError, SkitaiError)


def test_capacity_is_exact():
    """A value of ``capacity()`` bytes of JSON fits, one of a byte more does not."""
    text = "x" * (BOX.capacity() - 2)
    assert len(BOX.seal("p", text, expires=None, now=NOW)) <= SEALED_LIMIT
    with pytest.raises(SealedTooLargeError):
        BOX.seal("p", text + "x", expires=None, now=NOW)


def test_compression_makes_room():
    """A box that compresses holds repetitive values of many times the size; every box opens them."""
    value = ["the same again"] * 1000
    sealed = SecureBox("key", compress=True).seal("p", value, expires=None, now=NOW)
    assert SecureBox("key").open("p", sealed, NOW) == value


def test_unpacking_is_bounded():
    """What would unpack to more than 64 KiB is not compressed, and so too large to seal."""
    with pytest.raises(SealedTooLargeError):
        SecureBox("key", compress=True).seal("p", "x" * 70_000, expires=None, now=NOW)


def test_an_oversized_text_is_not_even_decoded():
    """More characters than a cookie can hold are refused for their number."""
    assert BOX.look("session", SEALED + "A" * SEALED_LIMIT, NOW).reason.startswith("too long")


@pytest.mark.parametrize("expires", [NOW, NOW - 1, float("nan"), float("inf")])
def test_an_impossible_expiry_is_refused(expires):
    """Sealing something that has expired, or at no time, is a mistake of the caller."""
    with pytest.raises(ValueError, match="not a time after now"):
        BOX.seal("p", 1, expires=expires, now=NOW)


def deep_list():
    value = []
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        object(),
        b"x",
        (1, 2),
        {1, 2},
        {1: 2},
        [{"a": (1,)}],
        float("nan"),
        float("inf"),
        10**5000,
        deep_list(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_would_lose_or_change_is_named(value):
    """Values that JSON cannot hold, or returns as something else, are a TypeError with name and type."""
    with pytest.raises(TypeError, match=rf"^cart is a {type(value).__name__} that JSON cannot keep"):
        require_json("cart", value)


def test_json_values_are_welcome():
    """What JSON keeps as it is raises nothing."""
    assert require_json("value", {"a": [1, 1.5, None, True, "ä", {}]}) is None
