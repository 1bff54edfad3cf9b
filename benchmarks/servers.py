"""What is measured: one `Server` for each row of the report.

The peers run with what their documentation offers for this work: keep-alive, no access log, no extras. For
uWSGI, where the choice matters and depends on the machine, there is a row for each way.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

APPS = Path(__file__).parent / "apps"
HELLO = b"Hello, world!\n"


@dataclass(frozen=True)
class Server:
    """One server with one set of settings.

    `command` starts with the name of a program beside the Python that runs it: Skitai's own when `own`,
    else that of the peers. `command` and `config` may use `{port}`, `{apps}`, `{database_port}`,
    `{upstream_port}`, `{site}` and, once written, `{config}`. One that `spreads` may use the client's core,
    too. One with `tls` may use `{certificate}` and `{key}`.
    """

    name: str
    label: str
    package: str
    command: tuple[str, ...]
    own: bool = False
    config: str = ""
    body: bytes | None = HELLO
    note: str = ""
    spreads: bool = False
    tls: bool = False


def skitai(
    threads: int | None,
    app: str = "hello:app",
    prefix: str = "skitai",
    label: str = "Skitai",
    body: bytes = HELLO,
    sections: str = "",
    workers: int = 1,
) -> Server:
    """Return the row for Skitai with that many threads (0: greenlets; None: cooperative ones) and workers.

    ``sections`` are more of the config.
    """
    key = "cooperative = yes" if threads is None else f"threads = {threads}"
    config = (
        f"[server]\nip = 127.0.0.1\nport = {{port}}\n{key}\nprocesses = {workers}\naccess_log = off\n"
        f"keep_alive = 300\n\n[routes:line]\n/ = {{apps}}/{app}\n{sections}"
    )
    return Server(
        f"{prefix}-{'cooperative' if threads is None else threads}",
        f"{label}, {key}",
        "skitai",
        ("twist", "--log-level", "warn", "skitai", "--config", "{config}"),
        own=True,
        config=config,
        body=body,
        spreads=workers > 1,
    )


def uwsgi(name: str, label: str, *settings: str, note: str) -> Server:
    """Return a row for uWSGI: one process with these settings."""
    common = ("--module", "hello:app", "--need-app", "--disable-logging", "--listen", "1024", "--die-on-term")
    return Server(name, f"uWSGI, {label}", "uwsgi", ("uwsgi", *settings, *common), note=note)


def gunicorn(
    name: str, label: str, *settings: str, app: str = "hello:app", body: bytes = HELLO, workers: int = 1
) -> Server:
    """Return a row for gunicorn: as many workers with these settings."""
    where = ("--workers", str(workers), "--bind", "127.0.0.1:{port}")
    common = (*where, "--keep-alive", "300", "--log-level", "warning")
    command = ("gunicorn", *settings, *common, "--no-control-socket", app)
    return Server(name, f"gunicorn, {label}", "gunicorn", command, body=body, spreads=workers > 1)


def granian(name: str, label: str, workers: int = 1) -> Server:
    """Return a row for granian with as many workers."""
    where = ("--host", "127.0.0.1", "--port", "{port}", "--workers", str(workers))
    command = ("granian", "--interface", "wsgi", *where, "--log-level", "warning", "hello:app")
    return Server(name, f"granian, WSGI, {label}", "granian", command, spreads=workers > 1)


def waitress(name: str, threads: int, app: str = "hello:app", body: bytes = HELLO) -> Server:
    """Return a row for waitress with that many threads."""
    settings = ("--listen", "127.0.0.1:{port}", "--threads", str(threads), "--asyncore-use-poll")
    command = ("waitress-serve", *settings, app)
    return Server(name, f"waitress, {threads} threads", "waitress", command, body=body)


def uvicorn(name: str, label: str, loop: str, *settings: str, app: str, body: bytes = HELLO) -> Server:
    """Return a row for uvicorn on that event loop."""
    where = ("--host", "127.0.0.1", "--port", "{port}", "--loop", loop, "--http", "httptools")
    lean = ("--no-access-log", "--log-level", "warning", "--no-proxy-headers")
    return Server(name, label, "uvicorn", ("uvicorn", *where, *lean, *settings, app), body=body)


def uvicorn_raw(loop: str) -> Server:
    """Return the row for uvicorn with a raw ASGI app on that event loop."""
    name, label = f"uvicorn-{loop}", f"uvicorn, raw ASGI, {loop}"
    return uvicorn(name, label, loop, "--lifespan", "off", app="hello_asgi:app")


# `--http11-socket` keeps a connection alive by giving it a thread to itself: with fewer threads than clients
# the others are never answered, so it is measured with one thread for each of wrk's connections.
UWSGI_CLOSES = "Connection: close"
UWSGI = (
    uwsgi(
        "uwsgi-1",
        "1 thread",
        *("--http-socket", "127.0.0.1:{port}", "--add-header", UWSGI_CLOSES),
        note="`--http-socket` closes the connection after each answer",
    ),
    uwsgi(
        "uwsgi-4",
        "4 threads",
        *("--http-socket", "127.0.0.1:{port}", "--threads", "4", "--add-header", UWSGI_CLOSES),
        note="`--http-socket` closes the connection after each answer",
    ),
    uwsgi(
        "uwsgi-router",
        "HTTP router, 1 thread",
        *("--http", "127.0.0.1:{port}", "--http-keepalive", "--master"),
        note="keeps connections alive in a second process, which shares the server's core",
    ),
    uwsgi(
        "uwsgi-64",
        "64 threads",
        *("--http11-socket", "127.0.0.1:{port}", "--threads", "64"),
        note="`--http11-socket` keeps connections alive, each with a thread of its own",
    ),
)

TWISTED_WEB = Server(
    "twisted-web",
    "twist web --wsgi",
    "twisted",
    # twisted.web cannot be told to log no requests; a file costs it less than its log observers. It moves the
    # file aside when it grows, whatever it is: as root that would be /dev/null for the whole machine.
    (
        *("twist", "--log-level", "warn", "web", "--listen", "tcp:{port}:interface=127.0.0.1"),
        *("--logfile", "{folder}/access.log", "--wsgi", "hello.app"),
    ),
    own=True,
    note="its access log goes to a file",
)

SKITAI_GREENLETS = skitai(threads=0)
SKITAI_COOPERATIVE = skitai(threads=None)
SKITAI_THREADS = skitai(threads=4)
SKITAI_METRICS = skitai(threads=0, prefix="metrics", label="Skitai, [metrics]", sections="[metrics]\n")

SPEED = (
    SKITAI_GREENLETS,
    SKITAI_METRICS,
    SKITAI_COOPERATIVE,
    SKITAI_THREADS,
    *UWSGI,
    gunicorn("gunicorn-gthread", "gthread, 4 threads", "--worker-class", "gthread", "--threads", "4"),
    gunicorn("gunicorn-gevent", "gevent", "--worker-class", "gevent"),
    waitress("waitress", 4),
    granian("granian", "1 worker"),
    uvicorn_raw("asyncio"),
    uvicorn_raw("uvloop"),
    TWISTED_WEB,
)

FRAMEWORKS = (
    skitai(0, "hello_saddle:app", "saddle", "Skitai + Saddle"),
    skitai(0, "hello_flask:app", "flask-skitai", "Skitai + Flask"),
    gunicorn(
        "flask-gthread",
        "gthread, 4 threads, Flask",
        *("--worker-class", "gthread", "--threads", "4"),
        app="hello_flask:app",
    ),
)

IDLE = (SKITAI_GREENLETS, TWISTED_WEB)

SAMPLE = Server(
    "sample",
    "Skitai, sample app",
    "skitai",
    ("twist", "--log-level", "warn", "skitai", "--ip", "127.0.0.1", "--port", "{port}"),
    own=True,
    body=None,
)

SUM = b"126\n"  # three answers of 42

FANOUT = (
    skitai(0, "fanout:app", "fanout-skitai", "Skitai + Flask", SUM),
    skitai(None, "fanout:app", "fanout-skitai", "Skitai + Flask", SUM),
    skitai(0, "fanout:coroutines", "fanout-async", "Skitai + Flask, async def", SUM),
    skitai(None, "fanout_requests:together", "fanout-requests", "Skitai + Flask + requests", SUM),
    skitai(64, "fanout:app", "fanout-skitai", "Skitai + Flask", SUM),
    uvicorn("fanout-starlette", "Starlette + aiohttp, uvicorn", "asyncio", app="fanout_asgi:app", body=SUM),
    gunicorn(
        "fanout-gevent",
        "gevent, Flask + requests",
        *("--worker-class", "gevent"),
        app="fanout_requests:together",
        body=SUM,
    ),
    gunicorn(
        "fanout-gthread",
        "gthread, 64 threads, Flask + requests",
        *("--worker-class", "gthread", "--threads", "64"),
        app="fanout_requests:app",
        body=SUM,
    ),
)

WAITING = skitai(0, "fanout:slow", "waiting-skitai", "Skitai + Flask", b"200\n")
