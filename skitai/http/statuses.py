"""What status codes say about a response (RFC 9110, section 15)."""

from __future__ import annotations

from typing import Final

#: The final statuses whose responses have no body (sections 15.3.5 and 15.4.5).
BODYLESS: Final = frozenset({204, 304})
