"""A Flask app with coroutines in all places where Flask takes them; ``url`` in the query is slow."""

import asyncio
import threading
from contextvars import ContextVar

from asgiref.sync import async_to_sync, sync_to_async
from flask import Flask, g, request

from skitai import was

app = Flask(__name__)
seen = ContextVar("seen", default="")


def ask(seconds=0.05):
    return was.get(f"{request.args['url']}?{seconds}")


@app.before_request
async def before():
    await asyncio.sleep(0)
    g.before = request.path
    seen.set(request.path)


@app.after_request
async def after(response):
    await asyncio.sleep(0)
    response.headers["Seen"] = f"{g.before} {seen.get()} {was.env['PATH_INFO']}"
    return response


@app.errorhandler(LookupError)
async def handle(error):
    result = await ask()
    return f"{error.args[0]} {result.code}", 418


@app.route("/await")
async def awaited():
    result = await ask()
    return str(result.code)


@app.route("/overlap")
async def overlap():
    """Twenty tasks of one loop wait at the same time, while another task goes on."""
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.02)
            ticks += 1

    async def one():
        assert was.env["PATH_INFO"] == "/overlap"
        return (await ask(0.5)).code

    ticking = asyncio.create_task(tick())
    codes = await asyncio.gather(*(one() for _ in range(20)))
    ticking.cancel()
    return f"{sum(codes)} {ticks > 0}"


@app.route("/mixed")
async def mixed():
    """Every way to wait, in one coroutine."""
    codes = [ask().getwait().code, (await ask()).code]
    codes += was.gather(ask(), ask()).code
    codes += (await was.gather(ask(), ask(), timeout=3)).code
    codes += [result.code for result in was.as_completed([ask(), ask()])]
    codes += [result.code async for result in was.as_completed([ask(0.1), ask()])]
    await was.sleep(0.01)
    codes += await asyncio.gather(asyncio.to_thread(was.get(f"{request.args['url']}?0").getwait), ask()) and [
        200
    ]
    return f"{set(codes)} {len(codes)} {asyncio.current_task() is not None}"


@app.route("/late")
async def late():
    """Time-outs are results; a task that is cancelled cancels its call."""
    call = ask(2)
    try:
        await asyncio.wait_for(call, 0.05)
    except TimeoutError:
        cancelled = call.code
    (result,) = await was.gather(ask(2), timeout=0.05)
    arrived = [result.status async for result in was.as_completed([ask(2)], timeout=0.05)]
    return f"{cancelled} {result.status} {result.code} {arrived}"


@app.route("/fail")
async def fail():
    await ask()
    raise ValueError("a coroutine fails on purpose")


@app.route("/lookup")
async def lookup():
    await ask()
    raise LookupError("handled")


@app.route("/sync")
async def sync():
    """Functions run in the thread of the request, where no loop runs, and may call coroutines in turn."""
    outer = threading.get_ident()

    def function():
        seen.set("function")
        codes = [ask().getwait().code, async_to_sync(inner)()]
        return codes, threading.get_ident()

    async def inner():
        assert seen.get() == "function"
        return (await ask()).code

    codes, ident = await sync_to_async(function)()
    elsewhere = await sync_to_async(threading.get_ident, thread_sensitive=False)()
    return f"{codes} {ident in (outer, g.ident)} {elsewhere != ident} {seen.get()}"


@app.before_request
def remember_thread():
    g.ident = threading.get_ident()


@app.route("/run")
def run():
    """A plain view that runs a loop of its own."""

    async def main():
        results = await asyncio.gather(awaited(), awaited())
        await asyncio.sleep(0.01)
        return results

    return f"{asyncio.run(main())}"


@app.route("/ping")
def ping():
    return "pong"
