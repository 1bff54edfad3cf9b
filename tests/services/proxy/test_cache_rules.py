"""The rules of RFC 9111 for a shared cache, as tables of cases."""

import pytest
from cache_world import reply

LOOKUP = "X-Cache-Lookup"
FRESH = "Cache-Control: max-age=60"
PUBLIC = "Cache-Control: public, max-age=60"

#: Replies that are stored: what they say, and for how many seconds they are fresh.
FRESH_FOR = [
    (["Cache-Control: max-age=60"], 60),
    (["cache-control: MAX-AGE=60"], 60),
    (['Cache-Control: max-age="60"'], 60),
    (["Cache-Control: max-age=10, s-maxage=60"], 60),
    (["Cache-Control: s-maxage=10, max-age=60"], 10),
    (["Cache-Control: max-age=60, max-age=10"], 10),
    (["Cache-Control: max-age=60", "Cache-Control: public"], 60),
    (["Cache-Control: max-age=60", "Expires: 0"], 60),
    (["Expires: +60"], 60),
    (["Cache-Control: public", "Expires: +60"], 60),
    (["Cache-Control: max-age=60, must-revalidate"], 60),
    (["Cache-Control: max-age=99999999999999999999"], 2**31),
    (["Cache-Control: max-age=60", "Age: 50"], 10),
    (["Cache-Control: max-age=60", "Age: x"], 60),
    (["Cache-Control: max-age=60", "Age: 50, 5"], 10),
    (["Cache-Control: max-age=60", "Date: -50"], 10),
    (["Cache-Control: max-age=60", "Date: +50"], 60),
    (["Cache-Control: max-age=60", "Date: nonsense"], 60),
    (["Last-Modified: -1000"], 100),
    (["Last-Modified: -100000000"], 3600),
    (['Cache-Control: max-age=60, no-cache="X-Own"', "X-Own: 1"], 60),
]

#: Replies that are not stored, and why not.
NOT_STORED = [
    (["Cache-Control: no-store, max-age=60"], 200),
    (["Cache-Control: private, max-age=60"], 200),
    (["Cache-Control: max-age=60, PRIVATE"], 200),
    (["Cache-Control: max-age=60", "Vary: *"], 200),
    (["Cache-Control: max-age=60", "Vary: Accept, *"], 200),
    (["Cache-Control: max-age=60", "Set-Cookie: a=b"], 200),
    (["Cache-Control: public, max-age=60", "Set-Cookie: a=b"], 200),
    (["Cache-Control: max-age=0"], 200),
    (["Cache-Control: max-age=soon"], 200),
    (["Cache-Control: max-age=-1"], 200),
    (["Cache-Control: no-cache"], 200),
    (["Expires: 0"], 200),
    (["Expires: -60"], 200),
    ([], 200),
    (["Last-Modified: +1000"], 200),
    (["Cache-Control: max-age=60", "Content-Range: bytes 0-1/2"], 206),
    ([], 500),
    (["Last-Modified: -1000"], 500),
    (["Last-Modified: -1000"], 302),
    # RFC 6585
    *((["Cache-Control: public, max-age=60"], code) for code in (428, 429, 431, 511)),
    # what the proxy tells members of each client
    *(
        (["Cache-Control: max-age=60", f"Vary: Accept, {name}"], 200)
        for name in ("X-Forwarded-For", "Forwarded")
    ),
    (["Cache-Control: max-age=60", "Vary: X-Request-ID"], 200),
]


def written(fields, clock):
    """Return fields with dates for such as ``-60``."""
    dated = ("Expires", "Date", "Last-Modified")
    for field in fields:
        name, _, value = field.partition(": ")
        yield f"{name}: {clock.date(int(value))}" if name in dated and value[:1] in "+-" else field


@pytest.mark.parametrize(("fields", "seconds"), FRESH_FOR)
def test_fresh_for(caching, clock, fields, seconds):
    """A reply is used as long as it is fresh, with its age, and not longer."""
    cache = caching()
    first = cache.put(*written(fields, clock))
    assert (first[LOOKUP], first.body) == ("MISS", b"ok")
    clock.now += seconds - 1
    second = cache.ask()
    assert (second[LOOKUP], second.body, second.code) == ("MEM_HIT", b"ok", 200)
    assert int(second["Age"]) >= seconds - 1
    assert cache.asked == 1
    clock.now += 1
    assert cache.put(body=b"new").body == b"new"
    assert cache.asked == 2


@pytest.mark.parametrize(("fields", "code"), NOT_STORED)
def test_not_stored(caching, clock, fields, code):
    """Such a reply goes to the client and is forgotten."""
    cache = caching()
    first = cache.put(*written(fields, clock), code=code)
    assert (first[LOOKUP], first.body, first.code) == ("MISS", b"ok", code)
    second = cache.put("X-Second: yes")
    assert (second[LOOKUP], second["X-Second"]) == ("MISS", "yes")
    assert cache.asked == 2


@pytest.mark.parametrize("code", [200, 203, 301, 308, 404, 410, 500, 302, 299])
def test_explicit_freshness(caching, code):
    """A reply that says how long it is fresh is stored, whatever its status."""
    cache = caching()
    cache.put(FRESH, "Location: /b", code=code)
    response = cache.ask()
    assert (response[LOOKUP], response.code, response["Location"]) == ("MEM_HIT", code, "/b")


def test_fields_that_are_kept(caching, clock):
    """A stored reply keeps its Date and its fields; what no-cache and private name, it does not."""
    cache = caching()
    cache.put(
        'Cache-Control: max-age=60, no-cache="X-One, Set-Cookie", private="X-Two"',
        *("X-One: 1", "X-Two: 2", "X-Three: 3", "Set-Cookie: a=b", "Connection: X-Four", "X-Four: 4"),
        f"{LOOKUP}: HIT",
    )
    clock.now += 7
    response = cache.ask()
    assert (response[LOOKUP], response["Age"], response["X-Three"]) == ("MEM_HIT", "7", "3")
    assert response["Date"] == clock.date(-7)
    assert [response[name] for name in ("X-One", "X-Two", "X-Four", "Set-Cookie")] == [None] * 4


#: What else requests say, and how they are answered while a reply of the age 30, fresh for 60, is stored.
REQUESTS = [
    (["Cache-Control: no-cache"], "MISS"),
    (["Pragma: no-cache"], "MISS"),
    (["Pragma: no-cache", "Cache-Control: max-age=100"], "MEM_HIT"),
    (["Cache-Control: max-age=31"], "MEM_HIT"),
    (["Cache-Control: max-age=29"], "MISS"),
    (["Cache-Control: max-age=0"], "MISS"),
    (["Cache-Control: max-age=x"], "MISS"),
    (["Cache-Control: min-fresh=29"], "MEM_HIT"),
    (["Cache-Control: min-fresh=31"], "MISS"),
    (["Cache-Control: max-stale"], "MEM_HIT"),
    (["Cache-Control: no-store"], "PASSED"),
    (["Cache-Control: only-if-cached"], "MEM_HIT"),
    (["Cookie: a=b"], "MISS"),
    (["Authorization: Basic x"], "MISS"),
    (['If-Match: "a"'], "PASSED"),
    (["If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT"], "PASSED"),
    (["X-Original-URL: /admin"], "PASSED"),
    (["X-HTTP-Method-Override: DELETE"], "PASSED"),
    (["Accept: text/html"], "MEM_HIT"),
    (["X-Forwarded-Host: evil.example"], "MEM_HIT"),
    (["Connection: Keep-Alive"], "MEM_HIT"),
    (["Connection: keep-alive, TE", "TE: trailers"], "MEM_HIT"),
    (["Connection: X-Absent"], "MEM_HIT"),
    (["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"], "MEM_HIT"),
    (["Connection: keep-alive, Accept", "Accept: text/html"], "PASSED"),
    (["Connection: cookie", "Cookie: a=b"], "PASSED"),
]


def test_fields_that_connection_takes_away(caching):
    """A reply to a request whose field ends at the proxy is no reply for those that have the field."""
    cache = caching()
    taken = cache.put(
        FRESH,
        "Vary: Accept-Language",
        body=b"none",
        asking=("Connection: Accept-Language", "Accept-Language: de"),
    )
    assert "accept-language" not in cache.member.asked[0].lower()
    assert (taken[LOOKUP], taken.body) == ("PASSED", b"none")
    told = cache.put(FRESH, "Vary: Accept-Language", body=b"deutsch", asking=("Accept-Language: de",))
    assert (told[LOOKUP], told.body) == ("MISS", b"deutsch")
    assert cache.ask("/a", "Accept-Language: de")[LOOKUP] == "MEM_HIT"


@pytest.mark.parametrize(("fields", "lookup"), REQUESTS)
def test_requests(caching, clock, fields, lookup):
    """What a request says decides whether a stored reply may answer it."""
    cache = caching()
    cache.put(FRESH)
    clock.now += 30
    cache.member.replies.append(reply(b"new"))
    response = cache.ask("/a", *fields)
    assert (response[LOOKUP], response.body) == (lookup, b"ok" if lookup == "MEM_HIT" else b"new")


def test_only_if_cached(caching):
    """A client that wants nothing else gets 504 if nothing is stored."""
    response = caching().ask("/a", "Cache-Control: only-if-cached")
    assert response.code == 504
    assert b"only-if-cached" in response.body


@pytest.mark.parametrize("user", ["Cookie: a=b", "Authorization: Basic x"])
def test_users(caching, user):
    """A request that shows a user uses and leaves what is public, and nothing else."""
    cache = caching()
    cache.put(FRESH, body=b"mine", asking=(user,))
    assert cache.put(FRESH, body=b"all").body == b"all"
    assert cache.put(FRESH, body=b"mine", asking=(user,)).body == b"mine"
    assert cache.ask().body == b"all"
    cache.put(PUBLIC, body=b"public", target="/b", asking=(user,))
    assert cache.ask("/b").body == b"public"
    assert cache.ask("/b", user)[LOOKUP] == "MEM_HIT"


@pytest.mark.parametrize(
    ("stored", "asked", "hits"),
    [
        ("Accept-Language: de", "Accept-Language: de", True),
        ("Accept-Language: de", "Accept-Language: en", False),
        ("Accept-Language: de, en", "Accept-Language: de,en", True),
        ("Accept-Language: de", "X-A: b", False),
        ("X-A: b", "X-A: c", True),
    ],
)
def test_vary(caching, stored, asked, hits):
    """A reply that varies answers requests with the same fields."""
    cache = caching()
    cache.put(FRESH, "Vary: Accept-Language", asking=(stored,))
    cache.member.replies.append(reply(b"other"))
    assert cache.ask("/a", asked).body == (b"ok" if hits else b"other")


def test_variants(caching):
    """Several variants are stored beside each other, and also replies that vary by other fields."""
    cache = caching()
    for language in ("de", "en", "fr"):
        asking = (f"Accept-Language: {language}", f"X-A: {language}")
        vary = "X-A" if language == "fr" else "accept-language"
        cache.put(FRESH, f"Vary: {vary}", body=language.encode(), asking=asking)
    for language in ("de", "en", "fr"):
        assert cache.ask("/a", f"Accept-Language: {language}", f"X-A: {language}").body == language.encode()
    assert cache.asked == 3


def test_encoding_without_vary(caching):
    """A compressed reply is for those who asked for it so, even if it does not say that it varies."""
    cache = caching()
    cache.put(FRESH, "Content-Encoding: br", body=b"br", asking=("Accept-Encoding: br",))
    assert cache.ask("/a", "Accept-Encoding: br").body == b"br"
    assert cache.put(FRESH, body=b"plain").body == b"plain"
    assert cache.asked == 2


def test_keys(caching):
    """Another host, query, spelling or path is another reply."""
    cache = caching()
    cache.put(FRESH, body=b"first")
    for number, (target, host) in enumerate([("/a?", "localhost"), ("/A", "localhost"), ("/a", "other")]):
        cache.member.replies.append(reply(b"%d" % number, FRESH))
        assert cache.ask(target, host=host).body == b"%d" % number
    assert cache.ask().body == b"first"
    assert cache.asked == 4


def test_body(caching):
    """A GET with a body has nothing to do with what is stored."""
    cache = caching()
    cache.put(FRESH)
    cache.member.replies.append(reply(b"bodily", FRESH))
    assert cache.ask(body=b"x")[LOOKUP] == "PASSED"
    assert cache.ask().body == b"ok"


def test_heuristic(caching, clock):
    """It is for targets without a query, and can be turned off."""
    modified = f"Last-Modified: {clock.date(-1000)}"
    cache = caching()
    cache.put(modified, target="/a?b")
    cache.put(modified, target="/a?b")
    assert cache.asked == 2
    off = caching("heuristic_max = 0")
    off.put(modified)
    off.put(modified)
    assert cache.asked == 4
