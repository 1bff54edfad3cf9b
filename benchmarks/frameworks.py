"""What Saddle costs by itself, in one process without a server: finding a view, and a page of a template."""

from __future__ import annotations

import io
import tempfile
import timeit
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import times, verdict

FEW, MANY = 10, 1000
MATCH_TARGET, PAGE_TARGET = 1.3, 1.1
ROWS = [{"name": f"tea {number}", "price": number / 4, "stock": number * 3} for number in range(100)]
TEMPLATE = """<table>
{% for row in rows %}<tr><td>{{ row.name }}</td><td>{{ row.price }}</td><td>{{ row.stock }}</td></tr>
{% endfor %}</table>
"""
ENVIRON = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/",
    "QUERY_STRING": "",
    "SERVER_NAME": "127.0.0.1",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.url_scheme": "http",
    "wsgi.input": io.BytesIO(),
}


@dataclass(frozen=True)
class Framework:
    """Microseconds of one match among few and many routes, of the template alone, and of a request for it."""

    match_few: float
    match_many: float
    template: float
    page: float


def measured() -> Framework:
    """Measure all of it. Best of many rounds that take turns: other work on the machine only ever adds."""
    few, many = matching(FEW), matching(MANY)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        template, page = page_of_rows(Path(folder))
        return Framework(*best_of(few, many), *best_of(template, page))


def best_of(*functions) -> list[float]:
    """Return the microseconds of one call of each."""
    timers = [timeit.Timer(function) for function in functions]
    number = 200
    rounds = [[timer.timeit(number) for timer in timers] for _ in range(50)]
    return [min(times) / number * 1e6 for times in zip(*rounds, strict=True)]


def matching(count: int):
    """Return a function that matches one path of each kind among ``count`` routes."""
    from skitai.saddle.routes.router import Router, Rule

    router = Router()
    shapes = (
        *("/page{}", "/item{}/<int:number>", "/<language>/page{}"),
        *("/shop/item{}-<name>.html", "/files{}/<path>"),
    )
    for number in range(count):
        router.add(Rule(shapes[number % len(shapes)].format(number)), number)
    paths = ("/page5", "/item6/7", "/en/page2", "/shop/item8-tea.html", "/files9/a/b")

    def match() -> None:
        for path in paths:
            router.match(path, "GET")

    return match


def page_of_rows(folder: Path):
    """Return a function that renders the template, and one that asks an app for a page of it."""
    from jinja2 import Environment, FileSystemLoader

    from skitai.saddle import Saddle

    (folder / "templates").mkdir()
    (folder / "templates" / "rows.html").write_text(TEMPLATE)
    app = Saddle(__name__)
    app.folder = folder
    app.autoescape = True

    @app.route("/")
    def rows(was):
        return was.render("rows.html", rows=ROWS)

    environment = Environment(loader=FileSystemLoader(folder / "templates"), autoescape=True)
    alone = environment.get_template("rows.html")

    def ask() -> bytes:
        return b"".join(app(dict(ENVIRON), lambda *_: None))

    assert ask().decode().split() == alone.render(rows=ROWS).split()
    return lambda: alone.render(rows=ROWS), ask


def framework_section(found: Framework | None) -> Iterator[str]:
    """Yield the lines on what Saddle costs by itself."""
    yield from ("## Saddle by itself", "")
    if found is None:
        yield from ("Not measured.", "")
        return
    match, page = found.match_many / found.match_few, found.page / found.template
    yield (
        f"- five matches among {MANY:,} routes, at most {MATCH_TARGET}x the time among {FEW}:"
        f" {found.match_many:.1f} against {found.match_few:.1f} us, {times(match)}:"
        f" {verdict(match <= MATCH_TARGET)}"
    )
    yield (
        f"- a request for a page of {len(ROWS)} rows, at most {PAGE_TARGET}x jinja2's time for its template"
        f" alone: {found.page:.0f} against {found.template:.0f} us, {times(page)}:"
        f" {verdict(page <= PAGE_TARGET)}"
    )
    yield ""
