"""The section ``[postgresql]`` of the config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skitai.config import Key, form, integer, positive, seconds, show_size, size, text, yes_no
from skitai.services.postgresql.limits import Limits
from skitai.services.postgresql.pool import PoolLimits

SECTION = "postgresql"
_MB = 1 << 20

KEYS: Mapping[str, Key] = {
    "pool_max": Key(integer(1), 10, "connections to one database; further statements wait in order"),
    "pool_min": Key(integer(0), 0, "connections that are kept open without use, up to pool_max", example="2"),
    "pool_idle": Key(positive(seconds), 60.0, "after this long without use a connection is closed"),
    "pool_lifetime": Key(positive(seconds), 3600.0, "a connection that is older is replaced"),
    "pool_wait": Key(positive(seconds), 3.0, "how long a statement waits for a connection"),
    "rows_max": Key(integer(1), 100_000, "the most rows of one result; a larger one is a failed result"),
    "bytes_max": Key(
        positive(size), 64 * _MB, "the most bytes of one result that comes over TCP; Linux only", show_size
    ),
    "prepare": Key(yes_no, True, "prepare a statement at its fifth use; no for PgBouncer"),
    "slow_statement": Key(positive(seconds), 1.0, "a statement that takes longer is logged, without values"),
}

#: The options of libpq that clusters may have, each with a value.
_LIBPQ = {
    "application_name": "shop",
    "channel_binding": "require",
    "connect_timeout": "5",
    "fallback_application_name": "shop",
    "gssencmode": "disable",
    "gsslib": "gssapi",
    "keepalives": "0",
    "keepalives_count": "5",
    "keepalives_idle": "30",
    "keepalives_interval": "5",
    "krbsrvname": "postgres",
    "options": "-c statement_timeout=5s",
    "passfile": "pgpass",
    "require_auth": "scram-sha-256",
    "requirepeer": "postgres",
    "ssl_max_protocol_version": "TLSv1.3",
    "ssl_min_protocol_version": "TLSv1.3",
    "sslcert": "client.pem",
    "sslcertmode": "require",
    "sslcompression": "0",
    "sslcrl": "revoked.pem",
    "sslcrldir": "revoked",
    "sslkey": "client.key",
    "sslmode": "verify-full",
    "sslnegotiation": "direct",
    "sslpassword": "${KEY_PASSWORD}",
    "sslrootcert": "authorities.pem",
    "sslsni": "0",
    "target_session_attrs": "read-write",
    "tcp_user_timeout": "10000",
}

#: The same as keys. The manual of PostgreSQL describes them, in "Parameter Key Words" of libpq.
LIBPQ_KEYS: Mapping[str, Key] = {
    name: Key(form("as for libpq", example)(text), None, "libpq's option of this name")
    for name, example in _LIBPQ.items()
}


def limits(values: Mapping[str, Any]) -> Limits:
    """Return what each connection may use, from the typed values of the section."""
    return Limits(values["rows_max"], values["bytes_max"], values["prepare"])


def pool_limits(values: Mapping[str, Any]) -> PoolLimits:
    """Return what each pool may use, from the typed values of the section."""
    return PoolLimits(
        minimum=min(values["pool_min"], values["pool_max"]),
        maximum=values["pool_max"],
        idle_seconds=values["pool_idle"],
        lifetime_seconds=values["pool_lifetime"],
        wait_seconds=values["pool_wait"],
    )
