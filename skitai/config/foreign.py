"""What people write into ``[server]`` who come from another server, and what it is here."""

from __future__ import annotations

from collections.abc import Mapping

from skitai.config.places import GLOBAL_KEYS

_APP = "an app stands in [routes:line], as / = ./path/module:callable"
_LEVEL = "the command line has it: skitai --log-level=warning"
_LOG = "log_path in [global] makes files of all logs, and twist --log-file of this one"
_BACKGROUND = "skitaid keeps servers running in the background, and so does systemd"

#: What a key of another server means here; keys of ``[global]`` are often written into ``[server]``, too.
HINTS: Mapping[str, str] = {
    **dict.fromkeys(("workers", "worker_processes", "num_workers"), "did you mean processes?"),
    **dict.fromkeys(("bind", "address", "http_socket"), "did you mean listen?"),
    **dict.fromkeys(("host", "hostname"), "did you mean ip? Names of virtual hosts stand in [routes:line]"),
    **dict.fromkeys(("app", "module", "wsgi", "wsgi_file", "callable"), _APP),
    **dict.fromkeys(("loglevel", "log_level"), _LEVEL),
    **dict.fromkeys(("errorlog", "error_log", "logfile", "log_file"), _LOG),
    **dict.fromkeys(("daemon", "daemonize", "pidfile", "pid"), _BACKGROUND),
    **dict.fromkeys(("forwarded_allow_ips", "set_real_ip_from"), "did you mean trusted_proxies?"),
    **dict.fromkeys(("proxy", "forward_proxy"), "did you mean enable_proxy?"),
    **dict.fromkeys(("proxy_allow", "proxy_networks"), "did you mean proxy_clients?"),
    **dict.fromkeys(("client_max_body_size", "limit_request_body"), "did you mean body_max?"),
    "graceful_timeout": "did you mean shutdown_timeout?",
    "keepalive_timeout": "did you mean keep_alive?",
    "timeout": "did you mean response_timeout, queue_timeout or worker_timeout?",
    **dict.fromkeys(GLOBAL_KEYS, "stands in the section [global]"),
}
