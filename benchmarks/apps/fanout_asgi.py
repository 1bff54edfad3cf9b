"""The fan-out view in asynchronous code: Starlette and aiohttp."""

import asyncio
import contextlib
import os

import aiohttp
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

URL = f"http://127.0.0.1:{os.environ['UPSTREAM']}/50"
CALLS = 3


async def ask(http):
    async with http.get(URL) as response:
        response.raise_for_status()
        return (await response.json())["answer"]


async def view(request):
    http = request.app.state.http
    answers = await asyncio.gather(*(ask(http) for _ in range(CALLS)))
    return PlainTextResponse(f"{sum(answers)}\n")


@contextlib.asynccontextmanager
async def lifespan(app):
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as app.state.http:
        yield


app = Starlette(routes=[Route("/", view)], lifespan=lifespan)
