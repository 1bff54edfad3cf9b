"""What users of requests, httpx, urllib3 and aiohttp write, with how it is called here."""

from __future__ import annotations

from skitai.formats.spelling import Keywords

_REDIRECTS = "write follow=5 to follow up to five redirects; without follow, none is followed"
_TRUST = "TLS is set in the config, for all servers in [http] or for those of a cluster in its section:"
_PROXY = "the key proxy in the section [http] of the config names a proxy, and no_proxy what goes without it"
_WAIT = "timeout is one number for the whole call; {} is a key in the section [http] of the config"
_WHOLE = "there is no such thing: the reply comes whole, as the data of the result"
_HOSTS = "there is none: of a cluster, @name/path, another member is asked when one fails"

#: What the clients of HTTP and of websockets are asked for, and what every call of ``was`` may be.
COMMON_HINTS = {
    **dict.fromkeys(("allow_redirects", "follow_redirects", "max_redirects", "redirect"), _REDIRECTS),
    **dict.fromkeys(("verify", "verify_ssl", "ssl", "sslopt", "ssl_context"), f"{_TRUST} verify and ca"),
    "cert": f"{_TRUST} certfile, keyfile and passphrase",
    **dict.fromkeys(("proxies", "proxy", "mounts", "trust_env", "proxy_auth"), _PROXY),
    **dict.fromkeys(("connect_timeout", "open_timeout"), _WAIT.format("connect_timeout")),
    **dict.fromkeys(("read_timeout", "silence_timeout"), _WAIT.format("silence_timeout")),
    **dict.fromkeys(("retries", "max_retries", "retry"), _HOSTS),
    **dict.fromkeys(("cookies", "cookie"), 'write headers={"Cookie": "name=value"}'),
    **dict.fromkeys(("header", "extra_headers", "additional_headers"), "did you mean headers?"),
    "url": "did you mean uri? It may be the first argument without a name",
    "cache": "did you mean use_cache? getwait().cache(seconds) keeps a result",
    **dict.fromkeys(("hooks", "event_hooks", "callback"), "did you mean filter? It is given the result"),
    **dict.fromkeys(
        ("raise_for_status", "reraise"), "getwait(reraise=True) raises what went wrong; a 404 is a reply"
    ),
}

_HINTS = {
    **COMMON_HINTS,
    **dict.fromkeys(("content", "body", "form", "payload"), "did you mean data?"),
    "files": "was.upload(uri, {name: file}) sends a form with files",
    **dict.fromkeys(("stream", "preload_content"), _WHOLE),
    "method": "the method is the name: was.get, was.post, was.put, was.patch, was.delete, was.head",
    **dict.fromkeys(("fields", "query"), "params go into the query, data into the body"),
}

#: Of ``was.get`` and the others, ``was.upload``, ``was.rpc`` and ``was.jsonrpc``.
KEYWORDS = Keywords(_HINTS, frozenset({"detach"}))

#: What the replies of those clients have.
ATTRIBUTES = {
    "status_code": "did you mean code?",
    "content": "did you mean data?",
    "reason": "did you mean msg?",
    "ok": "write code < 400, or call raise_for_status()",
    "cookies": "write get_header('set-cookie')",
}
