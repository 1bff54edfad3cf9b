"""The hooks of ``was.rpc`` and ``was.jsonrpc``, which work without the plugin of ``was.get``, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from skitai.plugins import hookimpl
from skitai.services.http.connections import connections_of
from skitai.services.rpc.jsonrpc import JSONRPC
from skitai.services.rpc.service import RPCService
from skitai.services.rpc.xmlrpc import XMLRPC

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from skitai.interfaces import IInstance
    from skitai.services.http.service import HTTPService
    from skitai.services.rpc.codec import Codec


@hookimpl
def skitai_services(instance: IInstance) -> Mapping[str, RPCService]:
    """Give ``was.rpc`` and ``was.jsonrpc``, which share connections and logins with ``was.get``."""
    shared = connections_of(instance)
    codecs: tuple[Codec, ...] = (XMLRPC(), JSONRPC())
    return {codec.service: RPCService(codec, shared.pool, shared.logins) for codec in codecs}


@hookimpl
def skitai_cluster_types(instance: IInstance) -> Mapping[str, HTTPService]:
    """Let ``type = http`` clusters be read; the plugin of ``was.get`` may not be loaded."""
    return {"http": connections_of(instance).members}


@hookimpl
def skitai_shutdown(instance: IInstance) -> Deferred[None]:
    """Fail the requests under way and close every connection; a second close does no harm."""
    return connections_of(instance).pool.close()
