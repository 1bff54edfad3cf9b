"""Digest authentication, computed with the examples of RFC 7616, and the fields that carry it."""

import pytest

from skitai.http.digest import HASHES, algorithm_of, parse_challenges, parse_parameters, proof_of, secret_of

NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_proof_is_that_of_the_examples(algorithm, response):
    """RFC 7616, section 3.9.1."""
    function = HASHES[algorithm]
    secret = secret_of(function, b"Mufasa", b"http-auth@example.org", b"Circle of Life")
    proof = proof_of(function, secret, "GET", "/dir/index.html", NONCE, count="00000001", cnonce=CNONCE)
    assert proof == response


def test_without_a_count_the_proof_is_that_of_the_older_standard():
    """RFC 2069, section 2.4, with the corrected response of its errata."""
    function = HASHES["MD5"]
    secret = secret_of(function, b"Mufasa", b"testrealm@host.com", b"CircleOfLife")
    proof = proof_of(function, secret, "GET", "/dir/index.html", "dcd98b7102dd2f0e8b11d0f600bfb0c093")
    assert proof == "1949323746fe6a43ef61f9606e7febea"


def test_an_algorithm_is_a_hash_and_whether_it_is_of_a_session():
    """Names come in any case."""
    assert algorithm_of("sha-256") == ("SHA-256", False)
    assert algorithm_of("MD5-sess") == ("MD5", True)


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("", {}),
        ('Username="a\\"b", nc=00000001', {"username": 'a"b', "nc": "00000001"}),
        ('a = b , c="d, e"', {"a": "b", "c": "d, e"}),
        ("a=b, a=c", None),
        ("a=b c=d", None),
        ("a", None),
        ("a=", None),
        ("=b", None),
        ('a="b', None),
        ('a=b"', None),
        ('a="b"c', None),
    ],
)
def test_the_parameters_of_credentials_are_all_sound_or_none(text, parameters):
    """A malformed or doubled parameter makes all of them worth nothing."""
    assert parse_parameters(text) == parameters


@pytest.mark.parametrize(
    ("value", "challenges"),
    [
        ("Basic", [("basic", {})]),
        ('Basic realm="a, b", charset="UTF-8"', [("basic", {"realm": "a, b", "charset": "UTF-8"})]),
        ("Negotiate abc==, Basic realm=x", [("negotiate", {}), ("basic", {"realm": "x"})]),
        ('Digest realm="a" , qop = "auth,auth-int",, nonce=n', [
            ("digest", {"realm": "a", "qop": "auth,auth-int", "nonce": "n"})
        ]),
        ("a=b, Basic", [("basic", {})]),
        ('Basic realm="unended', [("basic", {})]),
        ('"quoted", =', []),
    ],
)  # fmt: skip
def test_challenges_are_told_from_their_parameters(value, challenges):
    """A comma separates both."""
    assert parse_challenges(value) == challenges
