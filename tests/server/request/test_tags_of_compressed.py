"""The entity tags of compressed responses, for apps, streams, Twisted resources and files.

A compressed form is a representation of its own, with a tag of its own (RFC 9110, section 8.8.3.3). Caddy and
Apache mark it as ``"v1-gzip"``; Caddy takes the mark off again on the way in. nginx makes the tag weak, and
If-Match with it fails for ever.
"""

import gzip

import pytest
from twisted.web.resource import Resource

from skitai.server.request.tags import marked, with_plain
from skitai.server.site import Mounts, Site
from skitai.server.static.directory import StaticDirectory

TEXT = b"All work and no play makes Jack a dull boy. " * 200
GZIP = ("Accept-Encoding", "gzip")


def conditional(environ, start_response):
    """An app that compares tags by itself, as frameworks do."""
    tag, method = '"v1"', environ["REQUEST_METHOD"]
    none_match = [one.strip() for one in environ.get("HTTP_IF_NONE_MATCH", "").split(",")]
    match = [one.strip() for one in environ.get("HTTP_IF_MATCH", '"v1"').split(",")]
    if tag not in match:
        start_response("412 Precondition Failed", [])
        return []
    if method == "PUT":
        start_response("204 No Content", [("ETag", '"v2"')])
        return []
    if tag in none_match:
        start_response("304 Not Modified", [("ETag", tag)])
        return []
    if "HTTP_RANGE" in environ:
        fields = [("Content-Type", "text/plain"), ("Content-Range", f"bytes 0-9/{len(TEXT)}"), ("ETag", tag)]
        start_response("206 Partial Content", fields)
        return [TEXT[:10]]
    start_response("200 OK", [("Content-Type", "text/plain"), ("ETag", tag)])
    return [TEXT] if environ["PATH_INFO"] == "/" else iter((TEXT[:5000], TEXT[5000:]))


@pytest.mark.parametrize("path", ["/", "/streamed"])
def test_the_tag_that_a_client_got_matches_again(serve, path):
    """It is the same tag in If-None-Match and in If-Match (section 13.1.1: the strong comparison)."""
    gateway = serve(conditional)
    got = gateway.ask(path, fields=[GZIP])
    assert (got["ETag"], gzip.decompress(got.body)) == ('"v1-gzip"', TEXT)
    kept = gateway.ask(path, fields=[GZIP, ("If-None-Match", got["ETag"])])
    # Section 15.4.5: the fields that the 200 would have.
    assert (kept.code, kept["ETag"], kept["Vary"]) == (304, '"v1-gzip"', "Accept-Encoding")
    for fields in ([GZIP], []):
        changed = gateway.ask(path, "PUT", fields=[*fields, ("If-Match", got["ETag"])], body=b"x")
        assert (changed.code, changed["ETag"]) == (204, '"v2"')
    assert gateway.ask(path, "PUT", fields=[("If-Match", '"v0-gzip"')], body=b"x").code == 412


@pytest.mark.parametrize("path", ["/", "/streamed"])
def test_the_plain_form_has_the_tag_of_the_app(serve, path):
    """Who takes no gzip gets the app's own tag, and a cache learns that there are two forms."""
    gateway = serve(conditional)
    got = gateway.ask(path)
    assert (got["ETag"], got["Vary"]) == ('"v1"', "Accept-Encoding")
    kept = gateway.ask(path, fields=[("If-None-Match", '"v1"')])
    assert (kept.code, kept["ETag"], kept["Vary"]) == (304, '"v1"', "Accept-Encoding")
    both = gateway.ask(path, fields=[GZIP, ("If-None-Match", '"v1"')])
    assert (both.code, both["ETag"]) == (304, '"v1"')


def test_who_takes_no_gzip_is_not_told_to_keep_it(serve):
    """The compressed form is of no use to a client that does not accept it: it gets the plain one."""
    response = serve(conditional).ask(fields=[("If-None-Match", '"v1-gzip"')])
    assert (response.code, response["ETag"], response.body) == (200, '"v1"', TEXT)


def test_a_part_is_one_of_the_plain_form(serve):
    """A 206 has the tag of the form that its bytes are of, and says that there is another (section 15.3.7).

    If-Range with the tag of the compressed form must not match: parts of both would be put together.
    """
    part = serve(conditional).ask(fields=[GZIP, ("Range", "bytes=0-9")])
    assert (part.code, part["ETag"], part["Vary"], part["Content-Encoding"]) == (
        206, '"v1"', "Accept-Encoding", None,
    )  # fmt: skip


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Type", "image/png")],
        [("Cache-Control", "no-transform")],
        [("Content-Encoding", "br")],
        [("Vary", "*")],
    ],
)
def test_answers_that_are_never_compressed(serve, headers):
    """A 304 for what is not compressed stays as the app made it."""

    def app(environ, start_response):
        start_response("304 Not Modified", [("ETag", '"v1"'), *headers])
        return []

    response = serve(app).ask(fields=[GZIP, ("If-None-Match", '"v1-gzip"')])
    assert response["Vary"] == dict(headers).get("Vary")


class Page(Resource):
    isLeaf = True

    def render_GET(self, request):
        request.setHeader(b"content-type", b"text/plain")
        return b"" if request.setETag(b'"v1"') else TEXT


@pytest.mark.parametrize("kind", ["file", "resource"])
def test_files_and_resources(serve, tmp_path, kind):
    """Files and Twisted's resources find their own tags, too."""
    (tmp_path / "a.txt").write_bytes(TEXT)
    mounts = (
        Mounts([(b"", StaticDirectory(tmp_path, 0))], []) if kind == "file" else Mounts([], [(b"", Page())])
    )
    gateway = serve({}, site=Site(mounts))
    plain, got = gateway.ask("/a.txt"), gateway.ask("/a.txt", fields=[GZIP])
    assert got["ETag"] == f'{plain["ETag"][:-1]}-gzip"'
    kept = gateway.ask("/a.txt", fields=[GZIP, ("If-None-Match", got["ETag"])])
    assert (kept.code, kept["ETag"], kept["Vary"]) == (304, got["ETag"], "Accept-Encoding")
    assert gateway.ask("/a.txt", fields=[("If-None-Match", got["ETag"])]).code == 200
    if kind == "file":
        assert gateway.ask("/a.txt", fields=[("If-Match", got["ETag"])]).code == 200
        assert gateway.ask("/a.txt", fields=[("If-Match", '"x-gzip"')]).code == 412
        mixed = gateway.ask("/a.txt", fields=[GZIP, ("Range", "bytes=0-9"), ("If-Range", got["ETag"])])
        part = gateway.ask("/a.txt", fields=[GZIP, ("Range", "bytes=0-9"), ("If-Range", plain["ETag"])])
        assert (mixed.code, part.code, part["Vary"]) == (200, 206, "Accept-Encoding")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"a"', '"a"'),
        ('"a-gzip"', '"a-gzip", "a"'),
        ('W/"a-gzip", "b"', 'W/"a-gzip", W/"a", "b"'),
        ('"a-gzip-gzip"', '"a-gzip-gzip", "a-gzip"'),
        ("*", "*"),
        ("a-gzip", "a-gzip"),
        ('"a, -gzip"', '"a, -gzip"'),
        ('"-gzip"', '"-gzip", ""'),
    ],
)
def test_marks(value, expected):
    """A marked tag stands beside the plain one: it may be the app's own that ends so."""
    assert with_plain(value.encode()) == expected.encode()


@pytest.mark.parametrize(
    ("tag", "expected"), [('"a"', '"a-gzip"'), ('W/"a"', 'W/"a"'), ("a", "a"), ('"', '"')]
)
def test_marking(tag, expected):
    """A weak tag holds for both forms, and what is none is left alone."""
    assert marked(tag) == expected
