"""The spool: mail on disk between the app, which writes it, and the delivery agent, which sends it.

Folders, beside each other: ``tmp/`` (envelopes being written), ``spool/`` (to be sent), ``undeliver/`` (given
up) and ``bad/`` (cannot be read). A mail is ``ID.json``, its envelope, with ``ID.eml``, the message, and
``ID.state``, what became of it so far. The envelope comes last and goes first: without one, the other files
are leftovers.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from skitai.mail.claim import Claim, envelope_of, read_state
from skitai.mail.envelope import Envelope
from skitai.mail.files import (
    ENVELOPE,
    MESSAGE,
    Owner,
    begin_sync,
    check_message,
    create,
    explained,
    lock,
    make_folder,
    move,
    name_path,
    names_in,
    owner_to_be,
    read_opened,
    remove,
    sync_file,
    sync_folder,
)
from skitai.mail.listing import Entry, read_entries
from skitai.mail.tidying import clean, drop, purge

#: What is wrong with one file; anything else (too many open files, a disk mounted read-only) is so with all.
_UNFIT = frozenset(
    {errno.EACCES, errno.EINVAL, errno.EIO, errno.EISDIR, errno.ELOOP, errno.ENOENT, errno.ENXIO, errno.EPERM}
)

#: Where a whole mail may be.
Place = Literal["spool", "undeliver", "bad"]
_FOLDERS = ("tmp", "spool", "undeliver", "bad")


def mail_folder(var: Path) -> Path:
    """Return the folder of the spool within ``var``, that of ``skitai.config.places.var_folder``."""
    return var / "daemons" / "smtpda" / "mail"


class Spool:
    """The spool in ``folder``, which any number of processes and threads may use at once.

    Blocking file work: never in the thread of the reactor. Methods raise OSError, with the path.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # As text: paths of pathlib would take a tenth of the time of a mail.
        self._tmp, self._spool = str(folder / "tmp"), str(folder / "spool")

    @property
    def incoming(self) -> Path:
        """The folder to watch for new mail.

        A new ``ID.json`` is renamed into it (IN_MOVED_TO). One that a person wants to be tried now is touched
        there (IN_ATTRIB).
        """
        return self.place("spool")

    def place(self, name: Place) -> Path:
        """Return one of the folders."""
        return self.folder / name

    def make_folders(self) -> None:
        """Make the folders where they are missing, for this user alone."""
        with self._explained():
            make_folder(self.folder)
            for name in _FOLDERS:
                make_folder(self.folder / name)

    def write(self, envelope: Envelope, message: bytes) -> None:
        """Add a mail, which is durable when this returns. Lines of ``message`` end with LF, or with CRLF.

        Raises OSError if that fails, as on a full disk: then nothing is left of it. FileExistsError: there is
        a mail with this id.
        """
        try:  # not with a context manager: this is on the way of each mail
            try:
                self._write(envelope, message)
            except FileNotFoundError:
                self.make_folders()
                self._write(envelope, message)
        except PermissionError as error:
            raise explained(error, self.folder) from None

    def ids(self) -> list[str]:
        """Return the ids of the mails to be sent, oldest first."""
        return self.ids_in("spool")

    def ids_in(self, name: Place) -> list[str]:
        """Return the ids of the mails in one of the folders, oldest first."""
        with self._explained():
            names = names_in(self.place(name))
        return sorted(found.removesuffix(ENVELOPE) for found in names if found.endswith(ENVELOPE))

    def has(self, mail_id: str) -> bool:
        """Whether the mail is to be sent, or in somebody's hand."""
        return os.path.lexists(f"{self._spool}/{mail_id}{ENVELOPE}")

    def claim(self, mail_id: str, name: Place = "spool") -> Claim | None:
        """Return the mail, locked; None if another has it, or it is gone.

        A mail that cannot be read goes to ``bad/``, with the reason beside it, and is not returned, either.
        If it is there already, that is a ValueError.
        """
        with self._explained():
            return self._claim(mail_id, name)

    def entries(self) -> list[Entry]:
        """Return what is known of the mails to be sent, oldest first, without claiming them."""
        return self.entries_in("spool")

    def undelivered(self) -> list[Entry]:
        """Return what is known of the mails that were given up, oldest first."""
        return self.entries_in("undeliver")

    def entries_in(self, name: Place) -> list[Entry]:
        """Return what is known of the mails in one of the folders, oldest first."""
        with self._explained():
            return list(read_entries(self.ids_in(name), self.place(name)))

    # -- what people and time do -----------------------------------------------------------------------------

    def retry(self, mail_id: str, name: Place) -> bool:
        """Make a mail due now; False if another has it, or it is gone.

        One that does not wait comes back to those that do, as if it were new to who was refused. Raises
        ValueError, with a sentence for people, for one in ``bad`` that is still unfit.
        """
        claim = self.claim(mail_id, name)
        if claim is None:
            return False
        with claim, self._explained():
            claim.make_due(refused=name != "spool")
            if name != "spool":
                move(mail_id, self.place(name), self.incoming)
        with suppress(FileNotFoundError):
            os.utime(self.incoming / f"{mail_id}{ENVELOPE}")  # now that it is free, as ``incoming`` says
        return True

    def drop(self, mail_id: str, name: Place) -> bool:
        """Remove a mail for good; False if another has it, or it is gone."""
        with self._explained():
            return drop(mail_id, self.place(name))

    def purge(self, older_than: float) -> int:
        """Remove the mails that were given up more than ``older_than`` seconds ago; return how many."""
        with self._explained():
            return purge(self.place("undeliver"), time.time() - older_than)

    def clean(self, older_than: float) -> int:
        """Remove the leftovers of crashes that are older than ``older_than`` seconds; return how many files.

        An hour is more than any write takes.
        """
        with self._explained():
            return clean([self.folder / name for name in _FOLDERS], time.time() - older_than)

    # -- how it is written -----------------------------------------------------------------------------------

    def _write(self, envelope: Envelope, message: bytes) -> None:
        # The message is in its place at once: without an envelope, it is a leftover.
        path, owner = f"{self._spool}/{envelope.id}{MESSAGE}", owner_to_be(self._spool)
        descriptor = self._create(path, message, envelope.id, owner)
        try:
            begin_sync(descriptor)  # the disk has the message while the envelope is made
            self._write_envelope(envelope, owner, descriptor)
        except BaseException as error:
            remove(path)
            if isinstance(error, OSError):
                name_path(error, path)  # that of syncing it has none
            raise
        finally:
            os.close(descriptor)

    def _write_envelope(self, envelope: Envelope, owner: Owner | None, message: int) -> None:
        """Make the envelope of the mail whose message is in the file with the descriptor ``message``."""
        path, place = f"{self._tmp}/{envelope.id}{ENVELOPE}", f"{self._spool}/{envelope.id}{ENVELOPE}"
        descriptor = self._create(path, envelope.to_json(), envelope.id, owner)
        try:
            begin_sync(descriptor)
            os.fsync(message)
            sync_file(descriptor, path)
            os.rename(path, place)
            path = place
            sync_folder(self._spool)
        except BaseException:
            remove(path)
            raise
        finally:
            os.close(descriptor)

    def _create(self, path: str, data: bytes, mail_id: str, owner: Owner | None) -> int:
        """Make a file of a new mail. What a crash has left goes."""
        try:
            return create(path, data, owner)
        except FileExistsError:
            if self.has(mail_id):
                raise FileExistsError(errno.EEXIST, "there is a mail with this id", path) from None
            remove(path)
            return create(path, data, owner)

    # -- how it is claimed -----------------------------------------------------------------------------------

    def _claim(self, mail_id: str, name: Place) -> Claim | None:
        folder = self.place(name)
        descriptor, claim = None, None
        try:
            descriptor = lock(f"{folder}/{mail_id}{ENVELOPE}")
            if descriptor is not None:
                claim = _read_claim(mail_id, folder, descriptor)
        except (OSError, ValueError) as error:
            if not _is_unfit(error):
                raise
            if name == "bad":
                raise ValueError(str(error)) from error
            self._set_aside(mail_id, folder, str(error))
        finally:
            if claim is None and descriptor is not None:
                os.close(descriptor)
        return claim

    def _set_aside(self, mail_id: str, folder: Path, reason: str) -> None:
        try:
            move(mail_id, folder, self.place("bad"), reason)
        except FileNotFoundError:
            # What cannot be opened cannot be locked: somebody else may have been faster.
            if os.path.lexists(folder / f"{mail_id}{ENVELOPE}"):
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            raise explained(error, self.folder) from None


def _read_claim(mail_id: str, folder: Path, descriptor: int) -> Claim:
    envelope = envelope_of(mail_id, read_opened(descriptor))
    check_message(f"{folder}/{mail_id}{MESSAGE}")
    return Claim(folder, descriptor, envelope, read_state(mail_id, folder))


def _is_unfit(error: OSError | ValueError) -> bool:
    """Whether this is about one mail, and will not be otherwise the next time."""
    return isinstance(error, ValueError) or error.errno in _UNFIT
