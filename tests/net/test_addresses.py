"""Which texts are host names, and in what form they are kept."""

import pytest

from skitai.net.addresses import host_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("One.Test", "one.test"),
        ("one.test.", "one.test."),
        ("my_container-1", "my_container-1"),
        ("b\u00fccher.example", "xn--bcher-kva.example"),
        ("::0001", "::1"),
        (f"{'x' * 63}.{'y' * 63}.test", f"{'x' * 63}.{'y' * 63}.test"),
    ],
)
def test_host_names(text, name):
    """A name or an address is kept in its one normal form."""
    assert host_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a..b",
        "-a",
        "a-",
        "a b",
        "a\0",
        f"{'x' * 64}.test",
        f"x.{'y' * 64}",
        ".".join(["x" * 63] * 4),
    ],
)
def test_what_is_none(text):
    """Labels have 1 to 63 bytes and a name at most 253 (RFC 1035, section 2.3.4)."""
    with pytest.raises(ValueError, match="is not a host name"):
        host_name(text)
