"""A small Django project with coroutines: views, middleware, streams, the ORM."""

import asyncio

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="for tests only",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[
        "django.middleware.common.CommonMiddleware",
        f"{__name__}.marking",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
        f"{__name__}.blocking",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    LOGGING_CONFIG=None,
)
django.setup()

from asgiref.sync import sync_to_async  # noqa: E402 - Django wants its settings first
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.http import HttpResponse, StreamingHttpResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django.utils.decorators import async_only_middleware, sync_only_middleware  # noqa: E402

from skitai import was  # noqa: E402


@async_only_middleware
def marking(get_response):
    async def middleware(request):
        await asyncio.sleep(0)
        response = await get_response(request)
        response["Marked"] = was.env["PATH_INFO"]
        return response

    return middleware


@sync_only_middleware
def blocking(get_response):
    def middleware(request):
        was.sleep(0.01)
        return get_response(request)

    return middleware


def ask(request):
    return was.get(f"{request.GET['url']}?0.05")


async def awaited(request):
    results = await was.gather(ask(request), ask(request))
    return HttpResponse(f"{results.code}")


async def stream(request):
    async def lines():
        for number in range(3):
            result = await ask(request)
            yield f"{number} {result.code}\n"

    return StreamingHttpResponse(lines(), content_type="text/plain")


async def database(request):
    @sync_to_async
    def query():
        with transaction.atomic(), connection.cursor() as cursor:
            return cursor.execute("SELECT 4 + 3").fetchone()[0]

    value = await query()
    result = await ask(request)
    return HttpResponse(f"{value} {result.code}")


async def fail(request):
    await ask(request)
    raise ValueError("a coroutine fails on purpose")


urlpatterns = [
    path("await", awaited),
    path("stream", stream),
    path("database", database),
    path("fail", fail),
]

app = get_wsgi_application()
