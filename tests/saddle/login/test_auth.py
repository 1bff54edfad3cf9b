import asyncio
import re
import tracemalloc
from typing import Any

import pytest
from credentials import basic_header, digest_header
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.saddle.login import nonces
from skitai.saddle.login.auth import HEADER_MAX, Authenticator, Challenge
from skitai.saddle.login.nonces import LIFETIME

USERS = {"app": "iamyourpartnerapp", "Jäger": "pässwörd"}


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def digest(clock: Clock) -> Authenticator:
    return Authenticator("digest", "Partner Area", USERS, b"secret", seconds=clock)


def basic(users: Any = USERS) -> Authenticator:
    return Authenticator("basic", "Partner Area", users, b"secret")


def challenge_of(found: Any) -> list[str]:
    assert isinstance(found, Challenge)
    assert {name for name, _ in found.headers} == {"WWW-Authenticate"}
    return [value for _, value in found.headers]


def nonce_of(found: Any) -> str:
    nonce = re.search('nonce="([^"]+)"', challenge_of(found)[0])
    assert nonce is not None
    return nonce[1]


def is_stale(found: Any) -> bool:
    return "stale=true" in challenge_of(found)[0]


def ask(
    authenticator: Authenticator, header: str | None, method: str = "GET", uri: str = "/hello?a=1"
) -> Any:
    return authenticator.check(method, uri, header, asyncio.run)


# -- Basic -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("user", "password"), USERS.items())
def test_basic_knows_several_users(user: str, password: str) -> None:
    """The right password gives the name of its user, in any alphabet."""
    assert ask(basic(), basic_header(user, password)) == user
    assert ask(basic(), basic_header(user, password).replace("Basic", "bASIC")) == user


def test_basic_challenge() -> None:
    """Who gives nothing is asked for Basic with the realm, quoted as UTF-8 bytes."""
    assert challenge_of(ask(basic(), None)) == ['Basic realm="Partner Area", charset="UTF-8"']
    other = Authenticator("basic", 'A "b" \\ ü', USERS, b"s")
    assert challenge_of(ask(other, "")) == ['Basic realm="A \\"b\\" \\\\ Ã¼", charset="UTF-8"']


@pytest.mark.parametrize(
    "header",
    [
        basic_header("app", "wrong"),
        basic_header("app", ""),
        basic_header("nobody", "iamyourpartnerapp"),
        basic_header("nobody", ""),
        basic_header("app", "iamyourpartnerapp\x00"),
        basic_header("app", "iamyourpartnerapp").replace("Basic", "Digest"),
        "Basic",
        "Basic ",
        "Basic !!!!",
        "Basic YXBw",  # no colon
        "Basic YXB",  # cut
        "Basic /////w==",  # no UTF-8
        "Basic \xff\u20ac",
        basic_header("app", "x" * HEADER_MAX),
        "\x00",
        "Bearer abc",
    ],
)
def test_basic_refuses(header: str) -> None:
    """Wrong, malformed, huge or foreign credentials are asked again."""
    challenge_of(ask(basic(), header))


def test_basic_asks_a_function() -> None:
    """A function gets name and password, with further colons in the latter, and decides."""
    seen = []

    def check(user: str, password: str) -> bool:
        seen.append((user, password))
        return password == "a:b"

    assert ask(basic(check), basic_header("me", "a:b")) == "me"
    challenge_of(ask(basic(check), basic_header("me", "b")))
    assert seen == [("me", "a:b"), ("me", "b")]


@pytest.mark.parametrize("found", [1, "yes", object(), ["row"]])
def test_basic_function_must_return_a_bool(found: Any) -> None:
    """What a function returns by mistake lets nobody in, however true it is."""
    with pytest.raises(TypeError, match=f"True or False.*not {type(found).__name__}"):
        ask(basic(lambda _name, _password: found), basic_header("me", "pw"))


def test_basic_function_that_finds_nothing() -> None:
    """None is no."""
    challenge_of(ask(basic(lambda _name, _password: None), basic_header("me", "pw")))


# -- Digest ------------------------------------------------------------------------------------------------


def test_digest_offers_the_better_hash_first(digest: Authenticator) -> None:
    """There is a challenge for SHA-256 and, for older clients, one for MD5."""
    first, second = challenge_of(ask(digest, None))
    assert re.fullmatch(
        r'Digest realm="Partner Area", qop="auth", algorithm=SHA-256, nonce="[\w=-]+",'
        r' opaque="[0-9a-f]{32}", charset=UTF-8',
        first,
    )
    assert second == first.replace("SHA-256", "MD5")


@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
@pytest.mark.parametrize(("user", "password"), USERS.items())
def test_digest_knows_several_users(digest: Authenticator, algorithm: str, user: str, password: str) -> None:
    """The right response gives the name of its user, with either hash."""
    header = digest_header(nonce_of(ask(digest, None)), user, password, algorithm=algorithm)
    assert ask(digest, header) == user


def test_digest_takes_the_extended_name(digest: Authenticator) -> None:
    """A name may come as username* with its bytes escaped."""
    nonce = nonce_of(ask(digest, None))
    header = digest_header(nonce, "Jäger", "pässwörd", username=None, username_="UTF-8''J%C3%A4ger")
    assert ask(digest, header) == "Jäger"


def test_digest_without_algorithm_is_md5(digest: Authenticator) -> None:
    """A client that names no algorithm means MD5."""
    header = digest_header(nonce_of(ask(digest, None)), algorithm="MD5")
    assert ask(digest, header.replace("algorithm=MD5, ", "")) == "app"


def test_digest_asks_a_function(clock: Clock) -> None:
    """A function gives the password of a name, or None for nobody."""
    made = Authenticator("digest", "Partner Area", {"me": "pw"}.get, b"s", seconds=clock)
    assert ask(made, digest_header(nonce_of(ask(made, None)), "me", "pw")) == "me"
    assert not is_stale(ask(made, digest_header(nonce_of(ask(made, None)), "you", "pw")))


@pytest.mark.parametrize("found", [False, True, 0, 1, b"pw"])
def test_digest_password_must_be_text(clock: Clock, found: Any) -> None:
    """What is no text is no password: not even that of who sends the name of the value."""
    made = Authenticator("digest", "Partner Area", lambda _name: found, b"s", seconds=clock)
    header = digest_header(nonce_of(ask(made, None)), "me", str(found))
    with pytest.raises(TypeError, match=f"must be text.*not {type(found).__name__}"):
        ask(made, header)


@pytest.mark.parametrize(
    "changed",
    [
        {"password": "wrong"},
        {"user": "nobody"},
        {"realm": "Elsewhere"},
        {"uri": "/other?a=1"},
        {"uri": "/hello?a=2"},
        {"method": "POST"},
        {"qop": "auth-int"},
        {"qop": None},
        {"nc": None},
        {"nc": "1"},
        {"nc": "0000000g"},
        {"nc": "00000002"},
        {"cnonce": None},
        {"cnonce": '""'},
        {"response": None},
        {"response": '"' + "0" * 64 + '"'},
        {"response": '"\u00e9"'},
        {"username": None},
        {"username": '"\\'},
        {"username_": "UTF-8''app"},  # both
        {"username": None, "username_": "UTF-8''%ff"},
        {"username": None, "username_": "latin-1''app"},
        {"uri": "/hello?a=1", "extra": '"' + "x" * HEADER_MAX + '"'},
    ],
)
def test_digest_refuses(digest: Authenticator, changed: dict[str, Any]) -> None:
    """Whatever does not prove the password for this very request is asked again, and is not called stale."""
    found = ask(digest, digest_header(nonce_of(ask(digest, None)), **changed))
    assert not is_stale(found)


@pytest.mark.parametrize("suffix", [", qop=auth", ' x="', " garbage", "\x00"])
def test_digest_refuses_malformed_headers(digest: Authenticator, suffix: str) -> None:
    """A field given twice, or one that is none, spoils the whole header."""
    found = ask(digest, digest_header(nonce_of(ask(digest, None))) + suffix)
    assert not is_stale(found)


def test_digest_takes_empty_members_of_its_list(digest: Authenticator) -> None:
    """They mean nothing (RFC 9110, section 5.6.1.2)."""
    header = digest_header(nonce_of(ask(digest, None)))
    assert ask(digest, header + ", ,") == "app"


_NAMES = ("username", "realm", "nonce", "uri", "response", "algorithm", "qop", "nc", "cnonce", "username*")
_ODD = (None, "", '""', "=", '"', "\u00e9", "a, b", "''", "-1", "UTF-8''%ff", "x" * HEADER_MAX)


@pytest.mark.parametrize("value", _ODD)
@pytest.mark.parametrize("name", _NAMES[:-1])
def test_digest_asks_again_where_a_parameter_is_missing_or_odd(
    digest: Authenticator, name: str, value: str | None
) -> None:
    """Nothing that a client leaves out, makes up or doubles is a failure of the server's."""
    header = digest_header(nonce_of(ask(digest, None)), uri="/")
    others = ", ".join(
        member for member in header.removeprefix("Digest ").split(", ") if not member.startswith(f"{name}=")
    )
    changed = f"Digest {others}" if value is None else f"Digest {others}, {name}={value}"
    assert not is_stale(ask(digest, changed, uri="/"))
    assert not is_stale(ask(digest, f"{header}, {name}={value}", uri="/"))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_credentials_are_a_failure(data: st.DataObject) -> None:
    """Whatever parameters come, in whatever number, they are answered with a challenge."""
    text = st.text(st.characters(max_codepoint=255), max_size=12)
    member = st.tuples(st.sampled_from((*_NAMES, "")), st.sampled_from(("=", "", " = ", "==")), text)
    members = data.draw(st.lists(member, max_size=14))
    scheme = data.draw(st.sampled_from(("Digest", "Basic", "digest", "", "Bearer")))
    header = f"{scheme} {', '.join(''.join(each) for each in members)}"
    for scheme_asked in ("basic", "digest"):
        authenticator = Authenticator(scheme_asked, "Partner Area", USERS, b"secret")
        assert isinstance(ask(authenticator, header, uri="/"), Challenge)


def test_digest_refuses_unknown_algorithms(digest: Authenticator) -> None:
    """Only what was offered is taken."""
    header = digest_header(nonce_of(ask(digest, None)))
    assert not is_stale(ask(digest, header.replace("SHA-256", "SHA-256-sess")))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("http://host:80/hello?a=1", "/hello?a=1"),
        ("/h%65llo?a=1", "/hello?a=1"),
        ("http://host", "/"),
    ],
)
def test_digest_compares_what_targets_say(digest: Authenticator, theirs: str, ours: str) -> None:
    """The target may have a host or other escapes, as long as it is the same."""
    header = digest_header(nonce_of(ask(digest, None)), uri=theirs)
    assert ask(digest, header, uri=ours) == "app"


def test_nonces_expire(digest: Authenticator, clock: Clock) -> None:
    """After some minutes, a right response gets a new nonce and need not ask its user; a wrong one must."""
    nonce = nonce_of(ask(digest, None))
    clock.now += LIFETIME - 1
    assert ask(digest, digest_header(nonce)) == "app"
    clock.now += 1
    found = ask(digest, digest_header(nonce, count=2))
    assert is_stale(found)
    assert ask(digest, digest_header(nonce_of(found))) == "app"
    assert not is_stale(ask(digest, digest_header(nonce, count=3, password="wrong")))


@pytest.mark.parametrize("nonce", ["", "made-up", "AAAA", "A" * 43 + "=", "é"])
def test_made_up_nonces_are_not_accepted(digest: Authenticator, nonce: str) -> None:
    """A nonce that was not issued here gets a new one, though the response is right."""
    found = ask(digest, digest_header(nonce))
    assert isinstance(found, Challenge)


def test_nonces_of_another_secret_or_of_the_future_are_not_accepted(clock: Clock) -> None:
    """Only nonces that this secret signed, and not later than now, are good."""
    ours = Authenticator("digest", "Partner Area", USERS, b"ours", seconds=clock)
    theirs = Authenticator("digest", "Partner Area", USERS, b"theirs", seconds=clock)
    assert is_stale(ask(ours, digest_header(nonce_of(ask(theirs, None)))))
    nonce = nonce_of(ask(ours, None))
    clock.now -= 60
    assert is_stale(ask(ours, digest_header(nonce)))


def test_a_request_is_accepted_once(digest: Authenticator) -> None:
    """Each count of a nonce is good once, in the order in which parallel connections bring them."""
    nonce = nonce_of(ask(digest, None))
    for count in (1, 3, 2, 300, 299, 200):
        assert ask(digest, digest_header(nonce, count=count)) == "app"
        assert is_stale(ask(digest, digest_header(nonce, count=count)))
    for count in (0, 1, 150):
        assert is_stale(ask(digest, digest_header(nonce, count=count)))


def test_a_huge_count_costs_nothing(digest: Authenticator) -> None:
    """The distance between counts, which a client chooses, is no number of bits to make."""
    nonce = nonce_of(ask(digest, None))
    assert ask(digest, digest_header(nonce, count=0xFFFFFFFF)) == "app"
    tracemalloc.start()
    try:
        assert is_stale(ask(digest, digest_header(nonce, count=10)))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_wrong_passwords_use_no_count(digest: Authenticator) -> None:
    """A stranger cannot spoil the counts of a user's nonce."""
    nonce = nonce_of(ask(digest, None))
    ask(digest, digest_header(nonce, count=5, password="wrong"))
    assert ask(digest, digest_header(nonce, count=5)) == "app"


def test_forgotten_nonces_are_stale(
    digest: Authenticator, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded: the oldest nonces in use are taken back, never accepted anew."""
    monkeypatch.setattr(nonces, "REMEMBERED_MAX", 8)
    first = digest_header(nonce_of(ask(digest, None)))
    unused = nonce_of(ask(digest, None))
    assert ask(digest, first) == "app"
    for _ in range(8):
        clock.now += 0.01
        last = digest_header(nonce_of(ask(digest, None)))
        assert ask(digest, last) == "app"
    assert is_stale(ask(digest, first))
    assert is_stale(ask(digest, digest_header(unused)))
    assert is_stale(ask(digest, last))
    assert ask(digest, digest_header(nonce_of(ask(digest, None)))) == "app"


# -- both --------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.text() | st.text().map("Digest {}".format) | st.binary().map(lambda b: f"Basic {b!r}"))
def test_no_header_raises(header: str) -> None:
    """Any text is answered with a challenge."""
    for scheme in ("basic", "digest"):
        made = Authenticator(scheme, "r", USERS, b"s")  # type: ignore[arg-type]
        assert isinstance(made.check("GET", "/", header, asyncio.run), Challenge)


@pytest.mark.parametrize(
    ("scheme", "realm", "users", "secret"),
    [
        ("bearer", "r", USERS, b"s"),
        ("basic", "two\r\nlines", USERS, b"s"),
        ("basic", None, USERS, b"s"),
        ("basic", "r", {"a:b": "c"}, b"s"),
        ("basic", "r", {"a": 1234}, b"s"),
        ("basic", "r", "app", b"s"),
        ("digest", "r", USERS, b""),
    ],
)
def test_settings_that_cannot_work_are_refused(scheme: Any, realm: Any, users: Any, secret: bytes) -> None:
    """A mistake in the settings is a ValueError at once."""
    with pytest.raises(ValueError, match=r"scheme|realm|user|secret"):
        Authenticator(scheme, realm, users, secret)
