"""The ``[certificates:line]`` section: which certificate is shown to clients that ask for which name."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from stat import S_ISREG

import attrs

from skitai.config.casters import dns_name, quoted
from skitai.config.reader import ConfigLine, Section
from skitai.errors import ConfigError

#: The name of the section.
CERTIFICATES_SECTION = "certificates:line"
_LABEL = "[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?"
_NAME = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")
_OPTION = re.compile(r"[a-z_]+=")
_PASSPHRASE = "passphrase="  # noqa: S105 - a word, not a secret


@attrs.frozen
class CertificateConfig:
    """One line: ``names`` of hosts in lower case, and the ``files`` that hold certificate, chain and key.

    ``passphrase`` is that of the line, if it has one.
    """

    names: tuple[str, ...]
    files: tuple[Path, ...]
    passphrase: str | None = attrs.field(default=None, repr=False)
    section: Section = attrs.field(default=Section("", CERTIFICATES_SECTION, 0), eq=False, repr=False)
    line: int = attrs.field(default=0, eq=False)

    def error(self, message: str) -> ConfigError:
        """Return the error that points at this line."""
        return self.section.error(message, key=" ".join(self.names), line=self.line)

    def __str__(self) -> str:
        """Return the line as ``--check`` shows it."""
        secret = f" {_PASSPHRASE}****" if self.passphrase else ""
        return f"{' '.join(self.names)} = {' '.join(map(str, self.files))}{secret}"


#: Where a certificate is named, and nothing listens that would show it.
NO_TLS = "has no effect, as no address has TLS: set ssl = yes, or write ssl behind one in listen"


def read_certificates(section: Section, fallback: Path, *, serving: bool) -> tuple[CertificateConfig, ...]:
    """Return the lines of the section; raises ConfigError.

    A file is looked for in the folder of the configuration, then in the folder ``fallback``; without
    ``serving``, nowhere.
    """
    found: list[CertificateConfig] = []
    lines: dict[str, int] = {}
    for line in section.lines:
        read = _read(section, line)
        for name in read.names:
            if name in lines:
                message = f"{name} has a certificate at line {lines[name]} already: keep one of the two"
                raise read.error(message)
            lines[name] = line.number
        files = tuple(_found(read, file, fallback, serving) for file in read.files)
        found.append(attrs.evolve(read, files=files))
    return tuple(found)


def _name(section: Section, line: ConfigLine, written: str) -> str:
    name = dns_name(written)
    if not _NAME.fullmatch(name):
        hint = "write a name, or *.domain for all names one below a domain"
        raise section.error(f"{quoted(written)} is not the name of a host: {hint}", line=line.number)
    return name


def _read(section: Section, line: ConfigLine) -> CertificateConfig:
    left, separator, right = line.text.partition("=")
    names, words = left.split(), right.split()
    if not separator or not names or not words or words[0].startswith(_PASSPHRASE):
        raise section.error("write NAME = FILE, or NAME NAME = CERTIFICATE CHAIN KEY", line=line.number)
    names = [_name(section, line, written) for written in names]
    words = [section.filled(word, line=line.number) for word in words]
    passphrase = None
    if words[-1].startswith(_PASSPHRASE):
        passphrase = words.pop().removeprefix(_PASSPHRASE)
    if option := next((word for word in words if _OPTION.match(word)), None):
        message = (
            f"unknown option {option.partition('=')[0]}: files stand without one, and passphrase= at the end"
        )
        raise section.error(message, key=" ".join(names), line=line.number)
    files = tuple(map(Path, words))
    return CertificateConfig(tuple(dict.fromkeys(names)), files, passphrase, section, line.number)


def _found(read: CertificateConfig, file: Path, fallback: Path, serving: bool) -> Path:
    named = read.section.folder / file
    return existing_file(named, fallback / file, read.error) if serving else named


def existing_file(named: Path, fallback: Path, error: Callable[[str], ConfigError]) -> Path:
    """Return the file ``named``, or else ``fallback``.

    Raises ``error(message)`` where neither is a file, or it cannot be told for want of rights.
    """
    places = tuple(dict.fromkeys((named, fallback)))
    for place in places:
        try:
            if S_ISREG(place.stat().st_mode):
                return place
        except PermissionError:
            raise error(f"cannot look for {place}: its folder is not open to this user") from None
        except (OSError, ValueError):
            continue  # there is none
    raise error(f"there is no file {' or '.join(map(str, places))}: name the one to use")
