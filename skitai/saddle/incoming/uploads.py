"""Uploaded files: each is in a temporary file until the app saves it."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import tempfile
import unicodedata
import weakref
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Literal

#: Bytes (UTF-8) of a file name; file systems take 255, and a number may be added to make it unique.
NAME_MAX = 200
_FALLBACK_NAME = "unnamed"
_SEPARATORS = re.compile(r"[/\\]")
_RESERVED = re.compile(r'[<>:"|?*]')


def safe_name(name: str) -> str:
    """Return ``name`` as the name of a plain, visible file.

    Folders, control and formatting characters, characters that Windows reserves, and dots and spaces at both
    ends are removed. A long name is cut before its extension. If nothing is left, the name is ``unnamed``.
    """
    last = _SEPARATORS.split(unicodedata.normalize("NFC", name))[-1]
    # All categories C: besides control characters, those that reverse the text to hide ".exe".
    visible = "".join(char for char in last if not unicodedata.category(char).startswith("C"))
    return _shortened(_RESERVED.sub("", visible).strip(". \t\u00a0")) or _FALLBACK_NAME


def _shortened(name: str) -> str:
    if len(name.encode()) <= NAME_MAX:
        return name
    stem, extension = os.path.splitext(name)
    if len(extension.encode()) > NAME_MAX // 4:
        stem, extension = name, ""
    room = NAME_MAX - len(extension.encode())
    return stem.encode()[:room].decode(errors="ignore") + extension


class TemporaryFiles:
    """The temporary files of one app that are in use.

    Each request deletes its own. The rest is deleted with this object or at the end of the process, because a
    server that stops does not wait for every request. Used in any thread.
    """

    def __init__(self) -> None:
        self._paths: dict[str, int] = {}  # with the process that made it: a fork has a copy of this
        weakref.finalize(self, _delete_all, self._paths)

    def make(self) -> tuple[IO[bytes], str]:
        """Return a new file, open for writing, and its path. Raises OSError."""
        handle, path = tempfile.mkstemp(prefix="saddle-")
        self._paths[path] = os.getpid()
        return os.fdopen(handle, "wb"), path

    def forget(self, path: str) -> None:
        """Forget a file that was deleted, or moved to stay."""
        self._paths.pop(path, None)

    def delete_all(self) -> None:
        """Delete what is left."""
        _delete_all(self._paths)


def _delete_all(paths: dict[str, int]) -> None:
    with ExitStack() as deleting:  # so that an error does not keep the others
        for path, maker in list(paths.items()):
            if maker == os.getpid():
                paths.pop(path, None)
                deleting.callback(Path(path).unlink, missing_ok=True)


class UploadedFile:
    """One uploaded file.

    ``file`` is the path of the temporary file, or of the saved one after ``save``. ``name`` is the posted
    name made safe, ``size`` is in bytes, and ``mimetype`` is what the client claims. ``temporary`` forgets
    the file when it is saved or deleted. Used by one request at a time.
    """

    def __init__(self, file: str, name: str, size: int, mimetype: str, temporary: TemporaryFiles) -> None:
        self.file = file
        self.name = safe_name(name)
        self.size = size
        self.mimetype = mimetype
        self._temporary = temporary
        self._saved = False
        self._reader: IO[bytes] | None = None

    def __repr__(self) -> str:
        return f"<UploadedFile {self.name!r} {self.size} bytes {self.mimetype}>"

    def read(self, size: int = -1) -> bytes:
        """Return the next ``size`` bytes, or all the rest if it is negative. Raises OSError once removed."""
        if self._reader is None:
            self._reader = open(self.file, "rb")  # noqa: SIM115 - closed in remove()
        return self._reader.read(size)

    def save(
        self,
        into: str | os.PathLike[str],
        name: str | None = None,
        mkdir: bool = False,
        dup: Literal["u", "o"] = "u",
    ) -> str:
        """Move the file into the folder ``into`` and return its new path.

        ``name`` is the posted one by default, and is made safe. ``mkdir`` makes missing folders. If the name
        is taken, ``dup="u"`` saves as ``name.1.ext`` and so on, and ``"o"`` overwrites in one step. Raises
        ValueError for another ``dup`` and for a file that is already saved. Raises OSError if the file cannot
        be saved there; the temporary file then stays.
        """
        if dup not in ("u", "o"):
            raise ValueError(f"dup is {dup!r}; use 'u' to make the name unique or 'o' to overwrite")
        if self._saved:
            raise ValueError(f"this upload is already saved as {self.file}")
        folder = _folder(into, mkdir)
        wanted = folder / safe_name(name or self.name)
        target = _reserve(wanted) if dup == "u" else wanted
        try:
            _move(Path(self.file), target)
        except BaseException:
            if dup == "u":
                target.unlink(missing_ok=True)
            raise
        self._temporary.forget(self.file)
        self.file = str(target)
        self._saved = True
        return self.file

    def remove(self) -> None:
        """Delete the temporary file; a saved file stays. May be called again."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if not self._saved:
            Path(self.file).unlink(missing_ok=True)
            self._temporary.forget(self.file)

    #: Called for every upload at the end of the request.
    close = remove


def _folder(into: str | os.PathLike[str], mkdir: bool) -> Path:
    folder = Path(into)
    if mkdir:
        folder.mkdir(parents=True, exist_ok=True)
    elif not folder.is_dir():
        problem = "no such folder to save an upload in (mkdir=True makes it)"
        raise FileNotFoundError(errno.ENOENT, problem, str(folder))
    return folder


def _new_file(path: Path) -> None:
    """Make an empty file, with the permissions of the umask; raise FileExistsError if the name is taken."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))


def _reserve(wanted: Path) -> Path:
    """Reserve the first free name of ``name.ext``, ``name.1.ext`` and so on with an empty file."""
    target = wanted
    number = 0
    while True:
        try:
            _new_file(target)
        except FileExistsError:
            number += 1
            target = wanted.with_name(f"{wanted.stem}.{number}{wanted.suffix}")
        else:
            return target


def _move(source: Path, target: Path) -> None:
    """Replace ``target`` by ``source`` in one step, with the permissions of a new file.

    If that fails, ``source`` is still there.
    """
    staged = target.with_name(f".{secrets.token_hex(8)}.part")
    _new_file(staged)
    try:
        source.chmod(staged.stat().st_mode & 0o777)
        try:
            os.replace(source, target)
        except OSError as problem:
            if problem.errno != errno.EXDEV:
                raise
            # Another file system: copying takes time, so the copy gets its name when it is complete.
            shutil.copyfile(source, staged)
            os.replace(staged, target)
            source.unlink()
    finally:
        staged.unlink(missing_ok=True)
