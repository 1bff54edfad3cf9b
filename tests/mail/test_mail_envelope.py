"""The envelope, and its file."""

import json

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.mail.envelope import Envelope, Server, envelope_from, is_id, new_id

SIMPLE = Envelope("1", "a@a.example", ("b@b.example",), 12.5)
FULL = Envelope(
    "20260101T000000000000-0123456789abcdef",
    "",
    ("b@b.example", "지은@c.example"),
    1_700_000_000,
    subject="Grüße, 你好 \u202e \x00",
    needs_utf8=True,
    server=Server("smtp.example:465", "ann", "pass\nword", ssl=True),
)


@pytest.mark.parametrize("envelope", [SIMPLE, FULL, attrs.evolve(SIMPLE, subject="half \ud83d pair")])
def test_there_and_back(envelope):
    """The file has all."""
    assert envelope_from(envelope.to_json()) == envelope


def test_readable():
    """A person can read other scripts, too."""
    text = FULL.to_json().decode("utf-8")
    assert "지은@c.example" in text
    assert len(text.splitlines()) > len(attrs.fields(Envelope))  # not all in one


def test_the_password_is_not_shown():
    """An envelope may be logged."""
    assert "pass" not in repr(FULL)


@settings(deadline=None)
@given(
    st.builds(
        Envelope,
        st.from_regex("[A-Za-z0-9][A-Za-z0-9_-]{0,99}", fullmatch=True),
        st.text(),
        st.lists(st.text(min_size=1), min_size=1).map(tuple),
        st.floats(0, 1e11),
        subject=st.text(st.characters(exclude_categories=())),
        needs_utf8=st.booleans(),
        server=st.none() | st.builds(Server, st.text(min_size=1), st.text(), st.text(), st.booleans()),
    )
)
def test_any_envelope(envelope):
    """Whatever an app gives comes back."""
    assert envelope_from(envelope.to_json()) == envelope


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"id": 5}, "id is of the wrong type"),
        ({"id": ""}, "other characters"),
        ({"id": "../../etc/passwd"}, "other characters"),
        ({"id": ".hidden"}, "other characters"),
        ({"id": "a\n"}, "other characters"),
        ({"id": "x" * 101}, "other characters"),
        ({"sender": None}, "sender is of the wrong type"),
        ({"recipients": []}, "recipients"),
        ({"recipients": "b@b.example"}, "recipients is of the wrong type"),
        ({"recipients": ["b@b.example", 5]}, "recipients has something of the wrong type"),
        ({"recipients": [""]}, "recipients"),
        ({"recipients": None}, "recipients is of the wrong type"),
        ({"created": "today"}, "created is of the wrong type"),
        ({"created": True}, "created is of the wrong type"),
        ({"created": -1}, "not in this era"),
        ({"created": 1e300}, "not in this era"),
        ({"created": float("nan")}, "not in this era"),
        ({"subject": 1}, "subject is of the wrong type"),
        ({"needs_utf8": 1}, "needs_utf8 is of the wrong type"),
        ({"needs_utf8": "yes"}, "needs_utf8 is of the wrong type"),
        ({"server": "host:25"}, "server is of the wrong type"),
        ({"server": False}, "server is of the wrong type"),
        ({"server": {}}, "address"),
        ({"server": {"address": ""}}, "address"),
        ({"server": {"address": "host:25", "ssl": 1}}, "ssl is of the wrong type"),
        ({"server": {"address": "host:25", "port": 1}}, "port"),
        ({"color": "red"}, "color"),
        ({"form": 2}, "not an envelope that this version can read"),
        ({"form": None}, "not an envelope that this version can read"),
    ],
)
def test_wrong_values(change, problem):
    """A file that somebody has spoilt is refused, with what is wrong."""
    content = {**json.loads(SIMPLE.to_json()), **change}
    with pytest.raises(ValueError, match=problem):
        envelope_from(json.dumps(content).encode())


@pytest.mark.parametrize("name", ["id", "sender", "recipients", "created"])
def test_missing_values(name):
    """Nothing is guessed."""
    content = json.loads(SIMPLE.to_json())
    del content[name]
    with pytest.raises(ValueError, match=name):
        envelope_from(json.dumps(content).encode())


def test_errors_show_no_password():
    """What is wrong with a password is told without it."""
    content = {**json.loads(SIMPLE.to_json()), "server": {"address": "host:25", "password": 123456}}
    with pytest.raises(ValueError, match="password is of the wrong type") as caught:
        envelope_from(json.dumps(content).encode())
    assert "123456" not in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"5", b"null", b"\xff", b"[" * 100_000, b"\0" * 300, SIMPLE.to_json()[:-3]]
)
def test_what_is_no_envelope(data):
    """Torn and empty files, too, are refused by a sentence."""
    with pytest.raises(ValueError, match="envelope"):
        envelope_from(data)


@settings(deadline=None)
@given(st.binary())
def test_any_bytes(data):
    """Nothing else than ValueError comes of it."""
    with pytest.raises(ValueError, match="envelope"):
        envelope_from(data)


def test_ids():
    """Ids sort by time, are never the same, and are safe as names."""
    times = [0, 999_999_999.999, 1_000_000_000, 1_700_000_000.000001, 1_700_000_000.5, 4_000_000_000]
    ids = [new_id(time) for time in times]
    assert ids == sorted(ids)
    assert len({new_id(5) for _ in range(1000)}) == 1000
    assert all(map(is_id, ids))
    assert new_id(1_700_000_000.25).startswith("20231114T221320250000-")
