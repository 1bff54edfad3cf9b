"""Arguments: merging what a request brings, and fitting it to a view."""

import functools
import gc
import weakref

import pytest

from skitai.saddle import Saddle, Saddlery
from skitai.saddle.incoming.arguments import ArgumentError, bind, merge
from skitai.saddle.incoming.forms import Form


def test_sources_are_merged():
    """Path, query, form, files and body end up in one dictionary."""
    file = object()
    form = Form([("c", "3")], [("file", file)])
    assert merge({"a": 1}, "b=2&blank=", form, {"d": [4]}) == {
        "a": 1, "b": "2", "blank": "", "c": "3", "file": file, "d": [4],
    }  # fmt: skip


def test_nothing_is_an_empty_dictionary():
    """A request without arguments has none."""
    assert merge({}, "", None) == {}


def test_repeated_names_are_lists():
    """A name that comes again, in one source or in several, has all its values."""
    form = Form([("a", "3"), ("c", "1")], [("c", "file")])
    merged = merge({}, "a=1&b=0&a=2", form, {"a": [4]})
    assert merged == {"a": ["1", "2", "3", [4]], "b": "0", "c": ["1", "file"]}


def test_list_in_a_body_is_one_value():
    """A list of a JSON body stays whole when another value joins it, and is not changed itself."""
    body = {"a": [1]}
    assert merge({}, "a=0", None, body) == {"a": ["0", [1]]}
    assert body == {"a": [1]}


def test_path_parameters_cannot_be_overridden():
    """What other sources say under a path parameter's name, typed or not, is dropped."""
    form = Form([("id", "3")], [("id", "file")])
    assert merge({"id": 1}, "id=2&int:id=4", form, {"id": 5}) == {"id": 1}


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("int:z=3", 3),
        ("int:z=-03", -3),
        ("float:z=1.5", 1.5),
        ("float:z=1e3", 1000.0),
        ("list:z=a,b", ["a", "b"]),
        ("list:z=", []),
        ("list:z=a", ["a"]),
        ("list:z=a&list:z=b,c", ["a", "b", "c"]),
        ("list:z=a&z=b", ["a", "b"]),
        ("z=a&list:z=b", ["a", "b"]),
        ("bit:z=1", True),
        ("bit:z=Yes", True),
        ("bit:z=off", False),
        ("bit:z=", False),
        ("json:z=%7B%22a%22:[1,null]%7D", {"a": [1, None]}),
        ("int:z=3&z=4", [3, "4"]),
    ],
)
def test_typed_keys(query, value):
    """A type before the name casts the value, in the query and in forms."""
    assert merge({}, query, None) == {"z": value}


def test_typed_keys_in_forms():
    """Form fields may be typed as well."""
    assert merge({}, "", Form([("int:z", "3")], [])) == {"z": 3}


@pytest.mark.parametrize("key", ["other:z", "int:", ":z", "INT:z"])
def test_other_prefixes_are_part_of_the_name(key):
    """Only the documented types are types."""
    assert merge({}, f"{key}=3", None) == {key: "3"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("int:z", "x"), ("int:z", ""), ("int:z", "1_0"), ("int:z", "9" * 5000), ("int:z", "٣"),
        ("float:z", "x"), ("float:z", "nan"), ("float:z", "1e999"), ("float:z", "1_0"),
        ("bit:z", "maybe"),
        ("json:z", "{"), ("json:z", "NaN"), ("json:z", "[" * 100_000),
    ],
)  # fmt: skip
def test_bad_typed_values_name_the_argument(key, value):
    """A value that is not of its type is an error that names the argument, and is not long."""
    with pytest.raises(ArgumentError, match=f"^the argument '{key}' cannot be '") as caught:
        merge({}, "", Form([(key, value)], []))
    assert len(str(caught.value)) < 150


def test_query_is_utf8():
    """Raw UTF-8 of the environ is decoded; other bytes are U+FFFD, or an error if that is asked for."""
    assert merge({}, "a=é".encode().decode("latin-1"), None) == {"a": "é"}
    for query in ("a=%FF", "a=\xff"):
        assert merge({}, query, None) == {"a": "\ufffd"}
        with pytest.raises(ArgumentError, match="not UTF-8"):
            merge({}, query, None, strict=True)


def add(was, num1, num2=2):
    """Add."""


def everything(was, userid, **form):
    """Take a form."""


def upload(was, *form):
    """Be README's upload."""


def refusal(view, arguments):
    with pytest.raises(ArgumentError) as caught:
        bind(view, arguments, "/add")
    return str(caught.value)


def test_arguments_that_fit():
    """What the view takes is handed on, as a dictionary of its own."""
    arguments = {"num1": "1"}
    bound = bind(add, arguments, "/add")
    assert bound == arguments
    assert bound is not arguments
    assert bind(everything, {"userid": "a", "comment": "b"}, "/") == {"userid": "a", "comment": "b"}


def test_missing_and_unexpected_arguments():
    """The error names the view, the argument and the route."""
    assert refusal(add, {}) == "add() missing 1 required argument: 'num1' (route /add)"
    assert refusal(add, {"num1": 1, "t": 2}) == "add() got an unexpected keyword argument 't' (route /add)"
    assert (
        refusal(everything, {"comment": "b"})
        == "everything() missing 1 required argument: 'userid' (route /add)"
    )


def test_long_names_are_cut():
    """A client cannot make the log line long."""
    assert len(refusal(add, {"num1": 1, "x" * 10_000: 1})) < 200


@pytest.mark.parametrize(
    ("view", "arguments"), [(add, {"num1": 1, "was": 2}), (everything, {"userid": 1, "was": 2})]
)
def test_was_cannot_come_from_the_client(view, arguments):
    """An argument with the name of the view's first parameter is not expected."""
    assert "unexpected keyword argument 'was'" in refusal(view, arguments)


def test_star_form():
    """README's ``*form`` works without arguments; with some, the error tells what to write."""
    assert bind(upload, {}, "/upload") == {}
    assert refusal(upload, {"file": 1}) == (
        "upload() got an unexpected keyword argument 'file' (route /add; write **form to take all)"
    )


def test_keyword_only_and_coroutine_views():
    """Keyword-only parameters and coroutine functions are views like others."""

    async def view(was, /, *, a, was_=1):
        """Wait."""

    assert bind(view, {"a": 1}, "/") == {"a": 1}
    assert "missing 1 required argument: 'a'" in refusal(view, {})


def test_positional_only_argument_is_the_developers_mistake():
    """A parameter that takes no keyword can never be filled: a TypeError, not the client's 400."""

    def view(was, a, /):
        """Be wrong."""

    with pytest.raises(TypeError, match=r"view\(\) cannot be a view: 'a' takes no keyword"):
        bind(view, {"a": 1}, "/")


def test_decorated_view():
    """A decorator that passes keywords on may fill in a requirement; what neither takes is refused."""

    def with_user(view):
        @functools.wraps(view)
        def wrapper(*args, page=1, **keywords):
            return view(*args, user="me", **keywords)

        return wrapper

    @with_user
    def account(was, user, tab="a"):
        """Show."""

    assert bind(account, {"tab": "b", "page": 2}, "/") == {"tab": "b", "page": 2}
    assert "account() got an unexpected keyword argument 't'" in refusal(account, {"t": 1})
    assert "unexpected keyword argument 'was'" in refusal(account, {"was": 1})


def test_bound_methods_and_objects():
    """Methods and callable objects, also ones that cannot be hashed, are views."""

    class View:
        __hash__ = None

        def __call__(self, was, a):
            return a

        def method(self, was, a):
            return a

    for view in (View(), View().method):
        assert bind(view, {"a": 1}, "/") == {"a": 1}
        assert "'self'" in refusal(view, {"a": 1, "self": 1})


def test_views_are_not_kept_alive():
    """A view that a reload replaced can go, though its signature is remembered."""

    def view(was):
        """Go."""

    bind(view, {}, "/")
    kept = weakref.ref(view)
    del view
    gc.collect()
    assert kept() is None


def test_what_the_developer_reads(browse, caplog, capfd):
    """The log names the request, the view with its file and line, and its route as a browser sees it."""
    app, part = Saddle("the_app"), Saddlery("the_part")
    app.mount("/admin", part)

    @part.route("/show/<int:number>")
    def show(was, number):
        return number

    @app.route("/first")
    @functools.wraps(show)
    def wrapper(was, **form):
        return show(was, **form)

    browser = browse(app)
    page = browser.get("/admin/show/1?t=2")
    assert (page.code, "(route /admin/show/&lt;int:number&gt;)" in page.text) == (400, True)
    assert browser.get("/first?number=1&t=3").code == 400
    assert browser.get("/admin/show/1?int:t=x").code == 400
    logged = caplog.text + capfd.readouterr().err
    view = f"[{__file__}|show|{show.__code__.co_firstlineno}]"
    unexpected = "<class 'TypeError'> show() got an unexpected keyword argument 't' (route"
    assert f"[expt:GET /admin/show/1?t=2] {unexpected} /admin/show/<int:number>) {view}" in logged
    assert f"[expt:GET /first?number=1&t=3] {unexpected} /first) {view}" in logged
    cannot = "<class 'TypeError'> the argument 'int:t' cannot be 'x'"
    assert f"[expt:GET /admin/show/1?int:t=x] {cannot} {view}" in logged
