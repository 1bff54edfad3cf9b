"""What one query of a row by key costs: `python -m benchmarks.queries CLIENT URI COUNT`.

Prints the microseconds of processor time for each query, in one process that does nothing else, over one
connection and one after the other.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

WARM_UP = 500
SELECT = "SELECT id, name, answer FROM items WHERE id = {}"


def skitai(uri: str, count: int) -> float:
    """Measure what an app pays for ``was.db``, under ``threads = 0``."""
    from greenlet import greenlet
    from twisted.internet import reactor

    from skitai.calls.dispatch import Dispatcher
    from skitai.calls.uncollected import OpenCalls
    from skitai.context import ServiceTable, Was
    from skitai.loop.bridge import Bridge
    from skitai.services.cache import MemoryCache
    from skitai.services.db.service import DatabaseService

    engine = postgresql(reactor)
    service = DatabaseService()
    service.add(engine)
    bridge = Bridge(reactor)
    table = ServiceTable(Dispatcher(bridge, {}, cache=MemoryCache(10, reactor.seconds)), {"db": service}, {})
    sql = SELECT.format("%s")
    cost = 0.0

    def ask(total):
        for number in range(1, total + 1):
            was = Was(table, {}, OpenCalls())  # as each request has one
            assert was.db(uri).execute(sql, (number,)).getwait(10).first()

    def run():
        nonlocal cost
        ask(WARM_UP)
        began = time.process_time()
        ask(count)
        cost = (time.process_time() - began) / count
        engine.close()
        reactor.stop()

    reactor.callWhenRunning(bridge.start)
    reactor.callWhenRunning(greenlet(run).switch)
    reactor.run()
    return cost


def skitai_engine(uri: str, count: int) -> float:
    """Measure the part of that below ``was``: the pool and the driver."""
    from twisted.internet import reactor
    from twisted.internet.defer import inlineCallbacks

    from skitai.services.db.query import query

    engine = postgresql(reactor)
    node, sql = engine.node(uri, None, None, None), SELECT.format("%s")
    cost = 0.0

    @inlineCallbacks
    def ask(total):
        for number in range(1, total + 1):
            assert (yield engine.run(node, query(sql, (number,))).deferred()).first()

    @inlineCallbacks
    def run():
        nonlocal cost
        yield ask(WARM_UP)
        began = time.process_time()
        yield ask(count)
        cost = (time.process_time() - began) / count
        engine.close()
        reactor.stop()

    reactor.callWhenRunning(run)
    reactor.run()
    return cost


def postgresql(reactor):
    """Return the engine with the settings that a server has by default."""
    from skitai.net.connector import Connector
    from skitai.services.postgresql.engine import PostgreSQL
    from skitai.services.postgresql.settings import KEYS, limits, pool_limits

    values = {name: key.default for name, key in KEYS.items()}
    slow = values["slow_statement"]
    return PostgreSQL(reactor, Connector(reactor), Path(), pool_limits(values), limits(values), slow)


def psycopg(uri: str, count: int) -> float:
    import psycopg as library

    sql = SELECT.format("%s")
    with library.connect(uri, autocommit=True) as connection:

        def ask(total):
            for number in range(1, total + 1):
                assert connection.execute(sql, (number,)).fetchone()

        ask(WARM_UP)
        began = time.process_time()
        ask(count)
        return (time.process_time() - began) / count


def psycopg_asyncio(uri: str, count: int) -> float:
    import psycopg as library

    sql = SELECT.format("%s")

    async def run():
        async with await library.AsyncConnection.connect(uri, autocommit=True) as connection:

            async def ask(total):
                for number in range(1, total + 1):
                    cursor = await connection.execute(sql, (number,))
                    assert await cursor.fetchone()

            await ask(WARM_UP)
            began = time.process_time()
            await ask(count)
            return (time.process_time() - began) / count

    return asyncio.run(run())


def asyncpg(uri: str, count: int) -> float:
    import asyncpg as library

    sql = SELECT.format("$1")

    async def run():
        connection = await library.connect(uri)

        async def ask(total):
            for number in range(1, total + 1):
                assert await connection.fetchrow(sql, number)

        await ask(WARM_UP)
        began = time.process_time()
        await ask(count)
        cost = (time.process_time() - began) / count
        await connection.close()
        return cost

    return asyncio.run(run())


def asyncpg_uvloop(uri: str, count: int) -> float:
    import uvloop

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    return asyncpg(uri, count)


CLIENTS = {
    "skitai": skitai,
    "skitai-engine": skitai_engine,
    "psycopg": psycopg,
    "psycopg-asyncio": psycopg_asyncio,
    "asyncpg-asyncio": asyncpg,
    "asyncpg-uvloop": asyncpg_uvloop,
}

if __name__ == "__main__":
    print(CLIENTS[sys.argv[1]](sys.argv[2], int(sys.argv[3])) * 1e6)
