"""The lines that say what became of a mail."""

import string
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.mail.state import RecipientOutcome, State, retry_line, state_from, try_lines

ADDRESSES = ["ann@a.example", "bob@b.example", "지은@c.example"]
OUTCOMES = st.builds(
    RecipientOutcome,
    st.sampled_from(ADDRESSES),
    st.sampled_from(["sent", "refused", "deferred"]),
    st.integers(0, 599),
    st.text(st.characters(exclude_categories=())),
)
TRIES = st.lists(st.tuples(st.lists(OUTCOMES), st.none() | st.floats(0, 1e11)))


def lines_of(tries):
    return b"".join(try_lines(outcomes, next_at, 5.0) for outcomes, next_at in tries)


def test_nothing_yet():
    """A mail that was not tried is due now, for all."""
    assert state_from(b"") == State()
    assert State().pending(ADDRESSES) == tuple(ADDRESSES)


def test_readable():
    """Each line is for a person, too."""
    lines = try_lines([RecipientOutcome("ann@a.example", "refused", 550, "no Ann")], 1000.5, 999.12345)
    assert lines.decode() == (
        '{"at": 999.123, "address": "ann@a.example", "verdict": "refused", "code": 550, "reply": "no Ann"}\n'
        '{"at": 999.123, "tried": true, "next_at": 1000.5}\n'
    )


@settings(deadline=None)
@given(TRIES)
def test_tries(tries):
    """The last that was said about each recipient counts, and the number of tries."""
    state = state_from(lines_of(tries))
    last = {outcome.address: outcome for outcomes, _ in tries for outcome in outcomes}
    assert state.outcomes == last
    assert state.tries == len(tries)
    assert state.next_at == (tries[-1][1] if tries else None)
    settled = {address for address, outcome in last.items() if outcome.verdict != "deferred"}
    assert state.pending(ADDRESSES) == tuple(address for address in ADDRESSES if address not in settled)


@settings(deadline=None)
@given(TRIES, st.integers(0), st.integers(0, 5000))
def test_a_torn_end(tries, cut, zeros):
    """What a crash leaves: lines count that end, also with zeros after them, and nothing after them does."""
    lines = lines_of(tries)
    torn = lines[: cut % (len(lines) + 1)]
    whole = torn[: torn.rfind(b"\n") + 1]
    state = state_from(torn + b"\0" * zeros)
    assert state == state_from(whole)
    assert state.size == len(whole)


@settings(deadline=None)
@given(TRIES)
def test_retry(tries):
    """A retry makes the mail due; if it was given up, for who was refused, too, as if it were new to them."""
    lines = lines_of(tries)
    before = state_from(lines)
    now = state_from(lines + retry_line(6.0, refused=False))
    assert (now.next_at, now.tries, now.outcomes) == (None, before.tries, before.outcomes)
    anew = state_from(lines + retry_line(6.0, refused=True))
    sent = {key for key, outcome in before.outcomes.items() if outcome.verdict == "sent"}
    assert (anew.next_at, anew.tries, set(anew.outcomes)) == (None, 0, sent)


LINE = b'{"address": "ann@a.example", "verdict": "sent", "code": 250, "reply": "OK"}'


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\0\0\0",
        b"{",
        b"[]",
        b"5",
        b"null",
        b'"verdict"',
        b"{}",
        b"[" * 100_000,
        b"1" * 10_000,
        b"\xff",
        LINE.replace(b'"sent"', b'"lost"'),
        LINE.replace(b'"sent"', b"[]"),
        LINE.replace(b"250", b"true"),
        LINE.replace(b"250", b'"250"'),
        LINE.replace(b'"ann@a.example"', b"null"),
        LINE.replace(b'"OK"', b"5"),
        LINE.replace(b', "reply": "OK"', b""),
        b'{"tried": true, "next_at": "soon"}',
        b'{"tried": true, "next_at": true}',
        b'{"tried": true, "next_at": -1}',
        b'{"tried": true, "next_at": NaN}',
        b'{"tried": true, "next_at": Infinity}',
        b'{"tried": true}',
    ],
    ids=lambda line: line.decode("latin-1")[:60],
)
def test_malformed_lines(line):
    """Where a line is spoilt, nobody knows who has got the mail: that is an error, with the number."""
    good = LINE + b"\n"
    with pytest.raises(ValueError, match="line 2 of the state is malformed"):
        state_from(good + line + b"\n" + good)


@settings(deadline=None)
@given(st.text(string.printable + "\0").map(str.encode) | st.binary())
def test_any_bytes(data):
    """Nothing else than ValueError comes of it."""
    with suppress(ValueError):
        assert state_from(data).size <= len(data)
