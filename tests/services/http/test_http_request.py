"""What an app's arguments become, and which are refused at once."""

import enum
import json
import pickle

import markupsafe
import pytest
from flask import json as flask_json
from twisted.internet import reactor
from zope.interface.verify import verifyObject

import skitai
from skitai.formats.jsontext import as_json
from skitai.http.codings import ACCEPTED
from skitai.interfaces import INode, IService
from skitai.services.http import ConnectionPool, HTTPNode, HTTPService
from skitai.services.http.service import UploadService
from skitai.services.rpc import RPCService
from skitai.services.rpc.jsonrpc import JSONRPC
from skitai.services.rpc.xmlrpc import XMLRPC

POOL = ConnectionPool(reactor)
GET, POST = HTTPService("GET", POOL), HTTPService("POST", POOL)


def sent(service, *args, node=None, **kwargs):
    """Return the bytes that an operation sends."""
    operation = service.operation(*args, **kwargs)
    return operation.request.encode((node or service.node(operation.target)).authority)


def test_interfaces():
    """The service and its nodes are what the call machinery expects."""
    assert verifyObject(IService, GET)
    assert verifyObject(INode, GET.node("http://a/"))


@pytest.mark.parametrize(
    ("service", "args", "kwargs", "words"),
    [
        (GET, (), {}, r"^was\.get\(\) missing 1 required positional argument: 'uri'$"),
        (
            POST,
            ("http://h/",),
            {"bogus": 1},
            r"^was\.post\(\) got an unexpected keyword argument 'bogus': known are auth, data, d",
        ),
        (UploadService(None), (), {"data": {}}, r"^was\.upload\(\) missing 1 required"),
        (RPCService(XMLRPC(), None), (), {}, r"^was\.rpc\(\) missing 1 required"),
        (RPCService(JSONRPC(), None), ("http://h/",), {"bogus": 1}, r"^was\.jsonrpc\(\) got an unexpected"),
        (GET, (1,), {}, r"^uri must be a str, not int$"),
    ],
)
def test_wrong_arguments(service, args, kwargs, words):
    """The message names what the app called."""
    with pytest.raises(TypeError, match=words):
        service.begin(None, *args, **kwargs)


def test_get_bytes():
    """A plain GET carries Host, the product, what it accepts, and no body."""
    assert sent(GET, "http://Example.com/a?b=c#frag") == (
        b"GET /a?b=c HTTP/1.1\r\nHost: example.com\r\nUser-Agent: Skitai/%b\r\nAccept: */*\r\n"
        b"Accept-Encoding: %b\r\n\r\n" % (skitai.__version__.encode(), ACCEPTED.encode())
    )


@pytest.mark.parametrize(
    ("uri", "node", "target"),
    [
        ("http://h", HTTPNode("h", 80), "/"),
        ("https://h", HTTPNode("h", 443, tls=True), "/"),
        ("http://h:/x", HTTPNode("h", 80), "/x"),
        ("https://[::1]:", HTTPNode("::1", 443, tls=True), "/"),
        ("HTTP://H:8080?q", HTTPNode("h", 8080), "/?q"),
        ("http://[::1]:81/x", HTTPNode("::1", 81), "/x"),
        ("http://[2001:DB8:0:0::1]/", HTTPNode("2001:db8::1", 80), "/"),
        ("http://bücher.example/ü?k=ß", HTTPNode("xn--bcher-kva.example", 80), "/%C3%BC?k=%C3%9F"),
        ("http://my_service:9/%41%zz", HTTPNode("my_service", 9), "/%41%zz"),
        ('http://h/a"<>\\^`{|}', HTTPNode("h", 80), "/a%22%3C%3E%5C%5E%60%7B%7C%7D"),
        ("http://h/login?next=http://x/", HTTPNode("h", 80), "/login?next=http://x/"),
    ],
)
def test_urls(uri, node, target):
    """A URL names a node and an ASCII target from the slash on."""
    operation = GET.operation(uri)
    assert (GET.node(operation.target), operation.request.target) == (node, target)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("example.com/x", "no scheme"),
        ("/login?next=http://x", "no scheme"),
        ("ftp://h/", "'ftp' is not supported"),
        ("http://", "no host"),
        ("http:///path", "no host"),
        ("http://h:0/", "not a port"),
        ("http://h:65536/", "not a port"),
        ("http://h:x/", "not a port"),
        ("http://:/", "no host"),
        ("http://h::/", "not a port"),
        ("http://[::1/", "not"),
        ("http://[::1%25eth0]/", "not an IPv6 address"),
        ("http://[nonsense:]/", "not an IPv6 address"),
        ("http://a..b/", "not a host name"),
        ("http://-a/", "not a host name"),
        ("http://a\\b/", "not a host name"),
        ("http://ex%41mple/", "not a host name"),
        ("http://" + "a." * 127 + "aaa/", "not a host name"),
        ("http://\u2603\u0301\u200b./", "not an international domain name"),
        ("http://h/a b", "percent-encode"),
        ("http://h/a\r\nX: y", "percent-encode"),
        ("http://h/\0", "percent-encode"),
        ("http://h\t/", "percent-encode"),
        ("http://h/\ud800", "surrogate"),
        ("https://my_service/", "underscore"),
        ("@", "names no cluster"),
        ("@/path", "names no cluster"),
        ("@name/a b", "percent-encode"),
    ],
)
def test_bad_urls(uri, words):
    """A URL that makes no sense is a ValueError that shows it, in the app's own thread."""
    with pytest.raises(ValueError, match=words):
        GET.operation(uri)


def test_userinfo_is_refused_without_repeating_it():
    """Credentials in a URL are refused, and do not reach a log through the message."""
    with pytest.raises(ValueError, match="user:password@") as caught:
        GET.operation("http://hans:secret@h/")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://hans:secret pass@h/",
        "hans:secret@127.0.0.1/",
        "hans:secret@h",
        "hans:secret/secret @h/",
        "hans:secret://x@h/",
        "http://hans:secret@h/?next=http://x y",
        "@/hans:secret @h",
        "http://hans:secret@h:x/",
        "ftp://hans:secret@h/",
    ],
)
def test_passwords_are_not_repeated(url):
    """Whatever is wrong with a URL, its user and password are not in the message."""
    with pytest.raises(ValueError, match="uri") as caught:
        GET.operation(url)
    assert "secret" not in str(caught.value)
    assert "hans" not in str(caught.value)


@pytest.mark.parametrize("uri", [None, 5, b"http://h/"])
def test_uri_must_be_text(uri):
    """A uri that is no str is a TypeError that names the argument."""
    with pytest.raises(TypeError, match="uri must be a str"):
        GET.operation(uri)


def test_cluster_target():
    """In a cluster the member gives the host and the operation the path."""
    operation = GET.operation("@search/a/b?c=d#e", {"q": 1})
    assert (operation.cluster, operation.request.target) == ("search", "/a/b?c=d&q=1")
    member = GET.member("One.local:8080", {})
    assert b"\r\nHost: one.local:8080\r\n" in operation.request.encode(member.authority)
    assert GET.operation("@search").request.target == "/"


def test_members():
    """A cluster's member is host[:port], with the port and protocol that ssl says."""
    assert GET.member("h", {}) == HTTPNode("h", 80)
    assert GET.member("h", {"ssl": "Yes"}) == HTTPNode("h", 443, tls=True)
    assert GET.member("[::1]:99", {"ssl": "no"}).label == "[::1]:99"
    with pytest.raises(ValueError, match="without a user") as caught:
        GET.member("u:secret@h", {})
    assert "secret" not in str(caught.value)
    for address, options in [("h", {"ssl": "perhaps"}), ("a b", {}), ("http://h", {}), ("", {})]:
        with pytest.raises(ValueError, match=r"ssl|not"):
            GET.member(address, options)


def test_post_form():
    """A dict is posted as a form, lists repeating the name, non-ASCII as UTF-8."""
    data = sent(POST, "http://h/", {"user": "Hans Röh", "n": [1, 2], "b": b"\xff"})
    head, _, body = data.partition(b"\r\n\r\n")
    assert body == b"user=Hans+R%C3%B6h&n=1&n=2&b=%FF"
    assert b"\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 32" in head


def test_post_text_bytes_and_nothing():
    """A str is posted as UTF-8, bytes as they are, and nothing with a length of 0."""
    assert sent(POST, "http://h/", "ä").endswith(
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: 2\r\n\r\n\xc3\xa4"
    )
    raw = sent(POST, "http://h/", b"\0\xff")
    assert raw.endswith(b"Content-Length: 2\r\n\r\n\0\xff")
    assert b"Content-Type" not in raw
    assert sent(POST, "http://h/").endswith(b"Content-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("uri", "target"),
    [
        ("http://h", b"/?a=1"),
        ("http://h/?", b"/?a=1"),
        ("http://h/?b", b"/?b&a=1"),
        ("http://h/?b&", b"/?b&a=1"),
    ],
)
def test_get_dict_extends_the_query(uri, target):
    """A dict given to GET goes into the query, not into a body."""
    data = sent(GET, uri, {"a": 1})
    assert data.startswith(b"GET " + target + b" HTTP/1.1\r\n")
    assert b"Content-Length" not in data


@pytest.mark.parametrize("data", [5, ["a"], bytearray(b"x"), object(), open])
def test_data_of_other_types(data):
    """Data of another type is a TypeError that says what is taken."""
    with pytest.raises(TypeError, match="data must be a dict, str, bytes or a binary file"):
        POST.operation("http://h/", data)


@pytest.mark.parametrize("data", [{"a": None}, {"a": {}}, {1: "a"}, {"a": [None]}, {"f": object()}])
def test_form_values_of_other_types(data):
    """A form value of another type is a TypeError that names the field."""
    with pytest.raises(TypeError, match=r"data\["):
        POST.operation("http://h/", data)


@pytest.mark.parametrize("data", ["\ud800", {"a": "\ud800"}])
def test_data_beyond_utf8(data):
    """Text that UTF-8 cannot say is a ValueError that names the argument."""
    with pytest.raises(ValueError, match="data holds a lone surrogate"):
        POST.operation("http://h/", data)


@pytest.mark.parametrize("headers", [{"X-A": " 1 ", "accept": "x/y"}, [("X-A", "1"), ["accept", "x/y"]]])
def test_headers(headers):
    """Headers come as a dict or pairs and take the place of the defaults of the same name."""
    lines = sent(GET, "http://h/", headers=headers).split(b"\r\n")
    assert b"X-A: 1" in lines
    assert b"accept: x/y" in lines
    assert b"Accept: */*" not in lines
    assert f"User-Agent: Skitai/{skitai.__version__}".encode() in lines


class Text(str, enum.Enum):  # noqa: UP042 - a StrEnum is no trap
    """Text whose name is not its value."""

    NAME = "X-Kind"
    KIND = "text/plain"


def test_members_of_text_enums_are_their_values():
    """A name or a value that is a member of a (str, Enum) leaves as the text that it equals."""
    assert b"\r\nX-Kind: text/plain\r\n" in sent(GET, "http://h/", headers={Text.NAME: Text.KIND})


def test_host_header_is_overridden_once():
    """The app may say another Host, which is then the only one."""
    data = sent(GET, "http://127.0.0.1/", headers={"host": "www.example.com", "X": "1"})
    assert data.lower().count(b"\r\nhost:") == 1
    assert b"\r\nHost: www.example.com\r\n" in data


@pytest.mark.parametrize(
    "headers",
    [
        {"X": "a\r\nY: b"},
        {"X": "a\nb"},
        {"X": "a\0b"},
        {"X": "€"},
        {"X\r\nY": "b"},
        {"X Y": "b"},
        {"": "b"},
        {"X:": "b"},
        {"Ünicode": "b"},
        {"Content-Length": "5"},
        {"transfer-encoding": "chunked"},
        {"Connection": "close"},
        {"Upgrade": "h2c"},
        {"Expect": "100-continue"},
        {"Host": ""},
        [("Host", "a"), ("host", "b")],
    ],
)
def test_headers_that_would_break_the_request(headers):
    """A header that injects a line or fights with the framing is a ValueError naming the argument."""
    with pytest.raises(ValueError, match="headers"):
        GET.operation("http://h/", headers=headers)


@pytest.mark.parametrize("headers", ["X: y", b"X: y", ["X: y"], [("a",)], {"X": 1}, {"X": None}, {1: "x"}])
def test_headers_of_other_types(headers):
    """Headers of another shape are a TypeError naming the argument."""
    with pytest.raises(TypeError, match="headers"):
        GET.operation("http://h/", headers=headers)


def test_cache_key():
    """The key tells requests with different answers apart, and no others; without the cache there is none."""
    key = GET.operation("http://h/a", {"q": 1}, headers={"A": "1", "B": "2"}).cache_key
    assert key == GET.operation("http://H:80/a?q=1#x", headers=[("b", "2"), ("a", "1")]).cache_key
    others = [
        GET.operation("http://h/a?q=1"),
        GET.operation("https://h/a?q=1", headers={"A": "1", "B": "2"}),
        GET.operation("@h/a?q=1", headers={"A": "1", "B": "2"}),
        POST.operation("http://h/a?q=1", headers={"A": "1", "B": "2"}),
        POST.operation("http://h/a?q=1", "x", headers={"A": "1", "B": "2"}),
    ]
    assert len({hash(other.cache_key) for other in others} | {hash(key)}) == 6
    assert not GET.operation("http://h/a", use_cache=False).use_cache


def test_cache_key_and_kind_of_data():
    """What the kind of data says of its type tells answers apart, as the same said in a header does."""
    keys = [POST.operation("http://h/a", data).cache_key for data in ({"a": "1"}, "a=1", b"a=1")]
    assert len(set(keys)) == 3
    headers = {"content-type": "text/plain; charset=utf-8"}
    assert POST.operation("http://h/a", b"a=1", headers=headers).cache_key == keys[1]


def test_idempotent():
    """A GET may be repeated, a POST may not."""
    assert GET.operation("http://h/").idempotent
    assert not POST.operation("http://h/").idempotent


def test_arguments_in_the_order_of_the_readme():
    """uri, data, auth, headers and use_cache may be given by position."""
    operation = POST.operation("http://h/", {"a": 1}, ("hans", "secret"), [("X", "y")], False)
    assert (operation.request.credentials.user, operation.request.body) == ("hans", b"a=1")
    assert "X: y\r\n" in operation.request.fields
    assert not operation.use_cache


@pytest.mark.parametrize(
    ("auth", "kind", "words"),
    [
        ("hans", ValueError, "no colon"),
        (("hans", "secret", "x"), TypeError, "tuple"),
        (("hans", b"secret"), TypeError, "tuple"),
        (5, TypeError, "int"),
        (("ha:ns", "secret"), ValueError, "colon in the name"),
        (("hans", "secret\r\n"), ValueError, "control"),
        (("hans", "secret\ud800"), ValueError, "surrogate"),
    ],
)
def test_credentials_that_make_no_sense(auth, kind, words):
    """They are refused at once, without repeating them."""
    with pytest.raises(kind, match=words) as caught:
        GET.operation("http://h/", auth=auth)
    assert "auth" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_credentials_and_a_header_of_their_own():
    """Only one of the two can be meant."""
    with pytest.raises(ValueError, match="auth: the headers hold"):
        GET.operation("http://h/", auth="a:b", headers={"authorization": "Bearer x"})


@pytest.mark.parametrize("follow", [True, 1.5, "3"])
def test_follow_of_other_types(follow):
    """The number of redirects is a number."""
    with pytest.raises(TypeError, match="follow"):
        GET.operation("http://h/", follow=follow)


def test_follow_below_zero():
    """Fewer redirects than none are refused."""
    with pytest.raises(ValueError, match="follow"):
        GET.operation("http://h/", follow=-1)


def test_secrets_stay_out_of_keys_and_reprs():
    """Passwords and sessions make a difference to the key, but can be read neither there nor in a repr."""
    operations = [
        GET.operation("http://h/", auth=("hans", "secret")),
        GET.operation("http://h/", auth=("hans", "secret2")),
        GET.operation("http://h/", headers={"Authorization": "Bearer secret"}),
        GET.operation("http://h/", headers={"Cookie": "session=secret"}),
        GET.operation("http://h/"),
    ]
    assert len({operation.cache_key for operation in operations}) == len(operations)
    assert not any("secret" in repr(operation) for operation in operations)
    assert GET.operation("http://h/", auth="hans:secret").cache_key == operations[0].cache_key


def test_follow_is_part_of_the_key():
    """What a redirect led to is not the answer for who did not want to follow it."""
    assert GET.operation("http://h/", follow=1).cache_key != GET.operation("http://h/").cache_key


def test_filter_is_handed_on():
    """The call machinery gets the filter, and refuses what cannot be called."""
    assert GET.operation("http://h/", filter=len).filter is len
    with pytest.raises(TypeError, match="filter"):
        GET.operation("http://h/", filter="len")


@pytest.mark.parametrize("name", ["Range", "range"])
def test_no_coding_is_asked_for_a_range(name):
    """A range of coded data cannot be decoded, so with Range none is offered, unless the app does so itself.

    Without the field, any coding would be acceptable (RFC 9110, section 12.5.3). Browsers send the same; curl
    offers none either.
    """
    request = sent(GET, "http://h/", headers={name: "bytes=5-"})
    assert b"\r\nAccept-Encoding: identity\r\n" in request
    assert request.count(b"Accept-Encoding") == 1
    own = sent(GET, "http://h/", headers={name: "bytes=5-", "accept-encoding": "gzip"})
    assert b"\r\naccept-encoding: gzip\r\n" in own
    assert b"identity" not in own


@pytest.mark.parametrize(
    ("url", "params", "target"),
    [
        ("http://h/a", {"q": "a b", "n": 1, "t": True}, "/a?q=a+b&n=1&t=True"),
        ("http://h/a?x=1", {"q": ["a", "b"]}, "/a?x=1&q=a&q=b"),
        ("http://h", [("q", "a"), ("r", "ü"), ("q", "b")], "/?q=a&r=%C3%BC&q=b"),
        ("http://h/a", {"q": None, "r": b"\xff"}, "/a?r=%FF"),
        ("http://h/a", {}, "/a"),
        ("http://h/a", {"q": None}, "/a"),
        ("http://h/a", {"q": []}, "/a"),
        ("http://h/a", {"p": 1, "q": [], "r": 2}, "/a?p=1&r=2"),
        ("@c/a?b", {"q": "1"}, "/a?b&q=1"),
    ],
)
@pytest.mark.parametrize("service", [GET, POST])
def test_params(service, url, params, target):
    """``params`` go into the query, as in requests: behind that of the URL; None leaves a name out."""
    operation = service.operation(url, params=params)
    assert operation.request.target == target
    assert operation.cache_key != service.operation("http://other/").cache_key


def test_params_beside_data():
    """With POST, ``data`` is the body and ``params`` the query; with GET, both are the query."""
    assert sent(POST, "http://h/", {"a": 1}, params={"b": 2}).startswith(b"POST /?b=2 HTTP/1.1\r\n")
    assert sent(GET, "http://h/", {"a": 1}, params={"b": 2}).startswith(b"GET /?a=1&b=2 HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("value", "body"),
    [
        ({"a": [1, None, True, "ü"]}, rb'{"a":[1,null,true,"\u00fc"]}'),
        ([], b"[]"),
        ("text", b'"text"'),
        (0, b"0"),
        (False, b"false"),
        ("\ud800", rb'"\ud800"'),
    ],
)
def test_json(value, body):
    """``json`` is the body, with its type, as in requests and httpx."""
    request = sent(POST, "http://h/", json=value)
    head, _, got = request.partition(b"\r\n\r\n")
    assert got == body
    assert b"\r\nContent-Type: application/json\r\n" in head
    assert b"\r\nContent-Length: %d" % len(body) in head
    own = sent(POST, "http://h/", json=value, headers={"content-type": "application/ld+json"})
    assert (own.count(b"ontent-"), b"application/ld+json" in own) == (2, True)


def test_no_json():
    """``json=None`` is none, as in requests and httpx."""
    assert sent(POST, "http://h/", json=None) == sent(POST, "http://h/")


@pytest.mark.parametrize(
    ("service", "options", "kind", "words"),
    [
        (POST, {"data": b"x", "json": {}}, TypeError, "data and json are two bodies"),
        (POST, {"json": object()}, TypeError, "json: Object of type object is not JSON serializable"),
        (POST, {"json": float("nan")}, ValueError, "json: Out of range float values"),
        (UploadService(POOL), {"data": {}, "json": {}}, TypeError, "give all fields and files in data"),
        (GET, {"params": "q=1"}, TypeError, r"params must be a dict or a list of \(name, value\) pairs"),
        (GET, {"params": [("a",)]}, TypeError, r"but one is \('a',\)"),
        (GET, {"params": ["ab"]}, TypeError, "params must be"),
        (GET, {"params": {"a": {}}}, TypeError, r"params\['a'\] is dict"),
        (GET, {"params": {1: "a"}}, TypeError, "names must be str"),
        (GET, {"params": {"a": "\ud800"}}, ValueError, "params holds a lone surrogate"),
        (GET, {"timeout": "5"}, TypeError, "timeout must be a number of seconds"),
        (GET, {"timeout": 0}, ValueError, "timeout must be more than 0 seconds"),
        (GET, {"timeout": -1}, ValueError, "timeout must be more than 0 seconds"),
        (GET, {"timeout": float("nan")}, ValueError, "timeout must be a number of seconds"),
        (GET, {"timeout": (3.05, 27)}, TypeError, "connect_timeout and silence_timeout in the config"),
    ],
)
def test_wrong_options(service, options, kind, words):
    """Each is refused where it was written, by its name."""
    with pytest.raises(kind, match=words):
        service.operation("http://h/", **options)


def test_timeout_of_an_operation():
    """``timeout`` belongs to the call: it is no part of the request, nor of the key of kept results."""
    patient = GET.operation("http://h/", timeout=30)
    assert patient.timeout == 30
    assert patient.with_request(patient.request).timeout == 30
    assert patient.request == GET.operation("http://h/").request
    assert patient.cache_key == GET.operation("http://h/").cache_key


@pytest.mark.parametrize("node", [HTTPNode("a.example", 8080), HTTPNode("::1", 443, tls=True)])
def test_a_node_can_be_shown(node):
    """Who logs, prints or dumps ``result.node`` gets the address: in text, in a page, in JSON, pickled."""
    assert f"{node}" == str(node) == node.label
    assert str(markupsafe.escape(node)) == node.label
    assert flask_json.dumps({"node": node}) == json.dumps({"node": node.label})
    assert as_json({"node": node}) == json.dumps({"node": node.label}, separators=(",", ":")).encode()
    assert pickle.loads(pickle.dumps(node)) == node


@pytest.mark.parametrize("space", ["\u2028", "\u2029", "\x85", "\xa0", "\u3000"])
@pytest.mark.parametrize("url", ["http://h:80{}/", "http://{}h/", "http://h{}", "http://h:8{}0/"])
def test_spaces_of_unicode_beside_the_host(url, space):
    """Python strips and splits by them, but they are in no URL: nothing may be asked elsewhere for them."""
    with pytest.raises(ValueError, match="uri"):
        GET.operation(url.format(space))


def test_other_scripts_in_a_path_are_encoded():
    """In a path the same characters are text like any other (RFC 3987, section 3.1)."""
    assert GET.operation("http://h/a\u2028b\u3000").request.target == "/a%E2%80%A8b%E3%80%80"
