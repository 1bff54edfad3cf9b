"""What is measured of TLS and HTTP/2: one row for each server."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.proxy_servers import nginx_row, skitai_row
from benchmarks.servers import HELLO, Server, gunicorn, uvicorn

_FILES = ("--certfile", "{certificate}", "--keyfile", "{key}")
_UVICORN_FILES = ("--ssl-certfile", "{certificate}", "--ssl-keyfile", "{key}", "--lifespan", "off")


def _skitai(name: str, label: str, keys: str) -> Server:
    return skitai_row(name, label, "/ = {apps}/large:app", HELLO, f"{keys}\n")


def _uvicorn(loop: str) -> Server:
    row = uvicorn(
        f"tls-uvicorn-{loop}", f"uvicorn, raw ASGI, {loop}, TLS", loop, *_UVICORN_FILES, app="large:asgi"
    )
    return replace(row, tls=True)


def _granian(name: str, label: str, *settings: str) -> Server:
    where = ("--host", "127.0.0.1", "--port", "{port}", "--workers", "1", "--log-level", "warning")
    return Server(name, label, "granian", ("granian", "--interface", "wsgi", *where, *settings, "large:app"))


SKITAI = replace(
    _skitai("tls-skitai", "Skitai, TLS", "ssl = yes\ncertfile = {certificate}\nkeyfile = {key}"), tls=True
)
UVLOOP, ASYNCIO = _uvicorn("uvloop"), _uvicorn("asyncio")
TLS = (
    SKITAI,
    replace(
        gunicorn(
            "tls-gunicorn",
            "gthread, 4 threads, TLS",
            *("--worker-class", "gthread", "--threads", "4", *_FILES),
            app="large:app",
        ),
        tls=True,
    ),
    replace(
        _granian(
            "tls-granian",
            "granian, WSGI, TLS",
            "--ssl-certificate",
            "{certificate}",
            "--ssl-keyfile",
            "{key}",
        ),
        tls=True,
    ),
    UVLOOP,
    ASYNCIO,
    replace(
        nginx_row(
            "tls-nginx",
            "nginx, static files, TLS",
            " server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {certificate};"
            " ssl_certificate_key {key}; ssl_session_tickets on; root {site}; }} ",
            HELLO,
        ),
        tls=True,
    ),
)

H2_SKITAI = _skitai("h2-skitai", "Skitai, HTTP/2", "h2c = yes")
H2_HYPERCORN = Server(
    "h2-hypercorn",
    "hypercorn, raw ASGI, uvloop, HTTP/2",
    "hypercorn",
    (
        "hypercorn",
        "--config",
        "{config}",
        "--worker-class",
        "uvloop",
        "--bind",
        "127.0.0.1:{port}",
        "large:asgi",
    ),
    config="keep_alive_max_requests = 10000000\n",
)
HTTP2 = (H2_SKITAI, H2_HYPERCORN, _granian("h2-granian", "granian, WSGI, HTTP/2", "--http", "auto"))
