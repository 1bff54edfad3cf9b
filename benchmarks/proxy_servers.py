"""What is measured of the reverse proxy: who passes requests on, who keeps replies, and who is asked."""

from __future__ import annotations

import shutil

from benchmarks.servers import Server

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
#: Of the small reply.
SIZE, LARGE_SIZE = 1024, 100 * 1024 * 1024
BODY = b"x" * SIZE
_UP = "\n[@up]\nmembers = 127.0.0.1:{upstream_port}"


def skitai_row(name: str, label: str, route: str, body: bytes = BODY, keys: str = "") -> Server:
    """Return the row of a Skitai with that ``route``; ``keys`` are more lines of its server."""
    config = (
        "[server]\nip = 127.0.0.1\nport = {port}\nthreads = 0\naccess_log = off\nkeep_alive = 300\n"
        f"{keys}[routes:line]\n{route}\n"
    )
    command = ("twist", "--log-level", "warn", "skitai", "--config", "{config}")
    return Server(name, label, "skitai", command, own=True, config=config, body=body)


def nginx_row(name: str, label: str, http: str, body: bytes = BODY) -> Server:
    """Return the row of an nginx with one worker; ``http`` is what stands in its ``http``."""
    config = (
        "daemon off; worker_processes 1; pid {folder}/pid; error_log stderr; user root;"
        "events {{ worker_connections 2048; }}"
        "http {{ access_log off; sendfile on; keepalive_requests 10000000; keepalive_timeout 300;"
        " client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;"
        " uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;" + http + "}}"
    )
    command = (NGINX, "-e", "stderr", "-p", "{folder}", "-c", "{config}")
    return Server(name, label, "nginx", command, config=config, body=body)


#: Who is asked, on wrk's core: nginx is quicker than whatever asks it.
ORIGIN_NGINX = nginx_row(
    "origin-nginx", "nginx", "server {{ listen 127.0.0.1:{port}; root {site}; expires 1h; }}"
)
ORIGIN_SKITAI = skitai_row("origin-skitai", "Skitai", "/ = {site}")

SKITAI = skitai_row("proxy-skitai", "Skitai, / = @up", f"/ = @up{_UP}")
PASSING = nginx_row(
    "proxy-nginx",
    "nginx, proxy_pass",
    "upstream up {{ server 127.0.0.1:{upstream_port}; keepalive 64; keepalive_requests 10000000; }}"
    "server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://up; proxy_http_version 1.1;"
    ' proxy_set_header Connection ""; proxy_set_header Host $http_host;'
    " proxy_set_header X-Forwarded-For $remote_addr; }} }}",
)
TWISTED = Server(
    "proxy-twisted",
    "twisted.web, ReverseProxyResource",
    "twisted",
    ("python", "{apps}/reverse_twisted.py", "{port}"),
    own=True,
    body=BODY,
    note="it opens a connection for each request",
)
CACHE = skitai_row("proxy-cache", "Skitai, cache=yes", f"/ = @up cache=yes{_UP}")
STATIC = skitai_row("proxy-static", "Skitai, a static file", "/ = {site}")

SPEED = (SKITAI, TWISTED, PASSING, CACHE, STATIC)
#: Those that bring the large file.
LARGE = (SKITAI, PASSING)
