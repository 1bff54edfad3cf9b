"""The WSGI environ of a request (PEP 3333, section "environ Variables")."""

from __future__ import annotations

import io
import os
import sys
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from skitai import __version__
from skitai.http.paths import PERCENT
from skitai.http.requestids import ENVIRON_KEY, new_request_id
from skitai.server.wsgi.filewrapper import FileWrapper

if TYPE_CHECKING:
    from skitai.server.request.request import Request

# Few names are in use. A client that makes up others cannot fill the memory.
_KEYS_MAX, _KEY_LENGTH_MAX = 1000, 100
_keys: dict[bytes, str | None] = {b"content-type": "CONTENT_TYPE", b"content-length": "CONTENT_LENGTH"}

#: By version; other versions were refused.
_PROTOCOLS = {"1.1": "HTTP/1.1", "2": "HTTP/2", "1.0": "HTTP/1.0"}

# The framing of the body concerns only the server (RFC 9110, section 7.6.1). A field named Proxy would become
# HTTP_PROXY, which programs that the app starts would obey (CVE-2016-5385).
_HIDDEN = frozenset({b"transfer-encoding", b"proxy"})
_CONDITIONS = ((b"if-none-match", "HTTP_IF_NONE_MATCH"), (b"if-match", "HTTP_IF_MATCH"))


def base_environ(multithread: bool, multiprocess: bool, script_name: str) -> dict[str, Any]:
    """Return the part of the environ that is the same for all requests to an app."""
    return {
        "SCRIPT_NAME": script_name,
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": "Skitai",
        "wsgi.version": (1, 0),
        "wsgi.multithread": multithread,
        "wsgi.multiprocess": multiprocess,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
        "skitai.version": __version__,
        "skitai.process": os.getpid(),
    }


def make_environ(base: dict[str, Any], request: Request, body: IO[bytes] | None = None) -> dict[str, Any]:
    """Return the environ of ``request`` for the app whose part of it is ``base``.

    PATH_INFO is never empty: it is ``/`` for the mount point itself, with and without a slash at its end.
    HTTP_X_REQUEST_ID is the id of the request, whether its client has sent one or not.
    ``body`` is the whole body, or None, so a chunked request has a CONTENT_LENGTH, too. Fields with an
    underscore are dropped: in an environ, ``X_User`` would pass for ``X-User``. Called in the reactor thread.
    """
    path = request.path
    if PERCENT in path:
        path = unquote_to_bytes(path)
    uri = request.uri.decode("latin-1")
    environ = base.copy()
    environ.update(request.connection.addresses)
    environ["REQUEST_METHOD"] = request.method.decode("latin-1")
    environ["PATH_INFO"] = path.decode("latin-1")[len(base["SCRIPT_NAME"]) :] or "/"
    environ["QUERY_STRING"] = request.query.decode("latin-1")
    environ["REQUEST_URI"] = environ["RAW_URI"] = uri
    environ["SERVER_PROTOCOL"] = _PROTOCOLS[request.version]
    environ["wsgi.errors"] = sys.stderr
    if request.client_variables is not None:
        environ.update(request.client_variables)
    repeated: dict[str, list[str]] = {}
    for name, value in request.headers:
        key = _keys.get(name, "")
        if key == "":
            key = _key_for(name)
        if key is None:
            continue
        text = value.decode("latin-1")
        if key in environ:
            repeated.setdefault(key, [environ[key]]).append(text)
        else:
            environ[key] = text
    for key, texts in repeated.items():
        # RFC 9110, section 5.3; cookies have a separator of their own (RFC 6265, section 5.4).
        environ[key] = ("; " if key == "HTTP_COOKIE" else ", ").join(texts)
    request_id = request.request_id
    if not request_id:
        given = environ.get(ENVIRON_KEY)
        request.request_id = request_id = new_request_id() if given is None else request.identify(given)
    environ[ENVIRON_KEY] = request_id
    for name, key in _CONDITIONS:
        if key in environ:
            environ[key] = request.condition(name, environ[key].encode("latin-1")).decode("latin-1")
    if request.authority:
        environ["HTTP_HOST"] = request.authority.decode("latin-1")
    if body is None:
        environ["wsgi.input"] = io.BytesIO()
    else:
        environ["wsgi.input"] = body
        if "CONTENT_LENGTH" not in environ:
            environ["CONTENT_LENGTH"] = str(body.seek(0, io.SEEK_END))
            body.seek(0)
    return environ


def _key_for(name: bytes) -> str | None:
    if name in _HIDDEN or b"_" in name:
        key = None
    else:
        key = "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
    if len(_keys) < _KEYS_MAX and len(name) <= _KEY_LENGTH_MAX:
        _keys[name] = key
    return key
