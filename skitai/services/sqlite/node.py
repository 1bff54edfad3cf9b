"""The files of SQLite, as nodes."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote_from_bytes

import attrs
from zope.interface import implementer

from skitai import DB_SQLITE3
from skitai.interfaces import INode

_MEMORY = ":memory:"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@implementer(INode)
@attrs.frozen
class SQLiteNode:
    """One database.

    ``label`` is the absolute path of its file, or ``:memory:NAME`` for one that lives in the instance's
    memory. A ``read_only`` one is opened with SQLite's ``mode=ro``.
    """

    dbtype: ClassVar[str] = DB_SQLITE3

    label: str
    read_only: bool = False

    @property
    def reach(self) -> str:
        """Who else has the same database: see ``skitai.calls.sharing``."""
        return "process" if self.in_memory else "machine"

    @property
    def in_memory(self) -> bool:
        """Whether it has no file: it is empty at the start of the instance and gone at its end."""
        return self.label.startswith(_MEMORY)

    @property
    def uri(self) -> str:
        """What SQLite opens (https://sqlite.org/uri.html)."""
        if self.in_memory:
            return "file::memory:"
        mode = "ro" if self.read_only else "rwc"
        return f"file:{quote_from_bytes(os.fsencode(self.label))}?mode={mode}"


def node_of(name: str, folder: Path, *, read_only: bool = False) -> SQLiteNode:
    """Return the node of a file, of ``:memory:`` or of ``:memory:NAME``; raise ValueError if it is none.

    A relative path counts from ``folder``. A ``~`` is a character like any other.
    """
    if not name.strip():
        raise ValueError("the file of a SQLite database needs a name")
    if "\0" in name:
        raise ValueError(f"{name!r} has a NUL character, which no path may have")
    if _URL.match(name):  # whose password is not repeated
        raise ValueError("a SQLite database is the path of a file, and no URL")
    if name.startswith(_MEMORY):
        if read_only:
            raise ValueError(f"{name} with read_only = yes stays empty: nobody could write to it")
        return SQLiteNode(name, read_only)
    return SQLiteNode(os.path.normpath(folder / name), read_only)
