"""The views of PostgreSQL in asynchronous code: Starlette with asyncpg's pool."""

import asyncio
import contextlib

import asyncpg
from items import DATABASE, SELECT, SELECTS, any_id
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

SQL = SELECT.format("$1")


async def three_in_turn(request):
    async with request.app.state.pool.acquire() as connection:
        rows = [await connection.fetchrow(SQL, any_id()) for _ in range(SELECTS)]
    return PlainTextResponse(f"{sum(row['answer'] for row in rows)}\n")


async def three_at_once(request):
    pool = request.app.state.pool
    rows = await asyncio.gather(*(pool.fetchrow(SQL, any_id()) for _ in range(SELECTS)))
    return PlainTextResponse(f"{sum(row['answer'] for row in rows)}\n")


@contextlib.asynccontextmanager
async def lifespan(app):
    async with asyncpg.create_pool(DATABASE) as app.state.pool:
        yield


in_turn = Starlette(routes=[Route("/", three_in_turn)], lifespan=lifespan)
at_once = Starlette(routes=[Route("/", three_at_once)], lifespan=lifespan)
