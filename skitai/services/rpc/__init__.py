"""Remote procedure calls over the HTTP client: ``was.rpc`` (XML-RPC) and ``was.jsonrpc`` (JSON-RPC 2.0)."""

from skitai.services.rpc.faults import JSONRPCError
from skitai.services.rpc.proxy import RPCMethod, RPCProxy
from skitai.services.rpc.result import RPCResult
from skitai.services.rpc.service import RPCService

__all__ = ["JSONRPCError", "RPCMethod", "RPCProxy", "RPCResult", "RPCService"]
