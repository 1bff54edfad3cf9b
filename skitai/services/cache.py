"""The result cache in memory, which enters an instance through the same hook as anybody's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from skitai.calls.memorycache import MemoryCache
from skitai.plugins import hookimpl

if TYPE_CHECKING:
    from skitai.interfaces import IInstance, IResultCache


@hookimpl
def skitai_result_caches(instance: IInstance) -> Mapping[str, IResultCache]:
    """Give ``result_cache = memory``, with the config's ``num_result_cache_max`` entries."""
    maximum = instance.config.server.num_result_cache_max
    return {"memory": MemoryCache(maximum, instance.reactor.seconds)} if maximum else {}
