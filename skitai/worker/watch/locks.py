"""Which lock a thread waits for, and who holds it, as far as frames tell for certain.

A frame does not show what it has on its stack. But the instruction that it executes does, together with those
before it: ``with self.lock`` and ``lock.acquire()`` load the lock by names whose values the frame knows.
Nothing is run for that: no property, and no ``__getattr__``.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Iterator
from itertools import pairwise
from types import BuiltinMethodType, CodeType, FrameType, MemberDescriptorType
from typing import Any

from skitai.loop import native

_LOCK: Any = type(native.Lock())
_ACQUIRE = frozenset({"acquire", "acquire_lock", "__enter__"})
_NAMES = frozenset({"LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_DEREF", "LOAD_NAME", "LOAD_GLOBAL"})
_ATTRIBUTES = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_WITHOUT_EFFECT = frozenset({"PUSH_NULL", "PRECALL", "EXTENDED_ARG", "NOP"})


class _UnknownError(Exception):
    """The instructions are not of the kind that can be followed."""


def awaited_lock(frame: FrameType) -> Any:
    """Return the ``threading.Lock`` for which ``frame``, an innermost one, waits without a time-out.

    The result is None if it waits for something else, or if that is not certain. Called in any thread.
    """
    lock: Any
    instructions = [each for each in dis.get_instructions(frame.f_code) if each.offset <= frame.f_lasti]
    try:
        match instructions.pop() if instructions else None:
            case dis.Instruction(opname="BEFORE_WITH"):
                lock = _value(instructions, frame)
            case dis.Instruction(opname="CALL" | "PRECALL", arg=0):  # with arguments, there may be a time-out
                function = _value(instructions, frame)
                is_acquire = type(function) is BuiltinMethodType and function.__name__ in _ACQUIRE
                lock = function.__self__ if is_acquire else None
            case _:
                return None
    except _UnknownError:
        return None
    is_held = type(lock) is _LOCK and lock.locked()
    return lock if is_held else None


def holds(frame: FrameType, lock: Any) -> bool:
    """Return whether ``frame``, which is suspended, is within ``with lock``. Called in any thread.

    Code that names ``release`` may have released it within the block.
    """
    if "release" in frame.f_code.co_names:
        return False
    instructions = list(dis.get_instructions(frame.f_code))
    within = set(_handlers(frame.f_code, frame.f_lasti))
    for at, (each, following) in enumerate(pairwise(instructions)):
        if each.opname != "BEFORE_WITH" or each.offset >= frame.f_lasti:
            continue
        # The first instruction of the block leads to its handler, and so must the one that is executed.
        if within.isdisjoint(_handlers(frame.f_code, following.offset)[:1]):
            continue
        try:
            if _value(instructions[:at], frame) is lock:
                return True
        except _UnknownError:
            continue
    return False


def _value(instructions: list[dis.Instruction], frame: FrameType) -> Any:
    """Return what the last of ``instructions`` have loaded; they are removed. Raises _UnknownError."""
    while instructions and instructions[-1].opname in _WITHOUT_EFFECT:
        instructions.pop()
    if not instructions:
        raise _UnknownError
    last = instructions.pop()
    name = last.argval
    if last.opname in _ATTRIBUTES:
        return _attribute(_value(instructions, frame), name)
    if last.opname not in _NAMES:
        raise _UnknownError
    space = frame.f_globals if last.opname == "LOAD_GLOBAL" else frame.f_locals | frame.f_globals
    if name not in space:
        raise _UnknownError
    return space[name]


def _attribute(owner: Any, name: str) -> Any:
    if type(owner) is _LOCK:
        return getattr(owner, name, None)  # of C code: it runs nothing else
    try:
        found = inspect.getattr_static(owner, name)
    except AttributeError:
        raise _UnknownError from None
    return found.__get__(owner) if type(found) is MemberDescriptorType else found


def _handlers(code: CodeType, offset: int) -> list[int]:
    """Return where an exception at ``offset`` leads, and one in that handler, and so on outwards."""
    table = list(_exception_table(code))
    found: list[int] = []
    while True:
        target = next((target for start, end, target in table if start <= offset < end), None)
        if target is None or target in found:
            return found
        found.append(target)
        offset = target


def _exception_table(code: CodeType) -> Iterator[tuple[int, int, int]]:
    """Yield start, end and handler of each range, by the format of CPython 3.11 and later."""
    numbers = _numbers(code.co_exceptiontable)
    for start in numbers:
        length, target, _depth = next(numbers), next(numbers), next(numbers)
        yield 2 * start, 2 * (start + length), 2 * target


def _numbers(table: bytes) -> Iterator[int]:
    value = 0
    for byte in table:
        value = value << 6 | byte & 63
        if not byte & 64:
            yield value
            value = 0
