"""Redirects: not followed unless asked, and never with what is another server's business."""

import pytest
from http_upstream import ClientTestCase, Upstream, reply
from twisted.internet.defer import CancelledError, Deferred

from skitai.errors import OperationError, UnsentError
from skitai.net.proxies import DirectHosts, make_route, parse_proxy
from skitai.services.http import HTTPNode, HTTPResult, HTTPService
from skitai.services.http.redirect import RedirectError, next_hop


def redirecting(targets, code=302):
    """Return a handler that redirects the paths in ``targets`` and answers the others with their name."""

    def handler(request):
        if request.target in targets:
            return reply(b"moved", code, Location=targets[request.target])
        return reply(request.target.encode())

    return handler


class RedirectTests(ClientTestCase):
    async def test_not_followed_by_default(self):
        """A redirect is a result like any other."""
        server = self.serve(Upstream(redirecting({"/": "/there"})))
        result = await self.get(self.client(), server.url)
        assert (result.status, result.code, result.data, result.url) == (3, 302, b"moved", server.url)
        assert result.get_header("location") == "/there"

    async def test_locations_of_every_kind(self):
        """A Location may be relative or not, may have a fragment, spaces and other scripts."""
        for location, target in [
            ("/there", "/there"),
            ("there?x=1#y", "/a/there?x=1"),
            ("../there", "/there"),
            ("?x=1", "/a/b?x=1"),
            ("/in between", "/in%20between"),
            ("http:there", "/a/there"),
            ("/ü".encode().decode("latin-1"), "/%C3%BC"),
            ("/ü", "/%C3%BC"),
        ]:
            server = self.serve(Upstream(redirecting({"/a/b": location})))
            result = await self.get(self.client(), server.url + "a/b", follow=1)
            assert (result.code, result.data.decode()) == (200, target)
            assert result.url == server.url + target[1:]

    async def test_empty_segments(self):
        """A path may have ``//`` in it, as those of archives of the web do (RFC 3986, section 3.3)."""
        for location, target in [
            ("c", "/web/http://x/c"),
            ("../c", "/web/http://c"),
            ("../../c", "/web/http:/c"),
            ("./", "/web/http://x/"),
        ]:
            server = self.serve(Upstream(redirecting({"/web/http://x/a": location})))
            result = await self.get(self.client(), server.url + "web/http://x/a", follow=1)
            assert (result.code, result.data.decode()) == (200, target)

    async def test_as_many_as_allowed(self):
        """A chain as long as allowed is followed; one that is longer is a failed result."""
        server = self.serve(Upstream(redirecting({"/": "/1", "/1": "/2", "/2": "/3"})))
        client = self.client()
        assert (await self.get(client, server.url, follow=3)).data == b"/3"
        result = await self.get(client, server.url, follow=2)
        assert (result.status, result.msg, result.url) == (2, "more than 2 redirects", server.url + "2")
        with pytest.raises(OperationError, match="more than 2 redirects") as caught:
            result.reraise()
        assert caught.value.url == server.url + "2"

    async def test_circles(self):
        """A redirect to where the chain has been is a failed result, however many are allowed."""
        for targets in ({"/": "/"}, {"/": "/1", "/1": "/2", "/2": "/1"}, {"/": ""}):
            server = self.serve(Upstream(redirecting(targets)))
            result = await self.get(self.client(), server.url, follow=1000)
            assert (result.status, result.msg) == (2, "redirects lead in a circle")
            assert len(server.requests) == len(targets)

    async def test_nowhere(self):
        """A Location that names no URL is a failed result that says so."""
        for location, words in [
            ("ftp://h/", "'ftp' is not supported"),
            ("http://[::1/", "leads nowhere"),
            ("http://user:secret@h/", "user:password"),
            ("http://h:99999/", "not a port"),
        ]:
            server = self.serve(Upstream(redirecting({"/": location})))
            result = await self.get(self.client(), server.url, follow=5)
            assert (result.status, result.code) == (2, 701), location
            assert words in result.msg
            assert "secret" not in result.msg

    async def test_no_location(self):
        """A redirect that says not where to is the result; so is a Location that is no redirect."""
        for answer in (reply(code=302), reply(code=201, Location="/there")):
            server = self.serve(Upstream(lambda _, answer=answer: answer))
            assert (await self.get(self.client(), server.url, follow=5)).code in (302, 201)

    async def test_methods(self):
        """What is asked next follows RFC 9110, section 15.4."""
        for code, method, after in [
            (301, "POST", "GET"),
            (302, "POST", "GET"),
            (303, "POST", "GET"),
            (303, "PUT", "GET"),
            (303, "HEAD", "HEAD"),
            (301, "PUT", "PUT"),
            (302, "DELETE", "DELETE"),
            (307, "POST", "POST"),
            (308, "POST", "POST"),
        ]:
            server = self.serve(Upstream(redirecting({"/": "/there"}, code)))
            data = None if method == "HEAD" else "body"
            headers = {"X-Mine": "kept"}
            result = await self.get(self.client(method), server.url, data, headers=headers, follow=1)
            second = server.requests[1]
            assert (result.code, second.method, second.headers["x-mine"]) == (200, after, "kept")
            same = after == method != "HEAD"
            assert bytes(second.body) == (b"body" if same else b"")
            assert ("content-type" in second.headers) == same
            assert ("content-length" in second.headers) == same

    async def test_secrets_stay_with_their_origin(self):
        """Another server, be it another port, gets neither credentials nor cookies nor the Host."""
        other = self.serve(Upstream(lambda _: reply(b"there", 401, WWW_Authenticate='Basic realm="x"')))
        server = self.serve(Upstream(redirecting({"/": other.url})))
        headers = {"Authorization": "Bearer x", "Cookie": "a=b", "Host": "www.example.com", "X": "y"}
        result = await self.get(self.client(), server.url, headers=headers, follow=1)
        assert result.url == other.url
        assert server.requests[0].headers.keys() >= {"authorization", "cookie"}
        (arrived,) = other.requests
        assert not {"authorization", "cookie"} & arrived.headers.keys()
        assert (arrived.headers["host"], arrived.headers["x"]) == (f"127.0.0.1:{other.port}", "y")
        await self.get(self.client(), server.url, auth=("hans", "secret"), follow=1)
        assert "authorization" not in other.requests[-1].headers
        assert len(other.requests) == 2

    async def test_fields_that_look_like_secrets_stay_too(self):
        """Keys and tokens have names of their own at each service; what is none goes along.

        requests, httpx and curl take away Authorization and cookies only.
        """
        other = self.serve(Upstream(lambda _: reply(b"there")))
        server = self.serve(Upstream(redirecting({"/": other.url})))
        secret = ["X-Api-Key", "ApiKey", "X-Auth-Token", "X-Auth", "Private-Token", "X-CSRF-Token", "X-Key"]
        secret += [
            "X-Amz-Security-Token",
            "X-Session-Id",
            "Client-Secret",
            "X-Password",
            "Signature",
            "Api_Key",
            "X-Pass",
            "X_Pwd",
            "X-Bearer",
            "Key-Passphrase",
            "X-OTP",
        ]
        plain = ["X-Request-Id", "Idempotency-Key", "Author", "X-Keyword", "Accept-Language", "If-None-Match"]
        plain += ["X-Passage", "X-Pinned"]
        headers = dict.fromkeys([*secret, *plain], "value")
        await self.get(self.client(), server.url, headers=headers, follow=1)
        (arrived,) = other.requests
        assert [name for name in secret if name.lower() in arrived.headers] == []
        assert [name for name in plain if name.lower() not in arrived.headers] == []

    async def test_public_addresses_only(self):
        """A URL from a stranger, and where it redirects to, may not lead into one's own network."""
        server = self.serve(Upstream(redirecting({})))
        client = self.client()
        for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
            with pytest.raises(UnsentError, match="is at no public address"):
                await self.get(client, url, public=True)
        assert not server.requests
        assert client.operation(server.url, public=True).cache_key != client.operation(server.url).cache_key

    async def test_a_cluster_may_be_private_but_not_where_it_redirects_to(self):
        """Members are named by the config; a redirect may be the doing of a stranger."""
        other = self.serve(Upstream(redirecting({})))
        server = self.serve(Upstream(redirecting({"/": other.url, "/in": "/there"})))
        client = self.client()
        node = client.member(f"127.0.0.1:{server.port}", {})
        for path, outcome in (
            ("/in", (3, "Words")),
            ("/", (2, f"127.0.0.1:{other.port} is at no public address")),
        ):
            operation = client.operation(f"@shop{path}", public=True, follow=2)
            assert operation.node is None
            result = await client.perform(node, operation)
            assert (result.status, result.msg) == outcome
        assert not other.requests

    async def test_public_through_a_proxy(self):
        """A proxy looks names up itself, so nobody here could tell: that is refused, with TLS and without."""
        proxy = self.serve(Upstream(redirecting({})))
        route = make_route(parse_proxy(f"http://127.0.0.1:{proxy.port}"), DirectHosts([]))
        client = HTTPService("GET", self.pool(route=route))
        for url in ("http://example.com/", "https://example.com/"):
            with pytest.raises(UnsentError, match="cannot be told through a proxy"):
                await self.get(client, url, public=True)
        assert (await self.get(client, "http://example.com/")).code == 200
        assert len(proxy.requests) == 1

    async def test_secrets_do_not_come_back(self):
        """Once a redirect left the origin, its credentials are gone for good."""
        other = self.serve(Upstream(lambda _: reply(b"", 302, Location=server.url + "back")))
        server = self.serve(Upstream(redirecting({"/": other.url})))
        await self.get(self.client(), server.url, headers={"Cookie": "a=b"}, follow=2)
        assert [request.headers.get("cookie") for request in server.requests] == ["a=b", None]

    async def test_secrets_within_the_origin(self):
        """A redirect on the same server is asked for with all that the app gave."""
        server = self.serve(Upstream(redirecting({"/": "/there"})))
        await self.get(self.client(), server.url, headers={"Cookie": "a=b", "Host": "h"}, follow=1)
        assert [(r.headers["cookie"], r.headers["host"]) for r in server.requests] == [("a=b", "h")] * 2

    async def test_failure_after_a_redirect(self):
        """It is a failed result, not an error, for which the node that redirected would have to rest."""
        server = self.serve(Upstream(redirecting({"/": "http://127.0.0.1:1/"})))
        result = await self.get(self.client("POST"), server.url, follow=1)
        assert (result.status, result.code, result.node.port) == (2, 701, 1)
        assert isinstance(result.error, UnsentError)

    async def test_cancelling_on_the_way(self):
        """Cancelling closes the connection to where a redirect led."""
        reached = Deferred()
        stalling = self.serve(lambda peer: reached.callback(None))
        server = self.serve(Upstream(redirecting({"/": stalling.url})))
        client = self.client()
        operation = client.operation(server.url, follow=1)
        asked = client.perform(client.node(server.url), operation)
        await reached
        asked.cancel()
        await self.error_of(asked, CancelledError)
        await stalling.peers[0].lost


def redirected(location, **options):
    """Return where an https server that redirects to ``location`` leads."""
    client = HTTPService("GET", pool=None)
    request = client.operation("https://one.test/a", follow=1, **options).request
    node = HTTPNode("one.test", 443, True)
    result = HTTPResult(b"", headers=[("Location", location)], code=302, msg="Found", node=node)
    result.asked = "/a"
    return next_hop(result.node, request, result)


def test_from_https_to_http_only_when_asked():
    """What was asked for in secret is not told to the whole network; browsers block it in pages, too.

    requests, httpx and curl follow.
    """
    with pytest.raises(RedirectError, match=r"from https to http.* downgrade=True follows it"):
        redirected("http://one.test/b")
    node, request = redirected("http://one.test/b", downgrade=True)
    assert (node.tls, node.port, request.target) == (False, 80, "/b")
    for location in ("/b", "https://two.test/b", "//two.test/b"):
        node, request = redirected(location)
        assert (node.tls, request.target) == (True, "/b")
