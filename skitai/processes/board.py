"""Figures of all workers of a server, in memory that they share: nobody waits for anybody to read them."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from struct import Struct
from time import monotonic
from typing import Generic, Self, TypeVar

from skitai.processes.reports import fold

T = TypeVar("T", int, float)
R = TypeVar("R")

#: The first bytes of a slot: each number has eight bytes, so that one write is never seen by halves.
_NUMBER, _SECONDS = Struct("=q"), Struct("=d")
_NUMBERS = ("pid", "generation", "state", "connections", "in_flight", "queued", "requests", "memory")
_TIMES = ("began", "heartbeat")
#: Where the number of the last report stands. The next is written beside that: who dies meanwhile leaves it.
_VERSION = 8 * len(_NUMBERS + _TIMES)
#: Where the first of the two places of reports begins: each has the length of its report before it.
_REPORTS, _LENGTH_BYTES = 256, 8
#: The longest report, and the bytes of a slot; pages that nobody writes take no memory.
REPORT_MAX = 256 * 1024
SLOT_BYTES = _REPORTS + 2 * (_LENGTH_BYTES + REPORT_MAX)
#: How often one begins to read again what is being written.
_READS_MAX = 100
#: The variable that names the board of whoever started this process: its descriptor and its inode.
BOARD_VARIABLE = "SKITAI_BOARD"
#: The descriptor of memory that no other process can open.
_NO_FILE = -1


class State(IntEnum):
    """What a worker does. A slot without a worker is FREE."""

    FREE = 0
    STARTING = 1
    READY = 2
    DRAINING = 3


class _Figure(Generic[T]):
    """An attribute of a slot that stands in the memory of the board."""

    def __init__(self, form: Struct) -> None:
        self._form = form

    def __set_name__(self, owner: type[Slot], name: str) -> None:
        self._place = 8 * (*_NUMBERS, *_TIMES).index(name)

    def __get__(self, slot: Slot, owner: type[Slot]) -> T:
        value: T = self._form.unpack_from(slot._memory, slot._start + self._place)[0]
        return value

    def __set__(self, slot: Slot, value: T) -> None:
        self._form.pack_into(slot._memory, slot._start + self._place, value)


class Slot:
    """The place of one worker. The worker writes it; others read it, also while it is written.

    Times are seconds of ``time.monotonic``, which is one clock for all processes of a machine. ``requests``
    counts those that have ended, ``memory`` is in bytes.
    """

    __slots__ = ("_memory", "_start", "number")

    pid = _Figure[int](_NUMBER)
    generation = _Figure[int](_NUMBER)
    state = _Figure[int](_NUMBER)
    connections = _Figure[int](_NUMBER)
    in_flight = _Figure[int](_NUMBER)
    queued = _Figure[int](_NUMBER)
    requests = _Figure[int](_NUMBER)
    memory = _Figure[int](_NUMBER)
    began = _Figure[float](_SECONDS)
    heartbeat = _Figure[float](_SECONDS)

    def __init__(self, memory: mmap.mmap, number: int) -> None:
        self.number = number
        self._memory = memory
        self._start = number * SLOT_BYTES

    def clear(self) -> None:
        """Free the slot: its worker is gone. See ``Board.retire`` for one that has reported."""
        self._memory[self._start : self._start + _REPORTS] = bytes(_REPORTS)

    def beat(self, now: Callable[[], float] = monotonic) -> None:
        """Note that the worker is alive."""
        self.heartbeat = now()

    def report(self, data: bytes) -> None:
        """Put up ``data`` in the place of the last report; ValueError if it is longer than REPORT_MAX."""
        if len(data) > REPORT_MAX:
            raise ValueError(f"a report of {len(data)} bytes: there is room for {REPORT_MAX}")
        version = self._read(_VERSION) + 1
        place = self._place_of(version)
        _NUMBER.pack_into(self._memory, place, len(data))
        self._memory[place + _LENGTH_BYTES : place + _LENGTH_BYTES + len(data)] = data
        self._write(_VERSION, version)

    def last_report(self) -> bytes:
        """Return the last report, the last whole one of a worker that died; empty if there is none."""
        data = b""
        for _ in range(_READS_MAX):
            version = self._read(_VERSION)
            if not version:
                return b""
            place = self._place_of(version)
            length = min(_NUMBER.unpack_from(self._memory, place)[0], REPORT_MAX)
            data = self._memory[place + _LENGTH_BYTES : place + _LENGTH_BYTES + length]
            if version == self._read(_VERSION):
                break
        return data

    def _place_of(self, version: int) -> int:
        return self._start + _REPORTS + version % 2 * (_LENGTH_BYTES + REPORT_MAX)

    def _read(self, place: int) -> int:
        value: int = _NUMBER.unpack_from(self._memory, self._start + place)[0]
        return value

    def _write(self, place: int, value: int) -> None:
        _NUMBER.pack_into(self._memory, self._start + place, value)


class Board:
    """The slots of all workers. ``descriptor`` is what another process opens the same board with."""

    def __init__(self, descriptor: int, length: int = 0) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, length)
        *self._slots, self._retired = (
            Slot(self._memory, number) for number in range(len(self._memory) // SLOT_BYTES)
        )

    @classmethod
    def create(cls, slots: int) -> Self:
        """Return a new board, with all its slots free. Children inherit it."""
        descriptor = os.memfd_create("skitai-board", 0)
        os.ftruncate(descriptor, (slots + 1) * SLOT_BYTES)
        return cls(descriptor)

    @classmethod
    def alone(cls) -> Self:
        """Return a new board with one slot, for a process that shares it with nobody."""
        return cls(_NO_FILE, 2 * SLOT_BYTES)

    @classmethod
    def given(cls, environ: Mapping[str, str]) -> Self | None:
        """Return the board that ``environ`` names, or None. A child that has the variable only gets None."""
        descriptor, _, inode = environ.get(BOARD_VARIABLE, "").partition(":")
        try:
            is_it = str(os.fstat(int(descriptor)).st_ino) == inode
        except (OSError, ValueError):
            return None
        return cls(int(descriptor)) if is_it else None

    def as_variable(self) -> str:
        """Return the value of BOARD_VARIABLE for a process that inherits the descriptor."""
        return f"{self.descriptor}:{os.fstat(self.descriptor).st_ino}"

    def __len__(self) -> int:
        return len(self._slots)

    def __getitem__(self, number: int) -> Slot:
        return self._slots[number]

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._slots)

    def taken(self) -> list[Slot]:
        """Return the slots that have a worker."""
        return [slot for slot in self._slots if slot.state != State.FREE]

    def free(self) -> Slot | None:
        """Return a slot without a worker, or None."""
        return next((slot for slot in self._slots if slot.state == State.FREE), None)

    def reports(self) -> list[bytes]:
        """Return the last reports of all workers, behind the sums of those that are gone. Any process."""
        reports = self._read_all(Slot.last_report)
        return [report for report in reports if report]

    def requests(self) -> int:
        """Return how many requests have ended, those of workers that are gone among them. Any process."""
        return sum(self._read_all(lambda slot: slot.requests))

    def _read_all(self, read: Callable[[Slot], R]) -> list[R]:
        """Return what ``read`` finds in each slot, and in that of the workers that are gone."""
        found: list[R] = []
        for _ in range(_READS_MAX):
            changes = self._retired.generation
            found = [read(slot) for slot in (self._retired, *self._slots)]
            if not changes % 2 and changes == self._retired.generation:
                break
        return found

    def retire(self, slot: Slot) -> None:
        """Free ``slot``: its worker is gone, but what it counted stays in the sums. Called in one process."""
        retired = self._retired
        sums = fold(retired.last_report(), slot.last_report(), REPORT_MAX)
        retired.generation += 1  # odd: who reads now would find the counts twice, or not at all
        retired.report(sums)
        retired.requests += slot.requests
        slot.clear()
        retired.generation += 1

    def close(self) -> None:
        """Let go of it in this process."""
        self._memory.close()
        if self.descriptor != _NO_FILE:
            os.close(self.descriptor)
