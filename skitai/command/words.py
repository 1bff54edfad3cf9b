"""What people write on a command line, in the form that a configuration has for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from twisted.python.usage import UsageError

from skitai.config import SERVER_KEYS
from skitai.formats.spelling import closest

_DEFAULT_PORT = SERVER_KEYS["port"].default
_LOCALHOST, _LOOPBACK = "localhost", "127.0.0.1"
_UNIX = "unix:"
#: As ``runserver`` of Django takes it, and ``--bind``.
_ADDRESS = re.compile(r"(?:(?:|\*|localhost|[\d.]+|\[[\da-fA-F:.]+\]):)?[0-9]+")
#: What manages a project of Django.
_MANAGE = "manage.py"
_APP = "write the app behind the options, as in skitai app:app"
_BACKGROUND = "skitaid keeps servers running in the background, and so does systemd"
_GREENLETS = "apps run in threads; --threads 0 or --cooperative runs them in greenlets"

_SETTINGS = "set it before the command: DJANGO_SETTINGS_MODULE=mysite.settings skitai mysite.wsgi"
_VARIABLES = "set variables before the command: NAME=value skitai app:app; a config has ${NAME}"
_COLOURS = "a terminal has colours, unless NO_COLOR=1 is set"
_NONE = "there is no such setting here, leave it out"
_MOUNT = "the config mounts an app below a path, in [routes:line]: /path = app:app"
_FOLDER = "options of a folder stand behind it: --static '/=./dist fallback=index.html cors=*'"

#: What other servers have options for that are called otherwise here, or are not needed.
_HINTS = {
    **dict.fromkeys(("k", "worker-class"), _GREENLETS),
    **dict.fromkeys(("D", "daemon", "daemonize", "pid", "pidfile"), _BACKGROUND),
    **dict.fromkeys(
        ("debug", "d"), "--reload loads changed code; the app turns on its framework's debug pages"
    ),
    **dict.fromkeys(
        ("chdir", "app-dir", "pythonpath"), "write the folder before the module: skitai DIR/module:app"
    ),
    **dict.fromkeys(("wsgi-file", "module", "wsgi", "callable"), _APP),
    "factory": "write the call: skitai module:create_app()",
    **dict.fromkeys(("check-config", "print-config"), "did you mean --check?"),
    **dict.fromkeys(("error-logfile", "error-log"), "did you mean --log-file?"),
    "log-config": "the app sets up its logging; --log-file and --log-level are of the server's own log",
    **dict.fromkeys(("forwarded-allow-ips", "proxy-headers"), "did you mean --trusted-proxies?"),
    "limit-request-line": "did you mean --uri-max?",
    **dict.fromkeys(
        (
            "limit-request-field_size",
            "limit-request-fields",
            "buffer-size",
            "h11-max-incomplete-event-size",
            "max-request-header-size",
        ),
        "did you mean --header-max?",
    ),
    **dict.fromkeys(("max-request-body-size", "limit-post"), "did you mean --body-max?"),
    **dict.fromkeys(("channel-timeout", "socket-timeout"), "did you mean --response-timeout?"),
    "timeout-graceful-shutdown": "did you mean --shutdown-timeout?",
    **dict.fromkeys(("harakiri", "timeout-worker-healthcheck"), "did you mean --worker-timeout?"),
    **dict.fromkeys(("ca-certs", "ssl-ca-certs", "ssl-ca"), "did you mean --client-ca?"),
    **dict.fromkeys(("ssl-cert", "tls-cert"), "did you mean --certfile?"),
    **dict.fromkeys(("ssl-key", "tls-key"), "did you mean --keyfile?"),
    "tls": "did you mean --ssl, or --certfile=FILE?",
    "uid": "did you mean --user?",
    "gid": "did you mean --group?",
    "umask": "set it before the command: umask 027; skitai app:app",
    **dict.fromkeys(("env-file", "env-files"), _VARIABLES),
    **dict.fromkeys(("extra-files", "reload-extra-file"), "did you mean --reload-include?"),
    **dict.fromkeys(("reload-dir", "reload-engine"), "--reload watches the folders of what it serves"),
    **dict.fromkeys(("ipv6", "socket", "http", "http-socket"), "did you mean --bind?"),
    "fd": "sockets that systemd passes are taken",
    **dict.fromkeys(("root-path", "url-prefix", "script-name", "mount"), _MOUNT),
    **dict.fromkeys(("server-name", "virtual-host"), "names of hosts stand in [routes:line] of a config"),
    **dict.fromkeys(("fallback", "cors", "max-age"), _FOLDER),
    "static-map": "did you mean --static?",
    "no-access-log": "write --access-log=off",
    **dict.fromkeys(("use-colors", "no-use-colors"), _COLOURS),
    "quiet": "write --log-level=warning",
    **dict.fromkeys(("stats", "statsd-host"), "the section [metrics] of a config has figures for Prometheus"),
    **dict.fromkeys(("without-threads", "nothreading"), "write --threads=0"),
    **dict.fromkeys(("url-scheme", "proxy-allow-from"), "did you mean --trusted-proxies?"),
    **dict.fromkeys(
        (
            "backlog",
            "capture-output",
            "clear-untrusted-proxy-headers",
            "die-on-term",
            "enable-threads",
            "interface",
            "lifespan",
            "loop",
            "master",
            "reuse-port",
            "server-header",
            "no-server-header",
            "date-header",
            "no-date-header",
            "vacuum",
            "worker-tmp-dir",
            "ws",
        ),
        _NONE,
    ),
    **dict.fromkeys(("worker-connections", "limit-concurrency"), "did you mean --connections-max?"),
    "limit-max-requests": "did you mean --max-requests?",
    "max-requests-jitter": "--max-requests is up to a fifth less, by chance, for each worker",
    "reactor": "twist has it: twist --reactor=NAME skitai",
    **dict.fromkeys(("env", "e"), _VARIABLES),
    "settings": _SETTINGS,
}

#: What somebody may write behind a flag.
_VALUES = ("yes", "no", "true", "false", "on", "off")
_SERVE = "to serve an app, write {command}"
#: Words that are commands of other programs, with what to write here.
_COMMANDS = {
    **dict.fromkeys(("run", "runserver", "serve", "server", "start", "dev"), _SERVE),
    **dict.fromkeys(("stop", "restart", "status"), _BACKGROUND),
    **{word: f"did you mean --{word}?" for word in ("check", "plugins", "version", "help")},
}


def hint(option: str, known: Iterable[str]) -> str:
    """Return what to write instead of an ``option`` that is none."""
    if option in _HINTS:
        return _HINTS[option]
    near = closest(option, known) if len(option) > 1 else None
    return f"did you mean --{near}?" if near else "known are those of skitai --help"


def command_hint(words: Sequence[str]) -> str | None:
    """Return what to write instead of ``words`` of other programs, which stand where an app does.

    None if the first of them is no such command, or can be served, and none is the value of a flag or, as
    Django's ``runserver`` takes it, an address.
    """
    word = words[0]
    binds = [each for each in words if _is_address(each)]
    apps = [each for each in words if each not in binds]
    projects = _projects() if Path(_MANAGE).is_file() or word == _MANAGE else []
    if word == _MANAGE and projects:
        command = _command(projects[0], binds)
        return f"{word} is Django's own command: to serve the project, write {command}"
    if word in _COMMANDS and not (Path(word).is_dir() or Path(f"{word}.py").is_file()):
        command = _command(" ".join(apps[1:]) or (projects[0] if projects else "app:app"), binds)
        return f"there is no command {word}: {_COMMANDS[word].format(command=command)}"
    values = [each for each in words if each.lower() in _VALUES and not Path(each).exists()]
    if values:
        return f"{values[0]} is no app, and flags take no value: write --preload or --no-preload, and so on"
    if binds:
        return f"{binds[0]} is no app: to listen there, write {_command(' '.join(apps), binds)}"
    return None


def _is_address(word: str) -> bool:
    """Return whether ``word`` is a port, or an IP address and a port, and no file or folder."""
    return _ADDRESS.fullmatch(word) is not None and not Path(word).exists()


def _command(app: str, binds: Iterable[str]) -> str:
    return " ".join(["skitai", *([app] if app else []), *(f"--bind {each}" for each in binds)])


def app_here() -> str | None:
    """Return the target of a route for the app in ``wsgi.py`` or ``app.py`` of this folder; None without.

    ``flask run`` looks for the same files, in the same order. In the folder of a project of Django it is that
    project. Raises UsageError where that has several.
    """
    if name := _app_in(Path()):
        return f"{name}:" if Path(name).is_dir() else name  # else the folder would be served
    projects = _projects() if Path(_MANAGE).is_file() else []
    if len(projects) > 1:
        raise UsageError(f"write which one to serve: skitai {' or skitai '.join(projects)}")
    return projects[0] if projects else None


def _app_in(folder: Path) -> str | None:
    return next((name for name in ("wsgi", "app") if (folder / f"{name}.py").is_file()), None)


def _module_in(folder: Path) -> Path | None:
    """Return the module with the app of a folder; None for a package, which is an app itself."""
    name = None if (folder / "__init__.py").is_file() else _app_in(folder)
    return None if name is None else folder / name


def _projects() -> list[str]:
    """Return the modules with the WSGI apps of Django that are in this folder."""
    return sorted(f"{found.parent.name}.wsgi" for found in Path().glob("*/wsgi.py"))


def host(text: str) -> str:
    """Return what ``--host`` takes as the key ``ip`` does: ``localhost`` is the loopback."""
    return _LOOPBACK if text == _LOCALHOST else text


def address(text: str, *, tls: bool = False) -> str:
    """Return an address that ``--bind`` takes as one of the key ``listen``.

    The host may be ``localhost``, and nothing or ``*``, which are all interfaces; the port may be missing.
    With ``tls``, it serves HTTPS.
    """
    place, *words = text.split()[:2] or [""]
    if not place.startswith(_UNIX):
        name, colon, port = place.rpartition(":")
        if not colon or port.endswith("]"):
            name, port = (place, "") if not place.isdecimal() else ("", place)
        name = "" if name == "*" else host(name)
        port = port or str(_DEFAULT_PORT)
        place = f"{name}:{port}" if name else port
    return " ".join([place, *(words or (["ssl"] if tls else []))])


def target(word: str) -> str:
    """Return the target of a route that ``word`` means. Raises UsageError for the file of a configuration."""
    path, colon, name = word.partition(":")
    module = path.removesuffix(".py")
    if not colon and Path(f"{module}.py").is_file() and Path(module).is_dir():
        return f"{module}:"  # without the colon, a route means the folder
    if path.endswith(".py") and Path(path).is_file():
        return f"{module}{colon}{name}"
    if not word.endswith("/") and (app := _module_in(Path(word))) is not None:
        raise UsageError(f"write skitai {app} for the app in {app}.py, or {word}/ to serve {word} as files")
    if Path(word).is_file():
        raise UsageError(f"to serve what {word} says, write --config {word}")
    return word
