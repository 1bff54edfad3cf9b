"""Figures of all workers of a server, in memory that they share: nobody waits for anybody to read them."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator
from enum import IntEnum
from struct import Struct
from time import monotonic
from typing import Generic, Self, TypeVar

T = TypeVar("T", int, float)

#: The first bytes of a slot: each number has eight bytes, so that one write is never seen by halves.
_NUMBER, _SECONDS = Struct("=q"), Struct("=d")
_NUMBERS = ("pid", "generation", "state", "connections", "in_flight", "queued", "requests", "memory")
_TIMES = ("began", "heartbeat")
#: Where the length and the version of the report stand, and where the report begins.
_LENGTH, _VERSION = 8 * len(_NUMBERS + _TIMES), 8 * len(_NUMBERS + _TIMES) + 8
_REPORT = 256
#: The bytes of a slot; pages that nobody writes take no memory.
SLOT_BYTES = 256 * 1024
REPORT_MAX = SLOT_BYTES - _REPORT
#: How often a report is read that is being written.
_READS_MAX = 100
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
        """Free the slot: its worker is gone."""
        self._memory[self._start : self._start + _REPORT] = bytes(_REPORT)

    def beat(self, now: Callable[[], float] = monotonic) -> None:
        """Note that the worker is alive."""
        self.heartbeat = now()

    def report(self, data: bytes) -> None:
        """Put up ``data`` in the place of the last report; ValueError if it is longer than REPORT_MAX."""
        if len(data) > REPORT_MAX:
            raise ValueError(f"a report of {len(data)} bytes: there is room for {REPORT_MAX}")
        version = self._read(_VERSION)
        self._write(_VERSION, version + 1)  # odd: it is being written
        self._write(_LENGTH, len(data))
        start = self._start + _REPORT
        self._memory[start : start + len(data)] = data
        self._write(_VERSION, version + 2)

    def last_report(self) -> bytes:
        """Return the last report; empty if there is none, or if its worker died while it wrote one."""
        for _ in range(_READS_MAX):
            version = self._read(_VERSION)
            start = self._start + _REPORT
            data = self._memory[start : start + min(self._read(_LENGTH), REPORT_MAX)]
            if version % 2 == 0 and version == self._read(_VERSION):
                return data
        return b""

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
        self._slots = [Slot(self._memory, number) for number in range(len(self._memory) // SLOT_BYTES)]

    @classmethod
    def create(cls, slots: int) -> Self:
        """Return a new board, with all its slots free. Children inherit it."""
        descriptor = os.memfd_create("skitai-board", 0)
        os.ftruncate(descriptor, slots * SLOT_BYTES)
        return cls(descriptor)

    @classmethod
    def alone(cls) -> Self:
        """Return a new board with one slot, for a process that shares it with nobody."""
        return cls(_NO_FILE, SLOT_BYTES)

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

    def close(self) -> None:
        """Let go of it in this process."""
        self._memory.close()
        if self.descriptor != _NO_FILE:
            os.close(self.descriptor)
