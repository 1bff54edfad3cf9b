"""The section ``[otel]``, and what the standard variables of OpenTelemetry say where it says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs

from skitai.config import Key, comma_list, form, one_of, optional, positive, seconds, show_secret, text
from skitai.config.casters import number
from skitai.http.fields import TOKEN

SECTION = "otel"

_PATH = "/v1/traces"
#: The samplers of the specification that decide before a span is made, with the ratio of those without one.
_RATIOS = {"": 1.0, "parentbased_always_on": 1.0, "parentbased_always_off": 0.0}
_WITH_RATIO = "parentbased_traceidratio"


@form("URL", "http://127.0.0.1:4318")
def _endpoint(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{value} is not a URL such as http://127.0.0.1:4318")
    # As with OTEL_EXPORTER_OTLP_ENDPOINT, which names the collector and not what takes traces there.
    return value.rstrip("/") + _PATH if parts.path in ("", "/") else value


@form("list of name=value", "authorization=Basic abc")
def _headers(value: str) -> dict[str, str]:
    pairs = [item.partition("=") for item in comma_list(value)]
    for position, (name, equals, _) in enumerate(pairs, 1):
        if not equals or not TOKEN.fullmatch(name.strip()):
            # Without the text, which is a secret.
            raise ValueError(f"number {position} is not of the form name=value")
    return {name.strip(): text.strip() for name, _, text in pairs}


@form("0 to 1", "0.1")
def _ratio(value: str) -> float:
    ratio: float = number(value)
    if not 0 <= ratio <= 1:
        raise ValueError(f"must be a number from 0 to 1, not {value}")
    return ratio


KEYS: Mapping[str, Key] = {
    "exporter": Key(optional(one_of("otlp", "console", "app")), None, "where traces go; app: as an app says"),
    "endpoint": Key(optional(_endpoint), None, "URL of the collector"),
    "headers": Key(_headers, {}, "name=value, ... for the collector", show_secret),
    "service_name": Key(
        optional(text), None, "name in traces; default: that of the instance", example="shop"
    ),
    "sample_ratio": Key(optional(_ratio), None, "the share of traces that begin here and are recorded"),
    "timeout": Key(optional(positive(seconds)), None, "how long the collector may take"),
    "exclude": Key(
        comma_list,
        ("/ping", "/ready", "/metrics"),
        "paths of requests that have no spans",
        example="/ping, /assets",
    ),
}


@attrs.frozen
class Settings:
    """What is asked for; None leaves it to the SDK, which reads the other variables.

    ``ratio`` is the share of traces to record among those that begin here; None: the sampler says so.
    """

    exporter: str
    endpoint: str | None
    headers: Mapping[str, str] = attrs.field(repr=False)
    service_name: str | None
    ratio: float | None
    timeout: float | None
    excluded: frozenset[bytes]


def read_settings(values: Mapping[str, Any], name: str, environ: Mapping[str, str]) -> Settings | None:
    """Return the settings of an instance called ``name``; None if OTEL_SDK_DISABLED switches all off.

    ``values`` are those of the section, which come before the variables in ``environ``. Raises ValueError
    for a variable that cannot be used.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    named = "OTEL_SERVICE_NAME" in environ or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return Settings(
        values["exporter"] or _exporter(environ),
        values["endpoint"],
        values["headers"],
        values["service_name"] or (None if named else name),
        _ratio_of(environ) if values["sample_ratio"] is None else values["sample_ratio"],
        values["timeout"],
        frozenset(path.encode() for path in values["exclude"]),
    )


def _exporter(environ: Mapping[str, str]) -> str:
    value = environ.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    found = {"otlp": "otlp", "console": "console", "none": "app"}.get(value)
    if found is None:
        raise ValueError(
            f"OTEL_TRACES_EXPORTER = {value}: Skitai brings otlp and console; none: see exporter = app"
        )
    return found


def _ratio_of(environ: Mapping[str, str]) -> float | None:
    sampler = environ.get("OTEL_TRACES_SAMPLER", "").strip()
    if sampler != _WITH_RATIO:
        return _RATIOS.get(sampler)
    argument = environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip() or "1"
    try:
        return _ratio(argument)
    except ValueError as error:
        raise ValueError(f"OTEL_TRACES_SAMPLER_ARG {error}") from None
