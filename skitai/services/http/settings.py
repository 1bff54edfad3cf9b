"""What the HTTP client makes of the ``[http]`` section, and of the TLS keys of its clusters."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from skitai.config.http import TLS_KEYS
from skitai.config.keys import cast_value
from skitai.net.client_tls import TLSContexts, TLSProfile
from skitai.net.pem import TLSConfigError
from skitai.services.http.pool import CONNECTIONS_MAX, PoolLimits

_CERTIFICATE_KEYS = ("certfile", "keyfile", "passphrase")


def pool_limits(values: Mapping[str, Any]) -> PoolLimits:
    """Return the limits that the typed values of ``[http]`` set."""
    return PoolLimits(
        idle=values["idle_per_host"],
        connections=values["connections_per_host"],
        waiting=values["waiting_per_host"],
        total=values["connections"] or _affordable_connections(),
        idle_seconds=values["idle_timeout"],
        silence_seconds=values["silence_timeout"],
        response_max=values["response_max"],
    )


def cluster_profile(options: Mapping[str, str], contexts: TLSContexts) -> TLSProfile | None:
    """Return the profile of a cluster whose section has ``options``, None where it says nothing of TLS.

    What it does not say, ``[http]`` does; a certificate, its key and its passphrase belong together.
    Raises TLSConfigError for what makes no sense and for a file that cannot be used.
    """
    given = {name: _cast(name, options[name], contexts.folder) for name in TLS_KEYS if name in options}
    if not given:
        return None
    inherited = attrs.asdict(contexts.default)
    if not given.keys().isdisjoint(_CERTIFICATE_KEYS):
        inherited = {name: value for name, value in inherited.items() if name not in _CERTIFICATE_KEYS}
    profile = TLSProfile(**{**inherited, **given})
    contexts.load(profile)
    return profile


def _cast(name: str, value: str, folder: Path) -> Any:
    try:
        return cast_value(TLS_KEYS[name], value, folder)
    except ValueError as error:
        raise TLSConfigError(name, str(error)) from error


def _affordable_connections() -> int:
    """Return how many connections leave enough files for clients, logs and what apps open."""
    # The hard limit, because a server that starts raises the other one to it.
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS_MAX if limit == resource.RLIM_INFINITY else min(limit // 2, CONNECTIONS_MAX)
