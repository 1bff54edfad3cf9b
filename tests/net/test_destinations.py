"""What a list of destinations allows, and which addresses are public."""

from ipaddress import ip_network

import pytest

from skitai.net import destinations
from skitai.net.destinations import (
    Destination,
    PortRange,
    Rules,
    host_of_name,
    parse_destination,
    parse_ports,
)
from skitai.net.special import is_own, is_public, is_wholly_special, read_address

PUBLIC = (
    *("1.1.1.1", "93.184.216.34", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1", "192.0.1.1"),
    *("2606:4700::1111", "2001:200::1", "2a00::1", "64:ff9b::1.1.1.1", "2002:101:101::1", "::ffff:1.1.1.1"),
    *("11.0.0.0", "9.255.255.255", "126.1.1.1", "128.0.0.1", "223.255.255.255", "169.253.1.1", "192.167.1.1"),
)
SPECIAL = (
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254"),
    *("169.254.169.254", "169.254.0.1", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192"),
    *("192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1"),
    *("203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "100.100.100.200"),
    *("::", "::1", "::127.0.0.1", "::1.1.1.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0:127.0.0.1"),
    *("fe80::1", "febf::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001::1", "2001:db8::1"),
    *("2001:10::1", "3fff::1", "100::1", "4000::1", "5f00::1", "8000::1", "64:ff9b:1::1", "64:ff9b::"),
    *(
        "64:ff9b::127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::169.254.169.254",
        "2002:7f00:1::",
        "2002:a00:1::1",
    ),
    *("2002:a9fe:a9fe::1", "2002:c0a8:101::1", "2001:0:7f00:1::", "1fff::1"),
)


@pytest.mark.parametrize("text", PUBLIC)
def test_public(text):
    assert is_public(read_address(text))


@pytest.mark.parametrize("text", SPECIAL)
def test_special(text):
    """None of these is reached by a list that names none of them: not by names, nor by all addresses."""
    address = read_address(text)
    assert not is_public(address)
    everything = [parse_destination(item) for item in ("*", "0.0.0.0/0", "::/0", "0.0.0.0/1", "2000::/3")]
    rules = Rules(everything, [PortRange(1, 65535)])
    assert not rules.admits("a.example", 80, address)
    assert not rules.admits("", 80, address)
    assert not rules.may_ask(str(address), 80)


@pytest.mark.parametrize("text", ["fe80::1%eth0", "::1%1", "127.1", "0177.0.0.1", "2130706433", "0x7f000001"])
def test_no_addresses(text):
    """Other forms than the usual ones are no addresses."""
    with pytest.raises(ValueError, match=r"has a zone|does not appear to be"):
        read_address(text)


@pytest.mark.parametrize(
    ("text", "special"),
    [
        *(
            (text, True)
            for text in ("10.1.0.0/16", "127.0.0.1/32", "169.254.169.254/32", "::1/128", "fd00::/8")
        ),
        *((text, True) for text in ("fe80::/10", "64:ff9b::/96", "2002:a00::/24", "64:ff9b:1::/48")),
        *((text, False) for text in ("10.0.0.0/7", "0.0.0.0/0", "1.1.1.0/24", "::/0", "2000::/3", "::/3")),
    ],
)
def test_wholly_special(text, special):
    """Who writes a part of one block means it; who writes more means the internet."""
    assert is_wholly_special(ip_network(text)) is special


FORMS = {
    "example.org": "example.org",
    "Example.ORG.:443": "example.org:443",
    "*.example.org": "*.example.org",
    ".example.org:8000-8100": "*.example.org:8000-8100",
    "*": "*",
    "*:443": "*:443",
    "10.1.0.0/16": "10.1.0.0/16",
    "10.1.0.0/16:80": "10.1.0.0/16:80",
    "127.0.0.1": "127.0.0.1",
    "127.0.0.1:8080": "127.0.0.1:8080",
    "::1": "::1",
    "[::1]:80": "[::1]:80",
    "[::1]": "::1",
    "fd00::/8": "fd00::/8",
    "[fd00::]/8:80": "[fd00::]/8:80",
    "::ffff:127.0.0.1": "127.0.0.1",
    "::ffff:10.1.0.0/112": "10.1.0.0/16",
    "bücher.example": "xn--bcher-kva.example",
}


@pytest.mark.parametrize(("written", "shown"), FORMS.items())
def test_forms(written, shown):
    """What is shown can be read again."""
    destination = parse_destination(written)
    assert str(destination) == shown
    assert parse_destination(shown) == destination


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ":",
            "a b",
            "*a.example",
            "*.",
            ".",
            "a.example:0",
            "a.example:65536",
            "a.example:x",
            "10.1.2.3/16",
        ),
        *("a.example:9-8", "[::1]x", "[a.example]:80", "http://a.example", "a.example/x", "1.2.3", "0x7f.1"),
        *("fe80::1%eth0", "a.example:", "user@a.example", "2130706433", "a.0177", "-a.example", "[::1%1]:80"),
    ],
)
def test_wrong_forms(text):
    with pytest.raises(ValueError, match=r"is not"):
        parse_destination(text)


@pytest.mark.parametrize("text", ["", "0", "65536", "1-0", "a", "-1", "1-", "999999", "1-2-3", "٣"])
def test_wrong_ports(text):
    with pytest.raises(ValueError, match="is not a port"):
        parse_ports(text)


@pytest.mark.parametrize("text", ["127.0.0.1", "::1", "0x7f.1", "a.0x", "1", "", ".", "a..b", "a b", "a.1."])
def test_no_names(text):
    with pytest.raises(ValueError, match=r"is not"):
        host_of_name(text)


RULES = Rules(
    [
        parse_destination(item)
        for item in ("*.in.example:443", "one.example", "10.1.0.0/16", "127.0.0.1:8080")
    ],
    [PortRange(80, 80), PortRange(8000, 9000)],
)
PUBLIC_ADDRESS = read_address("93.184.216.34")


def test_own_addresses():
    """The system knows which addresses are those of this machine."""
    assert is_own(read_address("127.0.0.1"))
    for text in ("93.184.216.34", "2606:4700::1111", "255.255.255.255"):
        assert not is_own(read_address(text))


def test_own_public_addresses(monkeypatch):
    """They are reached by a network of the list, not by names and stars."""
    monkeypatch.setattr(destinations, "is_own", lambda address: True)
    address = read_address("93.184.216.34")
    ports = [PortRange(80, 80)]
    by_name = Rules([parse_destination("*"), parse_destination("own.example")], ports)
    assert not by_name.admits("own.example", 80, address)
    assert not by_name.may_ask(str(address), 80)
    assert not by_name.about(str(address))
    assert Rules([parse_destination("93.184.216.34")], ports).admits("own.example", 80, address)


class TestRules:
    @pytest.mark.parametrize(
        ("host", "port", "address", "allowed"),
        [
            ("a.in.example", 443, "93.184.216.34", True),
            ("a.b.in.example", 443, "93.184.216.34", True),
            ("in.example", 443, "93.184.216.34", False),
            ("ain.example", 443, "93.184.216.34", False),
            ("in.example.evil", 443, "93.184.216.34", False),
            ("a.in.example", 80, "93.184.216.34", False),
            ("one.example", 80, "93.184.216.34", True),
            ("one.example", 8500, "93.184.216.34", True),
            ("one.example", 443, "93.184.216.34", False),
            ("one.example", 80, "127.0.0.1", False),
            ("one.example", 80, "10.1.2.3", True),  # by the network
            ("one.example", 80, "10.2.2.3", False),
            ("two.example", 80, "10.1.2.3", True),
            ("", 80, "10.1.2.3", True),
            ("", 80, "93.184.216.34", False),
            ("x.example", 8080, "127.0.0.1", True),
            ("x.example", 80, "127.0.0.1", False),
            ("x.example", 8080, "::1", False),
        ],
    )
    def test_admits(self, host, port, address, allowed):
        """A name is for public addresses, a network for its addresses by any name."""
        assert RULES.admits(host, port, read_address(address)) is allowed

    @pytest.mark.parametrize(
        ("host", "port", "asks", "knows"),
        [
            ("a.in.example", 443, True, True),
            ("a.in.example", 22, False, True),
            ("other.example", 80, True, False),  # it may lie in the network
            ("other.example", 443, False, False),
            ("127.0.0.1", 8080, True, True),
            ("127.0.0.1", 22, False, True),
            ("93.184.216.34", 80, False, False),
        ],
    )
    def test_before_the_search(self, host, port, asks, knows):
        """A name is only looked up if an address of it could be allowed."""
        assert (RULES.may_ask(host, port), bool(RULES.about(host))) == (asks, knows)

    def test_everything(self):
        """The star is for all public hosts, by name and by address."""
        rules = Rules([Destination("*")], [PortRange(80, 80)])
        assert rules.admits("", 80, PUBLIC_ADDRESS)
        assert rules.about("93.184.216.34")
        assert not rules.about("10.0.0.1")
