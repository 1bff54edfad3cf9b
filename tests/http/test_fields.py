"""The syntax that header fields share: lists, parameters, weights, quoted strings."""

import pytest

from skitai.http.fields import (
    FIELD_VALUE,
    MEMBERS_MAX,
    TOKEN,
    media_type,
    quoted,
    split_list,
    split_parameters,
    unquoted,
    weighted_list,
)


@pytest.mark.parametrize(
    ("value", "members"),
    [
        ("", []),
        (" , ,", []),
        ("a", ["a"]),
        ("a, b ,\tc", ["a", "b", "c"]),
        ('"a, b", c', ['"a, b"', "c"]),
        (r'"a\", b", c', [r'"a\", b"', "c"]),
        ('a="x,y"z, b', ['a="x,y"z', "b"]),
        ('a, "b, c', ["a", '"b, c']),
        ('"\\', ['"\\']),
    ],
)
def test_a_comma_separates_members_but_not_inside_quotes(value, members):
    """Empty members are left out, and a quoted string without an end takes the rest."""
    assert split_list(value) == members


def test_only_so_many_members_are_read():
    """What follows the members that a list may have is left out."""
    assert split_list("a," * 1000) == ["a"] * MEMBERS_MAX
    assert split_list('"a",' * 1000) == ['"a"'] * MEMBERS_MAX


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("", ("", {})),
        ("text/html", ("text/html", {})),
        ("text/html; Charset=UTF-8", ("text/html", {"charset": "UTF-8"})),
        ('text/html;charset="utf-8";x=1', ("text/html", {"charset": "utf-8", "x": "1"})),
        ('form-data; name="a;b\\"c"; filename=d', ("form-data", {"name": 'a;b"c', "filename": "d"})),
        ("a; x; =1; b c=2; d=3; d=4", ("a", {"d": "3"})),
        ("a; x=", ("a", {"x": ""})),
        ("\t a ;; b = c", ("a", {"b": "c"})),
    ],
)
def test_parameters_follow_semicolons(value, found):
    """What is no parameter is left out, and the first of a name counts."""
    assert split_parameters(value) == found


def test_the_media_type_is_what_stands_before_the_parameters():
    """It is in lower case, and empty where no type is named."""
    assert media_type("Text/HTML ; charset=x") == "text/html"
    assert media_type("") == media_type(None) == ""


@pytest.mark.parametrize(
    ("value", "members"),
    [
        ("text/html", [("text/html", 1.0)]),
        ("Text/HTML;level=1;q=0.5, */*;q=0", [("text/html", 0.5), ("*/*", 0.0)]),
        ("a; Q=.2, b;q=7, c;q=1.", [("a", 0.2), ("b", 1.0), ("c", 1.0)]),
        ("a;q=x, b;q=-1, c;q=, d;q=nan, e", [("e", 1.0)]),
        ('a;x="b;q=0,c;q=0";q=0.1', [("a", 0.1)]),
    ],
)
def test_members_have_a_weight(value, members):
    """A member without a weight has 1, and one with a malformed weight is left out."""
    assert weighted_list(value) == members


@pytest.mark.parametrize("text", ["", "plain", 'a "b" c', "back\\slash\\", '"', "\\"])
def test_a_quoted_string_says_what_was_quoted(text):
    """Quotes and backslashes are escaped on the way out and restored on the way in."""
    assert quoted(text).startswith('"')
    assert unquoted(quoted(text)) == text


def test_what_is_not_quoted_stays_as_it_is():
    """A single quote or a half of a quoted string is plain text."""
    assert [unquoted(text) for text in ("a", '"', '"a', 'a"', "")] == ["a", '"', '"a', 'a"', ""]


def test_names_are_tokens_and_values_are_one_line():
    """Neither can hold what would end the field."""
    assert TOKEN.fullmatch("X-Name!")
    assert not any(TOKEN.fullmatch(name) for name in ("", "a b", "a:", "a\r", "ä", '"a"'))
    assert FIELD_VALUE.fullmatch("")
    assert FIELD_VALUE.fullmatch("a\tb é")
    assert not any(FIELD_VALUE.fullmatch(value) for value in ("a\r\nb", "a\nb", "\0", "\x7f", "€"))
