"""A Django project in one file, on PostgreSQL and SQLite, whose transactions wait for other machines."""

import os

import django
from django.conf import settings

POSTGRES = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": os.environ["TEST_PG_DATABASE"],
    "USER": os.environ["TEST_PG_USER"],
    "HOST": "127.0.0.1",
    "PORT": os.environ["TEST_PG_PORT"],
}

settings.configure(
    SECRET_KEY="for tests only",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    DATABASES={
        "default": POSTGRES,
        "pooled": {**POSTGRES, "OPTIONS": {"pool": {"min_size": 1, "max_size": 20, "timeout": 60}}},
        "file": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["TEST_SQLITE"]},
    },
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402 - Django must be set up first
from django.db import connections, models, transaction  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402

from skitai import was  # noqa: E402

UPSTREAM = os.environ["TEST_UPSTREAM"]


class Order(models.Model):
    """One row of each request that is to be kept."""

    number = models.IntegerField()

    class Meta:
        app_label = "shop"


class Cancelled(Exception):
    """Ends a transaction without its changes."""


def setup(request):
    """Create the tables."""
    for name in ("default", "file"):
        with connections[name].schema_editor() as editor:
            editor.create_model(Order)
    return HttpResponse("made")


def upstream(request, number):
    """Ask another machine, which answers after the seconds of the request."""
    return was.get(f"{UPSTREAM}?sent={number}&seconds={request.GET['seconds']}")


def order(request, database, number):
    """Write a row, wait for another machine, and keep the row of an even number only."""
    try:
        with transaction.atomic(using=database):
            Order.objects.using(database).create(number=number)
            reply = upstream(request, number).getwait(60)
            assert reply.text == str(number), reply.text
            mine = Order.objects.using(database).filter(number=number).count()
            if number % 2:
                raise Cancelled
    except Cancelled:
        return HttpResponse(f"cancelled {mine}")
    return HttpResponse(f"kept {mine}")


async def order_in_coroutine(request, database, number):
    """Write a row, wait for another machine, and keep the row of an even number only."""
    made = await Order.objects.using(database).acreate(number=number)
    reply = await upstream(request, number)
    assert reply.text == str(number), reply.text
    if number % 2:
        await made.adelete()
    return HttpResponse(str(number))


def numbers(request, database):
    """Return the numbers of all rows."""
    found = Order.objects.using(database).order_by("number").values_list("number", flat=True)
    return HttpResponse(" ".join(map(str, found)))


def sleep(request):
    """Sleep in the database."""
    with connections["default"].cursor() as cursor:
        cursor.execute("select pg_sleep(%s)", [request.GET["seconds"]])
    return HttpResponse("slept")


urlpatterns = [
    path("setup", setup),
    path("order/<database>/<int:number>", order),
    path("order_in_coroutine/<database>/<int:number>", order_in_coroutine),
    path("numbers/<database>", numbers),
    path("sleep", sleep),
]

app = get_wsgi_application()
