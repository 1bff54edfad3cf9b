"""The reference of every key of a configuration, from the code that reads them.

``skitai keys`` prints it, and docs/config.md is ``python -m skitai.command.keys``.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping

import attrs

from skitai.config import SERVER_KEYS, SHARED_SECTIONS
from skitai.config.clusters import CLUSTER_KEYS, PREFIX
from skitai.config.keys import Key
from skitai.config.loader import PLUGIN_KEYS
from skitai.daemon.cron.crontab import CRON_KEYS
from skitai.daemon.cron.lines import JOB_KEYS
from skitai.formats.spelling import closest, nearest
from skitai.plugins.manager import PluginManager, create_plugin_manager
from skitai.plugins.mounting import SHARED_OPTIONS

_WIDTH = 100
_ROUTES = "[routes:line]"
_CLUSTER = f"[{PREFIX}NAME]"
_CERTIFICATES = "[certificates:line]"

_PREFACE = """\
# Every key of a configuration

This page is made from the code that reads the keys. `skitai keys` prints the same, and `skitai keys server`
or `skitai keys body_max` a part of it. `skitai --check --config FILE` prints all values of a configuration.

A configuration is an INI file: `[section]` lines, and `key = value` lines below them. What follows a `;`
behind a space is a comment, unless it stands in double quotes. `${NAME}` stands for a variable of the
environment, `${NAME:-text}` for `text` where that is not set, and `$${` for `${` itself, also in the lines
of `[routes:line]` and `[certificates:line]`. A relative path counts from the folder of the file.

| values | are written as |
| --- | --- |
| time | seconds, or a number with `ms`, `s`, `min`, `h` or `d`: `10`, `1.5 s`, `5 min` |
| size | bytes, or a number with `KB`, `MB` or `GB`: `5 MB`; 1 KB is 1024 bytes |
| list | items with commas between them |
| empty | nothing behind the `=` |

The keys of `[server]` are options of the command line, too: `skitai app:app --body-max "10 MB"`.
"""

_CRON = "[cron] of skitaid.conf"
_JOBS = "[crontab:line] of skitaid.conf"

#: What is said of a section before its keys.
_WORDS: Mapping[str, str] = {
    "[server]": "The server itself.",
    "[global]": "Folders. The section stands in skitaid.conf, too.",
    _ROUTES: (
        "What is served where, one line each: `/path = target option=value`. Lines below `: host host` are"
        " those of a virtual host; `.example.org` is all below that domain. A target is a folder, an app"
        " (`./path/module:callable`, `./module:create_app()`) or a cluster (`@name`). A value with spaces"
        " stands in quotes. Any line may have these options:"
    ),
    f"{_ROUTES} a folder": "`/assets = ./static max_age=1h`. See [static.md](static.md).",
    f"{_ROUTES} an app": "`/shop = ./shop:app threads=8`. See [executors.md](executors.md).",
    f"{_ROUTES} a cluster": "`/search = @search strip=no`. See [proxy.md](proxy.md).",
    "[cache]": "What the reverse proxy keeps, where a route has `cache=yes`. See [cache.md](cache.md).",
    _CERTIFICATES: (
        "Certificates by the names of hosts, one line each: `NAME = FILE`, or `NAME NAME = CERTIFICATE CHAIN"
        " KEY passphrase=WORDS`. `*.example.org` is each name one below that domain. See"
        " [https.md](https.md)."
    ),
    _CLUSTER: "Machines that do the same work, for `was.get.lb(\"@NAME/path\")` and for routes.",
    f"{_CLUSTER} type = http": "A member is `host:port`; `host` alone is port 80, or 443 with `ssl = yes`.",
    f"{_CLUSTER} type = postgresql": (
        "A member is `host:port/database/user/password` or a URL. All but the first key are options of"
        " libpq: the manual of PostgreSQL describes them, in “Parameter Key Words”."
    ),
    f"{_CLUSTER} type = sqlite3": "A member is a file, or `:memory:NAME`.",
    "[http]": "How `was` connects to other servers, and what it takes from them.",
    "[websocket]": "Websockets, of clients and of `was.ws`. See [websockets.md](websockets.md).",
    "[smtpda]": "Mail, in the config of a server or in skitaid.conf. See [mail.md](mail.md).",
    "[plugins]": "Which plugins take part.",
    "[metrics]": "Figures for Prometheus, if this section is there. See [metrics.md](metrics.md).",
    "[otel]": "Traces, if this section is there. See [traces.md](traces.md).",
    "[postgresql]": "How `was.db` uses PostgreSQL. See [databases.md](databases.md).",
    "[sqlite]": "How `was.db` uses SQLite. See [databases.md](databases.md).",
    "[redis]": "What several machines share, if this section is there. See [redis.md](redis.md).",
    "[rooms]": "Limits of rooms. See [rooms.md](rooms.md).",
    "[run]": "The threads of `was.run`.",
    _CRON: "Batch jobs. See [skitaid.md](skitaid.md).",
    _JOBS: (
        "Five fields of time, options in brackets and a command, one line each:"
        " `30 2 * * * [timeout=10min] /home/apps/clean.py`."
    ),
}  # fmt: skip


@attrs.frozen
class Chapter:
    """The keys of one section, or the options of one kind of line.

    ``title`` is the section in brackets, with words behind it where others have that section, too. ``words``
    are said before the keys.
    """

    title: str
    keys: Mapping[str, Key]
    words: str = ""

    @property
    def section(self) -> str:
        """The section, without the brackets."""
        return self.title.removeprefix("[").partition("]")[0]

    @property
    def is_part(self) -> bool:
        """Whether others have the section, too."""
        return self.title.startswith((f"{_ROUTES} ", f"{_CLUSTER} "))

    def pair(self, name: str, value: str) -> str:
        """Return a key with a value, as it is written there."""
        if not self.section.endswith(":line"):
            return f"{name} = {value}".rstrip()
        if self.title == _JOBS:
            return f"{name}={value.replace(' ', '')}"
        return f'{name}="{value}"' if " " in value else f"{name}={value}"


def chapters(plugins: PluginManager) -> list[Chapter]:
    """Return all keys of Skitai and of ``plugins``."""
    found = [Chapter("[server]", SERVER_KEYS), Chapter("[global]", SHARED_SECTIONS["global"])]
    more = {title: keys for given in plugins.notify("skitai_keys") for title, keys in given.items()}
    found += [Chapter(_ROUTES, SHARED_OPTIONS), *_of(_ROUTES, more), Chapter(_CERTIFICATES, {})]
    found += [Chapter(_CLUSTER, CLUSTER_KEYS), *_of(_CLUSTER, more)]
    found += [Chapter(f"[{name}]", keys) for name, keys in SHARED_SECTIONS.items() if name != "global"]
    found.append(Chapter("[plugins]", PLUGIN_KEYS))
    found += [Chapter(f"[{name}]", keys) for name, keys in sorted(plugins.config_sections().items())]
    found += [Chapter(_CRON, CRON_KEYS), Chapter(_JOBS, JOB_KEYS)]
    return [attrs.evolve(each, words=_WORDS.get(each.title, "")) for each in found]


def _of(section: str, more: Mapping[str, Mapping[str, Key]]) -> Iterator[Chapter]:
    """Yield what plugins say of ``section``, in the order of the words behind it."""
    return (Chapter(title, more[title]) for title in sorted(more) if title.startswith(f"{section} "))


def page(found: Iterable[Chapter]) -> str:
    """Return the reference as a page in Markdown."""
    return "\n".join([_PREFACE, *map(_section, found)])


def _section(chapter: Chapter) -> str:
    level = "###" if chapter.is_part else "##"
    lines = [f"{level} {chapter.title}", ""]
    if chapter.words:
        lines += [*textwrap.wrap(chapter.words, 120, break_on_hyphens=False, break_long_words=False), ""]
    if chapter.keys:
        lines += ["| key | default | value | meaning | example |", "| --- | --- | --- | --- | --- |"]
        lines += [_row(chapter, name, key) for name, key in chapter.keys.items()]
        lines.append("")
    return "\n".join(lines)


def _row(chapter: Chapter, name: str, key: Key) -> str:
    default = key.show(key.default)
    shown = key.unset or (f"`{default}`" if default else "none")
    example = f"`{chapter.pair(name, key.example)}`" if key.example else ""
    cells = (f"`{name}`", shown, key.words, key.help, example)
    return " | ".join(["", *(cell.replace("|", r"\|") for cell in cells), ""]).strip()


def for_terminal(found: Iterable[Chapter], wanted: str = "") -> str:
    """Return the reference as text: all of it, or the section or key that is ``wanted``.

    Raises ValueError for one that is not there.
    """
    found = list(found)
    name = wanted.strip().removeprefix("[").removesuffix("]")
    chosen = [
        each for each in found if not wanted or name in (each.section, each.section.removesuffix(":line"))
    ]
    if not chosen and name.startswith(PREFIX):
        chosen = [each for each in found if each.section.startswith(PREFIX)]
    if not chosen:  # then it is a key
        chosen = [
            attrs.evolve(each, keys={name: each.keys[name]}, words="") for each in found if name in each.keys
        ]
    if not chosen:
        raise ValueError(f"there is neither a section nor a key {wanted}: {_hint(name, found)}")
    return "\n".join(map(_text, chosen))


def _hint(name: str, found: Iterable[Chapter]) -> str:
    sections = dict.fromkeys(each.section for each in found)
    keys = {key for each in found for key in each.keys}
    close = closest(name, [*sections, *keys])
    return f"did you mean {close}?" if close else nearest(name, sections)


def _text(chapter: Chapter) -> str:
    lines = [chapter.title]
    if chapter.words:
        lines += _wrapped(_plain(chapter.words), "    ")
    for name, key in chapter.keys.items():
        lines.append(f"  {chapter.pair(name, '' if key.unset else key.show(key.default))}")
        lines += _wrapped(key.help, "      ")
        unset = f"without: {key.unset}" if key.unset else ""
        example = f"for example {chapter.pair(name, key.example)}" if key.example else ""
        lines += _wrapped("; ".join(filter(None, (_plain(key.words), unset, example))), "      ")
    return "\n".join([*lines, ""])


def _plain(words: str) -> str:
    return words.replace("`", "")


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=indent, subsequent_indent=indent,
        break_on_hyphens=False, break_long_words=False,
    )  # fmt: skip


if __name__ == "__main__":
    sys.stdout.write(page(chapters(create_plugin_manager())))
