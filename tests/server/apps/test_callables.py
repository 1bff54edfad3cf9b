"""Which object of a module is the app: names, calls, factories, and what is found without a name."""

import pytest
from app_files import body, import_system, load, rewrite, write  # noqa: F401

from skitai.server.apps.callables import normal_form
from skitai.server.apps.loader import AppLoadError, AppSource, LoadedApp

FACTORIES = """
    import functools

    def hello(word):
        return lambda environ, start_response: [str(word).encode()]

    def create_app(name="hello", /, *words, debug=False):
        return hello((name, *words, debug))

    def bare():
        return hello("bare")

    def with_config(config=None):
        return hello("config")

    def either(environ=None, start_response=None):
        return [b"an app after all"]

    def nothing():
        return None

    def fails():
        return 1 / 0

    def make_app(config):
        return hello(config)

    class Site:
        make = staticmethod(create_app)

        def __call__(self, environ, start_response):
            return [b"an object"]

    site = Site()
    number = 1
    once = functools.lru_cache(bare)
    shop = functools.partial(with_config, "shop")

    def request_view(request):
        return "of a framework, which calls it"

    @functools.wraps(request_view)
    def adapted(*args):
        return [b"adapted"]

    async def asgi(scope, receive, send):
        pass

    class Starlette:
        async def __call__(self, scope, receive, send):
            pass

    starlette = Starlette()
"""

IS_ASGI = (
    "is async, as apps of ASGI are, and Skitai serves WSGI: a2wsgi.ASGIMiddleware({}) of the package a2wsgi "
    "makes a WSGI app of it"
)


@pytest.fixture
def directory(tmp_path):
    return write(tmp_path, {"wsgi.py": FACTORIES})


@pytest.mark.parametrize(
    ("attribute", "answer"),
    [
        ("create_app()", b"('hello', False)"),
        ("create_app('x')", b"('x', False)"),
        ("create_app('x', [1, None], debug=True)", b"('x', [1, None], True)"),
        ("site.make({'a': -1})", b"({'a': -1}, False)"),
        ("create_app", b"('hello', False)"),
        ("bare", b"bare"),
        ("with_config", b"config"),
        ("either", b"an app after all"),
        ("site", b"an object"),
        ("Site", b"an object"),
        ("once", b"bare"),
        ("shop", b"config"),
        ("adapted", b"adapted"),
        ("", b"('hello', False)"),
    ],
)
def test_apps(directory, attribute, answer):
    """A call makes the app, and so does a function that can be none, or is called like a factory."""
    assert body(load(directory, "wsgi", attribute)) == answer


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        ("application = lambda environ, start: [b'1']\ncreate_app = None", b"1"),
        ("app = lambda environ, start: [b'2']\napplication = create_app = None", b"2"),
        ("app = 'a package'\ndef make_app(): return lambda environ, start: [b'3']", b"3"),
    ],
)
def test_without_a_name(tmp_path, source, answer):
    """It is what apps are called as a rule, or what makes them."""
    assert body(load(write(tmp_path, {"wsgi.py": source}), "wsgi", "")) == answer


@pytest.mark.parametrize(
    ("attribute", "problem"),
    [
        (
            "gone()",
            "the module has no 'gone'; name its WSGI callable after the colon: create_app or make_app",
        ),
        ("make_app", "make_app() needs arguments: write the call, such as make_app('shop')"),
        ("nothing", "'nothing()' is of type 'NoneType', which cannot be called"),
        ("nothing()", "'nothing()' is of type 'NoneType', which cannot be called"),
        ("number", "'number' is of type 'int', which cannot be called"),
        ("asgi", "'asgi' " + IS_ASGI.format("asgi")),
        ("starlette", "'starlette' " + IS_ASGI.format("starlette")),
        ("Starlette", "'Starlette()' " + IS_ASGI.format("Starlette()")),
        ("request_view", "'request_view' cannot be called with environ and start_response, as a WSGI app is"),
        ("number()", "TypeError: 'int' object is not callable"),
        ("create_app(wrong=1)", "TypeError: create_app() got an unexpected keyword argument 'wrong'"),
    ],
)
def test_not_an_app(directory, attribute, problem):
    """What makes none is refused with its name."""
    with pytest.raises(AppLoadError) as caught:
        load(directory, "wsgi", attribute)
    assert caught.value.reason == problem


def test_no_usual_name(tmp_path):
    """A module without any of them is told what they are."""
    with pytest.raises(
        AppLoadError, match=r"neither app nor application nor create_app\(\) nor make_app\(\)"
    ):
        load(write(tmp_path, {"wsgi.py": ""}), "wsgi", "")


def test_a_package_with_a_module_for_servers(tmp_path):
    """A project of Django has its app there."""
    write(tmp_path, {"mysite/__init__.py": "", "mysite/wsgi.py": ""})
    with pytest.raises(AppLoadError, match=r"did you mean mysite\.wsgi\?$"):
        load(tmp_path, "mysite", "")


def test_a_factory_that_fails(directory):
    """Its traceback begins in the app's own code, and it is run anew when its file was mended."""
    app = LoadedApp(AppSource(directory, "wsgi", "fails()"), reload=False)
    with pytest.raises(AppLoadError, match="ZeroDivisionError") as caught:
        app.get()
    trace = caught.value.__cause__.__traceback__
    assert trace.tb_frame.f_code.co_name == "fails"
    rewrite(directory / "wsgi.py", "def fails():\n    return lambda environ, start: [b'mended']\n")
    assert body(app.get()) == b"mended"


@pytest.mark.parametrize(
    "text", ["a(", "a(b)", "a(*[1])", "a(**{})", "a()()", "a[0]()", "a() + b()", "1()", "a(1, b=c)", "x()y"]
)
def test_not_a_call(text):
    """A call has a name and literals."""
    with pytest.raises(ValueError, match=r"is not a call with literals: write it as create_app\("):
        normal_form(text)
