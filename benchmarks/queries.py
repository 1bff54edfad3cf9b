"""What one query of a row by key costs: `python -m benchmarks.queries CLIENT URI COUNT`.

Prints the microseconds of processor time for each query, in one process that does nothing else, over one
connection and one after the other.
"""

from __future__ import annotations

import asyncio
import sys
import time

WARM_UP = 500
SELECT = "SELECT id, name, answer FROM items WHERE id = {}"


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
    "psycopg": psycopg,
    "psycopg-asyncio": psycopg_asyncio,
    "asyncpg-asyncio": asyncpg,
    "asyncpg-uvloop": asyncpg_uvloop,
}

if __name__ == "__main__":
    print(CLIENTS[sys.argv[1]](sys.argv[2], int(sys.argv[3])) * 1e6)
