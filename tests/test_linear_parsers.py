"""No parser of what a stranger sends takes a time that grows faster than its input, whatever it holds."""

from __future__ import annotations

import asyncio
import contextlib
import io
import time
from functools import cache
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest
from twisted.web.http_headers import Headers
from twisted.web.server import NOT_DONE_YET

from growth import TIMES, check_growth
from skitai.errors import SkitaiError
from skitai.http import cachecontrol, digest, fields, ranges
from skitai.saddle.failures.pages import wants_json
from skitai.saddle.incoming.arguments import ArgumentError, merge
from skitai.saddle.incoming.forms import FormError, FormLimits, parse_form
from skitai.saddle.incoming.request import Request as SaddleRequest
from skitai.saddle.incoming.uploads import TemporaryFiles, safe_name
from skitai.saddle.login.auth import Authenticator
from skitai.saddle.routes.router import Router, RoutingError
from skitai.saddle.routes.rules import Rule
from skitai.saddle.visitor.cookies import parse_cookies
from skitai.saddle.visitor.csrf import Csrf
from skitai.saddle.visitor.mbox import MessageBoxes
from skitai.saddle.visitor.seal import SecureBox
from skitai.saddle.visitor.session import Sessions
from skitai.server.accesslines import FORMATS
from skitai.server.http1.head import HeadError, examine
from skitai.server.http1.limits import ServerLimits
from skitai.server.request.compress import accepts_gzip
from skitai.server.request.request import Request
from skitai.server.site import Mounts, Site
from skitai.server.static.directory import StaticDirectory
from skitai.server.wsgi.environ import base_environ, make_environ
from skitai.services.forward.targets import read_target
from skitai.services.forward.users import read_credentials
from skitai.services.http import HTTPNode, HTTPResult
from skitai.services.http.auth import Credentials, login_for
from skitai.services.http.decoding import BadReplyError
from skitai.services.http.redirect import RedirectError, next_hop
from skitai.services.http.reply import ReplyReader
from skitai.services.http.request import HTTPRequest

#: Characters of the short input.
SIZE = 2000

#: What inputs are made of: ``%d`` is another number each time.
UNITS = (
    *(" ", "\t", ",", ";", "=", "&", "%", "+", "'", '"', "\\", "*", "/", ":", "-", "a", "1", "\xff", "\0"),
    *(", ", "; ", '",', '";', '\\"', '="', '"a" ', "''", "..", "/../", "%41", "%ff", "%zz", "W/", "a b "),
    *("a=b;", "a=b&", "a=b, ", 'a="b', 'a="b";', 'a="\\"', "a*0=b;", "a*=utf-8''b;", "=;", "==", "a=\\"),
    *("a.", "%d/+json,", "%d;q=0.5,", "*/*;q=0,", 'a;b="c;q=1",', "text/html;a=b;", "gzip;q=1,"),
    *('"%d",', 'W/"%d", ', '"%d', "0-1,", "%d-%d,", "-1,", "-,"),
    *("Digest ", "Basic a=b, ", "Digest a=\"", "Negotiate a== ", "a=%d, ", "b%d=%d;", "c%d=%d&", "int:d=%d&"),
    *("list:e=,&", 'json:f=[[&', "float:g=1e9&", "h%d&", "int:i%d=%d&", "/a", "/%d", "_", "<", "[", "{"),
)  # fmt: skip
#: What may stand before some of them, so that they are reached.
STARTS = ("x", 'a="', "a/b;", "a=", "bytes=", "Digest a=", "float:a=", "json:a=", "/", "http://")
STARTED = ("1", "a", "[", '"', "\\", '"a" ', ";", ",", " ")


class Answering:
    """A resource that leaves it at that."""

    isLeaf = True

    def render(self, request):
        return NOT_DONE_YET


HERE = StaticDirectory(str(Path(__file__).parent), 0)
SITE = Site(
    Mounts([(b"", HERE)], [(b"", Answering())]),
    {b"a.b": Mounts([], [])},
    {b"example.org": Mounts([(b"", HERE)], [(b"/x/y", Answering()), (b"", Answering())])},
)

ADDRESSES = {"SERVER_NAME": "a", "SERVER_PORT": "80", "REMOTE_ADDR": "1.2.3.4", "REMOTE_PORT": "5"}
EVERYTHING = ServerLimits(header_max=1 << 30, uri_max=1 << 30)
FILE = ranges.Representation(1000, b'"1-2"', 1_000_000, True, b"text/plain", b"no-cache")
NODE = HTTPNode("h", 80)
BOX = SecureBox(["a key"])
BASIC, DIGEST = (Authenticator(scheme, "here", {"a": "b"}, b"secret") for scheme in ("basic", "digest"))
REFUSALS = (ArgumentError, BadReplyError, FormError, HeadError, RedirectError, RoutingError)


def router():
    made = Router()
    for rule in ("/", "/a/<b>", "/a/<b>-<c>/d", "/e/<int:f>.<g>", "/h/<path:i>", "/j/<float:k>/<l>_<m>"):
        made.add(Rule(rule), rule)
    return made


ROUTER = router()


def server_request(names, text, target="/"):
    """A request that has ``text`` in each of these fields, or in its target."""
    values = [(name, text.encode("latin-1")) for name in names]
    connection = SimpleNamespace(addresses=ADDRESSES, secure=False, factory=SimpleNamespace(secure=False))
    return Request(connection, b"GET", target.encode("latin-1"), "1.1", [(b"host", b"a"), *values])


def head(text):
    for name in (b"host", b"content-length", b"content-type", b"transfer-encoding", b"expect", b"connection"):
        with contextlib.suppress(HeadError):
            examine(server_request([name], text), EVERYTHING)
    with contextlib.suppress(HeadError):
        examine(server_request([], "", text), EVERYTHING)


def environ(text):
    names = [b"x-%d" % number for number in range(3)]
    request = server_request(names, text, f"/{text}?{text}")
    examine(request, EVERYTHING)
    make_environ(base_environ(False, False, ""), request)


def many_fields(text):
    """A field that comes again and again, as short as ``text`` has commas."""
    values = [(b"x", value.encode("latin-1")) for value in text.split(",")]
    request = server_request([], "")
    request.headers += [*values, *((b"expect", value) for _, value in values)]
    with contextlib.suppress(HeadError):
        examine(request, EVERYTHING)
    make_environ(base_environ(False, False, ""), request)
    request.field(b"x")


def lazy(text):
    request = server_request([b"cookie", b"content-type"], text)
    request.query = text.encode("latin-1")
    return request.args, request.received_cookies


def conditions(text):
    for name in (
        b"Range",
        b"If-Match",
        b"If-None-Match",
        b"If-Range",
        b"If-Modified-Since",
        b"If-Unmodified-Since",
    ):
        ranges.answer(b"GET", Headers({name: [text.encode("latin-1")], b"range": [b"bytes=0-1"]}), FILE)


def body_of(form, content_type):
    environ = {"wsgi.input": io.BytesIO(form), "CONTENT_LENGTH": str(len(form)), "CONTENT_TYPE": content_type}
    with contextlib.suppress(FormError):
        parse_form(environ, FormLimits(), TemporaryFiles()).close()


def urlencoded(text):
    body_of(text.encode(), "application/x-www-form-urlencoded")


def multipart_type(text):
    body_of(b"--x--", f"multipart/form-data;{text}")


def multipart_part(text):
    for head in ("Content-Disposition: form-data; name=a;%s", "Content-Disposition: %s\r\nContent-Type: %s"):
        filled = head.replace("%s", text).encode()
        body_of(b"--x\r\n%b\r\n\r\nbody\r\n--x--\r\n" % filled, "multipart/form-data; boundary=x")


def visitor(text):
    for cookie in (text, text[:3000]):
        Sessions(BOX, 100, warn=str).load(cookie, "1.2.3.4")
        MessageBoxes(BOX, warn=str).load(cookie)
    Csrf(lambda: "00" * 32, str).check(text)


def saddle_request(text):
    request = SaddleRequest(
        {
            "REQUEST_METHOD": "GET",
            "REQUEST_URI": text,
            "PATH_INFO": text,
            "CONTENT_TYPE": text,
            "HTTP_X": text,
        }
    )
    return request.split_uri(), request.path, request.get_content_type(), request.headers


def reply(text):
    names = (
        "Content-Type",
        "Content-Length",
        "Content-Encoding",
        "Transfer-Encoding",
        "Connection",
        "Location",
    )
    for name in (*names, "Link", "Set-Cookie", "Retry-After"):
        reader = ReplyReader(1000)
        reader.expect(head_only=False)
        with contextlib.suppress(BadReplyError):
            reader.feed(f"HTTP/1.1 200 OK\r\n{name}: {text}\r\n\r\n".encode("latin-1"))


def reply_text(text):
    return HTTPResult(b"body", headers=[("Content-Type", text)], code=200, msg="OK", node=NODE).text


def location(text):
    result = HTTPResult(b"", headers=[("Location", text)], code=302, msg="Found", node=NODE)
    for base in ("/", f"/{text}?a"):
        result.asked = base
        next_hop(NODE, HTTPRequest("GET", base, ""), result)


def site(text):
    """Find what answers, where each host and path is looked for."""
    for authority, path in ((text, "/"), ("a.example.org", f"/{text}")):
        request = server_request([], "")
        request.authority, request.path = authority.encode("latin-1"), path.encode("latin-1")
        SITE.handle(request)


def access_line(text):
    for form in FORMATS.values():
        form(time.time)(server_request([b"referer", b"x-request-id"], text, text))


PARSERS = {
    "hosts and paths": site,
    "access log": access_line,
    "lists": fields.split_list,
    "parameters": fields.split_parameters,
    "weights": fields.weighted_list,
    "cache directives": cachecontrol.cache_directives,
    "media types": fields.media_type,
    "quoted strings": lambda text: fields.unquoted(f'"{text}"'),
    "credentials": digest.parse_parameters,
    "challenges": digest.parse_challenges,
    "heads": head,
    "environs": environ,
    "repeated fields": many_fields,
    "Accept-Encoding": lambda text: accepts_gzip.__wrapped__(text.encode("latin-1")),
    "conditions and ranges": conditions,
    "what Twisted's resources ask for": lazy,
    "Accept": wants_json,
    "Cookie": parse_cookies,
    "Basic": lambda text: BASIC.check("GET", text, f"Basic {text}", asyncio.run),
    "Proxy-Authorization": lambda text: read_credentials(f"Basic {text}".encode("latin-1")),
    "targets of a forward proxy": lambda text: read_target(text.encode("latin-1"), 80),
    "Digest": lambda text: DIGEST.check("GET", text, f"Digest {text}", asyncio.run),
    "sealed cookies": visitor,
    "what Saddle asks of a request": saddle_request,
    "paths": lambda text: ROUTER.match(f"/{text}", "GET"),
    "query strings": lambda text: merge({}, text, None),
    "urlencoded forms": urlencoded,
    "the type of multipart forms": multipart_type,
    "the parts of multipart forms": multipart_part,
    "file names": safe_name,
    "replies": reply,
    "the charset of replies": reply_text,
    "WWW-Authenticate": lambda text: login_for(Credentials("a", "b"), [("WWW-Authenticate", text)]),
    "Location": location,
}


@cache
def inputs(size):
    """Return the texts of ``size`` characters, by what they are made of."""
    texts = {}
    for start, unit in (*product([""], UNITS), *product(STARTS, STARTED)):
        numbers = range(size // len(unit) + 1)
        text = start + "".join(unit.replace("%d", str(number)) for number in numbers)
        texts[f"{start!r} and {unit!r}"] = text[:size]
    return texts


@pytest.mark.parametrize("name", PARSERS)
def test_time_grows_with_the_size_of_what_is_read_and_no_faster(name):
    """Eight times the input costs some eight times the time, and nothing near the square of it."""
    short = inputs(SIZE)
    for made_of, text in inputs(SIZE * TIMES).items():
        check_growth(PARSERS[name], made_of, short[made_of], text, (*REFUSALS, SkitaiError))
