"""Traces of requests and calls for OpenTelemetry, if the config has ``[otel]``.

Only ``plugin`` and ``settings`` can be imported without the extra ``otel``.
"""
