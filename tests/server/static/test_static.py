"""Static files: what is found, what is refused, and RFC 9110's conditional and range requests."""

from __future__ import annotations

import email
import os
import re
import resource
import shutil
import socket
import tempfile
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import defer, endpoints, protocol, reactor
from twisted.internet.error import ConnectionDone
from twisted.logger import formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource, Resource
from twisted.web.server import Site
from twisted.web.test.requesthelper import DummyRequest
from zope.interface.verify import verifyObject

from skitai.http.ranges import MAX_RANGES, Representation, answer
from skitai.server.static.directory import FoundFile, Redirect, StaticDirectory
from skitai.server.static.sending import CHUNK

MTIME = 1_700_000_000
MODIFIED = formatdate(MTIME, usegmt=True).encode()
BEFORE = formatdate(MTIME - 1, usegmt=True).encode()
AFTER = formatdate(MTIME + 1, usegmt=True).encode()
DIGITS = b"0123456789" * 10
#: Stands for the tag of ``file.bin`` in what ``fetch`` sends.
ETAG = b'"the-tag"'
LARGE = os.urandom(CHUNK * 2 + 1000)


class PulledRequest(DummyRequest):
    """A request whose producer is pulled by the test; ``cut``: its connection was."""

    producer = None
    cut = False

    def registerProducer(self, producer, streaming):
        assert not streaming
        self.producer = producer

    def unregisterProducer(self):
        self.producer = None

    def loseConnection(self):
        self.cut = True

    @property
    def body(self):
        while self.producer and not self.finished:
            self.producer.resumeProducing()
        assert self.finished + self.cut == 1
        return b"".join(self.written)

    def header(self, name):
        values = self.responseHeaders.getRawHeaders(name.encode(), [])
        assert len(values) < 2, f"{name} stands {len(values)} times"
        return values[0] if values else None


def put(root, name, content=DIGITS):
    """Write a file with a known modification time."""
    path = Path(root, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (MTIME, MTIME))
    return path


def new_request(target=b"/file.bin", method=b"GET", headers=()):
    request = PulledRequest([])
    request.method, request.uri, request.path = method, target, target.partition(b"?")[0]
    for name, value in headers:
        request.requestHeaders.addRawHeader(name, value)
    return request


def tag_of(directory):
    """Return the tag of ``file.bin``."""
    request = new_request()
    directory.render(request)
    assert request.body
    return request.header("ETag")


def with_tag(directory, value):
    return value.replace(b"the-tag", tag_of(directory)[1:-1]) if b"the-tag" in value else value


def fetch(directory, target=b"/file.bin", method=b"GET", **headers):
    """Render a request; ``if_match=b"x"`` is the field If-Match."""
    fields = [(name.replace("_", "-"), with_tag(directory, value)) for name, value in headers.items()]
    request = new_request(target, method, fields)
    directory.render(request)
    return request


def open_files():
    return sorted(os.listdir("/dev/fd"))


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "root"
    put(root, "file.bin")
    return root


@pytest.fixture
def static(root):
    return StaticDirectory(root, 300)


@pytest.fixture(autouse=True)
def _no_leak(request):
    """Every test leaves as many open files as it found; Twisted's first port reserves one for good."""
    before = open_files()
    yield
    assert request.cls is TwistedSiteTests or open_files() == before


# ---------------------------------------------------------------- what a file's answer looks like


def test_is_a_leaf_resource(static):
    """A static directory can stand wherever Twisted takes a resource."""
    assert verifyObject(IResource, static)
    assert static.isLeaf


def test_get_has_body_validators_and_cache_headers(static):
    """GET gives the whole file with its length, validators and lifetime."""
    request = fetch(static)
    assert (request.responseCode, request.body) == (200, DIGITS)
    assert request.header("Content-Length") == b"100"
    assert re.fullmatch(rb'"[0-9a-f]{20}"', request.header("ETag"))
    assert request.header("Last-Modified") == MODIFIED
    assert request.header("Cache-Control") == b"max-age=300"
    assert request.header("Accept-Ranges") == b"bytes"
    assert request.header("X-Content-Type-Options") == b"nosniff"


@pytest.mark.parametrize("content", [DIGITS, LARGE, b""])
def test_head_has_the_same_headers_and_no_body(root, static, content):
    """HEAD differs from GET in nothing but the missing body, whatever the size."""
    put(root, "file.bin", content)
    got, head = fetch(static), fetch(static, method=b"HEAD")
    assert got.body == content
    assert head.body == b""
    assert head.responseCode == 200
    assert head.responseHeaders == got.responseHeaders


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"BREW"])
def test_other_methods_are_405(static, method):
    """A method other than GET and HEAD is refused and told what is allowed."""
    request = fetch(static, method=method)
    assert (request.responseCode, request.header("Allow")) == (405, b"GET, HEAD, OPTIONS")
    assert int(request.header("Content-Length")) == len(request.body)


def test_missing_file_is_404(static):
    """A path that names nothing is 404 and not cached."""
    request = fetch(static, b"/none")
    assert (request.responseCode, request.body) == (404, b"404 Not Found\n")
    assert request.header("Cache-Control") is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.js", b"text/javascript; charset=utf-8"),
        ("a.mjs", b"text/javascript; charset=utf-8"),
        ("a.css", b"text/css; charset=utf-8"),
        ("A.HTML", b"text/html; charset=utf-8"),
        ("a.md", b"text/markdown; charset=utf-8"),
        ("a.json", b"application/json"),
        ("a.svg", b"image/svg+xml"),
        ("a.woff2", b"font/woff2"),
        ("a.webp", b"image/webp"),
        ("a.avif", b"image/avif"),
        ("a.wasm", b"application/wasm"),
        ("a.ico", b"image/x-icon"),
        ("a.pdf", b"application/pdf"),
        ("a.css.gz", b"application/gzip"),
        ("a.tar.gz", b"application/gzip"),
        ("a.tgz", b"application/gzip"),
        ("a.xhtml", b"application/xhtml+xml"),
        ("a.docx", b"application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("a.iso", b"application/octet-stream"),
        ("a.ics", b"text/calendar; charset=utf-8"),
        ("README", b"text/plain; charset=utf-8"),
        ("a.unheard-of", b"text/plain; charset=utf-8"),
        ("a.한글", b"text/plain; charset=utf-8"),
    ],
)
def test_type_follows_the_extension(root, static, name, expected):
    """The Content-Type comes from a fixed table, and text is UTF-8."""
    put(root, name)
    assert fetch(static, quote(f"/{name}").encode()).header("Content-Type") == expected


def test_an_unknown_file_is_text_or_binary(root, static):
    """With an unknown name, the first bytes decide whether a browser shows the file or saves it.

    So browsers do themselves without nosniff (WHATWG MIME Sniffing, section 7.2); nginx says octet-stream for
    all of them, Apache nothing.
    """
    put(root, "CHANGES", "All, even 한글.\n".encode() * 500)
    put(root, "core.1234", b"\x7fELF\x02\x01\x01\0" * 500)
    assert fetch(static, b"/CHANGES").header("Content-Type") == b"text/plain; charset=utf-8"
    assert fetch(static, b"/core.1234").header("Content-Type") == b"application/octet-stream"


def test_a_packed_picture_has_its_coding(root, static):
    """A .svgz is shown only with its coding (SVG 1.1, appendix J.2); a .gz is a file like any other."""
    put(root, "a.svgz")
    put(root, "a.svg.gz")
    got, part = fetch(static, b"/a.svgz"), fetch(static, b"/a.svgz", range=b"bytes=0-1")
    for request in (got, part):
        assert request.header("Content-Type") == b"image/svg+xml"
        assert request.header("Content-Encoding") == b"gzip"
    assert (got.body, part.body) == (DIGITS, DIGITS[:2])
    assert fetch(static, b"/a.svg.gz").header("Content-Encoding") is None


def test_small_file_leaves_in_one_write(root, static):
    """A file of up to 64 KB is one write, so that it shares a packet with the headers."""
    put(root, "file.bin", LARGE[:CHUNK])
    request = fetch(static)
    assert request.written == [LARGE[:CHUNK]]
    assert request.finished == 1


def test_empty_file(root, static):
    """An empty file is a 200 with no body, even when a part of it is asked for."""
    put(root, "file.bin", b"")
    request = fetch(static, range=b"bytes=-5")
    assert (request.responseCode, request.body, request.header("Content-Length")) == (200, b"", b"0")


@pytest.mark.parametrize("mtime", [-(2**33), 2**33, 2**36])
def test_strange_modification_times(root, static, mtime):
    """A time before the epoch or in the far future neither fails nor yields a Last-Modified in the future."""
    os.utime(root / "file.bin", (mtime, mtime))
    request = fetch(static)
    assert request.responseCode == 200
    if mtime > 0:
        modified = request.header("Last-Modified").decode()
        assert email.utils.parsedate_to_datetime(modified).year < 2100


@pytest.mark.parametrize("mtime", [0, 1, 315_532_800, 499_162_500, -1])
def test_dates_that_say_nothing(root, static, mtime):
    """Nix gives its files 1970, zip archives 1980, npm 1985: no date is sent, and none is compared.

    Without a date of modification, both conditions MUST be ignored (RFC 9110, sections 13.1.3 and 13.1.4).
    """
    os.utime(root / "file.bin", (mtime, mtime))
    assert fetch(static).header("Last-Modified") is None
    assert fetch(static, if_modified_since=AFTER).responseCode == 200
    assert fetch(static, if_unmodified_since=BEFORE).responseCode == 200
    assert fetch(static, if_none_match=ETAG).responseCode == 304


@pytest.mark.parametrize("in_place", [True, False])
def test_a_file_that_replaces_another_of_the_same_size_and_time(root, static, in_place):
    """Its tag is another one, so no cache keeps the old one, and no download is put together of both.

    nginx and Apache make the tag of size and time only. RFC 9110, section 8.8.1: a strong validator changes
    whenever the content does.
    """
    before = tag_of(static)
    if in_place:
        put(root, "file.bin", DIGITS[::-1])
    else:
        put(root, "new", DIGITS[::-1])
        os.replace(root / "new", root / "file.bin")
    assert fetch(static).header("Last-Modified") == MODIFIED
    assert tag_of(static) != before
    assert fetch(static, if_none_match=before).body == DIGITS[::-1]
    assert fetch(static, if_match=before).responseCode == 412
    assert fetch(static, range=b"bytes=0-1", if_range=before).responseCode == 200
    assert fetch(static, range=b"bytes=0-1", if_range=MODIFIED).responseCode == 200


# ---------------------------------------------------------------- large files


def test_large_file_is_pulled_in_chunks(root, static):
    """A large file is read only as fast as it is asked for, 64 KB at a time, then closed."""
    put(root, "file.bin", LARGE)
    before = open_files()
    request = fetch(static)
    assert request.written == []
    request.producer.resumeProducing()
    assert request.written == [LARGE[:CHUNK]]
    assert request.body == LARGE
    assert [len(part) for part in request.written] == [CHUNK, CHUNK, 1000]
    assert request.producer is None
    assert open_files() == before


def test_disconnect_closes_the_file(root, static):
    """A client that leaves in the middle leaves no open file, and a late pull is harmless."""
    put(root, "file.bin", LARGE)
    before = open_files()
    request = fetch(static)
    producer = request.producer
    producer.resumeProducing()
    request.processingFailed(Failure(ConnectionDone()))
    producer.stopProducing()
    assert open_files() == before
    producer.resumeProducing()
    assert (len(request.written), request.finished) == (1, 0)


def test_stopped_producer_closes_the_file(root, static):
    """A transport that stops the producer without telling the request leaves no open file either."""
    put(root, "file.bin", LARGE)
    before = open_files()
    fetch(static).producer.stopProducing()
    assert open_files() == before


def test_file_that_shrinks_ends_short(root, static):
    """A file cut off while it is sent ends the answer instead of hanging it, and the client sees that."""
    path = put(root, "file.bin", LARGE)
    request = fetch(static)
    request.producer.resumeProducing()
    os.truncate(path, CHUNK + 10)
    assert request.body == LARGE[: CHUNK + 10]
    assert request.cut
    assert request.producer is None


def test_file_that_grows_keeps_its_length(root, static):
    """Bytes appended while a file is sent do not spill over its Content-Length."""
    path = put(root, "file.bin", LARGE)
    request = fetch(static)
    with path.open("ab") as file:
        file.write(b"more")
    assert request.body == LARGE


@pytest.fixture
def broken_disk(monkeypatch):
    """A disk that fails from now on; returns the log events."""
    events = []

    def pread(descriptor, count, offset):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", pread)
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


def test_read_error_before_the_headers_is_500(static, broken_disk):
    """A small file that cannot be read is a 500 in the log, with no validator to cache it by."""
    request = fetch(static)
    assert (request.responseCode, request.header("ETag"), request.header("Cache-Control")) == (
        500,
        None,
        None,
    )
    assert request.body == b"500 Internal Server Error\n"
    assert len(broken_disk) == 1


def test_read_error_in_a_large_file_ends_it(root, static, broken_disk):
    """A large file that cannot be read any further is closed, logged, and its answer ended short."""
    put(root, "file.bin", LARGE)
    before = open_files()
    assert fetch(static).body == b""
    assert open_files() == before
    assert len(broken_disk) == 1


# ---------------------------------------------------------------- finding


def test_percent_encoded_names(root, static):
    """A name is decoded once, as UTF-8."""
    put(root, "css/a b+é%20.css")
    assert fetch(static, b"/css/a%20b+%C3%a9%2520.css").body == DIGITS


def test_path_needs_its_slash(static):
    """What follows the mount point begins with a slash."""
    assert static.find(b"file.bin") is None


@pytest.mark.parametrize(
    "path",
    [
        b"/../secret",
        b"/sub/../../secret",
        b"/sub/../file.bin",
        b"/./file.bin",
        b"//file.bin",
        b"/sub//file.bin",
        b"/file.bin/",
        b"/file.bin/x",
        b"/%2e%2e/secret",
        b"/%2E./secret",
        b"/.%2e/secret",
        b"/..%2fsecret",
        b"/..%2Fsecret",
        b"/%2e%2e%2fsecret",
        b"/sub%2ffile.bin",
        b"/%2f/file.bin",
        b"/sub\\file.bin",
        b"/..\\secret",
        b"/..%5csecret",
        b"/..%5Csecret",
        b"/file.bin%00",
        b"/file.bin%00.html",
        b"/%00",
        b"/file.bin\0",
        b"/%252e%252e/secret",
        b"/%252e%252e%252fsecret",
        b"/..%252fsecret",
        b"/%c0%ae%c0%ae/secret",
        b"/%c0%ae%c0%ae%c0%afsecret",
        b"/%e0%80%ae%e0%80%ae/secret",
        b"/%ff",
        b"/\xff",
        b"/%u002e%u002e/secret",
        b"/file.bin%",
        b"/file.bin%2",
        b"/file.bin%zz",
        b"/file.bin%0a",
        b"/" + b"a" * 256,
        b"/" + b"a/" * 3000 + b"a",
        b"*",
        b"http://host/file.bin",
    ],
)
def test_no_way_out_and_no_second_name(root, static, path):
    """Dots, empty segments, encoded separators, NUL, broken UTF-8 or escapes name nothing."""
    put(root.parent, "secret")
    put(root, "sub/file.bin")
    assert static.find(path) is None
    request = fetch(static, path)
    assert (request.responseCode, request.body) == (404, b"404 Not Found\n")


@settings(deadline=None)
@given(st.binary(max_size=40).map(lambda tail: b"/" + tail))
def test_any_path_is_answered(path):
    """Whatever the bytes of a path, finding it does not fail."""
    StaticDirectory(Path("/nonexistent"), 0).find(path)


def test_names_with_dots_inside(root, static):
    """Dots that do not begin a name mean nothing."""
    put(root, "a..b/c...")
    assert static.find(b"/a..b/c...") is not None


@pytest.mark.parametrize(
    "path",
    ["/.env", "/.git/config", "/a/.htpasswd", "/%2egit/config", "/.well-known-not/x", "/.well-known/.x"],
)
def test_hidden_files_are_not_served(root, static, path):
    """A file or directory whose name begins with a dot does not exist for clients."""
    put(root, path[1:].replace("%2e", "."))
    assert static.find(path.encode()) is None


def test_well_known_is_served(root, static):
    """RFC 8615's directory is the one public name that begins with a dot."""
    put(root, ".well-known/security.txt")
    assert fetch(static, b"/.well-known/security.txt").body == DIGITS


def test_miss_costs_one_stat(static, monkeypatch):
    """A path for the app costs one system call, or two if it ends with a slash, and opens nothing."""
    calls = []
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda *args, **kwargs: calls.append(args) or stat(*args, **kwargs))
    for forbidden in ("open", "listdir", "scandir", "lstat"):
        monkeypatch.setattr(os, forbidden, lambda *args, **kwargs: pytest.fail("too much work for a miss"))
    assert static.find(b"/api/users/1") is None
    assert len(calls) == 1
    assert static.find(b"/api/users/") is None
    assert len(calls) == 3


# ---------------------------------------------------------------- index and redirect


@pytest.mark.parametrize("path", [b"", b"/"])
def test_root_index_with_and_without_slash(root, static, path):
    """The mount point serves its index with and without the slash, and never redirects."""
    assert static.find(path) is None
    put(root, "index.html", b"home")
    request = new_request()
    static.serve(request, static.find(path))
    assert (request.responseCode, request.body) == (200, b"home")
    assert request.header("Content-Type") == b"text/html; charset=utf-8"


def test_index_htm_comes_first(root, static):
    """``index.htm`` wins over ``index.html``; one that is no regular file is passed over."""
    put(root, "index.html", b"html")
    (root / "index.htm").mkdir()
    assert fetch(static, b"/").body == b"html"
    (root / "index.htm").rmdir()
    put(root, "index.htm", b"htm")
    assert fetch(static, b"/").body == b"htm"


def test_subdirectory_without_slash_redirects(root, static):
    """A subdirectory with an index sends the client to its slash, with the query it asked with."""
    put(root, "a b/index.html", b"sub")
    assert static.find(b"/a%20b") == Redirect(b"/a b")
    request = fetch(static, b"/a%20b?x=%2F&y=1?")
    assert (request.responseCode, request.header("Location")) == (301, b"/a%20b/?x=%2F&y=1?")
    assert request.body == b"301 Moved Permanently\n"
    assert fetch(static, b"/a%20b/").body == b"sub"


def test_redirect_keeps_the_mount_point(root, static):
    """The redirect names the whole path, not only what is below the mount."""
    put(root, "sub/index.html")
    request = new_request(b"/mount/sub")
    static.serve(request, static.find(b"/sub"))
    assert request.header("Location") == b"/mount/sub/"


@pytest.mark.parametrize("target", [b"//evil.example/sub", b"/\\evil.example/sub", b"///evil.example/sub"])
def test_redirect_stays_on_this_host(static, target):
    """No path turns the redirect into a reference to another host."""
    request = new_request(target + b"?next=\r\nX: y")
    static.serve(request, Redirect(b"/sub"))
    location = request.header("Location")
    assert location.startswith((b"/evil.example/", b"/%5Cevil.example/"))
    assert location.endswith(b"/sub/?next=%0D%0AX:%20y")


def test_directory_without_index_is_nothing(root, static):
    """A directory without an index is left to the app, with and without the slash."""
    put(root, "sub/a.css")
    assert static.find(b"/sub") is None
    assert static.find(b"/sub/") is None


def test_missing_root(tmp_path):
    """A root that is gone, or is no directory, holds nothing."""
    assert StaticDirectory(tmp_path / "gone", 0).find(b"/x") is None
    assert StaticDirectory(put(tmp_path, "file"), 0).find(b"") is None


# ---------------------------------------------------------------- links and special files


def test_links_that_leave_the_root(root, static):
    """A link to a file or directory outside, absolute, relative or by a detour, names nothing."""
    secret = put(root.parent, "outside/secret")
    put(root.parent, "outside/index.html")
    put(root.parent, "root-two/secret")
    (root / "absolute").symlink_to(secret)
    (root / "relative").symlink_to("../outside/secret")
    (root / "directory").symlink_to("../outside")
    (root / "detour").symlink_to("directory/secret")
    (root / "neighbour").symlink_to("../root-two")
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to("nowhere")
    files = b"/absolute /relative /directory/secret /detour /neighbour/secret /loop /dangling"
    assert [static.find(path) for path in files.split()] == [None] * 7
    assert [static.find(path) for path in (b"/directory", b"/directory/")] == [None] * 2


def test_links_that_stay_inside(root, static):
    """Links within the root are followed, and the name asked for decides the type."""
    put(root, "..data/v1/index.html", b"one")
    (root / "current").symlink_to("..data/v1")
    (root / "page.css").symlink_to(root / "current" / "index.html")
    assert fetch(static, b"/current/").body == b"one"
    assert static.find(b"/current") == Redirect(b"/current")
    request = fetch(static, b"/page.css")
    assert (request.body, request.header("Content-Type")) == (b"one", b"text/css; charset=utf-8")


def test_root_may_be_a_link_that_moves(root, tmp_path):
    """A root that is a link is followed on each request: a release can be switched to."""
    put(tmp_path, "two/file.bin", b"two")
    (tmp_path / "two" / "link").symlink_to("file.bin")
    (tmp_path / "current").symlink_to(root)
    static = StaticDirectory(tmp_path / "current", 0)
    assert fetch(static).body == DIGITS
    (tmp_path / "current").unlink()
    (tmp_path / "current").symlink_to("two")
    assert fetch(static).body == b"two"
    assert fetch(static, b"/link").body == b"two"


def test_special_files_are_nothing(root, static):
    """A fifo, a socket and a device are not served and do not block."""
    os.mkfifo(root / "fifo")
    (root / "device").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
    assert [static.find(path) for path in (b"/fifo", b"/device", b"/socket")] == [None] * 3


def become_link(path):
    secret = put(path.parent.parent, "secret/file.bin", b"secret")
    path.symlink_to(secret)


def become_directory(path):
    path.mkdir()


@pytest.mark.parametrize("replace", [become_link, become_directory, os.mkfifo, lambda path: None])
def test_file_replaced_after_it_was_found(root, static, replace):
    """A found file that becomes a link, a fifo, a directory or nothing is 404 at once."""
    found = static.find(b"/file.bin")
    (root / "file.bin").unlink()
    replace(root / "file.bin")
    request = new_request()
    static.serve(request, found)
    assert (request.responseCode, request.body) == (404, b"404 Not Found\n")


def test_directory_replaced_after_its_file_was_found(root, static):
    """A directory that becomes a link out of the root between finding and opening is 404."""
    put(root, "sub/secret", b"public")
    put(root.parent, "outside/secret")
    found = static.find(b"/sub/secret")
    shutil.rmtree(root / "sub")
    (root / "sub").symlink_to("../outside")
    request = new_request()
    static.serve(request, found)
    assert request.responseCode == 404


@pytest.fixture
def unprivileged():
    """A public directory, looked at by a user for whom permissions count."""
    base = tempfile.mkdtemp()
    os.chmod(base, 0o755)
    user = os.geteuid()
    try:
        yield Path(base), lambda: os.seteuid(65534 if user == 0 else user)
    finally:
        os.seteuid(user)
        for child in Path(base).iterdir():
            child.chmod(0o700)
        shutil.rmtree(base)


def test_unreadable_file_is_403(unprivileged):
    """A file that the server may not read is 403, below a closed directory it is nothing."""
    root, drop_privileges = unprivileged
    put(root, "file.bin").chmod(0)
    put(root, "closed/file.bin")
    (root / "closed").chmod(0)
    drop_privileges()
    static = StaticDirectory(root, 0)
    said = []
    globalLogPublisher.addObserver(note := lambda event: said.append(formatEvent(event)))
    request = fetch(static)
    globalLogPublisher.removeObserver(note)
    assert (request.responseCode, request.body) == (403, b"403 Forbidden\n")
    assert said == [f"cannot serve {root}/file.bin: Permission denied"]
    assert static.find(b"/closed/file.bin") is None


def test_directory_that_may_not_be_listed(unprivileged):
    """A directory that may be entered but not listed serves its files."""
    root, drop_privileges = unprivileged
    put(root, "sub/file.bin")
    (root / "sub").chmod(0o711)
    root.chmod(0o711)
    drop_privileges()
    assert fetch(StaticDirectory(root, 0), b"/sub/file.bin").body == DIGITS


def test_too_many_open_files_is_503(static):
    """Without a free file descriptor the answer is 503, and the next one works again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        request = fetch(static)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (request.responseCode, request.body) == (503, b"503 Service Unavailable\n")
    assert request.header("Cache-Control") is None
    assert fetch(static).responseCode == 200


# ---------------------------------------------------------------- conditional requests


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"if_none_match": ETAG}, 304),
        ({"if_none_match": b"W/" + ETAG}, 304),
        ({"if_none_match": b'"a,b", W/"c" ,' + ETAG}, 304),
        ({"if_none_match": b" * "}, 304),
        ({"if_none_match": b'"other"'}, 200),
        ({"if_none_match": ETAG.strip(b'"')}, 200),
        ({"if_none_match": b""}, 200),
        ({"if_match": ETAG}, 200),
        ({"if_match": b"*"}, 200),
        ({"if_match": b'"other", ' + ETAG}, 200),
        ({"if_match": b"W/" + ETAG}, 412),
        ({"if_match": b'"other"'}, 412),
        ({"if_match": b"garbage"}, 412),
        ({"if_modified_since": MODIFIED}, 304),
        ({"if_modified_since": AFTER}, 304),
        ({"if_modified_since": BEFORE}, 200),
        ({"if_modified_since": b"Tuesday, 14-Nov-23 22:13:20 GMT"}, 304),
        ({"if_modified_since": b"Tue Nov 14 22:13:20 2023"}, 304),
        ({"if_modified_since": b"Tue Nov 14 22:13:19 2023"}, 200),
        ({"if_modified_since": b"yesterday"}, 200),
        ({"if_modified_since": b""}, 200),
        ({"if_modified_since": b"Sun, 99 Nov 2099 99:99:99 GMT"}, 200),
        ({"if_modified_since": b"\xff"}, 200),
        ({"if_unmodified_since": MODIFIED}, 200),
        ({"if_unmodified_since": AFTER}, 200),
        ({"if_unmodified_since": BEFORE}, 412),
        ({"if_unmodified_since": b"yesterday"}, 200),
        # Precedence, RFC 9110, 13.2.2.
        ({"if_none_match": b'"other"', "if_modified_since": AFTER}, 200),
        ({"if_none_match": ETAG, "if_modified_since": BEFORE}, 304),
        ({"if_match": ETAG, "if_unmodified_since": BEFORE}, 200),
        ({"if_match": b'"other"', "if_none_match": ETAG}, 412),
        ({"if_match": ETAG, "if_none_match": ETAG}, 304),
        ({"if_unmodified_since": BEFORE, "if_modified_since": AFTER}, 412),
        ({"if_none_match": ETAG, "range": b"bytes=0-1"}, 304),
        ({"if_match": b'"other"', "range": b"bytes=0-1"}, 412),
        ({"if_match": ETAG, "range": b"bytes=0-1"}, 206),
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_preconditions(static, headers, code, method):
    """Each precondition decides as RFC 9110, 13 says, for GET and HEAD."""
    if method == b"HEAD" and code == 206:
        code = 200
    assert fetch(static, method=method, **headers).responseCode == code


def test_not_modified_has_validators_and_no_body(static):
    """A 304 has what a cache needs to freshen its copy, and neither body nor length nor type."""
    request = fetch(static, if_none_match=ETAG)
    assert (request.header("ETag"), request.header("Cache-Control")) == (tag_of(static), b"max-age=300")
    assert request.header("Last-Modified") == MODIFIED
    assert (request.header("Content-Length"), request.header("Content-Type")) == (None, None)
    assert request.body == b""


def test_list_fields_in_several_lines(static):
    """Lines of If-None-Match are one list; a repeated date counts as none."""
    tag = tag_of(static)
    request = new_request(headers=[("If-None-Match", b'"other"'), ("If-None-Match", tag)])
    static.render(request)
    assert request.responseCode == 304
    request = new_request(headers=[("If-Modified-Since", AFTER), ("If-Modified-Since", AFTER)])
    static.render(request)
    assert request.responseCode == 200


def test_changed_file_has_another_tag(root, static):
    """A new time or a new size makes a new entity tag."""
    tags = {fetch(static).header("ETag")}
    os.utime(root / "file.bin", ns=(0, MTIME * 10**9 + 1))
    tags.add(fetch(static).header("ETag"))
    put(root, "file.bin", b"short")
    tags.add(fetch(static).header("ETag"))
    assert len(tags) == 3


@settings(deadline=None)
@given(
    st.binary(max_size=60), st.sampled_from(["if-modified-since", "if-match", "if-none-match", "if-range"])
)
def test_any_field_value_is_answered(value, name):
    """No value of a conditional field makes the answer fail."""
    file = Representation(100, ETAG, MTIME, True, b"text/plain", b"max-age=300")
    headers = Headers({name: [value.replace(b"\n", b"")], "range": [b"bytes=0-1"]})
    assert answer(b"GET", headers, file).code in (200, 206, 304, 412)


# ---------------------------------------------------------------- ranges


@pytest.mark.parametrize(
    ("value", "content_range", "expected"),
    [
        (b"bytes=0-0", b"bytes 0-0/100", DIGITS[:1]),
        (b"bytes=10-19", b"bytes 10-19/100", DIGITS[10:20]),
        (b"bytes=95-", b"bytes 95-99/100", DIGITS[95:]),
        (b"bytes=0-", b"bytes 0-99/100", DIGITS),
        (b"bytes=90-9999", b"bytes 90-99/100", DIGITS[90:]),
        (b"bytes=90-" + b"9" * 30, b"bytes 90-99/100", DIGITS[90:]),
        (b"bytes=-3", b"bytes 97-99/100", DIGITS[97:]),
        (b"bytes=-9999", b"bytes 0-99/100", DIGITS),
        (b"BYTES=1-2", b"bytes 1-2/100", DIGITS[1:3]),
        (b"bytes=,1-2 ,", b"bytes 1-2/100", DIGITS[1:3]),
        (b"bytes=1-2,500-", b"bytes 1-2/100", DIGITS[1:3]),
        # Overlapping or adjacent ranges are one.
        (b"bytes=0-9,5-14", b"bytes 0-14/100", DIGITS[:15]),
        (b"bytes=10-19,0-9", b"bytes 0-19/100", DIGITS[:20]),
        (b"bytes=0-4, 10-14, 5-9", b"bytes 0-14/100", DIGITS[:15]),
    ],
)
def test_single_range(static, value, content_range, expected):
    """One satisfiable range is a 206 with its bytes and Content-Range."""
    request = fetch(static, range=value)
    assert (request.responseCode, request.header("Content-Range")) == (206, content_range)
    assert request.body == expected
    assert request.header("Content-Length") == b"%d" % len(expected)
    assert (request.header("ETag"), request.header("Cache-Control")) == (tag_of(static), b"max-age=300")


@pytest.mark.parametrize("value", [b"bytes=100-", b"bytes=100-200", b"bytes=-0", b"bytes=200-300,400-"])
def test_unsatisfiable_range(static, value):
    """A range beyond the end is 416, says how long the file is, and is not to be kept."""
    request = fetch(static, range=value)
    assert (request.responseCode, request.header("Content-Range")) == (416, b"bytes */100")
    assert request.header("Cache-Control") is None
    assert int(request.header("Content-Length")) == len(request.body)


@pytest.mark.parametrize(
    "value",
    [
        b"bytes=",
        b"bytes",
        b"",
        b"bytes=-",
        b"bytes=,",
        b"bytes=5-2",
        b"bytes=a-b",
        b"bytes=1",
        b"bytes=1-2-3",
        b"bytes=+1-2",
        b"bytes=1-2;3-4",
        b"bytes= 1 - 2",
        b"bytes =1-2",
        b"bytes=1-2,x",
        b"bytes=0x1-2",
        b"bytes=\xd9\xa1-2",
        b"bytes=" + b"9" * 5000 + b"-",
        b"lines=1-2",
        b"1-2",
    ],
)
def test_malformed_range_is_ignored(static, value):
    """A Range that is malformed or in another unit gives the whole file."""
    request = fetch(static, range=value)
    assert (request.responseCode, request.header("Content-Range")) == (200, None)
    assert request.body == DIGITS


def test_repeated_range_is_ignored(static):
    """Two Range lines have no meaning."""
    request = new_request(headers=[("Range", b"bytes=0-1"), ("Range", b"bytes=2-3")])
    static.render(request)
    assert (request.responseCode, request.body) == (200, DIGITS)


def test_range_of_head_is_ignored(static):
    """Only GET has ranges (RFC 9110, 14.2)."""
    request = fetch(static, method=b"HEAD", range=b"bytes=0-1")
    assert (request.responseCode, request.header("Content-Length")) == (200, b"100")


def parts_of(request):
    """Parse a multipart answer with the standard library: [(Content-Type, Content-Range, body)]."""
    head = b"Content-Type: " + request.header("Content-Type") + b"\r\n\r\n"
    message = email.message_from_bytes(head + request.body)
    assert not message.defects
    return [
        (p["Content-Type"], p["Content-Range"], p.get_payload(decode=True)) for p in message.get_payload()
    ]


def test_several_ranges(static):
    """Several ranges come as multipart/byteranges, in the order asked for, with the exact length."""
    request = fetch(static, range=b"bytes=50-54,0-4,-2,52-59,700-")
    assert request.responseCode == 206
    assert request.header("Content-Type").startswith(b"multipart/byteranges; boundary=")
    assert request.header("Content-Range") is None
    assert int(request.header("Content-Length")) == len(request.body)
    binary = "application/octet-stream"
    assert parts_of(request) == [
        (binary, "bytes 50-59/100", DIGITS[50:60]),
        (binary, "bytes 0-4/100", DIGITS[:5]),
        (binary, "bytes 98-99/100", DIGITS[98:]),
    ]


def test_large_ranges_are_pulled(root, static):
    """Large ranges, one or several, are sent in chunks as a large file is."""
    put(root, "file.bin", LARGE)
    request = fetch(static, range=b"bytes=1-%d" % (CHUNK + 1))
    assert [request.body, request.written] == [
        LARGE[1 : CHUNK + 2],
        [LARGE[1 : CHUNK + 1], LARGE[CHUNK + 1 :][:1]],
    ]
    request = fetch(static, range=b"bytes=0-9,%d-" % CHUNK)
    request_length = int(request.header("Content-Length"))
    assert request_length == len(request.body)
    assert [body for *_, body in parts_of(request)] == [LARGE[:10], LARGE[CHUNK:]]


@pytest.mark.parametrize(
    "value",
    [
        b"bytes=" + b",".join(b"%d-" % n for n in range(650)),
        b"bytes=" + b",".join([b"0-"] * 2),
        b"bytes=0-59,30-89",
        b"bytes=" + b",".join(b"%d-%d" % (n * 2, n * 2) for n in range(MAX_RANGES + 1)),
    ],
)
def test_abusive_ranges_give_the_whole_file_once(static, value):
    """Many ranges, or ranges that overlap to more than the file, are answered with the file."""
    request = fetch(static, range=value)
    assert (request.responseCode, request.body) == (200, DIGITS)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 120), st.integers(0, 120)).map(sorted).map(tuple),
        min_size=1,
        max_size=MAX_RANGES,
    )
)
def test_ranges_never_amplify_and_lose_nothing(asked):
    """Any list of ranges is answered with each of its bytes once, or with the whole file."""
    specs = b",".join(b"%d-%d" % pair for pair in asked)
    file = Representation(100, ETAG, MTIME, True, b"text/plain", b"max-age=300")
    result = answer(b"GET", Headers({"range": [b"bytes=" + specs]}), file)
    sent = [n for piece in result.pieces if not isinstance(piece, bytes) for n in range(*piece)]
    wanted = {n for first, last in asked for n in range(first, min(last + 1, 100))}
    assert len(sent) == len(set(sent))
    assert set(sent) == (set(range(100)) if result.code == 200 else wanted)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (ETAG, 206),
        (b"W/" + ETAG, 200),
        (b'"other"', 200),
        (BEFORE, 200),
        (AFTER, 200),
        (b"*", 200),
        (b"", 200),
        (ETAG + b", " + ETAG, 200),
    ],
)
def test_if_range(static, value, code):
    """If-Range lets a range through only for exactly this file, compared strongly."""
    assert fetch(static, range=b"bytes=0-1", if_range=value).responseCode == code


def test_if_range_that_fails_hides_an_unsatisfiable_range(static):
    """A changed file is sent whole where its old length would have made the range unsatisfiable."""
    request = fetch(static, range=b"bytes=500-", if_range=b'"other"')
    assert (request.responseCode, request.body) == (200, DIGITS)


def test_if_range_needs_a_date_that_is_strong(root, static):
    """The date of a file written this very second does not identify it."""
    os.utime(root / "file.bin", (2**32, 2**32))
    modified = fetch(static).header("Last-Modified")
    assert fetch(static, range=b"bytes=0-1", if_range=modified).responseCode == 200


@pytest.mark.parametrize(
    ("changed", "now", "is_strong"),
    [(0, 1, True), (0.5, 1, True), (0, 0, False), (1, 60, False), (-5, 60, True)],
)
def test_a_date_identifies_what_was_not_touched_since(changed, now, is_strong):
    """The date in If-Range counts where the file was not changed after it (RFC 9110, section 8.8.2.2).

    A file with an old date that was put there later may have replaced another with that date.
    """
    fields = {"st_mtime": MTIME, "st_mtime_ns": MTIME * 10**9, "st_size": 100, "st_ino": 1}
    status = SimpleNamespace(**fields, st_ctime=MTIME + changed, st_ctime_ns=int((MTIME + changed) * 10**9))
    file = Representation.of_file(status, b"text/plain", b"max-age=300", MTIME + now)
    assert (file.last_modified, file.date_is_strong) == (MTIME, is_strong)
    headers = Headers({b"range": [b"bytes=0-1"], b"if-range": [MODIFIED]})
    assert answer(b"GET", headers, file).code == (206 if is_strong else 200)


# ---------------------------------------------------------------- under a stock Twisted site


class Collector(protocol.Protocol):
    """Collects what the server sends until it closes."""

    def __init__(self):
        self.received = b""
        self.done = defer.Deferred()

    def dataReceived(self, data):
        self.received += data

    def connectionLost(self, reason):
        self.done.callback(self.received)


class TwistedSiteTests(TestCase):
    """A static directory under ``twisted.web.server.Site``, over a real socket."""

    timeout = 20

    @pytest.fixture(autouse=True)
    def _files(self, root):
        put(root, "file.bin", LARGE)
        put(root, "sub/index.html", b"index")
        self.static = StaticDirectory(root, 300)

    async def exchange(self, resource, request):
        port = reactor.listenTCP(0, Site(resource), interface="127.0.0.1")
        try:
            endpoint = endpoints.TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
            client = await endpoints.connectProtocol(endpoint, Collector())
            client.transport.write(request)
            return await client.done
        finally:
            await port.stopListening()

    async def test_pipelined_requests_at_the_root(self):
        """HEAD, a large GET and a range follow each other on one connection, each framed right."""
        received = await self.exchange(
            self.static,
            b"HEAD /file.bin HTTP/1.1\r\nHost: h\r\n\r\n"
            b"GET /file.bin HTTP/1.1\r\nHost: h\r\n\r\n"
            b"GET /file.bin HTTP/1.1\r\nHost: h\r\nRange: bytes=-5\r\nConnection: close\r\n\r\n",
        )
        head, _, rest = received.partition(b"\r\n\r\n")
        assert b"Content-Length: %d" % len(LARGE) in head
        whole, _, rest = rest.partition(b"\r\n\r\n")
        assert whole.startswith(b"HTTP/1.1 200 ")
        assert rest.startswith(LARGE)
        last, _, body = rest[len(LARGE) :].partition(b"\r\n\r\n")
        assert last.startswith(b"HTTP/1.1 206 ")
        assert body == LARGE[-5:]

    async def test_below_a_child_name(self):
        """Under ``putChild`` the path after the child's name counts, and redirects keep that name."""
        parent = Resource()
        parent.putChild(b"my files", self.static)
        received = await self.exchange(
            parent,
            b"GET /my%20files/sub HTTP/1.1\r\nHost: h\r\n\r\n"
            b"GET /my%20files/sub/ HTTP/1.1\r\nHost: h\r\n\r\n"
            b"GET /my%20files HTTP/1.1\r\nHost: h\r\n\r\n"
            b"GET /my%20files/..%2f/file.bin HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        )
        assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"301", b"200", b"404", b"404"]
        assert b"Location: /my%20files/sub/\r\n" in received

    async def test_not_modified_is_followed_by_nothing(self):
        """A 304 has no body and no chunked framing of one."""
        received = await self.exchange(
            self.static, b"GET /file.bin HTTP/1.1\r\nHost: h\r\nIf-None-Match: *\r\nConnection: close\r\n\r\n"
        )
        assert received.startswith(b"HTTP/1.1 304 ")
        assert received.endswith(b"\r\n\r\n")
        assert b"Transfer-Encoding" not in received


def test_found_files_are_plain_values(static):
    """What find returns holds no open file, so a caller may drop it."""
    assert static.find(b"/file.bin") == FoundFile((b"file.bin",), b"/file.bin")
