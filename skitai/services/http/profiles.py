"""How TLS is spoken with the members of a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from skitai.config.http import TLS_KEYS
from skitai.config.keys import cast_value
from skitai.net.client_tls import TLSContexts, TLSProfile
from skitai.net.pem import TLSConfigError

_CERTIFICATE_KEYS = ("certfile", "keyfile", "passphrase")


def cluster_profile(options: Mapping[str, str], contexts: TLSContexts) -> TLSProfile | None:
    """Return the TLS profile of a cluster with these ``options``; None if none of them is about TLS.

    Missing keys have the values of ``[http]``. Certificate, key and passphrase belong together: one of them
    replaces all three. Raises TLSConfigError for a wrong value and for a file that cannot be used.
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
