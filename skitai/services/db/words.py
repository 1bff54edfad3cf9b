"""What users of psycopg, sqlite3, asyncpg and SQLAlchemy write, with how it is called here."""

from __future__ import annotations

from skitai.formats.spelling import Keywords

_SERVER = 'did you mean server? It is "host:port", a URL of PostgreSQL, a file of SQLite or "@cluster"'
_TYPE = 'did you mean dbtype? It is "postgresql" or "sqlite3"'
_TLS = "options of libpq stand in the URL: postgresql://user:password@host/dbname?sslmode=verify-full"
_COMMITTED = "there is none: each statement commits, and was.db.transaction(...) is a block of several"
_POOL = "connections are pooled: pool_max and others are keys in the section [postgresql] of the config"

_HINTS = {
    **dict.fromkeys(("host", "hostname", "hostaddr", "dsn", "conninfo", "url", "uri", "path"), _SERVER),
    "port": "write the port behind the host: server='host:5432'",
    **dict.fromkeys(("database", "db", "db_name"), "did you mean dbname?"),
    "username": "did you mean user?",
    **dict.fromkeys(("passwd", "pwd"), "did you mean password?"),
    **dict.fromkeys(("driver", "engine", "type", "dialect"), _TYPE),
    **dict.fromkeys(("ssl", "sslmode", "sslrootcert", "sslcert", "sslkey"), _TLS),
    **dict.fromkeys(("autocommit", "isolation_level"), _COMMITTED),
    **dict.fromkeys(("pool_size", "max_overflow", "minconn", "maxconn", "min_size", "max_size"), _POOL),
    **dict.fromkeys(("cursor_factory", "row_factory"), "there is none: a row is a dict"),
    "cache": "did you mean use_cache?",
}
_WAIT = "write execute(...).getwait(timeout): a time-out is for a statement"
_BLOCK = {"isolation_level": "did you mean isolation?", "read_only": "did you mean readonly?"}

#: Of ``was.db``.
KEYWORDS = Keywords(
    {**_HINTS, **dict.fromkeys(("timeout", "connect_timeout", "command_timeout"), _WAIT)},
    frozenset({"use_cache", "filter", "detach"}),
)
#: Of ``was.db.transaction``.
TRANSACTION_KEYWORDS = Keywords({**_HINTS, **_BLOCK}, frozenset({"isolation", "readonly", "timeout"}))
#: Of ``was.db.listen``.
LISTEN_KEYWORDS = Keywords(
    {**_HINTS, "timeout": "what listen() returns has get(timeout) and wait(timeout)"},
    frozenset({"channel", "server", "dbname", "user", "password", "dbtype"}),
)

_PARAMS = ("parameters", "vars", "args", "values", "seq_of_parameters", "vars_list", "params_seq")
_EXECUTE = {
    **dict.fromkeys(("query", "statement", "operation", "command"), "did you mean sql?"),
    **dict.fromkeys(("timeout", "wait"), "write execute(...).getwait(timeout)"),
    "prepare": "prepare is a key in the section [postgresql] of the config",
    "binary": "there is no such setting here, leave it out",
}

#: Of ``execute``.
EXECUTE_KEYWORDS = Keywords(
    {
        **_EXECUTE,
        **dict.fromkeys(_PARAMS, "did you mean params?"),
        "rows": "executemany(sql, rows) takes many",
    },
    frozenset({"sql", "params"}),
)
#: Of ``executemany``.
EXECUTEMANY_KEYWORDS = Keywords(
    {**_EXECUTE, **dict.fromkeys((*_PARAMS, "params"), "did you mean rows?")}, frozenset({"sql", "rows"})
)
