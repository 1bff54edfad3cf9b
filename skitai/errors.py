"""The exceptions that Skitai raises on purpose, with one base class, and the codes of results."""

from __future__ import annotations

import typing

E = typing.TypeVar("E", bound="OperationError")

#: The values of ``Result.status``: the README's numbers.
WAITING, TIMEOUT, FAILED, NORMAL = range(4)

#: The values of ``Result.code`` if no reply came (item 12 of the README's behaviours): the connection was
#: closed; an exception that has no code of its own; a time-out; the name has no address; the worker stops.
CODE_CLOSED, CODE_EXCEPTION, CODE_TIMEOUT, CODE_DNS, CODE_SHUTDOWN = 700, 701, 702, 704, 705
#: Three more: the socket failed; as many calls are under way as the config allows; the reply is malformed.
CODE_SOCKET_ERROR, CODE_BUSY, CODE_BAD_REPLY = 706, 707, 708


class SkitaiError(Exception):
    """The base of all errors that Skitai raises on purpose."""


class MisuseError(SkitaiError):
    """The calling code broke a rule of the API, such as waiting on the reactor thread."""


class DeadlockError(SkitaiError):
    """Code waited for a lock that nobody can release, because all requests share one thread."""


class NoServerError(MisuseError, AttributeError):
    """``was`` was used where no Skitai server runs.

    Also an AttributeError, so that ``hasattr`` and tools that inspect objects work on ``was``.
    """


class ConfigError(SkitaiError):
    """A configuration that cannot be served.

    ``str()`` is the one line shown to the user: ``FILE:LINE: [section] key: what is wrong and the fix``.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        line: int | None = None,
        section: str | None = None,
        key: str | None = None,
    ) -> None:
        self.message = message
        self.path = path
        self.line = line
        self.section = section
        self.key = key
        super().__init__(message)

    def __str__(self) -> str:
        where = "".join(f"{part}:" for part in (self.path, self.line) if part is not None)
        name = f"[{self.section}]" if self.section else ""
        if self.key:
            name = f"{name} {self.key}".strip()
        return " ".join(part for part in (where, f"{name}:" if name else "", self.message) if part)


class PluginError(SkitaiError):
    """A plugin that cannot be used: ``plugin`` is its name, ``reason`` says why."""

    def __init__(self, plugin: str, reason: str) -> None:
        self.plugin = plugin
        self.reason = reason
        super().__init__(plugin, reason)

    def __str__(self) -> str:
        return f"plugin {self.plugin!r}: {self.reason}"


class OperationError(SkitaiError):
    """A request to another machine failed.

    ``code`` is the failure code (700-719, or the service's own), ``status`` 1 (timeout) or 2 (exception),
    ``node`` the node that was asked (or None), ``url`` the target as the app wrote it (None until a result
    has the error).
    """

    def __init__(
        self, message: str, *, code: int = 701, status: int = 2, node: object = None, url: str | None = None
    ) -> None:
        self.code = code
        self.status = status
        self.node = node
        self.url = url
        self.message = message
        super().__init__(message)

    def __str__(self) -> str:
        return f"[{self.code}] {self.message} (status: {self.status})"


class OperationTimeout(OperationError):  # noqa: N818 - the name that apps know
    """The deadline passed before the reply came."""

    def __init__(
        self, message: str = "Timeout", *, code: int = 702, node: object = None, url: str | None = None
    ) -> None:
        super().__init__(message, code=code, status=1, node=node, url=url)


class UnsentError(OperationError):
    """The request failed before any of its bytes left, so another node can be asked without harm."""


class CommitUnknownError(OperationError):
    """The connection was lost, or time was over, after COMMIT was sent: nobody knows whether it happened."""


def stopping(kind: type[E]) -> E:
    """Return the failure of what the stop of the server ends, or prevents if ``kind`` is UnsentError."""
    return kind("the server is stopping", code=CODE_SHUTDOWN)


def commit_unknown(lost: OperationError) -> CommitUnknownError:
    """Return the failure of a COMMIT during which the connection was ``lost``."""
    text = "the connection was lost during COMMIT, so whether the database has committed is unknown"
    return CommitUnknownError(f"{text}: {lost.message}", code=lost.code, node=lost.node)


def words_of(error: BaseException) -> str:
    """Return ``str(error)``, or a note if that fails: an app may define the ``__str__``."""
    try:
        return str(error)
    except Exception as another:  # noqa: BLE001 - whatever it is
        return f"<its __str__ raised {type(another).__name__}>"
