"""A stored reply as bytes on disk: what stands there is checked before it is used."""

from __future__ import annotations

import re
import zlib
from hashlib import blake2b
from struct import Struct
from typing import Any

import attrs
import msgpack

from skitai.services.proxy.cache.entry import Entry
from skitai.services.proxy.cache.freshness import Freshness
from skitai.services.proxy.cache.memory import Key

#: Changes with the format: what another version has written is no record.
_MAGIC = b"skitai-cache-1\n"
_BODY_NAME = re.compile(r"[0-9a-f]{40}\.[0-9a-f]{8}")
_PREFIX = Struct(">II")
_HEAD = len(_MAGIC) + _PREFIX.size


class BrokenRecordError(ValueError):
    """What stands on disk is no whole record."""


@attrs.frozen
class Marker:
    """Stands under a target whose replies vary by the fields ``vary``: they have names of their own.

    Those are made with ``generation``, so that all of them are lost with the marker.
    """

    vary: tuple[bytes, ...]
    generation: bytes


@attrs.frozen
class Record:
    """What stands in one file: a marker, or an ``entry``, whose body may be in a file of its own."""

    key: Key
    marker: Marker | None = None
    entry: Entry | None = None

    def encode(self) -> bytes:
        """Return the bytes of the record, with the body if it is in memory."""
        entry, marker = self.entry, self.marker
        body = b""
        if marker is not None:
            meta: list[Any] = [list(self.key), list(marker.vary), marker.generation]
        else:
            assert entry is not None
            body = b"" if entry.stored_as else entry.body or b""
            reply = [entry.way, entry.code, entry.reason, [list(field) for field in entry.fields]]
            chosen = [list(entry.vary), list(entry.selected)]
            meta = [list(self.key), *reply, *chosen, list(attrs.astuple(entry.freshness)), entry.length]
            meta.append(entry.stored_as)
        head: bytes = msgpack.packb(meta)
        return _MAGIC + _PREFIX.pack(zlib.crc32(body, zlib.crc32(head)), len(head)) + head + body

    @classmethod
    def decode(cls, data: bytes) -> Record:
        """Return the record; raises BrokenRecordError for anything else."""
        if len(data) < _HEAD or not data.startswith(_MAGIC):
            raise BrokenRecordError("no record of this version")
        check, size = _PREFIX.unpack_from(data, len(_MAGIC))
        head, body = data[_HEAD : _HEAD + size], data[_HEAD + size :]
        if zlib.crc32(body, zlib.crc32(head)) != check:
            raise BrokenRecordError("its bytes have changed")
        try:
            return cls._of(msgpack.unpackb(head), body)
        except (TypeError, ValueError) as error:
            raise BrokenRecordError(f"it cannot be read: {error}") from error

    @classmethod
    def _of(cls, meta: list[Any], body: bytes) -> Record:
        secure, host, target = meta[0]
        key = (bool(secure), bytes(host), bytes(target))
        if len(meta) == 3:
            return cls(key, Marker(tuple(meta[1]), bytes(meta[2])))
        _, way, code, reason, fields, vary, selected, freshness, length, body_name = meta
        entry = Entry(
            way=way,
            code=code,
            reason=reason,
            fields=tuple((name, value) for name, value in fields),
            vary=tuple(vary),
            selected=tuple(selected),
            freshness=Freshness(*freshness),
            length=length,
            body=None if body_name else body,
            stored_as=body_name,
        )
        if body_name and not _BODY_NAME.fullmatch(body_name):
            raise ValueError("its body has no name of ours")
        if not body_name and len(body) != length:
            raise ValueError("the body has another length")
        return cls(key, entry=entry)


def name_of(key: Key, *more: bytes) -> str:
    """Return the name of the file for ``key`` and what else tells replies apart."""
    secure, host, target = key
    digest = blake2b(digest_size=20)
    for part in (b"s" if secure else b"", host, target, *more):
        digest.update(b"%d:%b," % (len(part), part))
    return digest.hexdigest()
