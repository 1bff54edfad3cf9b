"""How ``was.rpc`` and ``was.jsonrpc`` enter an instance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from skitai.plugins import hookimpl
from skitai.services.http.plugin import logins_of, pool_of
from skitai.services.rpc.jsonrpc import JSONRPC
from skitai.services.rpc.service import RPCService
from skitai.services.rpc.xmlrpc import XMLRPC

if TYPE_CHECKING:
    from skitai.interfaces import IInstance
    from skitai.services.rpc.codec import Codec


@hookimpl
def skitai_services(instance: IInstance) -> Mapping[str, RPCService]:
    """Give ``was.rpc`` and ``was.jsonrpc``, which share connections and logins with ``was.get``."""
    pool, logins = pool_of(instance), logins_of(instance)
    codecs: tuple[Codec, ...] = (XMLRPC(), JSONRPC())
    return {codec.service: RPCService(codec, pool, logins) for codec in codecs}
