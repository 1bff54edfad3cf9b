"""The forward proxy: requests of known clients for other hosts, and tunnels to them (``enable_proxy``)."""

from skitai.services.forward.plugin import (
    skitai_forward_proxy,
    skitai_metrics,
    skitai_shutdown,
    skitai_startup,
    skitai_status,
)

__all__ = ["skitai_forward_proxy", "skitai_metrics", "skitai_shutdown", "skitai_startup", "skitai_status"]
