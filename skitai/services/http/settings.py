"""Reads the limits of the HTTP client in the ``[http]`` section."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from typing import Any

from skitai.services.http.pool import CONNECTIONS_MAX, PoolLimits


def pool_limits(values: Mapping[str, Any]) -> PoolLimits:
    """Return the limits that the typed values of ``[http]`` set."""
    return PoolLimits(
        idle=values["idle_per_host"],
        connections=values["connections_per_host"],
        waiting=values["waiting_per_host"],
        total=values["connections"] or _affordable_connections(),
        idle_seconds=values["idle_timeout"],
        silence_seconds=values["silence_timeout"],
        head_seconds=values["head_timeout"],
        response_max=values["response_max"],
    )


def _affordable_connections() -> int:
    """Return how many connections leave enough descriptors for clients, logs and apps."""
    # The hard limit: at start the server raises the soft limit to it.
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS_MAX if limit == resource.RLIM_INFINITY else min(limit // 2, CONNECTIONS_MAX)
