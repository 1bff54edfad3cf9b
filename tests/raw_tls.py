"""A client of TLS 1.3 made by hand, which sends records as no library would (RFC 8446)."""

from __future__ import annotations

import hashlib
import hmac
import os
import socket
import struct

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wire import PATIENCE

ALERT, HANDSHAKE, DATA = 21, 22, 23
_KEY_UPDATE, _FINISHED = 24, 20
_EMPTY, _ZEROS = hashlib.sha256().digest(), bytes(32)


def _expand(secret, label, context=b"", length=32):
    """HKDF-Expand-Label (section 7.1), for one block of the hash."""
    label = b"tls13 " + label
    info = struct.pack("!HB", length, len(label)) + label + bytes([len(context)]) + context
    return hmac.digest(secret, info + b"\1", "sha256")[:length]


def _extract(salt, key):
    return hmac.digest(salt, key, "sha256")


class _Keys:
    """The keys of one direction (section 7.3)."""

    def __init__(self, secret):
        self._secret = secret
        self.cipher = AESGCM(_expand(secret, b"key", length=16))
        self._iv = int.from_bytes(_expand(secret, b"iv", length=12))
        self._number = 0

    def nonce(self):
        nonce = (self._iv ^ self._number).to_bytes(12)
        self._number += 1
        return nonce

    def next(self):
        return _Keys(_expand(self._secret, b"traffic upd"))


def _sized(data):
    return struct.pack("!H", len(data)) + data


class RawTLS:
    """A connection after its handshake; certificates are not looked at."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._file = self.socket.makefile("rb")
        self._received = b""
        self._reading = self._writing = None
        #: How often the server has changed its keys.
        self.updates = 0
        self._shake_hands()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()
        self.socket.close()

    # -- records -------------------------------------------------------------------------------------------

    def record(self, data, kind=DATA, padding=0):
        """Return an encrypted record (section 5.2)."""
        inner = data + bytes([kind]) + bytes(padding)
        head = struct.pack("!BHH", DATA, 0x303, len(inner) + 16)
        return head + self._writing.cipher.encrypt(self._writing.nonce(), inner, head)

    def key_update(self, *, asks):
        """Return a record after which the keys are others; ``asks``: so shall those of the server."""
        record = self.record(bytes([_KEY_UPDATE, 0, 0, 1, asks]), HANDSHAKE)
        self._writing = self._writing.next()
        return record

    def read(self):
        """Return kind and content of the next record that is no new key."""
        while True:
            head = self._file.read(5)
            if not head:
                raise EOFError
            kind, _, length = struct.unpack("!BHH", head)
            content = self._file.read(length)
            if kind == DATA and self._reading is not None:
                inner = self._reading.cipher.decrypt(self._reading.nonce(), content, head).rstrip(b"\0")
                content, kind = inner[:-1], inner[-1]
            if kind == HANDSHAKE and content[0] == _KEY_UPDATE:
                self._reading = self._reading.next()
                self.updates += 1
            else:
                return kind, content

    # -- the handshake -------------------------------------------------------------------------------------

    def _shake_hands(self):
        private = X25519PrivateKey.generate()
        said = _client_hello(private.public_key().public_bytes_raw())
        self.socket.sendall(struct.pack("!BHH", HANDSHAKE, 0x301, len(said)) + said)
        hello = self._message()
        said += hello
        shared = private.exchange(X25519PublicKey.from_public_bytes(_key_share(hello)))
        early = _expand(_extract(_ZEROS, _ZEROS), b"derived", _EMPTY)
        secret = _extract(early, shared)
        digest = hashlib.sha256(said).digest()
        mine = _expand(secret, b"c hs traffic", digest)
        self._reading = _Keys(_expand(secret, b"s hs traffic", digest))
        while (message := self._message())[0] != _FINISHED:
            said += message
        digest = hashlib.sha256(said + message).digest()
        finished = hmac.digest(_expand(mine, b"finished"), digest, "sha256")
        self._writing = _Keys(mine)
        self.socket.sendall(self.record(bytes([_FINISHED, 0, 0, 32]) + finished, HANDSHAKE))
        secret = _extract(_expand(secret, b"derived", _EMPTY), _ZEROS)
        self._reading = _Keys(_expand(secret, b"s ap traffic", digest))
        self._writing = _Keys(_expand(secret, b"c ap traffic", digest))

    def _message(self):
        while len(self._received) < 4 or len(self._received) < 4 + int.from_bytes(self._received[1:4]):
            kind, content = self.read()
            if kind == HANDSHAKE:
                self._received += content
        end = 4 + int.from_bytes(self._received[1:4])
        message, self._received = self._received[:end], self._received[end:]
        return message


def _client_hello(share):
    extensions = (
        (43, b"\x02\x03\x04"),  # TLS 1.3
        (10, _sized(b"\x00\x1d")),  # x25519
        (13, _sized(b"\x04\x03\x08\x04")),  # signatures: ECDSA and RSA
        (51, _sized(b"\x00\x1d" + _sized(share))),
        (16, _sized(b"\x08http/1.1")),
    )
    listed = b"".join(struct.pack("!H", kind) + _sized(data) for kind, data in extensions)
    body = b"\x03\x03" + os.urandom(32) + b"\0" + _sized(b"\x13\x01") + b"\x01\x00" + _sized(listed)
    return b"\x01" + len(body).to_bytes(3) + body


def _key_share(hello):
    """Return the server's share: its hello has that and the version (section 4.1.3)."""
    start = 4 + 2 + 32
    start += 1 + hello[start] + 3 + 2
    while True:
        kind, length = struct.unpack_from("!HH", hello, start)
        if kind == 51:
            return hello[start + 8 : start + 4 + length]
        start += 4 + length
