"""Logging in at upstreams that check every bit of it."""

import base64
import hashlib
import re
import secrets

import pytest
from http_upstream import ClientTestCase, Upstream, reply

from skitai.services.http import HTTPService
from skitai.services.http.auth import Credentials, DigestLogin, login_for, parse_challenges

HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


class DigestGuard:
    """Lets in whoever proves to be ``user``; a nonce counts up from 1 and may be used ``uses`` times."""

    def __init__(self, user="hans", password="secret", algorithm="SHA-256", uses=100, qop='qop="auth", '):
        self.user, self.password, self.algorithm, self.uses = user, password, algorithm, uses
        self.qop = qop
        self.counts = {}
        self.refused = []

    def __call__(self, request):
        header = request.headers.get("authorization")
        if header is None:
            return self.challenge("none")
        pairs = re.findall(r'(\w+\*?)=(?:"([^"]*)"|([^,\s]+))', header.removeprefix("Digest "))
        given = {name: quoted or plain for name, quoted, plain in pairs}
        count = self.counts.get(given["nonce"])
        if count is None or count >= self.uses:
            return self.challenge("stale", ", stale=true")
        wrong = self.wrong(request, given, count + 1)
        if wrong:
            return self.challenge(wrong)
        self.counts[given["nonce"]] += 1
        return reply(b"welcome")

    def challenge(self, why, more=""):
        self.refused.append(why)
        nonce = secrets.token_urlsafe(8)
        self.counts[nonce] = 0
        value = f'Digest realm="the \\"house\\"", {self.qop}algorithm={self.algorithm}, nonce="{nonce}"{more}'
        return reply(code=401, WWW_Authenticate=f'{value}, opaque="o=,o"')

    def wrong(self, request, given, count):
        """Return what is wrong with the header, or None."""
        expected = {"uri": request.target, "opaque": "o=,o", "algorithm": self.algorithm}
        if self.qop:
            expected |= {"nc": f"{count:08x}", "qop": "auth"}
        for name, value in expected.items():
            if given.get(name) != value:
                return f"{name} is {given.get(name)}, not {value}"
        return None if given["response"] == self.response(request, given) else "response"

    def response(self, request, given):
        def digest(*texts):
            return HASHES[self.algorithm.removesuffix("-sess")](":".join(texts).encode()).hexdigest()

        secret = digest(self.user, 'the "house"', self.password)
        if self.algorithm.endswith("-sess"):
            secret = digest(secret, given["nonce"], given["cnonce"])
        action = digest(request.method, request.target)
        if not self.qop:
            return digest(secret, given["nonce"], action)
        return digest(secret, given["nonce"], given["nc"], given["cnonce"], "auth", action)


def basic(user="hans", password="secret"):
    """Return a handler that lets in who says the password."""
    right = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def handler(request):
        if request.headers.get("authorization") == right:
            return reply(b"welcome")
        return reply(code=401, WWW_Authenticate='Basic realm="x", charset="UTF-8"')

    return handler


def requests(server):
    """Return whether each request that came had credentials."""
    return ["authorization" in request.headers for request in server.requests]


class LoginTests(ClientTestCase):
    async def test_basic(self):
        """Credentials are sent after a challenge, and at once from then on."""
        server = self.serve(Upstream(basic()))
        client = self.client()
        for auth in (("hans", "secret"), "hans:secret"):
            assert (await self.get(client, server.url, auth=auth)).data == b"welcome"
        assert requests(server) == [False, True, True]

    async def test_basic_beyond_ascii(self):
        """User and password are UTF-8."""
        server = self.serve(Upstream(basic("Jürgen", "pässwörd:€")))
        assert (await self.get(self.client(), server.url, auth="Jürgen:pässwörd:€")).code == 200

    async def test_digest(self):
        """Each algorithm convinces a strict server, and later requests need no challenge."""
        for algorithm in ("MD5", "MD5-sess", "SHA-256", "SHA-256-sess"):
            guard = DigestGuard(algorithm=algorithm)
            server = self.serve(Upstream(guard))
            client = self.client("POST")
            for number in range(3):
                url = f"{server.url}a?b={number}"
                assert (await self.get(client, url, "data", auth=("hans", "secret"))).data == b"welcome"
            assert (guard.refused, len(server.requests)) == (["none"], 4)
            assert [bytes(request.body) for request in server.requests] == [b"data"] * 4

    async def test_digest_as_in_rfc_2069(self):
        """A challenge without qop is answered in the old way."""
        guard = DigestGuard(qop="", algorithm="MD5")
        server = self.serve(Upstream(guard))
        assert (await self.get(self.client(), server.url, auth=("hans", "secret"))).data == b"welcome"

    async def test_stale_nonce(self):
        """A nonce that wore out is replaced without the app noticing."""
        guard = DigestGuard(uses=2)
        server = self.serve(Upstream(guard))
        client = self.client()
        codes = [(await self.get(client, server.url, auth=("hans", "secret"))).code for _ in range(5)]
        assert (codes, guard.refused) == ([200] * 5, ["none", "stale", "stale"])

    async def test_always_stale(self):
        """A server that finds every nonce stale gets two answers and no more."""
        server = self.serve(Upstream(DigestGuard(uses=0)))
        result = await self.get(self.client(), server.url, auth=("hans", "secret"))
        assert (result.status, result.code, requests(server)) == (3, 401, [False, True, True])

    async def test_wrong_password(self):
        """A 401 that stays is a normal result, asked for once with credentials and never kept."""
        for handler in (basic(), DigestGuard()):
            server = self.serve(Upstream(handler))
            client = self.client()
            for _ in range(2):
                result = await self.get(client, server.url, auth=("hans", "wrong"))
                assert (result.status, result.code) == (3, 401)
            assert requests(server) == [False, True, False, True]

    async def test_password_that_changed(self):
        """Credentials that worked once and do no more end in the 401."""
        server = self.serve(Upstream(basic()))
        client = self.client()
        await self.get(client, server.url, auth=("hans", "secret"))
        server.handler = basic(password="changed")
        assert (await self.get(client, server.url, auth=("hans", "secret"))).code == 401

    async def test_challenges_that_nobody_knows(self):
        """A 401 with unknown schemes or none is the result."""
        for challenge in ("Negotiate abc==", 'Digest realm="x", nonce="y", qop="auth-int"', "", ",,=,"):
            server = self.serve(Upstream(lambda _, value=challenge: reply(code=401, WWW_Authenticate=value)))
            result = await self.get(self.client(), server.url, auth=("hans", "secret"))
            assert (result.code, len(server.requests)) == (401, 1)
            assert "none of the challenges is Basic, or Digest with qop=auth" in result.msg

    async def test_users_do_not_share_a_login(self):
        """One user's login is not another's."""
        server = self.serve(Upstream(basic()))
        client = self.client()
        assert (await self.get(client, server.url, auth=("hans", "secret"))).code == 200
        assert (await self.get(client, server.url, auth=("eve", "secret"))).code == 401
        assert (await self.get(client, server.url)).code == 401

    async def test_logins_of_several_methods(self):
        """Services that share their logins ask for one challenge."""
        server = self.serve(Upstream(DigestGuard()))
        get = self.client()
        post = HTTPService("POST", get._pool, get._logins)
        for client in (get, post):
            assert (await self.get(client, server.url, auth=("hans", "secret"))).code == 200
        assert requests(server) == [False, True, True]


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_example_of_the_rfc(monkeypatch, algorithm, response):
    """RFC 7616, section 3.9.1."""
    monkeypatch.setattr(secrets, "token_hex", lambda _: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
    challenge = {
        "realm": "http-auth@example.org",
        "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        "qop": "auth, auth-int",
        "algorithm": algorithm,
    }
    header = DigestLogin(Credentials("Mufasa", "Circle of Life"), challenge).header("GET", "/dir/index.html")
    assert f'response="{response}"' in header
    assert "nc=00000001" in header


def test_user_names_of_every_kind(monkeypatch):
    """Quotes are escaped, other scripts take username*, and a server may ask for a hash (section 3.9.2)."""
    challenge = {"realm": "api@example.org", "nonce": "n", "qop": "auth", "algorithm": "SHA-256"}
    quoted = DigestLogin(Credentials('a"b\\c', "x"), challenge).header("GET", "/")
    assert quoted.startswith('Digest username="a\\"b\\\\c", realm=')
    extended = DigestLogin(Credentials("Jäsøn Doe", "x"), challenge).header("GET", "/")
    assert extended.startswith("Digest username*=UTF-8''J%C3%A4s%C3%B8n%20Doe, realm=")
    hashed = DigestLogin(Credentials("hans", "x"), {**challenge, "userhash": "true"}).header("GET", "/")
    expected = hashlib.sha256(b"hans:api@example.org").hexdigest()
    assert hashed.startswith(f'Digest username="{expected}", userhash=true, realm=')


def test_challenges_in_one_header():
    """Several challenges may share a line, with commas everywhere (RFC 9110, section 11.6.1)."""
    value = 'Newauth realm="apps", type=1, title="a, \\"b\\"", Negotiate ab/c==, Basic realm=simple'
    assert parse_challenges(value) == [
        ("newauth", {"realm": "apps", "type": "1", "title": 'a, "b"'}),
        ("negotiate", {}),
        ("basic", {"realm": "simple"}),
    ]


def test_the_strongest_challenge_wins():
    """Digest goes before Basic and SHA-256 before MD5, in whatever order they come."""
    headers = [
        ("WWW-Authenticate", 'Basic realm="x", Digest realm="x", nonce="1", algorithm=MD5'),
        ("www-authenticate", 'Digest realm="x", nonce="2", algorithm=SHA-256, Digest realm="x", nonce="3"'),
    ]
    login = login_for(Credentials("hans", "secret"), headers)
    assert 'nonce="2"' in login.header("GET", "/")


def test_a_long_and_crooked_challenge_takes_no_time():
    """What does not end costs no more than reading it."""
    for value in ('Digest realm="' + "\\a" * 30_000, "a" * 60_000 + "=", ", " * 30_000, "a=" * 30_000):
        assert login_for(Credentials("hans", "secret"), [("WWW-Authenticate", value)]) is None
