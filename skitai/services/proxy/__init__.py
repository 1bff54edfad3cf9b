"""The reverse proxy: what answers at mounts of clusters, such as ``/shop = @shop``."""

from skitai.services.proxy.plugin import (
    skitai_closing,
    skitai_config_sections,
    skitai_keys,
    skitai_metrics,
    skitai_mount,
    skitai_startup,
    skitai_status,
)

__all__ = [
    "skitai_closing",
    "skitai_config_sections",
    "skitai_keys",
    "skitai_metrics",
    "skitai_mount",
    "skitai_startup",
    "skitai_status",
]
