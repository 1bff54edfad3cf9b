"""Plain values survive the way through bytes, and nothing else goes that way."""

import math
from collections import OrderedDict
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.formats.plain import from_bytes, to_bytes

_ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.datetimes(timezones=st.none() | st.just(UTC)).map(lambda moment: moment.replace(fold=0))
    | st.dates()
    | st.times().map(lambda moment: moment.replace(fold=0))
    | st.timedeltas()
)
_VALUES = st.recursive(
    _ATOMS,
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text("ab") | st.integers(0, 9), inner)
    ),
    max_leaves=10,
)


@given(_VALUES)
def test_back_and_forth(value):
    """What was written is read, with its type."""
    read = from_bytes(to_bytes(value))
    assert repr(read) == repr(value)


@pytest.mark.parametrize(
    "value",
    [
        10**30,
        -(2**64),
        (1, (2, [3])),
        datetime(2026, 11, 29, 20, 30, 1, 5, timezone(timedelta(hours=-3, minutes=-30))),
        date.max,
        time(23, 59, tzinfo=UTC),
        timedelta(days=-1, microseconds=3),
        Decimal("1.00"),
        UUID(int=7),
        math.inf,
        True,
    ],
)
def test_types(value):
    """Each kind of value comes back as that kind."""
    read = from_bytes(to_bytes(value))
    assert (type(read), repr(read)) == (type(value), repr(value))


def test_subclasses_of_dict():
    """A row or an ordered dict becomes a dict, in its order."""
    assert from_bytes(to_bytes([OrderedDict(b=1, a=2)])) == [{"b": 1, "a": 2}]


@pytest.mark.parametrize("value", [object(), {1, 2}, [print], {"a": object()}, "\ud800", 1j, range(3)])
def test_what_is_not_plain(value):
    """Anything else is refused, wherever it stands."""
    with pytest.raises((TypeError, ValueError)):
        to_bytes(value)


def test_a_value_that_contains_itself():
    """It is refused, and does not end the process."""
    value = []
    value.append(value)
    with pytest.raises(ValueError, match="recursion"):
        to_bytes(value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x92\x01",
        b"\x01\x01",
        msgpack.packb(msgpack.ExtType(99, b"")),
        msgpack.packb(msgpack.ExtType(2, b"tomorrow")),
        msgpack.packb(msgpack.ExtType(5, b"x")),
        msgpack.packb(msgpack.ExtType(5, b"999999999999 0 0")),
        msgpack.packb(msgpack.ExtType(6, b"x")),
        msgpack.packb(msgpack.ExtType(7, b"\xff")),
        msgpack.packb(msgpack.ExtType(1, b"\x01")),
        b"\x91" * 5000 + b"\x01",
        b"\x81\x91\x01\x02",
    ],
)
def test_damaged_bytes(data):
    """What others may have written is refused with a ValueError."""
    with pytest.raises(ValueError, match=r"."):
        from_bytes(data)
