"""The events of a room in Django, behind some of the middleware that its projects have."""

from django.conf import settings

settings.configure(
    SECRET_KEY="for tests only",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
    ],
)

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse, StreamingHttpResponse  # noqa: E402
from django.urls import path  # noqa: E402

from skitai import was  # noqa: E402


def events(request, room):
    pieces = was.rooms(room).events()
    return StreamingHttpResponse(pieces, headers=pieces.headers)


def send(request, room):
    return HttpResponse(was.rooms(room).send(request.body.decode()).getwait().data)


urlpatterns = [path("events/<room>", events), path("send/<room>", send)]
app = get_wsgi_application()
