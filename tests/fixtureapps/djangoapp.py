"""A small Django project in one file, written without a thought of Skitai: admin, sessions, forms."""

import hashlib

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="for tests only",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
    ],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    FORM_RENDERER="django.forms.renderers.DjangoTemplates",
    LOGGING_CONFIG=None,
    STATIC_URL="static/",
)
django.setup()

from django.contrib import admin  # noqa: E402 - Django wants its settings first
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import FileResponse, HttpResponse, StreamingHttpResponse  # noqa: E402
from django.middleware.csrf import get_token  # noqa: E402
from django.urls import path, reverse  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402


def index(request):
    return HttpResponse(f"django index {reverse('greet', args=['a b'])} {request.build_absolute_uri()}")


def greet(request, name):
    return HttpResponse(f"hello {name} from {request.META['SCRIPT_NAME']}")


def count(request):
    request.session["count"] = request.session.get("count", 0) + 1
    return HttpResponse(str(request.session["count"]))


def form(request):
    if request.method == "GET":
        return HttpResponse(get_token(request))
    return HttpResponse(f"{request.POST['name']}|{request.POST.getlist('many')}")


@csrf_exempt
def upload(request):
    file = request.FILES["file"]
    digest = hashlib.sha256(b"".join(file.chunks())).hexdigest()
    return HttpResponse(f"{file.name} {digest} {request.POST['note']}")


def stream(request):
    lines = (f"line {number}\n" for number in range(1000))
    return StreamingHttpResponse(lines, content_type="text/plain")


def own_file(request):
    return FileResponse(open(__file__, "rb"), content_type="application/octet-stream")


def fail(request):
    raise ValueError("django fails on purpose")


urlpatterns = [
    path("", index),
    path("greet/<name>", greet, name="greet"),
    path("folder/", lambda request: HttpResponse("folder")),
    path("count", count),
    path("form", form),
    path("upload", upload),
    path("stream", stream),
    path("file", own_file),
    path("fail", fail),
    path("admin/", admin.site.urls),
]

app = get_wsgi_application()
