"""Apps whose Content-Length is wrong, missing or no number.

The path says how: /SHAPE/ANNOUNCED/SENT; several ANNOUNCED, with a + between them, are fields of their own. A
query makes the body text, which may be compressed.
"""

import io
import tempfile


def app(environ, start_response):
    _, shape, announced, sent = environ["PATH_INFO"].split("/")
    body = b"x" * int(sent)
    headers = [("Content-Type", "text/plain" if environ["QUERY_STRING"] else "application/octet-stream")]
    headers += [("Content-Length", each) for each in announced.split("+") if each]
    write = start_response(environ.get("HTTP_X_STATUS", "200 OK"), headers)
    return SHAPES[shape](body, write, environ["wsgi.file_wrapper"])


def _list(body, _write, _wrapper):
    return [body[:3], body[3:]]


def _tuple(body, _write, _wrapper):
    return (body[:3], b"", body[3:])


def _one_piece(body, _write, _wrapper):
    return iter([body, b""])


def _pieces(body, _write, _wrapper):
    yield body[:3]
    yield b""
    yield body[3:]


def _write(body, write, _wrapper):
    write(body[:3])
    write(body[3:])
    return []


def _write_and_list(body, write, _wrapper):
    write(body[:3])
    return [body[3:]]


def _file_like(body, _write, wrapper):
    return wrapper(io.BytesIO(body), 4)


def _file(body, _write, wrapper):
    file = tempfile.TemporaryFile()
    file.write(body)
    file.seek(0)
    return wrapper(file, 4)


SHAPES = {
    "list": _list,
    "tuple": _tuple,
    "one": _one_piece,
    "iter": _pieces,
    "write": _write,
    "both": _write_and_list,
    "filelike": _file_like,
    "file": _file,
}
