"""What a Twisted resource reads of a request stands where Twisted puts it."""

from resources import Page, ask, render


def posted(mounted, function, content_type, body):
    client = mounted(Page(function)).connect()
    client.send(
        b"POST /?a=0&b=1 HTTP/1.1\r\nHost: a\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b"
        % (content_type, len(body), body)
    )
    return client.answers()[0]


def test_what_a_resource_reads(mounted):
    """A resource finds target, arguments, fields, cookies and addresses where Twisted puts them."""
    seen = {}

    def read(request):
        seen.update(
            method=request.method,
            uri=request.uri,
            path=request.path,
            args=request.args,
            prepath=request.prepath,
            postpath=request.postpath,
            clientproto=request.clientproto,
            agent=request.getHeader("user-agent"),
            several=request.requestHeaders.getRawHeaders(b"X-A"),
            all=request.getAllHeaders()[b"x-a"],
            missing=request.getHeader(b"x-b"),
            cookies=[request.getCookie(name) for name in (b"a", b"b", b"c", b"d")],
            hostname=request.getRequestHostname(),
            host=request.getHost().port,
            client=(request.getClientAddress().host, request.getClientAddress().port),
            secure=request.isSecure(),
            content=request.content.read(),
            url=str(request.URLPath()),
        )
        return b"ok"

    fields = b"User-Agent: x\r\nX-A: 1\r\nX-A: 2\r\nCookie: a=1; b=2=3\r\nCookie: c=4; junk\r\n"
    assert ask(mounted(Page(read), b"/m"), b"/m/n%20o/p?q=1&q=2&r=", fields).body == b"ok"
    assert seen == {
        "method": b"GET",
        "uri": b"/m/n%20o/p?q=1&q=2&r=",
        "path": b"/m/n%20o/p",
        "args": {b"q": [b"1", b"2"], b"r": [b""]},
        "prepath": [b"m"],
        "postpath": [b"n o", b"p"],
        "clientproto": b"HTTP/1.1",
        "agent": "x",
        "several": [b"1", b"2"],
        "all": b"2",
        "missing": None,
        "cookies": [b"1", b"2=3", b"4", None],
        "hostname": b"a.example",
        "host": 80,
        "client": ("192.0.2.7", 40122),
        "secure": False,
        "content": b"",
        "url": "http://a.example/m",
    }


def test_absolute_target(mounted):
    """The host of an absolute target is the one that a resource sees."""
    names = []
    render(mounted, lambda request: names.append(request.getRequestHostname()) or b"", b"http://b.example/")
    assert names == [b"b.example"]


def test_set_host(mounted):
    """A resource may say under which name a proxy in front of us was asked."""
    seen = []

    def through_proxy(request):
        request.setHost(b"front.example", 443, ssl=True)
        seen.append((request.getRequestHostname(), request.isSecure(), str(request.prePathURL(), "ascii")))
        return b""

    render(mounted, through_proxy)
    assert seen == [(b"front.example", True, "https://front.example/")]


def test_form(mounted):
    """A posted form is found among the arguments, where it beats the query, and in the content."""
    seen = []

    def form(request):
        seen.append((request.args, request.content.read()))
        return b""

    posted(mounted, form, b"application/x-www-form-urlencoded; charset=utf-8", b"a=1&a=2&c=")
    assert seen == [({b"a": [b"1", b"2"], b"b": [b"1"], b"c": [b""]}, b"a=1&a=2&c=")]


def test_arguments_in_any_encoding(mounted):
    """Non-ASCII arguments arrive as the bytes that were sent, percent-encoded or not."""
    seen = []

    def form(request):
        seen.append(request.args)
        return b""

    posted(mounted, form, b"application/x-www-form-urlencoded", b"a=\xff+%C3%A4&\xe9=%e9")
    assert seen == [{b"a": [b"\xff \xc3\xa4"], b"b": [b"1"], b"\xe9": [b"\xe9"]}]


def test_form_that_is_an_attack(mounted, log):
    """A form of very many fields is not taken apart."""
    body = b"&" * 20_000
    assert (
        posted(mounted, lambda request: request.args, b"application/x-www-form-urlencoded", body).code == 500
    )
    assert [event["log_failure"].type for event in log] == [ValueError]


def test_body(mounted):
    """A body is a file that the server closes, whatever its kind."""
    files = []

    def read(request):
        files.append(request.content)
        return request.content.read()

    assert posted(mounted, read, b"application/json", b"[1]").body == b"[1]"
    assert files[0].closed
