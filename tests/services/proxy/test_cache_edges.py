"""What goes wrong around the cache costs no request, and what clients write poisons nothing."""

import os
import shutil
import subprocess
import threading

import pytest
from cache_world import reply

from serving import eventually
from skitai.http.cachecontrol import SECONDS_MAX, cache_directives
from skitai.services.proxy.cache import policy

LOOKUP = "X-Cache-Lookup"
FRESH = "Cache-Control: max-age=60"
TAGGED = (FRESH, 'ETag: "1"')
LONG = bytes(300_000)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        (",, ,", {}),
        ("public, Max-Age=5", {"public": None, "max-age": 5}),
        ('max-age="5"', {"max-age": 5}),
        ("max-age=5, max-age=3, max-age=9", {"max-age": 3}),
        ("max-age", {"max-age": 0}),
        ("max-age=\u0665, s-maxage=1.5", {"max-age": 0, "s-maxage": 0}),
        ("max-age=" + "9" * 5000, {"max-age": SECONDS_MAX}),
        ("max-stale", {"max-stale": SECONDS_MAX}),
        ("max-stale=", {"max-stale": 0}),
        ('private="a, b", no-cache="c"', {}),
        ('private="", no-cache=","', {"private": None, "no-cache": None}),
        ("private, no-cache", {"private": None, "no-cache": None}),
        ('ext="no-store, private"', {"ext": None}),
    ],
)
def test_directives(text, found):
    """Directives as they are meant; in doubt a reply is stale, and for one user."""
    assert cache_directives(text) == found


def test_hishel_fails(caching, clock, monkeypatch):
    """A reply on which hishel cannot decide is passed on; a 304 is not believed."""
    cache = caching()
    cache.put(*TAGGED)
    clock.now += 100

    def broken(*_):
        raise RuntimeError("broken")

    monkeypatch.setattr(policy.NeedRevalidation, "next", broken)
    monkeypatch.setattr(policy.CacheMiss, "next", broken)
    policy._kept_names.cache_clear()
    cache.member.replies += [b'HTTP/1.1 304 Same\r\nETag: "1"\r\n\r\n', reply(b"whole", FRESH)]
    assert cache.ask().body == b"whole"
    assert cache.put(FRESH)[LOOKUP] == "MISS"
    policy._kept_names.cache_clear()


@pytest.mark.parametrize("body", [b"", b"ok"])
def test_no_memory(caching, body):
    """With ``memory_max = 0`` all is on disk, or nothing is kept."""
    cache = caching("memory_max = 0\nfolder = cache")
    cache.put(FRESH, body=body)
    assert [(cache.ask()[LOOKUP], cache.ask().body) for _ in range(2)] == [("HIT", body)] * 2
    assert cache.statistics()["memory_bytes"] == 0


def test_only_if_cached_and_stale(caching, clock):
    """What is stale is not at hand."""
    cache = caching()
    cache.put(*TAGGED)
    clock.now += 100
    assert cache.ask("/a", "Cache-Control: only-if-cached").code == 504


@pytest.mark.parametrize("target", [b"http://localhost/a", b"http://localhost/a?b"])
def test_absolute_targets(caching, target):
    """A target with a host is passed on, and still removes what it changes."""
    cache = caching()
    path = target.removeprefix(b"http://localhost").decode()
    cache.put(FRESH, target=path)
    for method, lookup in ((b"GET", "MEM_HIT"), (b"POST", "MISS")):
        cache.member.replies.append(reply())
        with cache.server.client() as client:
            client.send(method + b" " + target + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
            assert client.response()[LOOKUP] == "PASSED"
        cache.member.replies.append(reply())
        assert cache.ask(path)[LOOKUP] == lookup
        cache.member.replies.clear()


def test_a_trusted_proxy_in_front(caching):
    """The scheme and the host that it names are part of the key: members are told them."""
    cache = caching(server="access_log = off\ntrusted_proxies = 127.0.0.1")
    for number, fields in enumerate(
        [
            ("X-Forwarded-Proto: http", "X-Forwarded-Host: one"),
            ("X-Forwarded-Proto: https", "X-Forwarded-Host: one"),
            ("X-Forwarded-Proto: https", "X-Forwarded-Host: two"),
        ]
    ):
        told = ("X-Forwarded-For: 10.0.0.1", *fields)
        assert cache.put(FRESH, body=b"%d" % number, asking=told).body == b"%d" % number
        assert cache.ask("/a", *told)[LOOKUP] == "MEM_HIT"
    assert cache.asked == 3


def test_disk_fails_while_it_is_read(caching, monkeypatch):
    """A body that cannot be read is an error, and never a short reply."""
    cache = caching("folder = cache\nmemory_object_max = 100 kb")
    cache.put(FRESH, body=LONG)

    def broken(*_):
        raise OSError("broken")

    monkeypatch.setattr(os, "pread", broken)
    assert cache.ask("/a", "Range: bytes=0-9").code == 500
    assert not cache.ask().complete
    monkeypatch.setattr(os, "pread", lambda *_: b"")
    assert not cache.ask().complete


def test_one_refresh(caching, clock):
    """While a stale reply is brought up to date nobody else does it."""
    cache = caching()
    cache.put("Cache-Control: max-age=60, stale-while-revalidate=60", 'ETag: "1"')
    clock.now += 70
    go_on = threading.Event()
    cache.member.replies.append(lambda connection: go_on.wait(60) and connection.send(reply(b"new", FRESH)))
    assert cache.ask()[LOOKUP] == "STALE"
    cache.member.wait_for(2)
    assert [cache.ask()[LOOKUP] for _ in range(3)] == ["STALE"] * 3
    with cache.server.client() as client:
        client.send(b"GET /a HTTP/1.1\r\nHost: localhost\r\nCache-Control: max-age=1\r\n\r\n")
        go_on.set()
        assert client.response().body == b"new"
    assert cache.asked == 2


def test_refresh_of_a_variant(caching, clock):
    """What is brought up to date is what the client has asked for."""
    cache = caching()
    cache.put("Cache-Control: max-age=60, stale-while-revalidate=60", "Vary: X-A", asking=("X-A: 1",))
    clock.now += 70
    cache.member.replies.append(reply(b"new", FRESH, "Vary: X-A"))
    assert cache.ask("/a", "X-A: 1")[LOOKUP] == "STALE"
    assert eventually(lambda: cache.ask("/a", "X-A: 1").body == b"new", "the new one")
    assert "x-a: 1\r\n" in cache.member.asked[1]


def test_refresh_for_a_user(caching, clock):
    """A reply that a user's request brings up to date is stored only if it still says public."""
    cache = caching()
    cache.put("Cache-Control: public, max-age=60, stale-while-revalidate=60", 'ETag: "1"')
    clock.now += 70
    cache.member.replies.append(reply(b"mine", FRESH))
    assert cache.ask("/a", "Cookie: a=b")[LOOKUP] == "STALE"
    cache.member.wait_for(2)
    assert cache.ask("/a", "Cookie: a=b", method="HEAD").code == 200
    cache.member.replies += [reply(b"all", FRESH)] * 2
    assert b"mine" not in {cache.ask().body, cache.ask().body}


def test_no_content(caching):
    """A 204 has no length, and is stored if it says how long."""
    cache = caching()
    cache.member.replies.append(f"HTTP/1.1 204 None\r\n{FRESH}\r\n\r\n".encode())
    assert cache.ask().code == 204
    response = cache.ask()
    assert (response.code, response[LOOKUP], response["Content-Length"]) == (204, "MEM_HIT", None)


def test_age_of_a_304(caching, clock):
    """A 304 that has an age of its own makes the reply so old."""
    cache = caching()
    cache.put(*TAGGED)
    clock.now += 100
    cache.member.replies.append(b'HTTP/1.1 304 Same\r\nETag: "1"\r\nAge: 50\r\n\r\n')
    assert cache.ask()["Age"] == "50"
    clock.now += 9
    assert cache.ask()[LOOKUP] == "MEM_HIT"
    clock.now += 1
    assert cache.put(*TAGGED)[LOOKUP] == "MISS"


def test_control_characters(caching):
    """A reply whose fields cannot be sent is an error, and not stored."""
    cache = caching()
    cache.member.replies.append(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + FRESH.encode() + b"\r\nX-A: \0\r\n\r\nok"
    )
    assert cache.ask().code == 502
    assert cache.put(FRESH)[LOOKUP] == "MISS"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_http2(caching):
    """Clients that speak HTTP/2 get the same, also long bodies from disk."""
    cache = caching("folder = cache\nmemory_object_max = 100 kb", server="access_log = off\nh2c = yes")
    cache.put(FRESH, body=LONG)
    url = f"http://127.0.0.1:{cache.server.port}/a"
    command = [
        "curl",
        "-s",
        "--max-time",
        "20",
        "--http2-prior-knowledge",
        "-H",
        "Host: localhost",
        "-i",
        url,
    ]
    head, _, body = subprocess.run(command, capture_output=True, check=True).stdout.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/2 200")
    assert b"x-cache-lookup: HIT" in head
    assert body == LONG


@pytest.mark.parametrize("host", ["user@localhost", "user:password@localhost"])
def test_credentials_in_the_host(caching, host):
    """Such a request is refused or passed on, and leaves nothing."""
    cache = caching()
    cache.member.replies += [reply(b"1", FRESH), reply(b"2", FRESH)]
    assert cache.ask(host=host)[LOOKUP] in (None, "PASSED")
    assert cache.ask(host=host)[LOOKUP] in (None, "PASSED")
