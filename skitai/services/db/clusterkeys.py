"""The keys that clusters of all databases may have."""

from __future__ import annotations

from collections.abc import Mapping

from skitai.config import Key, yes_no

CLUSTER_KEYS: Mapping[str, Key] = {"read_only": Key(yes_no, False, "take only statements that read")}
