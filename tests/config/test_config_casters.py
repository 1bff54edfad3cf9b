import re
from pathlib import Path

import pytest

from skitai.config import (
    comma_list,
    integer,
    number,
    one_of,
    optional,
    path,
    positive,
    seconds,
    show_secret,
    show_size,
    size,
    text,
    yes_no,
)


@pytest.mark.parametrize(
    ("cast", "value", "expected"),
    [
        (text, "a b", "a b"),
        (integer(0, 65535), "65535", 65535),
        (integer(-5), "-5", -5),
        (number, "-1.5", -1.5),
        (yes_no, "Yes", True),
        (yes_no, "no", False),
        (size, "5 MB", 5 * 1024 * 1024),
        (size, "64kb", 65536),
        (size, "1.5 KB", 1536),
        (size, "17", 17),
        (size, "1 GB", 1 << 30),
        (seconds, "10", 10.0),
        (seconds, "1.5 s", 1.5),
        (seconds, "250 ms", 0.25),
        (seconds, "5 min", 300.0),
        (seconds, "1 h", 3600.0),
        (one_of("a", "b"), "b", "b"),
        (path, "x/y", Path("x/y")),
        (comma_list, "a, b,, c ", ("a", "b", "c")),
        (comma_list, "", ()),
        (optional(path), "", None),
        (optional(integer(1)), "2", 2),
        (positive(seconds), "0.1", 0.1),
    ],
)
def test_good_values(cast, value, expected):
    """Each caster returns the typed value of what its documentation names."""
    result = cast(value)

    assert result == expected
    assert type(expected) is type(result)


@pytest.mark.parametrize(
    ("cast", "value", "problem"),
    [
        (text, "", "needs a value"),
        (integer(0, 65535), "70000", "must be a whole number from 0 to 65535, not '70000'"),
        (integer(0), "-1", "must be a whole number of at least 0, not '-1'"),
        (integer(0), "\u00b2", "must be a whole number of at least 0, not '\u00b2'"),
        (integer(0), "1" * 5000, f"must be a whole number of at least 0, not '{'1' * 60}...'"),
        (integer(0), "", "must be a whole number of at least 0, not ''"),
        (number, "nan", "must be a number such as 1.5, not 'nan'"),
        (yes_no, "1", "must be yes or no, not '1'"),
        (size, "5 TB", "must be a number of bytes, or one with KB, MB or GB, not '5 TB'"),
        (size, "-1", "must be a number of bytes, or one with KB, MB or GB, not '-1'"),
        (seconds, "inf", "must be a number of seconds, or one with ms, s, min, h or d, not 'inf'"),
        (one_of("a", "b"), "c", "must be one of a, b, not 'c'"),
        (path, "", "needs a path"),
        (positive(size), "0", "must be more than 0, not '0'"),
    ],
)
def test_bad_values(cast, value, problem):
    """Each caster refuses other text with the value and what would be right."""
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}$"):
        cast(value)


@pytest.mark.parametrize("amount", [0, 1, 1023, 1 << 10, 5 << 20, 3 << 30])
def test_shown_sizes_read_back(amount):
    """A size is shown in a form that means the same number of bytes."""
    assert amount == size(show_size(amount))


def test_no_size():
    """Nothing is nothing of the smallest unit."""
    assert show_size(0) == "0 B"


def test_secrets_are_not_shown():
    """A secret is shown as stars of a fixed number."""
    assert (show_secret("hunter2"), show_secret(None)) == ("****", "")
