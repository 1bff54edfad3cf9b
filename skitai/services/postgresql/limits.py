"""What one connection may use."""

from __future__ import annotations

import attrs


@attrs.frozen
class Limits:
    """The most rows and bytes of one result, and whether statements are prepared."""

    rows_max: int
    bytes_max: int
    prepare: bool = True
