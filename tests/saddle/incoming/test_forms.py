"""Forms: urlencoded and multipart bodies, their limits, and no temporary file left behind."""

import errno
import io
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.saddle.incoming.forms import Form, FormError, FormLimits, parse_form
from skitai.saddle.incoming.uploads import TemporaryFiles

BOUNDARY = "b0undary"
DEFAULTS = FormLimits()


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder that temporary files go to."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def parse(environ, limits=DEFAULTS, *, strict=False):
    return parse_form(environ, limits, TemporaryFiles(), strict=strict)


def environ(body, content_type, length=True, **more):
    answer = {"wsgi.input": io.BytesIO(body), "CONTENT_TYPE": content_type, **more}
    if length:
        answer["CONTENT_LENGTH"] = str(len(body))
    return answer


def urlencoded(body, limits=DEFAULTS, *, strict=False, **more):
    return parse(environ(body, "application/x-www-form-urlencoded", **more), limits, strict=strict)


def part(name, data, filename=None, content_type=None):
    head = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        head += f'; filename="{filename}"'
    if content_type:
        head += f"\r\nContent-Type: {content_type}"
    return head.encode() + b"\r\n\r\n" + data


def multipart_body(*parts):
    pieces = [b"--%s\r\n%s\r\n" % (BOUNDARY.encode(), each) for each in parts]
    return b"".join(pieces) + b"--%s--\r\n" % BOUNDARY.encode()


def parse_body(body, limits=DEFAULTS, *, strict=False, **more):
    return parse(environ(body, f"multipart/form-data; boundary={BOUNDARY}", **more), limits, strict=strict)


def multipart(*parts, limits=DEFAULTS, **more):
    return parse_body(multipart_body(*parts), limits, **more)


def refused(call, *arguments, **more):
    with pytest.raises(FormError) as caught:
        call(*arguments, **more)
    return caught.value.status, caught.value.message


def test_urlencoded_fields_keep_order_repeats_and_blanks():
    """Every pair of an urlencoded body is a field, in order."""
    form = urlencoded("a=1&b=%C3%A9+x&a=&c=é".encode())
    assert form.fields == [("a", "1"), ("b", "é x"), ("a", ""), ("c", "é")]
    assert form.files == []


@pytest.mark.parametrize("content_type", ["application/json", "", "text/plain; boundary=x"])
def test_other_bodies_are_not_touched(content_type):
    """The body of another type stays unread, and its form is empty."""
    request = environ(b"a=1", content_type)
    assert parse(request) == Form()
    assert request["wsgi.input"].read() == b"a=1"


def test_body_without_length_is_read_when_the_server_ends_it():
    """A chunked body is read to its end where the server says that it ends."""
    assert urlencoded(b"a=1", length=False, **{"wsgi.input_terminated": True}).fields == [("a", "1")]


@pytest.mark.parametrize("terminated", [False, True])
@pytest.mark.parametrize("parse", [urlencoded, parse_body])
def test_limit_of_the_body_is_exact(parse, terminated):
    """A body as long as the limit is taken, one byte more is 413."""
    body = b"a=12345678" if parse is urlencoded else multipart_body(part("a", b"12345678"))
    more = {"wsgi.input_terminated": True} if terminated else {}
    for length in {True, not terminated}:
        assert parse(body, FormLimits(total_max=len(body)), length=length, **more).fields == [
            ("a", "12345678")
        ]
        status, message = refused(parse, body, FormLimits(total_max=len(body) - 1), length=length, **more)
        assert (status, message) == (413, f"the form is larger than {len(body) - 1} bytes")


def test_too_many_urlencoded_fields():
    """More fields than the limit are 413."""
    limits = FormLimits(fields_max=2)
    assert len(urlencoded(b"a=1&b=2", limits).fields) == 2
    assert refused(urlencoded, b"a=1&b=2&c=3", limits) == (413, "the form has more than 2 fields")


@pytest.mark.parametrize("body", [b"a=%FF", b"a=\xff"])
def test_urlencoded_text_that_is_not_utf8(body):
    """Bytes that are no text are U+FFFD in the field, and still there as they came; or 400, if asked for."""
    form = urlencoded(body)
    assert (form.fields, form.bytes_of("a")) == ([("a", "\ufffd")], [b"\xff"])
    assert refused(urlencoded, body, strict=True) == (400, "the form is not UTF-8 text")


@pytest.mark.parametrize("parse", [urlencoded, parse_body])
def test_body_that_ends_early(parse):
    """A body shorter than its Content-Length is 400."""
    body = b"a=1" if parse is urlencoded else multipart_body(part("a", b"1"))
    status, message = refused(parse, body, CONTENT_LENGTH=str(len(body) + 5), length=False)
    assert (status, message) == (400, "the form ended before its Content-Length")


def test_multipart_fields_and_files(temporary):
    """Fields are text, files lie on disk until the form is closed."""
    form = multipart(
        part("name", "Hans é".encode()),
        part("file", b"\x00data\r\n", "../up.bin", "Image/PNG; x=y"),
        part("name", b"2"),
        part("latin", b"\xe9", content_type="text/plain; charset=ISO-8859-1"),
    )
    assert form.fields == [("name", "Hans é"), ("name", "2"), ("latin", "é")]
    [(name, file)] = form.files
    assert (name, file.name, file.size, file.mimetype) == ("file", "up.bin", 7, "image/png")
    with open(file.file, "rb") as temporary_file:
        assert temporary_file.read() == b"\x00data\r\n"
    assert os.listdir(temporary)
    form.close()
    assert os.listdir(temporary) == []
    form.close()


def test_file_without_type_and_empty_file(temporary):
    """A file without a type is bytes; an empty file with a name is a file."""
    form = multipart(part("a", b"", "empty.txt"))
    assert [(file.size, file.mimetype) for _, file in form.files] == [(0, "application/octet-stream")]
    form.close()


def test_file_input_left_blank_is_an_empty_field(temporary):
    """What a browser sends for no file is a false value under the input's name, and no temporary file."""
    form = multipart(part("file", b"", ""))
    assert form == Form([("file", "")], [])
    assert os.listdir(temporary) == []


def test_limits_of_multipart(temporary):
    """Each limit is exact, answers 413 and leaves no temporary file, not even of files that were whole."""
    file = part("f", b"x" * 100, "f.txt")
    for limits, good, bad in [
        (FormLimits(file_max=100), [file], [file, part("g", b"x" * 101, "g.txt")]),
        (FormLimits(fields_max=2), [file, file], [file, file, part("a", b"")]),
        (FormLimits(field_memory_max=10), [part("a", b"x" * 4), part("b", b"x" * 6)],
         [file, part("a", b"x" * 4), part("b", b"x" * 7)]),
    ]:  # fmt: skip
        multipart(*good, limits=limits).close()
        status, _ = refused(multipart, *bad, limits=limits)
        assert status == 413
        assert os.listdir(temporary) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary at all",
        multipart_body(part("f", b"data", "f.txt"))[:-15],
        multipart_body(b"Content-Type: text/plain\r\n\r\nx"),
        multipart_body(b"Content-Disposition: form-data\r\n\r\nx"),
        multipart_body(part("f", b"1", "f.txt"), part("a", b"\xff")),
        multipart_body(b'Content-Disposition: form-data; name="\xff"\r\n\r\nx'),
        multipart_body(part("f", b"1", "f.txt"), b"X: " + b"y" * 400_000 + b"\r\n\r\nx"),
    ],
    ids=["empty", "garbage", "cut", "no disposition", "no name", "not text", "bad header", "endless header"],
)
def test_malformed_multipart(temporary, body):
    """A malformed body is 400 and leaves no temporary file."""
    status, message = refused(parse_body, body, strict=True)
    assert status == 400
    assert message.startswith("the multipart form is malformed: ")
    assert os.listdir(temporary) == []


@pytest.mark.parametrize("boundary", ["", "; boundary=", "; boundary=é", "; boundary=" + "x" * 201])
def test_boundary_must_be_usable(boundary):
    """A multipart form without a proper boundary is 400."""
    status, message = refused(parse, environ(b"x", "multipart/form-data" + boundary))
    assert status == 400
    assert "boundary" in message


FILES = [part(name, bytes(100_000), f"{name}.bin") for name in "abc"]


@pytest.mark.parametrize("room", [0, 50_000, 199_999, 250_000, 299_999])
@pytest.mark.parametrize(("number", "status"), [(errno.ENOSPC, 507), (errno.EDQUOT, 507), (errno.EIO, 503)])
def test_a_disk_without_room_for_all_files_has_none_of_them(temporary, small_disk, room, number, status):
    """Whichever byte does not fit, the first or the last, every file is deleted, and the client may retry."""
    small_disk(room, number)
    assert refused(multipart, *FILES)[0] == status
    assert os.listdir(temporary) == []
    small_disk(300_000)
    form = multipart(*FILES)
    assert [file.size for _, file in form.files] == [100_000] * 3
    form.close()
    assert os.listdir(temporary) == []


def test_no_temporary_file_can_be_made(monkeypatch):
    """Where the folder of temporary files is gone, no more can be said than that."""
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    assert refused(multipart, *FILES)[0] == 503


def test_a_file_that_cannot_be_deleted_keeps_no_other(temporary):
    """Closing a form deletes all files that it can, and says what it could not."""
    form = multipart(*FILES)
    first = form.files[0][1].file
    os.unlink(first)
    os.mkdir(first)
    with pytest.raises(OSError, match=r"Is a directory|not permitted"):
        form.close()
    assert [str(temporary / name) for name in os.listdir(temporary)] == [first]
    os.rmdir(first)


@settings(deadline=None)
@given(st.lists(st.tuples(st.text("abc", min_size=1), st.binary(max_size=300)), max_size=5))
def test_any_bytes_arrive_as_they_were_sent(files):
    """Whatever bytes files have, also pieces of boundaries, they arrive unchanged."""
    form = multipart(*(part(name, data, "f") for name, data in files))
    try:
        assert [(name, file.read()) for name, file in form.files] == files
    finally:
        form.close()


class Splitting(io.RawIOBase):
    """A body that comes in pieces of the ``sizes``, and the rest at once."""

    def __init__(self, body, sizes):
        self.body = io.BytesIO(body)
        self.sizes = iter(sizes)

    def readable(self):
        return True

    def readinto(self, buffer):
        piece = self.body.read(min(len(buffer), next(self.sizes, len(buffer))))
        buffer[: len(piece)] = piece
        return len(piece)


def brought(body, sizes=(), boundary=BOUNDARY):
    """Return what a body brings that comes in pieces of these sizes; the status where it is refused."""
    kind = f"multipart/form-data; boundary={boundary}"
    pieces = {"wsgi.input": Splitting(body, sizes), "wsgi.input_terminated": True, "CONTENT_TYPE": kind}
    try:
        form = parse(pieces)
    except FormError as error:
        return error.status
    try:
        return form.fields, [(name, file.read()) for name, file in form.files]
    finally:
        form.close()


# The bytes with which a browser's upload of 65393 bytes grew by one: the decoder took the line break before
# the last boundary for data where 64 KB ended one byte after that boundary.
CHROME = "----WebKitFormBoundaryABCDEFGHIJKLMNOP"


@pytest.mark.parametrize("padding", [b"", b" \t"])
@pytest.mark.parametrize("line_break", [b"\r\n", b"\n"])
def test_no_alignment_changes_a_file(line_break, padding):
    """A file arrives as it was sent wherever the pieces in which its body is read end."""
    delimiter = b"--" + CHROME.encode()
    head = delimiter + line_break + part("f", b"", "f").replace(b"\r\n", line_break)
    field = line_break + delimiter + padding + line_break + part("a", b"hello").replace(b"\r\n", line_break)
    tail = line_break + delimiter + b"--" + padding + line_break
    chunk = 64 << 10
    for size in range(chunk - len(head + field + tail) - 8, chunk - len(head) + 8):
        data = b"x" * size
        fields, files = brought(head + data + field + tail, boundary=CHROME)
        assert fields == [("a", "hello")]
        assert files == [("f", data)], f"{size} bytes"


TOKENS = [b"\r", b"\n", b"\r\n", b"-", b"--", b" ", b"x", b"--b0und", b"ary", b"--b0undary", b"--b0undary--"]
SOUP = st.lists(st.sampled_from(TOKENS), max_size=12).map(b"".join)


@settings(deadline=None)
@given(st.lists(SOUP, min_size=1, max_size=3), st.lists(st.integers(1, 9), max_size=60), st.integers(0, 300))
def test_no_split_changes_a_form(contents, sizes, whole):
    """A body brings the same in any pieces, also where files hold what looks like a boundary."""
    body = multipart_body(*(part(f"f{number}", data, "f") for number, data in enumerate(contents)))
    assert brought(body, [whole or 1, *sizes]) == brought(body)


@pytest.mark.parametrize("sizes", [(), (1,) * 200])
def test_part_without_a_body(sizes):
    """A part may end where its header does."""
    body = multipart_body(part("a", b"1"), b'Content-Disposition: form-data; name="b"\r\n', part("c", b"2"))
    assert brought(body, sizes) == ([("a", "1"), ("b", ""), ("c", "2")], [])


@pytest.mark.parametrize("line", [b" " * 300_000, b"--b0undary\r\n" * 30_000], ids=["padding", "boundaries"])
def test_endless_boundary(temporary, line):
    """What never gets to a header is refused, and not gathered."""
    status, _ = refused(parse_body, b"--b0undary" + line)
    assert status == 400


def test_boundary_without_line_breaks():
    """An escaped line break is none that a boundary may have."""
    kind = "multipart/form-data; boundary*=utf-8''a%0D%0Ab"
    status, message = refused(parse, environ(b"x", kind))
    assert (status, "boundary" in message) == (400, True)
