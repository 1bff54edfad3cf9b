"""The parts of traces by themselves: settings, contexts, summaries of statements, what the log says."""

import builtins
import sys
from types import SimpleNamespace

import attrs
import pytest
from opentelemetry.sdk.trace.export import SpanExportResult
from twisted.logger import capturedLogs, formatEvent

from instances import make_instance
from skitai.errors import ConfigError
from skitai.services.http.request import HTTPRequest
from skitai.services.otel import plugin
from skitai.services.otel.contexts import Unsampled, fields_for, parent_of
from skitai.services.otel.exporting import Exporter, Reasons
from skitai.services.otel.settings import KEYS, read_settings
from skitai.services.otel.statements import summary


def settings(environ=(), **values):
    given = {name: key.default for name, key in KEYS.items()}
    given |= {name: KEYS[name].cast(text) for name, text in values.items()}
    return read_settings(given, "shop", dict(environ))


def test_defaults():
    """Without keys and variables, all is recorded and sent to where the SDK sends it."""
    found = settings()
    assert (found.exporter, found.endpoint, found.service_name, found.ratio) == ("otlp", None, "shop", 1.0)
    assert found.excluded == {b"/ping", b"/ready", b"/metrics"}


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("http://here:4318", "http://here:4318/v1/traces"),
        ("https://here/", "https://here/v1/traces"),
        ("https://here/otlp/v1/traces", "https://here/otlp/v1/traces"),
    ],
)
def test_endpoints(given, meant):
    """A collector is named without the path where it takes traces, or with it."""
    assert settings(endpoint=given).endpoint == meant


def test_standard_variables():
    """The variables of OpenTelemetry say what the section does not."""
    ratio = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}
    assert settings(ratio).ratio == 0.25
    assert settings(ratio, sample_ratio="1").ratio == 1
    assert settings({"OTEL_TRACES_SAMPLER": "traceidratio"}).ratio is None
    assert settings({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}).ratio == 0
    assert settings({"OTEL_SERVICE_NAME": "other"}).service_name is None
    assert settings({"OTEL_SERVICE_NAME": "other"}, service_name="mine").service_name == "mine"
    assert settings({"OTEL_TRACES_EXPORTER": "none"}).exporter == "app"
    assert settings({"OTEL_SDK_DISABLED": "TRUE"}) is None


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_TRACES_EXPORTER": "zipkin"},
        {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"},
    ],
)
def test_wrong_variables(environ):
    """A variable that cannot be used is named."""
    with pytest.raises(ValueError, match="OTEL_TRACES_"):
        settings(environ)


@pytest.fixture
def make(reactor_thread, tmp_path):
    def make(section):
        (tmp_path / "site.conf").write_text(f"[server]\nip = 127.0.0.1\nport = 0\n{section}\n")
        instance = make_instance(reactor_thread.reactor, tmp_path / "site.conf", otel=plugin)
        return instance.plugins.functions("skitai_request_started", instance)

    return make


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("endpoint = here", "here is not a URL such as http://127.0.0.1:4318"),
        ("headers = a=1, s3cr3t", "headers: number 2 is not of the form name=value"),
        ("sample_ratio = 2", "must be a number from 0 to 1, not 2"),
        ("exporter = zipkin", "must be one of otlp, console, app"),
        ("sample = 1", "did you mean sample_ratio"),
    ],
)
def test_mistakes(make, section, problem):
    """What is wrong in the section stops the start with one line, without what is secret."""
    with pytest.raises(ConfigError, match=problem) as caught:
        make(f"[otel]\n{section}")
    assert "site.conf:5: [otel]" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_without_the_section(make, monkeypatch):
    """Without the section nothing takes part, and nothing is imported."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "other")
    assert make("") == ()
    assert make("[otel]") != ()
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert make("[otel]") == ()


def test_without_the_extra(make, monkeypatch):
    """Where the packages are missing, the start says what to install."""
    for name in [name for name in sys.modules if name.startswith("skitai.services.otel.")]:
        if name.rpartition(".")[2] not in ("plugin", "settings"):
            monkeypatch.delitem(sys.modules, name)
    original = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.startswith("opentelemetry"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ConfigError, match="needs the packages of OpenTelemetry: pip install") as caught:
        make("[otel]")
    assert "site.conf:4: [otel]:" in str(caught.value)


TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_contexts():
    """What is read from the fields of a request is written to those of another."""
    context = parent_of(f"00-{TRACE}-{SPAN}-01", "a=1, b=2")
    assert context.is_remote
    assert fields_for(context) == f"traceparent: 00-{TRACE}-{SPAN}-01\r\ntracestate: a=1,b=2\r\n"
    assert (
        fields_for(parent_of(f"00-{TRACE}-{SPAN}-ff", "x" * 10_000))
        == f"traceparent: 00-{TRACE}-{SPAN}-01\r\n"
    )
    assert (
        fields_for(parent_of(f"00-{TRACE}-{SPAN}-02", "not a state"))
        == f"traceparent: 00-{TRACE}-{SPAN}-00\r\n"
    )


def test_more_lines():
    """Only the fields of a request differ, whatever it is made of."""
    given = {field.name: object() for field in attrs.fields(HTTPRequest)} | {"fields": "A: b\r\n"}
    expected = HTTPRequest(**given | {"fields": "A: b\r\nC: d\r\n"})
    assert HTTPRequest(**given).with_lines("C: d\r\n") == expected


def test_a_span_that_is_not_recorded():
    """It has the same ids whenever they are asked for."""
    span = Unsampled()
    context = span.get_span_context()
    assert context.is_valid
    assert not context.trace_flags.sampled
    assert not span.is_recording()
    assert span.get_span_context() is context
    assert Unsampled().get_span_context() != context


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select name from people where age > 42", "SELECT people"),
        ("select * from a join b on a.x = b.x left join only c.d using (y)", "SELECT a b c.d"),
        ("insert into orders (a) select b from old", "INSERT orders SELECT old"),
        ("insert into t values ('select x from secret') on conflict do update set a = 1", "INSERT t"),
        ("update people set name = 'from secret' where id = 1", "UPDATE people"),
        ("delete from only people", "DELETE people"),
        ("with x as (select 1 from y) select * from x", "SELECT y SELECT x"),
        ("select a from t for update", "SELECT t"),
        ("-- from secret\n/* from secret */ select $$ from secret $$ from t", "SELECT t"),
        ("select * from (select a from b) c", "SELECT SELECT b"),
        ('select * from "My Table"', 'SELECT "My Table"'),
        ("select 'unfinished from secret", "SELECT"),
        ("create table if not exists t (a int)", "CREATE t"),
        ("begin", "BEGIN"),
        ("", ""),
    ],
)
def test_summaries(sql, expected):
    """A summary has verbs and tables, and nothing of a text."""
    assert summary(sql) == expected


def test_a_long_statement():
    """Statements of any length have a short summary, quickly."""
    assert len(summary("select " + "* from abc join " * 100_000)) <= 255


class _Failing:
    def __init__(self):
        self.outcome = SpanExportResult.FAILURE

    def export(self, spans):
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def test_the_log_says_it_now_and_then():
    """The first failure is logged, later ones after five minutes, and that all is well again."""
    inner, reasons, clock = _Failing(), Reasons(), SimpleNamespace(now=0.0)
    exporter = Exporter(inner, reasons, lambda: clock.now)
    assert not reasons.filter(SimpleNamespace(getMessage=lambda: "refused\nby all"))
    with capturedLogs() as events:
        for _ in range(3):
            exporter.export([1, 2])
        clock.now = 300.0
        inner.outcome = RuntimeError("broken")
        exporter.export([1])
        inner.outcome = SpanExportResult.SUCCESS
        exporter.export([1])
        exporter.export([1])
    assert [formatEvent(event) for event in events] == [
        "traces do not reach their collector (refused by all); spans lost so far: 2",
        "traces do not reach their collector (RuntimeError: broken); spans lost so far: 7",
        "traces reach their collector again; spans lost: 7",
    ]
