"""A small browser for tests: keeps cookies, sends forms, and asks a WSGI app or a real server."""

from __future__ import annotations

import io
import sys
from urllib.parse import unquote, unquote_to_bytes, urlencode
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

from serving import Gateway


class Page:
    """One answer: ``code``, ``status``, ``headers`` in order, ``body``."""

    def __init__(self, status, headers, body):
        self.status = status
        self.code = int(status[:3])
        self.headers = headers
        self.body = body

    @property
    def text(self):
        return self.body.decode()

    def __getitem__(self, name):
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]


class Browser:
    """Asks with the cookies that it was given; ``mount`` is as in a URL, ``_send`` the way to the server."""

    def __init__(self, mount):
        self.mount = mount
        self.cookies = {}

    def get(self, path, method="GET", body=b"", **headers):
        fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
        if self.cookies:
            fields.append(("Cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items())))
        page = self._send(self.mount + path, method, fields, body)
        for line in page.all("Set-Cookie"):
            name, _, rest = line.partition("=")
            value, *attributes = rest.split("; ")
            if "max-age=0" in attributes:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return page

    def post(self, path, form=None, *, body=b"", kind="application/x-www-form-urlencoded", **headers):
        data = urlencode(form, doseq=True).encode() if form is not None else body
        return self.get(path, "POST", data, Content_Type=kind, **headers)

    def follow(self, page):
        assert page.code in (301, 302, 303, 308)
        return self.get(page["Location"].removeprefix(self.mount))

    def close(self):
        """Nothing is open."""


class WSGIBrowser(Browser):
    """Calls the app as a server without threads or services does, which wsgiref watches."""

    def __init__(self, app, mount=""):
        super().__init__(mount)
        self._app = validator(app)

    def _send(self, path, method, fields, body):
        path, _, query = path.partition("?")
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": _decoded(self.mount),
            "PATH_INFO": _decoded(path.removeprefix(self.mount)),
            "QUERY_STRING": query,
            "REMOTE_ADDR": "127.0.0.1",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "CONTENT_LENGTH": str(len(body)),
        }
        setup_testing_defaults(environ)
        for name, value in fields:
            key = name.upper().replace("-", "_")
            environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
        started = []

        def start_response(status, headers, exc_info=None):
            started.append((status, headers))

        iterable = self._app(environ, start_response)
        try:
            answer = b"".join(iterable)
        finally:
            iterable.close()
        return Page(*started[-1], answer)


class GatewayBrowser(Browser):
    """Asks over a socket."""

    def __init__(self, loop, app, mount, threads):
        super().__init__(mount)
        self.gateway = Gateway(loop, {unquote(mount): app}, threads)

    def _send(self, path, method, fields, body):
        response = self.gateway.ask(path, method, fields, body)
        return Page(response.status, response.fields, response.body)

    def close(self):
        self.gateway.stop()


def _decoded(path):
    return unquote_to_bytes(path).decode("latin-1")
