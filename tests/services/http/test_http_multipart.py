"""Forms with files, read back by a parser that is not ours."""

import io
import os
import tempfile
import tracemalloc
from contextlib import closing

import pytest
from http_upstream import ClientTestCase, Upstream, reply
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from werkzeug.formparser import parse_form_data

from skitai.services.http import ConnectionPool
from skitai.services.http.multipart import multipart_content
from skitai.services.http.service import UploadService

UPLOAD = UploadService(ConnectionPool(reactor))


def parsed(body, content_type):
    """Return the fields and the files (name, filename, type, bytes) of a form."""
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    _, fields, files = parse_form_data(environ)
    read = []
    for name, file in files.items(multi=True):
        with closing(file):
            read.append((name, file.filename, file.mimetype, file.read()))
    return list(fields.items(multi=True)), read


def encoded(data):
    """Return the bytes of a form and its content type."""
    content = multipart_content(data)
    reader = content.body.open()
    body = b"".join(iter(reader.read, b""))
    assert content.body.length == len(body)
    return body, content.type


def named(name, content):
    """Return a file of that name."""
    file = io.BytesIO(content)
    file.name = name
    return file


def test_fields_and_files():
    """Fields and files come out as they went in, with base names and guessed types."""
    fields, files = parsed(
        *encoded(
            {
                "user": "Hans Röh",
                "n": 5,
                "raw": b"\r\n--x",
                "list": ["a", named("/tmp/log.txt", b"log"), "b"],
                "logo": named("C/logo.png", b"\x89PNG"),
                "mine": ("a.b", io.BytesIO(b"1"), "text/x-mine; charset=utf-8"),
                "inline": ("data.json", "{}"),
                "nameless": io.BytesIO(b""),
            }
        )
    )
    assert fields == [
        ("user", "Hans Röh"),
        ("n", "5"),
        ("raw", "\r\n--x"),
        ("list", "a"),
        ("list", "b"),
    ]
    assert files == [
        ("list", "log.txt", "text/plain", b"log"),
        ("logo", "logo.png", "image/png", b"\x89PNG"),
        ("mine", "a.b", "text/x-mine", b"1"),
        ("inline", "data.json", "application/json", b"{}"),
        ("nameless", "nameless", "application/octet-stream", b""),
    ]


def test_names_are_escaped_as_in_browsers():
    """Line breaks and quotes in names cannot end them (WHATWG HTML, multipart/form-data)."""
    body, _ = encoded({'a"\r\nb': ('x"\r\nContent-Type: evil\r\n\r\n', b"")})
    assert b'name="a%22%0D%0Ab"; filename="x%22%0D%0AContent-Type: evil%0D%0A%0D%0A"\r\n' in body


_NAMES = st.text(st.characters(exclude_categories=["C"], exclude_characters='"\\'), min_size=1)


@settings(deadline=None)
@given(st.lists(st.tuples(_NAMES, st.binary())))
def test_any_bytes(pairs):
    """Whatever the values are, none of them ends its part."""
    data = {name: ("f", value) for name, value in pairs}
    _, files = parsed(*encoded(data))
    assert [(name, content) for name, _, _, content in files] == [(k, v[1]) for k, v in data.items()]


@pytest.mark.parametrize(
    "data",
    [
        None,
        "text",
        [("a", "b")],
        {1: "x"},
        {"f": None},
        {"f": object()},
        {"f": ("name",)},
        {"f": (1, b"x")},
        {"f": ("name", None)},
        {"f": ["a", ["b"]]},
        {"f": io.StringIO("text")},
    ],
)
def test_data_of_other_types(data):
    """What cannot be a form is a TypeError that names the argument or the field."""
    with pytest.raises(TypeError, match="data"):
        UPLOAD.operation("http://h/", data)


@pytest.mark.parametrize("content_type", ["png", "image/png\r\nX: y", 5, "ä/b"])
def test_types_that_are_none(content_type):
    """A type that would break the part is refused."""
    with pytest.raises(ValueError, match="content type"):
        UPLOAD.operation("http://h/", {"f": ("name", b"x", content_type)})


def test_content_type_of_ones_own():
    """The header would lack the boundary."""
    with pytest.raises(ValueError, match="Content-Type"):
        UPLOAD.operation("http://h/", {}, headers={"content-type": "multipart/form-data"})


class UploadTests(ClientTestCase):
    async def test_upload(self):
        """A form with files arrives at an upstream with its length."""

        def handler(request):
            _, files = parsed(bytes(request.body), request.headers["content-type"])
            return reply(repr(files[0][1:]).encode())

        server = self.serve(Upstream(handler))
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "logo.png"), "wb") as file:
                file.write(b"logo")
            with open(os.path.join(folder, "logo.png"), "rb") as file:
                client = UploadService(self.pool())
                result = await self.get(client, server.url, {"user": "Hans Roh", "file": file})
        assert result.data == b"('logo.png', 'image/png', b'logo')"
        assert int(server.requests[0].headers["content-length"]) == len(server.requests[0].body)

    async def test_pipe(self):
        """A form with a file of unknown length goes out in chunks."""

        def handler(request):
            return reply(repr(parsed(bytes(request.body), request.headers["content-type"])).encode())

        server = self.serve(Upstream(handler))
        reading, writing = os.pipe()
        with open(reading, "rb") as file, open(writing, "wb") as end:
            end.write(b"piped")
            end.close()
            data = {"f": ("p", file), "after": "text"}
            result = await self.get(UploadService(self.pool()), server.url, data)
        assert result.data == b"([('after', 'text')], [('f', 'p', 'application/octet-stream', b'piped')])"

    def test_large_file(self):
        """A large file is never in memory."""
        size = 256 * 1024 * 1024
        seen = 0
        with tempfile.TemporaryFile() as file:
            file.truncate(size)
            operation = UPLOAD.operation("http://h/", {"f": file})
            reader = operation.request.stream.open()
            tracemalloc.start()
            while piece := reader.read():
                seen += len(piece)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert seen == operation.request.stream.length > size
        assert peak < 1024 * 1024
