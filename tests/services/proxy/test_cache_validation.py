"""Stale replies: validated, used meanwhile, and used in the place of errors; and what removes replies."""

import pytest
from cache_world import reply

from serving import eventually

LOOKUP = "X-Cache-Lookup"
TAGGED = ("Cache-Control: max-age=60", 'ETag: "1"')
SAME = b'HTTP/1.1 304 Same\r\nETag: "1"\r\nCache-Control: max-age=30\r\nX-New: yes\r\n\r\n'


@pytest.fixture
def stale(caching, clock):
    """Return ``stale(*fields, cache="")``: a cache with a stale reply for /a."""

    def make(*fields, cache="", **config):
        made = caching(cache, **config)
        made.put(*(fields or TAGGED))
        clock.now += 100
        return made

    return make


def test_not_modified(stale, clock):
    """A 304 makes a stored reply fresh again, with the fields that it brings."""
    cache = stale(*TAGGED, "X-Old: yes", "X-New: no", "Age: 3")
    cache.member.replies.append(SAME)
    response = cache.ask()
    assert (response.code, response.body, response[LOOKUP]) == (200, b"ok", "REVALIDATED")
    assert (response["X-Old"], response["X-New"], response["Age"]) == ("yes", "yes", "0")
    assert response["Cache-Control"] == "max-age=30"
    assert response["Date"] == clock.date()
    assert 'if-none-match: "1"\r\n' in cache.member.asked[1]
    clock.now += 29
    assert (cache.ask()[LOOKUP], cache.asked) == ("MEM_HIT", 2)
    clock.now += 1
    cache.member.replies.append(SAME)
    assert cache.ask()[LOOKUP] == "REVALIDATED"


def test_last_modified(stale, clock):
    """A reply without a tag is validated by its date."""
    modified = clock.date(-1000)
    cache = stale("Cache-Control: max-age=60", f"Last-Modified: {modified}")
    cache.member.replies.append(b"HTTP/1.1 304 Same\r\n\r\n")
    assert cache.ask()[LOOKUP] == "REVALIDATED"
    assert f"if-modified-since: {modified}\r\n" in cache.member.asked[1]


def test_modified(stale):
    """Another reply takes the place of the stored one."""
    cache = stale()
    assert cache.put('ETag: "2"', "Cache-Control: max-age=9", body=b"new")[LOOKUP] == "MISS"
    assert (cache.ask().body, cache.ask()[LOOKUP]) == (b"new", "MEM_HIT")


def test_no_cache(caching):
    """A reply with no-cache is stored, and validated each time."""
    cache = caching()
    cache.put("Cache-Control: no-cache", 'ETag: "1"')
    for _ in range(2):
        cache.member.replies.append(b'HTTP/1.1 304 Same\r\nETag: "1"\r\n\r\n')
        assert cache.ask()[LOOKUP] == "REVALIDATED"
    assert cache.asked == 3


@pytest.mark.parametrize("says", ["private, max-age=60", "no-store"])
def test_confirmed_for_one(stale, says):
    """A 304 may say that the reply is not for others from now on."""
    cache = stale()
    cache.member.replies.append(f'HTTP/1.1 304 Same\r\nETag: "1"\r\nCache-Control: {says}\r\n\r\n'.encode())
    assert cache.ask()[LOOKUP] == "REVALIDATED"
    assert cache.put(body=b"other").body == b"other"


def test_confirmed_varies(stale):
    """A 304 may say that the reply varies."""
    cache = stale()
    cache.member.replies.append(SAME.replace(b"X-New", b"Vary: X-A\r\nX-New"))
    assert cache.ask("/a", "X-A: 1")[LOOKUP] == "REVALIDATED"
    assert cache.ask("/a", "X-A: 1")[LOOKUP] == "MEM_HIT"
    cache.member.replies.append(reply(b"other"))
    assert cache.ask("/a", "X-A: 2").body == b"other"


def test_another_tag(stale):
    """A 304 that is about something else is not believed: the whole reply is asked for."""
    cache = stale()
    cache.member.replies += [b'HTTP/1.1 304 Same\r\nETag: "2"\r\n\r\n', reply(b"whole")]
    response = cache.ask()
    assert (response.code, response.body, response[LOOKUP]) == (200, b"whole", "MISS")
    assert "if-none-match" not in cache.member.asked[2]


@pytest.mark.parametrize(
    ("asking", "code", "body"),
    [
        ('If-None-Match: "1"', 304, b""),
        ('If-None-Match: "0", W/"1"', 304, b""),
        ("If-None-Match: *", 304, b""),
        ('If-None-Match: "2"', 200, b"0123456789"),
        ("Range: bytes=2-3", 206, b"23"),
        ("Range: bytes=-1", 206, b"9"),
        ("Range: bytes=20-", 416, None),
        ("Range: lines=2-3", 200, b"0123456789"),
    ],
)
@pytest.mark.parametrize("is_stale", [False, True])
def test_conditions_and_ranges(caching, clock, asking, code, body, is_stale):
    """The cache answers them from what is stored, also right after it was validated."""
    cache = caching()
    cache.put(*TAGGED, "Content-Type: text/x", body=b"0123456789")
    if is_stale:
        clock.now += 100
        cache.member.replies.append(SAME)
    response = cache.ask("/a", asking)
    assert response.code == code
    assert body is None or response.body == body
    assert response["ETag"] == '"1"'
    assert response[LOOKUP] == ("REVALIDATED" if is_stale else "MEM_HIT")
    assert response["Content-Type"] == (
        None if code == 304 else "text/x" if code != 416 else response["Content-Type"]
    )
    if is_stale:
        assert "range" not in cache.member.asked[1]
        assert 'if-none-match: "1"\r\n' in cache.member.asked[1]


def test_modified_since(caching, clock):
    """Dates are compared as well, and a range holds for the date that If-Range names."""
    modified = clock.date(-1000)
    cache = caching()
    cache.put("Cache-Control: max-age=60", f"Last-Modified: {modified}", body=b"0123")
    assert cache.ask("/a", f"If-Modified-Since: {modified}").code == 304
    assert cache.ask("/a", f"If-Modified-Since: {clock.date(-2000)}").code == 200
    assert cache.ask("/a", "Range: bytes=0-0", f"If-Range: {modified}").code == 206
    assert cache.ask("/a", "Range: bytes=0-0", f"If-Range: {clock.date(-999)}").code == 200


def test_weak_tags(caching):
    """A weak tag is good for If-None-Match, and not for If-Range."""
    cache = caching()
    cache.put("Cache-Control: max-age=60", 'ETag: W/"1"', body=b"0123")
    assert cache.ask("/a", 'If-None-Match: "1"').code == 304
    assert cache.ask("/a", "Range: bytes=0-0", 'If-Range: W/"1"').code == 200


@pytest.mark.parametrize("kind", ["Content-Type: text/css\r\n", ""])
def test_several_ranges(caching, kind):
    """Several ranges come in parts, each with the type of the whole, if it has one."""
    cache = caching()
    cache.put(*TAGGED, *kind.splitlines(), body=b"0123456789")
    response = cache.ask("/a", "Range: bytes=0-0, 5-6")
    assert response.code == 206
    assert response["Content-Type"].startswith("multipart/byteranges; boundary=")
    boundary = response["Content-Type"].partition("=")[2]
    part = f"\r\n--{boundary}\r\n{kind}Content-Range: bytes 5-6/10\r\n\r\n56\r\n"
    assert part.encode() in response.body


def test_conditions_of_an_error(caching):
    """Conditions and ranges are about replies with status 200."""
    cache = caching()
    cache.put(*TAGGED, code=404)
    assert cache.ask("/a", 'If-None-Match: "1"').code == 404
    assert cache.ask("/a", "Range: bytes=0-0").code == 404


def test_conditions_without_a_stored_reply(caching):
    """They are for the member; a 304 and a part are passed on and not stored."""
    cache = caching()
    cache.member.replies.append(SAME)
    assert cache.ask("/a", 'If-None-Match: "1"').code == 304
    cache.put(*TAGGED, "Content-Range: bytes 0-1/9", code=206, asking=("Range: bytes=0-1",))
    assert "range: bytes=0-1\r\n" in cache.member.asked[1]
    assert cache.put(*TAGGED)[LOOKUP] == "MISS"
    assert cache.asked == 3


def test_head(caching, clock):
    """A stored GET answers HEAD with the same fields; a HEAD stores nothing, but a 304 to it counts."""
    cache = caching()
    cache.member.replies.append(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Control: max-age=60\r\n\r\n")
    assert cache.ask(method="HEAD")[LOOKUP] == "MISS"
    cache.put(*TAGGED, body=b"0123456789")
    response = cache.ask(method="HEAD")
    assert (response[LOOKUP], response["Content-Length"], response.body) == ("MEM_HIT", "10", b"")
    clock.now += 100
    cache.member.replies.append(SAME)
    assert cache.ask(method="HEAD")[LOOKUP] == "REVALIDATED"
    assert cache.member.asked[2].startswith("HEAD ")
    assert cache.ask()[LOOKUP] == "MEM_HIT"
    cache.member.replies.append(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
    assert cache.ask(method="HEAD", target="/b").code == 200


# -- stale replies ----------------------------------------------------------------------------------------

WHILE = "Cache-Control: max-age=60, stale-while-revalidate=60"


@pytest.mark.parametrize("brings", [SAME, reply(b"new", "Cache-Control: max-age=60")])
def test_stale_while_revalidate(stale, brings):
    """A stale reply is used at once, and brought up to date meanwhile."""
    cache = stale(WHILE, 'ETag: "1"')
    cache.member.replies.append(brings)
    response = cache.ask("/a", "Range: bytes=0-0")
    assert (response[LOOKUP], response.body, response["Age"]) == ("STALE", b"o", "100")
    cache.member.wait_for(2)
    assert "range" not in cache.member.asked[1]
    assert eventually(lambda: cache.ask()[LOOKUP] == "MEM_HIT", "a fresh reply")
    assert cache.asked == 2


@pytest.mark.parametrize("end", ["no member", reply(code=500), reply(b"x", "Cache-Control: no-store")])
def test_revalidation_fails(stale, clock, end):
    """What goes wrong there concerns no client."""
    cache = stale(WHILE, 'ETag: "1"')
    cache.member.replies.append((lambda connection: connection.close()) if end == "no member" else end)
    assert cache.ask()[LOOKUP] == "STALE"
    cache.member.wait_for(2)


@pytest.mark.parametrize(
    "fields",
    [
        ["Cache-Control: max-age=60"],
        ["Cache-Control: max-age=60, stale-while-revalidate=30, stale-if-error=30"],
        ["Cache-Control: max-age=60, stale-while-revalidate=90, stale-if-error=90, must-revalidate"],
        ["Cache-Control: max-age=60, stale-while-revalidate=90, stale-if-error=90, proxy-revalidate"],
        ["Cache-Control: max-age=60, stale-while-revalidate=90, stale-if-error=90, no-cache"],
    ],
)
def test_never_stale(stale, fields):
    """Without permission no client gets what is stale."""
    cache = stale(*fields, 'ETag: "1"')
    cache.member.replies.append(reply(b"broken", code=500))
    assert cache.ask().code == 500


IF_ERROR = "Cache-Control: max-age=60, stale-if-error=60"


@pytest.mark.parametrize("code", [500, 502, 503, 504])
def test_stale_if_error(stale, code):
    """Errors of the member are hidden behind the stored reply; not all, and not from who wants a new one."""
    cache = stale(IF_ERROR)
    cache.member.replies.append(reply(b"broken" * 50_000, code=code))
    response = cache.ask()
    assert (response.code, response[LOOKUP], response.body) == (200, "STALE", b"ok")
    for other, asking in ((501, ()), (429, ()), (code, ("Cache-Control: no-cache",))):
        cache.member.replies.append(reply(code=other))
        assert cache.ask("/a", *asking).code == other


def test_stale_without_members(stale, lines):
    """The same where no member can be reached; without permission the error page says so, as does the log."""
    cache = stale(IF_ERROR)
    cache.put("Cache-Control: max-age=9", target="/b")
    cache.member.close()
    assert cache.ask()[LOOKUP] == "STALE"
    cache.clock.now += 10
    assert cache.ask("/b").code == 502
    told = [line.partition(": ")[0] for line in lines() if line.startswith("the proxy")]
    assert told == [
        "the proxy / = @up uses a stored reply, as none came, for GET /a",
        "the proxy / = @up has no reply for GET /b",
    ]


def test_defaults_of_the_config(stale):
    """The config may allow both for replies that say nothing; a shared lifetime forbids it."""
    cache = stale("Cache-Control: max-age=60", cache="stale_if_error = 60\nstale_while_revalidate = 1 ms")
    cache.member.replies.append(reply(code=500))
    assert cache.ask()[LOOKUP] == "STALE"
    shared = stale("Cache-Control: s-maxage=60", cache="stale_if_error = 60")
    shared.member.replies.append(reply(code=500))
    assert shared.ask().code == 500


def test_max_stale(stale):
    """A client that takes stale replies gets them, unless the reply forbids it."""
    cache = stale()
    assert cache.ask("/a", "Cache-Control: max-stale=50")[LOOKUP] == "STALE"
    assert cache.ask("/a", "Cache-Control: max-stale")[LOOKUP] == "STALE"
    cache.member.replies.append(SAME)
    assert cache.ask("/a", "Cache-Control: max-stale=30")[LOOKUP] == "REVALIDATED"
    strict = stale("Cache-Control: max-age=60, must-revalidate", 'ETag: "1"')
    strict.member.replies.append(SAME)
    assert strict.ask("/a", "Cache-Control: max-stale")[LOOKUP] == "REVALIDATED"


# -- what removes them ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PROPPATCH"])
@pytest.mark.parametrize(
    ("code", "removed"), [(200, True), (201, True), (303, True), (404, False), (500, False)]
)
def test_unsafe_methods(caching, method, code, removed):
    """What a request may have changed is asked for anew, unless it failed."""
    cache = caching()
    cache.put(*TAGGED)
    cache.member.replies.append(reply(code=code))
    assert cache.ask(method=method)[LOOKUP] == "PASSED"
    cache.member.replies.append(reply(b"new"))
    assert cache.ask().body == (b"new" if removed else b"ok")


def test_an_unsafe_method_that_may_change_the_protocol(caching):
    """It is passed on in another way, and removes as much."""
    cache = caching()
    cache.put(*TAGGED)
    cache.member.replies.append(reply())
    assert cache.ask("/a", "Connection: upgrade", "Upgrade: foo", method="DELETE")[LOOKUP] == "PASSED"
    cache.member.replies.append(reply(b"new"))
    assert cache.ask().body == b"new"


@pytest.mark.parametrize("buffer", ["yes", "no"])
@pytest.mark.parametrize(
    ("field", "removed"),
    [
        ("Location: /b?c", True),
        ("Location: b?c", True),
        ("Content-Location: http://localhost/b?c", True),
        ("Location: https://localhost/b?c#d", True),
        ("Location: http://other/b?c", False),
        ("Location: http://user@localhost/b?c", False),
        ("Location: http://[/b?c", False),
        ("Location: ftp://localhost/b?c", False),
        ("X-Location: /b?c", False),
    ],
)
def test_locations(caching, field, removed, buffer):
    """So is what the reply names, if it is on the same host."""
    cache = caching(routes=f"/ = @up cache=yes buffer={buffer}")
    cache.put(*TAGGED, target="/b?c")
    cache.member.replies.append(reply(b"", field, code=201))
    assert cache.ask(method="POST", body=b"x").code == 201
    cache.member.replies.append(reply(b"new"))
    assert cache.ask("/b?c").body == (b"new" if removed else b"ok")


def test_location_beside_an_empty_segment(caching):
    """An empty segment of a path is one like others (RFC 3986, section 5.2.4)."""
    cache = caching()
    cache.put(*TAGGED, target="/web//b")
    cache.member.replies.append(reply(b"", "Location: b", code=201))
    assert cache.ask("/web//a", method="POST", body=b"x").code == 201
    cache.member.replies.append(reply(b"new"))
    assert cache.ask("/web//b").body == b"new"


def test_safe_methods(caching):
    """OPTIONS changes nothing."""
    cache = caching()
    cache.put(*TAGGED)
    cache.member.replies.append(reply())
    assert cache.ask(method="OPTIONS")[LOOKUP] == "PASSED"
    assert cache.ask()[LOOKUP] == "MEM_HIT"


@pytest.mark.parametrize("says", ["Cache-Control: no-store", "Cache-Control: private"])
def test_no_longer_stored(stale, says):
    """A reply that is not for keeping removes what is stored, unless it is that of a user."""
    cache = stale(IF_ERROR, 'ETag: "1"')
    cache.put(says, asking=("Cookie: a=b",))
    cache.member.replies.append(reply(code=500))
    assert cache.ask()[LOOKUP] == "STALE"
    cache.put(says)
    cache.member.replies.append(reply(code=500))
    assert cache.ask().code == 500


def test_purge(caching):
    """Who is allowed may remove a reply, with all its variants."""
    cache = caching("purge_clients = 127.0.0.1")
    for value in ("x", "y"):
        cache.put(*TAGGED, "Vary: X-A", asking=(f"X-A: {value}",))
    response = cache.ask(method="PURGE")
    assert (response.code, response.body) == (200, b"Purged localhost/a\n")
    for value in ("x", "y"):
        assert cache.put(*TAGGED, "Vary: X-A", asking=(f"X-A: {value}",))[LOOKUP] == "MISS"


def test_purge_of_one_target(caching):
    """That for the other scheme goes, too; other queries, paths and hosts stay, and ``*`` is no pattern."""
    cache = caching("purge_clients = 127.0.0.1")
    others = ("/a?x", "/a/b", "/%61", "/A")
    for target in ("/a", *others):
        cache.put("Cache-Control: max-age=60", target=target)
    memory = cache.mount.store.memory
    memory.put((True, b"localhost", b"/a"), memory.get((False, b"localhost", b"/a"))[0])
    assert cache.ask("/*", method="PURGE").body == b"Purged localhost/*\n"
    assert cache.ask("/a", method="PURGE", host="elsewhere").body == b"Purged elsewhere/a\n"
    assert cache.ask("/a")[LOOKUP] == "MEM_HIT"
    cache.ask("/a", method="PURGE")
    assert [memory.get((secure, b"localhost", b"/a")) for secure in (True, False)] == [None, None]
    assert [cache.ask(target)[LOOKUP] for target in others] == ["MEM_HIT"] * 4


@pytest.mark.parametrize(
    ("clients", "fields"),
    [
        ("10.0.0.1", ()),
        ("127.0.0.1", ("X-Forwarded-For: 127.0.0.1",)),
        ("127.0.0.1", ("X-Real-IP: 127.0.0.1",)),
        ("127.0.0.1", ("Via: 1.1 other",)),
    ],
)
def test_purge_refused(caching, clients, fields):
    """Others may not, nor who comes through a proxy that is not trusted."""
    cache = caching(f"purge_clients = {clients}")
    cache.put(*TAGGED)
    response = cache.ask("/a", *fields, method="PURGE")
    assert response.code == 403
    assert b"purge_clients in [cache]" in response.body
    assert (cache.ask()[LOOKUP], cache.asked) == ("MEM_HIT", 1)


def test_purge_is_for_the_member(caching):
    """Without the key the method is one like others."""
    cache = caching()
    cache.member.replies.append(reply(code=405))
    assert cache.ask(method="PURGE").code == 405
