"""XML-RPC servers of the standard library, each in a thread of its own."""

from __future__ import annotations

import threading
from xmlrpc.client import Fault
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

from wire import PATIENCE


class _AnyPath(SimpleXMLRPCRequestHandler):
    rpc_paths = ()


class XMLRPCServer:
    """Serves what the README's examples call; ``calls`` are the names of the methods that were called."""

    def __init__(self, name="one"):
        self.calls = []
        self.go_on = threading.Event()
        self._server = SimpleXMLRPCServer(
            ("127.0.0.1", 0), _AnyPath, logRequests=False, allow_none=True, use_builtin_types=True
        )
        self._server.register_introspection_functions()
        for method, function in {
            "package_releases": lambda package: [["1.0", package], ["1.1", package]],
            "get_prime_number_gt": _prime_after,
            "search": lambda keyword: [f"{name}:{keyword}"],
            "deep.er.repr": repr,
            "wait": lambda: "a method named wait",
            "fail": self._fail,
            "patient": lambda: self.go_on.wait(PATIENCE),
        }.items():
            self._server.register_function(self._noting(method, function), method)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/RPC2"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def _noting(self, method, function):
        def noting(*params):
            self.calls.append(method)
            return function(*params)

        return noting

    def _fail(self, code, text):
        raise Fault(code, text)

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _prime_after(number):
    return next(n for n in range(number + 1, 2 * number) if all(n % divisor for divisor in range(2, n)))
