"""Addresses as people write them, and what is none."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from growth import TIMES, check_growth
from skitai.mail.addresses import Address, parse_address, parse_addresses

ADDRESSES = {
    "a@b.example": ("a", "b.example", ""),
    " Ann <a@b.example> ": ("a", "b.example", "Ann"),
    "Ann<a@B.Example>": ("a", "b.example", "Ann"),
    '"Ann, B. \\"Bee\\"" <a@b.example>': ("a", "b.example", 'Ann, B. "Bee"'),
    "=?utf-8?q?Bj=C3=B6rn?= <b@x.example>": ("b", "x.example", "Björn"),
    "=?utf-8?q?a=0ABcc=3A_x@y?= <b@x.example>": ("b", "x.example", "=?utf-8?q?a=0ABcc=3A_x@y?="),
    "=?no-such?q?a?= <b@x.example>": ("b", "x.example", "=?no-such?q?a?="),
    "Müller <m@bücher.example>": ("m", "xn--bcher-kva.example", "Müller"),
    "山田太郎 <yamada@例え.jp>": ("yamada", "xn--r8jz45g.jp", "山田太郎"),
    "pelé@b.example": ("pelé", "b.example", ""),
    '"a b"@b.example': ('"a b"', "b.example", ""),
    '"ann"@b.example': ("ann", "b.example", ""),
    'x <"<,>"@b.example>': ('"<,>"', "b.example", "x"),
    "a@[192.0.2.1]": ("a", "[192.0.2.1]", ""),
    "a@[ipv6:2001:db8::1]": ("a", "[IPv6:2001:db8::1]", ""),
    "root@localhost": ("root", "localhost", ""),
    "o'hara+news/1=x@b.example": ("o'hara+news/1=x", "b.example", ""),
}

WRONG = {
    "": "missing",
    "a": "write name@host",
    "<>": "write name@host",
    "a@": "write name@host",
    "@b.example": "route",
    "<@a,@b:c@d.example>": "route",
    "a..b@c.example": "before the @",
    ".a@c.example": "before the @",
    "a b@c.example": "commas",
    "a@b.example; c@d.example": "commas",
    "friends: a@b.example, c@d.example;": "commas",
    "a@@b.example": "before the @",
    '""@b.example': "before the @",
    "a(comment)@b.example": "before the @",
    "a\u00a0b@c.example": "before the @",
    "a@1.2.3.4": r"name@\[192",
    "a@[1.2.3]": "not a host name",
    "a@b.example.": "not a host name",
    "a@b.example:25": "not a host name",
    "a@-b": "not a host name",
    "a@b c": "not a host name",
    '"Ann <a@b.example>': "without its end",
    "a@b.example>": "no <",
    "a@b.example\nBcc: c@d.example": r"U\+000A",
    "a\r@b.example": r"U\+000D",
    "a\0@b.example": r"U\+0000",
    "Ann\x85 <a@b.example>": r"U\+0085",
    "Ann\u2028 <a@b.example>": r"U\+2028",
    "Ann\ud800 <a@b.example>": r"U\+D800",
    "x" * 65 + "@b.example": "64 bytes",
    "é" * 33 + "@b.example": "64 bytes",
    "a@" + "b." * 127 + "c": "not a host name",
    "x" * 60 + "@" + ("b" * 60 + ".") * 3 + "example.example": "254 bytes",
    "n" * 501 + "<a@b.example>": "500 characters",
    "n" * 100_000: "100000 characters",
}


@pytest.mark.parametrize("text", ADDRESSES)
def test_addresses(text):
    """Names may be in any script and need no quotes; host names become ASCII."""
    assert parse_address(text) == Address(*ADDRESSES[text])


@pytest.mark.parametrize("text", WRONG)
def test_wrong_addresses(text):
    """The error names the argument and shows, in one line, what is wrong."""
    with pytest.raises(ValueError, match=WRONG[text]) as raised:
        parse_address(text, "rcpt")
    message = str(raised.value)
    assert message.startswith("rcpt")
    assert message.isprintable()
    assert len(message) < 300


def test_lists():
    """Commas in a text are between addresses; an item of a list is one."""
    names = [(found.name, found.mailbox) for found in parse_addresses('a@b.example, "x, y" <c@d.example>,, ')]
    assert names == [("", "a@b.example"), ("x, y", "c@d.example")]
    assert parse_addresses(["Doe, John <j@x.example>"]) == (Address("j", "x.example", "Doe, John"),)
    assert parse_addresses(text for text in ["a@b.example"]) == (Address("a", "b.example"),)
    assert parse_addresses(None) == parse_addresses("") == parse_addresses([]) == ()


@pytest.mark.parametrize("wrong", [7, b"a@b.example", ["a@b.example", None], {"a@b.example": 1}.items()])
def test_wrong_types(wrong):
    """What is no text is a TypeError."""
    with pytest.raises(TypeError, match="cc must be"):
        parse_addresses(wrong, "cc")


def test_a_list_with_a_wrong_address():
    """One wrong address fails the list."""
    with pytest.raises(ValueError, match="bcc: 'b' is not an address"):
        parse_addresses("a@b.example, b", "bcc")


def test_a_comma_in_a_name():
    """Without quotes it ends an address, and the error says what to do; an item of a list has it as it is."""
    with pytest.raises(ValueError, match=r"rcpt: 'Smith' is not .* a name that has a comma in quotes"):
        parse_addresses("Smith, Ann <a@b.example>", "rcpt")
    for written in ('"Smith, Ann" <a@b.example>', ["Smith, Ann <a@b.example>"]):
        assert [address.name for address in parse_addresses(written)] == ["Smith, Ann"]


def test_utf8():
    """Only what is before the @ needs a server that speaks SMTPUTF8."""
    assert parse_address("pelé@b.example").needs_utf8
    assert not parse_address("Pelé <pele@bücher.example>").needs_utf8


@given(st.text())
def test_any_text(text):
    """Whatever the text is: an address that is the same when it is read again, or a ValueError."""
    with suppress(ValueError):
        found = parse_address(text)
        assert parse_address(found.mailbox) == Address(found.local, found.domain)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=60))
def test_any_local_part(text):
    """A quoted name of a mailbox keeps what is in it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    try:
        found = parse_address(f'"{escaped}"@b.example')
    except ValueError:
        assert not text or len(text.encode()) > 30
    else:
        assert parse_address(found.mailbox) == found


@pytest.mark.parametrize("piece", ['"', "\\", "<", ",", '"\\', "a@b.example,", "=?utf-8?q?a?= "])
def test_hostile_texts_take_no_time(piece):
    """Up to a megabyte the time in which a text is read, or refused, grows with its size and no faster."""
    count = 1_000_000 // TIMES // len(piece)
    check_growth(parse_addresses, piece, piece * count, piece * count * TIMES, [ValueError])
