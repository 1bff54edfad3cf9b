"""What client and server share of Digest authentication (RFC 7616), and of its syntax (RFC 9110, 11)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any, Final

from skitai.http.fields import TOKEN, split_list, unquoted

Hash = Callable[[bytes], Any]

#: The hash functions by the name of their algorithm, the weakest first.
HASHES: Final[dict[str, Hash]] = {
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False),  # many peers know no other
    "SHA-256": hashlib.sha256,
}
if "sha512_256" in hashlib.algorithms_available:
    HASHES["SHA-512-256"] = lambda data: hashlib.new("sha512_256", data)

_SESSION = "-SESS"
_VALUE = r'"(?:[^"\\]|\\.)*"|[^\s",=][^\s",]*'
_PARAMETER = re.compile(rf"({TOKEN.pattern})[ \t]*=[ \t]*({_VALUE})")
_SCHEME = re.compile(rf"({TOKEN.pattern})(?:[ ]+(.*))?", re.DOTALL)


def algorithm_of(name: str) -> tuple[str, bool]:
    """Return the key in ``HASHES`` of an algorithm, and whether it is a session variant (``-sess``)."""
    upper = name.upper()
    return upper.removesuffix(_SESSION), upper.endswith(_SESSION)


def hexdigest(function: Hash, text: str) -> str:
    """Return the hexadecimal hash of the text of a header field, whose characters are bytes (latin-1)."""
    digest: str = function(text.encode("latin-1")).hexdigest()
    return digest


def secret_of(function: Hash, user: bytes, realm: bytes, password: bytes) -> str:
    """Return H(A1), the hash of user, realm and password (section 3.4.2)."""
    digest: str = function(b":".join((user, realm, password))).hexdigest()
    return digest


def proof_of(
    function: Hash, secret: str, method: str, target: str, nonce: str, *, count: str = "", cnonce: str = ""
) -> str:
    """Return the parameter ``response`` of a request (section 3.4.1).

    ``count`` and ``cnonce`` belong to the quality "auth". Without them, the result is that of RFC 2069.
    """
    quality = f"{count}:{cnonce}:auth:" if count else ""
    return hexdigest(function, f"{secret}:{nonce}:{quality}{hexdigest(function, f'{method}:{target}')}")


def parse_parameters(text: str) -> dict[str, str] | None:
    """Return the parameters of credentials by lower-case name; None if one is malformed or comes twice."""
    parameters: dict[str, str] = {}
    for member in split_list(text):
        found = _PARAMETER.fullmatch(member)
        if found is None or found[1].lower() in parameters:
            return None
        parameters[found[1].lower()] = unquoted(found[2])
    return parameters


def parse_challenges(value: str) -> list[tuple[str, dict[str, str]]]:
    """Return the challenges of one WWW-Authenticate as (scheme, parameters), names in lower case.

    Commas separate both challenges and their parameters. Anything else is left out, such as the token of a
    scheme without parameters.
    """
    challenges: list[tuple[str, dict[str, str]]] = []
    for member in split_list(value):
        parameter = _PARAMETER.fullmatch(member)
        if parameter is None and (begin := _SCHEME.fullmatch(member)):
            challenges.append((begin[1].lower(), {}))
            parameter = _PARAMETER.fullmatch(begin[2] or "")
        if parameter is not None and challenges:
            challenges[-1][1][parameter[1].lower()] = unquoted(parameter[2])
    return challenges
