"""The HTTP client behind ``was.get`` and ``was.post``."""

from skitai.net.addresses import HTTPNode
from skitai.services.http.pool import ConnectionPool, PoolLimits
from skitai.services.http.result import HTTPResult
from skitai.services.http.service import HTTPService

__all__ = ["ConnectionPool", "HTTPNode", "HTTPResult", "HTTPService", "PoolLimits"]
