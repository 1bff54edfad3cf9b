"""The two text formats, as their parsers read them."""

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from skitai.plugins import counter, gauge
from skitai.services.metrics.exposition import label_text, wants_openmetrics, write

REPORT = {
    "kept_total": ["counter", 'Kept "so\\far"\nsince.', [], {label_text(["path"], ['a"\\b\nc']): 3}],
    "there": ["gauge", "There.", [], {"": 1.5}],
    "took_seconds": [
        "histogram",
        "Took.",
        [0.5, 1],
        {"": [2, 0, 1, 4.25], label_text(["a"], ["x"]): [0, 1, 0, 1]},
    ],
    "unused": ["gauge", "No series.", [], {}],
}


@pytest.mark.parametrize(("openmetrics", "parse"), [(False, parse_plain), (True, parse_open)])
def test_both_formats(openmetrics, parse):
    """A parser reads what was written: names, types, labels with all characters, and cumulative buckets."""
    text = write(REPORT, openmetrics=openmetrics).decode()
    families = {family.name: family for family in parse(text)}
    assert {name: family.type for name, family in families.items()} == {
        "kept": "counter",
        "there": "gauge",
        "took_seconds": "histogram",
    }
    (kept,) = families["kept"].samples
    assert (kept.name, kept.labels, kept.value) == ("kept_total", {"path": 'a"\\b\nc'}, 3)
    took = {
        (sample.name, *sample.labels.values()): sample.value for sample in families["took_seconds"].samples
    }
    assert took == {
        ("took_seconds_bucket", "0.5"): 2,
        ("took_seconds_bucket", "1.0"): 2,
        ("took_seconds_bucket", "+Inf"): 3,
        ("took_seconds_count",): 3,
        ("took_seconds_sum",): 4.25,
        ("took_seconds_bucket", "x", "0.5"): 0,
        ("took_seconds_bucket", "x", "1.0"): 1,
        ("took_seconds_bucket", "x", "+Inf"): 1,
        ("took_seconds_count", "x"): 1,
        ("took_seconds_sum", "x"): 1,
    }


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", True),
        ("Application/OpenMetrics-Text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1", True),
        ("application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5", False),
        ("application/openmetrics-text;version=1.0.0;q=0.2,text/plain;version=0.0.4;q=0.5", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=much", False),
    ],
)
def test_what_the_client_prefers(accept, expected):
    """OpenMetrics is written for those who ask for it, in our version."""
    assert wants_openmetrics(accept) is expected


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: gauge("rooms-open", "", 1), "'rooms-open' is not a name"),
        (lambda: gauge("rooms", "", {"a": 1}, "room name"), "'room name' is not a name"),
        (lambda: counter("rooms", "", 1), "the names of counters end in _total"),
        (lambda: gauge("rooms_total", "", 1), "the names of counters end in _total"),
        (lambda: gauge("rooms", "", {("a", "b"): 1}, "room"), "are not the values of"),
        (lambda: gauge("rooms", "", 1, "room"), "are not the values of"),
    ],
)
def test_metrics_of_plugins(make, problem):
    """A plugin learns at once what a metric cannot be."""
    with pytest.raises(ValueError, match=problem):
        make()
