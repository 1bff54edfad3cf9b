"""The command line of ``skitai`` and of ``twist skitai``.

The keys of ``[server]`` are options, each with hyphens for its underscores. Those that people type first
have the names that gunicorn and Flask gave them, too.
"""

from __future__ import annotations

import getopt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from twisted.logger import LogLevel
from twisted.python import usage

import skitai
from skitai.command.words import address, app_here, command_hint, hint, host, target
from skitai.config import SERVER_KEYS, Given, sample_config, yes_no

#: The options of keys that are called otherwise here.
_NAMES = {"reloader": "reload", "listen": "bind"}
#: More names of options: gunicorn's, Flask's and uvicorn's, and those of the keys.
_MORE_NAMES = {
    **_NAMES,
    "host": "ip",
    "workers": "processes",
    "w": "processes",
    "access-logfile": "access-log",
    "timeout": "worker-timeout",
    "graceful-timeout": "shutdown-timeout",
    "timeout-keep-alive": "keep-alive",
    "uds": "unix-socket",
    "cert": "certfile",
    "key": "keyfile",
    "A": "app",
    "no-reloader": "no-reload",
    "u": "user",
    "g": "group",
    "n": "name",
    "h": "help",
}
_KEYS = {key: _NAMES.get(key, key.replace("_", "-")) for key in SERVER_KEYS}
_LEVELS = "debug, info, warning, error or critical"
#: What has a line in ``--help``, in this order, with its words; of the others, ``skitai keys server`` tells.
_HELP = {
    "bind": "Listen on this address: 8000, 0.0.0.0:8000 or unix:PATH. May be repeated.",
    "ip": "Listen on this IP address; 127.0.0.1 without a configuration. Also: --host.",
    "port": "Listen on this port; 5000 without a configuration. 0: any free one.",
    "threads": "Run apps in this many threads; with 0, each request runs in a greenlet.",
    "processes": "Serve in this many worker processes; auto: one for each core. Also: --workers.",
    "reload": "Load apps again when their files change, and show what is wrong with them in the browser.",
    "static": "Serve a folder: /static=./static. Options may follow, as in a route. May be repeated.",
    "cooperative": "Run apps in greenlets that wait for anything; needs skitai[gevent].",
    "certfile": "Serve HTTPS, with this PEM file of a certificate.",
    "keyfile": "The PEM file of its key, if that is not in certfile.",
    "access-log": "Write a line for each request here; -: standard output, off: nowhere.",
    "config": "Serve what this configuration says (an INI file).",
    "check": "Check the configuration, print it as Skitai understands it, and exit.",
    "plugins": "List the plugins and what they give, and exit.",
    "logs": "Keep request.log and app.log in this folder, unless the configuration names them.",
    "log-level": f"Leave out what matters less: {_LEVELS}.",
    "log-file": "Write the server's own log here.",
    "verbose": "Print all logs on the console, whatever the configuration says of files.",
    "version": "Print the version of Skitai and exit.",
    "help": "Print this and exit.",
}
_SHORT = {"ip": "i", "port": "p", "threads": "t", "config": "c", "verbose": "v"}
_FLAGS = {key for key, declared in SERVER_KEYS.items() if declared.cast is yes_no}


def _described(name: str, key: str) -> str:
    return _HELP.get(name) or SERVER_KEYS[key].help


class Options(usage.Options):
    """The command line: ``app``, or a folder, or the configuration that names what is served."""

    synopsis = "[options] [APP]"
    longdesc = (
        "APP is path/module:callable, such as app:app, shop/main:create_app() or mysite.wsgi; or a folder of"
        " files. Without APP and --config, it is the app of ./wsgi.py or ./app.py, or the project of Django"
        " in this folder, or else the sample app."
        " All keys of [server] are options, too: `skitai keys server` lists them, and `skitai keys` all keys"
        " of a configuration."
    )
    optParameters = [  # noqa: RUF012 - Twisted's way
        *(
            [name, _SHORT.get(name), None, _described(name, key)]
            for key, name in _KEYS.items()
            if key not in _FLAGS and name != "bind"
        ),
        ["config", "c", None, _HELP["config"]],
        ["logs", None, None, _HELP["logs"]],
        ["app", None, None, "The same as APP."],
    ]
    optFlags = [  # noqa: RUF012 - Twisted's way
        *([_KEYS[key], None, _described(_KEYS[key], key)] for key in _FLAGS),
        *([f"no-{_KEYS[key]}", None, f"Not: {_described(_KEYS[key], key)}"] for key in _FLAGS),
        ["check", None, _HELP["check"]],
        ["plugins", None, _HELP["plugins"]],
        ["verbose", "v", _HELP["verbose"]],
    ]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        for more, name in _MORE_NAMES.items():
            takes_value = f"{name}=" in self.longOpt
            if len(more) == 1:
                self.shortOpt += f"{more}:" if takes_value else more
            else:
                self.longOpt.append(f"{more}=" if takes_value else more)
            self.synonyms[more] = name
        self._binds: list[str] = []
        self._static: list[str] = []
        #: How the options were written, by their names.
        self._written: dict[str, str] = {}
        #: The word behind ``keys``; None if the keys are not asked for.
        self.keys_of: str | None = None

    # -- what was typed ------------------------------------------------------------------------------------

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse words; options may stand behind the app. Raises UsageError."""
        words = list(options or ())
        try:
            pairs, others = getopt.gnu_getopt(words, self.shortOpt, self.longOpt)
        except getopt.GetoptError as error:
            raise usage.UsageError(self._wrong(error)) from None
        arranged = []
        for written, value in pairs:
            name = self.synonyms[written.lstrip("-")]
            self._written[name] = written
            if name == "ip" and written == "--host":
                value = host(value)
            takes_value = f"{name}=" in self.longOpt
            arranged.append(f"--{name}={value}" if takes_value else f"--{name}")
        super().parseOptions([*arranged, "--", *others])  # type: ignore[no-untyped-call]

    def _wrong(self, error: getopt.GetoptError) -> str:
        if "requires argument" in error.msg:
            return error.msg
        if "must not have" in error.msg:
            return f"option --{error.opt} takes no value{self._instead_of_value(error.opt)}"
        known = [name.rstrip("=") for name in self.longOpt]
        return f"there is no option {_dashed(error.opt)}: {hint(error.opt, known)}"

    def _instead_of_value(self, written: str) -> str:
        """Return what to write instead of ``--written=value``, if that is a key of a configuration, too."""
        name = self.synonyms[written].removeprefix("no-")
        key = next((key for key in _FLAGS if _KEYS[key] == name), None)
        if key is None:
            return ""
        return f": write --{name} or --no-{name}, or {key} = yes or no in [server] of a configuration"

    def parseArgs(self, *words: str) -> None:
        """Take the app, or ``keys`` and what is to be told of. Raises UsageError."""
        if words and words[0] == "keys" and len(words) <= 2:
            self.keys_of = words[1] if len(words) == 2 else ""
            return
        apps = [*words, *([self["app"]] if self["app"] is not None else [])]
        wrong = command_hint(apps) if apps else None
        if wrong is not None:
            raise usage.UsageError(wrong)
        if len(apps) > 1:
            raise usage.UsageError(
                f"{apps[1]} is one too many: one app is served, and a configuration may name others"
            )
        if apps:
            self["app"] = target(apps[0])
        elif self["config"] is None and not self._static:
            self["app"] = app_here()
        if self["config"] is not None and (apps or self._static):
            what = apps[0] if apps else f"--static {self._static[0]}"
            raise usage.UsageError(
                f"{what} and --config {self['config']}: what is served stands in [routes:line] there"
            )

    def opt_bind(self, value: str) -> None:
        """See _HELP."""
        self._binds.append(value)

    opt_b = opt_bind

    def opt_static(self, value: str) -> None:
        """See _HELP."""
        self._static.append(value)

    def opt_log_level(self, value: str) -> None:
        """See _HELP."""
        name = {"warning": "warn"}.get(value.lower(), value.lower())  # Twisted's word is not Python's
        if name not in [level.name for level in LogLevel.iterconstants()]:
            raise usage.UsageError(f"--log-level: must be {_LEVELS}, not {value!r}")
        self._to_twist("log_level", name)

    def opt_log_file(self, value: str) -> None:
        """See _HELP."""
        self._to_twist("log_file", value)

    def opt_log_format(self, value: str) -> None:
        """Write the log as text or as json."""
        self._to_twist("log_format", value)

    def _to_twist(self, option: str, value: str) -> None:
        take: Any = getattr(self.parent, f"opt_{option}", None)
        if take is None:
            raise usage.UsageError(f"--{option.replace('_', '-')} is for skitai and twist skitai")
        take(value)

    def opt_version(self) -> NoReturn:
        """See _HELP."""
        print(f"Skitai {skitai.__version__}")
        raise SystemExit(0)

    # -- what it means -------------------------------------------------------------------------------------

    @property
    def source(self) -> Path | Given:
        """Where the configuration comes from."""
        if self["config"] is not None:
            return Path(self["config"])
        if self["app"] is None and not self._static:
            return sample_config()
        return Given(self["app"], tuple(self._static))

    @property
    def overrides(self) -> Mapping[str, str]:
        """What stands in the place of keys of ``[server]``, or beside them."""
        found: dict[str, str] = {}
        for key, name in _KEYS.items():
            if key in _FLAGS:
                if self[name] or self[f"no-{name}"]:
                    found[key] = "no" if self[f"no-{name}"] else "yes"
            elif self.get(name) is not None:
                found[key] = self[name]
        given_tls = isinstance(self.source, Given) and "certfile" in found and "ssl" not in found
        if self._binds:
            found["listen"] = ", ".join(address(bind, tls=given_tls) for bind in self._binds)
        elif given_tls:
            found["ssl"] = "yes"
        return found

    @property
    def spelt(self) -> Mapping[str, str]:
        """The options as they were written, by key."""
        return {key: self._written[name] for key, name in _KEYS.items() if name in self._written}

    # -- help ----------------------------------------------------------------------------------------------

    def getUsage(self, width: int | None = None) -> str:
        """Return the options that people want first, and what the others are."""
        ours, docs = self.longOpt, self.docs
        self.longOpt = [next(each for each in ours if each.rstrip("=") == name) for name in _HELP]
        self.docs = {**docs, **_HELP}
        try:
            return super().getUsage(width)
        finally:
            self.longOpt, self.docs = ours, docs


def _dashed(name: str) -> str:
    return f"-{name}" if len(name) == 1 else f"--{name}"
