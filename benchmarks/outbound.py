"""What one outgoing keep-alive request costs: `python -m benchmarks.outbound skitai|aiohttp PORT COUNT`.

Prints the microseconds of processor time for each request, in one process that does nothing else.
"""

from __future__ import annotations

import asyncio
import sys
import time

CONCURRENCY = 32
WARM_UP = 500


def skitai(url: str, count: int) -> float:
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks

    from skitai.services.http import ConnectionPool, HTTPService

    pool = ConnectionPool(reactor)
    service = HTTPService("GET", pool)
    cost = 0.0

    @inlineCallbacks
    def worker(share):
        for _ in range(share):
            operation = service.operation(url)
            result = yield service.perform(service.node(url), operation)
            assert result.code == 200, result

    def batch(total: int) -> Deferred:
        return gatherResults([worker(total // CONCURRENCY) for _ in range(CONCURRENCY)])

    @inlineCallbacks
    def run():
        nonlocal cost
        yield batch(WARM_UP)
        began = time.process_time()
        yield batch(count)
        cost = (time.process_time() - began) / (count // CONCURRENCY * CONCURRENCY)
        yield pool.close()
        reactor.stop()

    reactor.callWhenRunning(run)
    reactor.run()
    return cost


def aiohttp(url: str, count: int) -> float:
    import aiohttp as library

    async def worker(http, share):
        for _ in range(share):
            async with http.get(url) as response:
                assert response.status == 200
                await response.read()

    async def batch(http, total):
        await asyncio.gather(*(worker(http, total // CONCURRENCY) for _ in range(CONCURRENCY)))

    async def run():
        async with library.ClientSession(connector=library.TCPConnector(limit=0)) as http:
            await batch(http, WARM_UP)
            began = time.process_time()
            await batch(http, count)
            return (time.process_time() - began) / (count // CONCURRENCY * CONCURRENCY)

    return asyncio.run(run())


if __name__ == "__main__":
    client = {"skitai": skitai, "aiohttp": aiohttp}[sys.argv[1]]
    print(client(f"http://127.0.0.1:{int(sys.argv[2])}/0", int(sys.argv[3])) * 1e6)
