"""Makes the connector that the ``[http]`` section describes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from skitai.errors import ConfigError
from skitai.net.client_tls import TLSContexts, TLSProfile
from skitai.net.connector import Connector
from skitai.net.dns import Resolver
from skitai.net.pem import TLSConfigError
from skitai.net.proxies import DirectHosts, make_route, parse_proxy

#: The config section that says how connections are made.
SECTION = "http"

_TLS_NAMES = tuple(field.name for field in attrs.fields(TLSProfile))


def make_connector(reactor: Any, values: Mapping[str, Any], folder: Path) -> Connector:
    """Return the connector for typed ``values`` of the section; relative paths are in ``folder``.

    Raises ConfigError for a certificate that cannot be used.
    """
    profile = TLSProfile(**{name: values[name] for name in _TLS_NAMES})
    contexts = TLSContexts(profile, folder)
    # Checked now, so that a mistake stops the start. Without files there is nothing to check, and loading
    # what the system trusts takes milliseconds that an instance without TLS need not spend.
    if profile.ca or profile.certfile or profile.keyfile or profile.passphrase:
        try:
            contexts.load(profile)
        except TLSConfigError as error:
            raise ConfigError(str(error), section=SECTION, key=error.key) from error
    proxy = parse_proxy(values["proxy"]) if values["proxy"] else None
    return Connector(
        reactor,
        tls=contexts,
        resolver=Resolver(reactor, dns=values["resolver"] == "async"),
        route=make_route(proxy, DirectHosts(values["no_proxy"])),
        timeout=values["connect_timeout"],
    )


def unverified(values: Mapping[str, Any], clusters: Iterable[Any]) -> list[str]:
    """Return a warning that names the sections with ``verify = no``; empty if there are none."""
    careless = [cluster for cluster in clusters if cluster.options.get("verify", "").lower() == "no"]
    sections = [] if values["verify"] else [f"[{SECTION}]"]
    sections += [f"[@{cluster.name}]" for cluster in careless]
    if not sections:
        return []
    where = " and ".join(sections)
    return [f"verify = no in {where}: anybody on the way there can read and change what is sent"]
