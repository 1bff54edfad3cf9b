"""What users of Flask, Bottle and Werkzeug write, with how Saddle calls it."""

from __future__ import annotations

from skitai.formats.spelling import Keywords

_DEFAULTS = "give the parameter of the view its default, and the shorter path a route of its own"
_NAME = "a view is named as its function: app.build_url('name')"
_HOST = "hosts have routes of their own in [routes:line] of the config"
_REDIRECT = "have a view return was.redirect(url)"
_SLASH = "there is none: a path with a slash at its end is another path"
_LASTING = "did you mean expires? It takes seconds from now"

_METHOD = 'write @app.route(rule, methods=["{}"])'
#: What apps and blueprints of Flask, and apps of Bottle, have, and those of Saddle have not.
ATTRIBUTES = {
    **{name: _METHOD.format(name.upper()) for name in ("get", "post", "put", "patch", "delete")},
    "add_url_rule": "write app.route(rule)(view)",
    **dict.fromkeys(("errorhandler", "register_error_handler"), "write @app.error(404)"),
    "register_blueprint": "write app.mount(path, module, name of its Saddlery)",
    "after_request": "did you mean finish_request? It is given was",
    "run": "write skitai app:app on the command line",
    "url_for": "write app.build_url('name')",
    "logger": "write logging.getLogger(name), or was.log(text) in a view",
}

#: Of ``@app.route``.
ROUTE = Keywords(
    {
        "method": "did you mean methods? It is a list",
        "defaults": _DEFAULTS,
        **dict.fromkeys(("endpoint", "name"), _NAME),
        **dict.fromkeys(("strict_slashes", "merge_slashes"), _SLASH),
        **dict.fromkeys(("host", "subdomain"), _HOST),
        "redirect_to": _REDIRECT,
        "provide_automatic_options": "did you mean methods? With OPTIONS in it, the view answers that",
        "websocket": "write @app.websocket(rule)",
        "path": "did you mean rule?",
    },
    frozenset({"rule", "methods"}),
)
#: Of ``@app.websocket``.
WEBSOCKET = Keywords(
    {
        **ROUTE.hints,
        **dict.fromkeys(("method", "methods"), "there is none: a handshake is a GET, or a CONNECT in HTTP/2"),
        "timeout": "did you mean keep_alive? It takes seconds",
        **dict.fromkeys(("subprotocol", "protocols"), "did you mean subprotocols?"),
    },
    frozenset({"rule", "keep_alive", "subprotocols"}),
)
#: Of ``Saddle``.
APP = Keywords(
    {
        **dict.fromkeys(
            ("static_folder", "static_url_path"), "the config mounts folders: /static = ./static"
        ),
        "template_folder": "templates stand in the folder templates beside the module",
        **dict.fromkeys(("name", "module"), "did you mean import_name?"),
    },
    frozenset({"import_name"}),
)
#: Of ``was.cookie.set``.
COOKIE = Keywords(
    {
        **dict.fromkeys(("max_age", "maxage"), _LASTING),
        "httponly": "did you mean http_only?",
        "samesite": "did you mean same_site?",
        "key": "did you mean name?",
        "partitioned": "there is none",
    },
    frozenset({"name", "value", "expires", "path", "domain", "secure", "http_only", "same_site"}),
)
#: Of ``was.redirect``.
REDIRECT = Keywords(
    {
        **dict.fromkeys(
            ("code", "status_code"), 'did you mean status? It is a text: "301 Moved Permanently"'
        ),
        **dict.fromkeys(("location", "to"), "did you mean url?"),
        "permanent": 'write status="301 Moved Permanently"',
    },
    frozenset({"url", "status", "body", "headers"}),
)
#: Of ``was.response``.
RESPONSE = Keywords(
    {
        **dict.fromkeys(("code", "status_code"), 'did you mean status? It is a text: "404 Not Found"'),
        **dict.fromkeys(("response", "content", "data", "text"), "did you mean body?"),
        **dict.fromkeys(
            ("mimetype", "content_type", "media_type"), 'write headers={"Content-Type": "text/plain"}'
        ),
    },
    frozenset({"status", "body", "headers", "exc_info"}),
)
