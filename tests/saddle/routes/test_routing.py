import math
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.saddle.routes.router import MethodNotAllowed, NotFound, Router, Rule, SlashRedirect, quote_path


def router(*texts: str, prefix: str = "") -> Router:
    made = Router()
    for text in texts:
        made.add(Rule(text), text, prefix)
    return made


def found(made: Router, path: str, method: str = "GET") -> tuple[Any, dict[str, Any]]:
    match = made.match(path, method)
    return match.endpoint, match.arguments


# -- the README's rules ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path", "arguments"),
    [
        ("/", "/", {}),
        ("/hello", "/hello", {}),
        ("/hello/<int:num>", "/hello/100", {"num": 100}),
        ("/hello/<int:num>", "/hello/-7", {"num": -7}),
        ("/hello/<int:num>", "/hello/007", {"num": 7}),
        ("/at/<float:x>", "/at/3", {"x": 3.0}),
        ("/at/<float:x>", "/at/-0.25", {"x": -0.25}),
        ("/at/<float:x>", "/at/1e-9", {"x": 1e-9}),
        ("/hello/<name>", "/hello/Hans_Roh", {"name": "Hans Roh"}),
        ("/hello/<string:name>", "/hello/한국", {"name": "한국"}),
        (
            "/download/<int:major_ver>/<path>",
            "/download/1/version/1.1/win_32",
            {"major_ver": 1, "path": "version/1.1/win_32"},
        ),
        ("/files/<path:rest>", "/files/a/b/", {"rest": "a/b/"}),
        ("/<year>-<month>-<slug>.html", "/2026-11-a-b.html", {"year": "2026", "month": "11", "slug": "a-b"}),
        ("/<name>.<ext>", "/a.tar.gz", {"name": "a", "ext": "tar.gz"}),
        ("/<lang>/about/", "/en/about/", {"lang": "en"}),
    ],
)
def test_readme_rules(text: str, path: str, arguments: dict[str, Any]) -> None:
    """A rule takes the paths that the README says, with arguments of the right types."""
    assert found(router(text), path) == (text, arguments)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/hello/<name>", "/x/hello/A"),
        ("/hello/<name>", "/hello/A/more"),
        ("/hello/<name>", "/hello/"),
        ("/hello/<int:num>", "/hello/1.5"),
        ("/hello/<int:num>", "/hello/+1"),
        ("/hello/<int:num>", "/hello/\uff11"),
        ("/hello/<int:num>", "/hello/1_000"),
        ("/hello/<int:num>", f"/hello/{'9' * 5000}"),
        ("/at/<float:x>", "/at/nan"),
        ("/at/<float:x>", "/at/1e999"),
        ("/files/<path>", "/files/"),
        ("/files/<path>", "/files//etc/passwd"),
        ("/hello", "hello"),
        ("/hello", "/hello\n"),
        ("/hello", ""),
        ("/hello", "*"),
    ],
)
def test_other_paths_are_not_found(text: str, path: str) -> None:
    """A path that is longer, shorter or of another type than the rule is not found."""
    with pytest.raises(NotFound):
        router(text).match(path, "GET")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "//host/<name>",
        "/<name",
        "/name>",
        "/<>",
        "/<a b>",
        "/<int:>",
        "/<int>",
        "/<float>",
        "/<long:n>",
        "/<a><b>",
        "/<a>/<a>",
        "/<path>/edit",
        "/<path:p>.html",
        "/<path:p>/<name>",
    ],
)
def test_bad_rules_are_refused_by_name(text: str) -> None:
    """A text that makes no rule is a ValueError that shows it."""
    with pytest.raises(ValueError, match="rule") as failure:
        Rule(text)
    assert repr(text) in str(failure.value)


@pytest.mark.parametrize("methods", ["GET", [], [""], ["GET POST"], [1]])
def test_bad_methods_are_refused(methods: Any) -> None:
    """Methods that are no list of HTTP methods are a ValueError that names the rule."""
    with pytest.raises(ValueError, match="rule '/x'"):
        Rule("/x", methods)


# -- which rule comes first --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/hello/me", "/hello/me"),
        ("/hello/5", "/hello/<int:n>"),
        ("/hello/5.5", "/hello/<float:f>"),
        ("/hello/you", "/hello/<name>"),
        ("/hello/yours", "/hello/your<rest>"),
        ("/hello/you.html", "/hello/<name>.html"),
        ("/hello/a/b", "/hello/<path>"),
        ("/other", "/<name>"),
        ("/other/x", "/<path>"),
        ("/hello/a/z", "/hello/<x>/z"),
    ],
)
@pytest.mark.parametrize("backwards", [False, True])
def test_exact_first_then_the_longest_literal_text(path: str, endpoint: str, backwards: bool) -> None:
    """Exact rules win, then the longer literal beginning, then the narrower type, whatever the order was."""
    texts = [
        "/<path>",
        "/<name>",
        "/hello/<path>",
        "/hello/<name>",
        "/hello/<float:f>",
        "/hello/<int:n>",
        "/hello/<name>.html",
        "/hello/your<rest>",
        "/hello/<x>/z",
        "/hello/me",
    ]
    assert found(router(*(reversed(texts) if backwards else texts)), path)[0] == endpoint


def test_a_dead_end_does_not_hide_another_rule() -> None:
    """Where the more literal branch leads nowhere, the other one is tried."""
    made = router("/a/b/c", "/a/b/<x>/c", "/a/<y>/d", "/<path>")
    assert found(made, "/a/b/d") == ("/a/<y>/d", {"y": "b"})
    assert found(made, "/a/b/x/d") == ("/<path>", {"path": "a/b/x/d"})


def test_the_first_of_equal_rules_wins() -> None:
    """Of two rules for the same paths the one that was added first answers."""
    made = Router()
    made.add(Rule("/admin/<x>"), "app")
    made.add(Rule("/<name>"), "part", "/admin")
    assert found(made, "/admin/y") == ("app", {"x": "y"})


# -- methods -----------------------------------------------------------------------------------------------


def of_methods() -> Router:
    made = Router()
    made.add(Rule("/x"), "any")
    made.add(Rule("/x", ["post"]), "post")
    made.add(Rule("/y/<n>", ["GET"]), "get")
    made.add(Rule("/y/<n>", {"PUT", "PATCH"}), "put")
    made.add(Rule("/o", ["OPTIONS"]), "own options")
    return made


@pytest.mark.parametrize(
    ("method", "path", "endpoint"),
    [
        ("GET", "/x", "any"),
        ("BREW", "/x", "any"),
        ("POST", "/x", "post"),
        ("GET", "/y/1", "get"),
        ("HEAD", "/y/1", "get"),
        ("PATCH", "/y/1", "put"),
        ("OPTIONS", "/o", "own options"),
    ],
)
def test_the_same_path_with_other_methods(method: str, path: str, endpoint: str) -> None:
    """A path may have a function for each method; GET is HEAD's, too."""
    assert found(of_methods(), path, method)[0] == endpoint


def test_method_not_allowed_says_what_is() -> None:
    """Another method of a known path raises with the methods of all its rules, in a fixed order."""
    with pytest.raises(MethodNotAllowed) as failure:
        of_methods().match("/y/1", "DELETE")
    assert failure.value.allowed == ("GET", "HEAD", "PUT", "PATCH", "OPTIONS")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/x", ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")),
        ("/y/1", ("GET", "HEAD", "PUT", "PATCH", "OPTIONS")),
    ],
)
def test_options_of_what_exists(path: str, allowed: tuple[str, ...]) -> None:
    """OPTIONS without a function of its own is a match without endpoint, with the methods."""
    assert of_methods().match(path, "OPTIONS") == (None, None, {}, allowed)


def test_options_of_nothing_is_not_found() -> None:
    """OPTIONS does not make a path exist."""
    with pytest.raises(NotFound):
        of_methods().match("/z", "OPTIONS")


def test_another_rule_may_take_the_method() -> None:
    """An exact rule without the method does not hide a rule with parameters that has it."""
    made = Router()
    made.add(Rule("/hello", ["POST"]), "exact")
    made.add(Rule("/<name>"), "pattern")
    assert found(made, "/hello") == ("pattern", {"name": "hello"})


# -- slashes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path", "elsewhere"),
    [
        ("/x", "/x/", "/x"),
        ("/x/", "/x", "/x/"),
        ("/", "", "/"),
        ("/a/<name>", "/a/b c\r\n/", "/a/b%20c%0D%0A"),
        ("/é/", "/é", "/%C3%A9/"),
    ],
)
def test_slash_redirects(text: str, path: str, elsewhere: str) -> None:
    """A path that fits only with or only without the last slash is sent there, percent-encoded."""
    with pytest.raises(SlashRedirect) as failure:
        router(text).match(path, "GET")
    assert failure.value.path == elsewhere


def test_an_exact_rule_with_a_slash_comes_before_a_pattern() -> None:
    """A pattern leaves a path to an exact rule that fits but for the last slash, if that takes the method."""
    made = router("/<name>", "/admin/<name>", "/files/<path>")
    made.add(Rule("/admin/", ["POST"]), "form")
    made.add(Rule("/"), "index of sub", "/admin/sub")
    made.add(Rule("/files/a/"), "a")
    for path in ("/admin/sub", "/files/a"):
        with pytest.raises(SlashRedirect) as failure:
            made.match(path, "GET")
        assert failure.value.path == f"{path}/"
    with pytest.raises(SlashRedirect):
        made.match("/admin", "POST")
    assert found(made, "/admin") == ("/<name>", {"name": "admin"})
    assert found(made, "/admin/subs") == ("/admin/<name>", {"name": "subs"})


@pytest.mark.parametrize("path", ["/x///", "//x", "//evil.example", "//evil.example/", "/\udc80"])
def test_no_redirect_where_nothing_is(path: str) -> None:
    """Two slashes are not one, so nobody is sent to another host, and bytes that are no text go nowhere."""
    with pytest.raises(NotFound):
        router("/x", "/<name>/", "/<a>/<b>").match(path, "GET")


def test_no_redirect_for_a_method_that_is_not_taken_there() -> None:
    """A method that the other path does not take is refused at once."""
    made = Router()
    made.add(Rule("/x/", ["POST"]), "x")
    with pytest.raises(MethodNotAllowed) as failure:
        made.match("/x", "GET")
    assert failure.value.allowed == ("POST", "OPTIONS")


def test_both_may_exist() -> None:
    """A path with and one without the slash may be two functions."""
    made = router("/x", "/x/")
    assert found(made, "/x")[0] == "/x"
    assert found(made, "/x/")[0] == "/x/"


# -- where a part is mounted -------------------------------------------------------------------------------


def test_a_prefix_ends_at_a_segment() -> None:
    """A part answers below its mount point only, and gets the path's arguments from there."""
    made = router("/", "/<name>", "/sub/<path>", prefix="/admin")
    assert found(made, "/admin/") == ("/", {})
    assert found(made, "/admin/Hans_Roh") == ("/<name>", {"name": "Hans Roh"})
    assert found(made, "/admin/sub/a/b") == ("/sub/<path>", {"path": "a/b"})
    for path in ("/administrator", "/Hans_Roh", "/admi/x", "/"):
        with pytest.raises(NotFound):
            made.match(path, "GET")


def test_a_prefix_is_literal_text() -> None:
    """A mount point may hold brackets and dots and end with a slash, and must begin with one."""
    assert found(router("/<name>", prefix="/a.b<c>/"), "/a.b<c>/x") == ("/<name>", {"name": "x"})
    with pytest.raises(NotFound):
        router("/<name>", prefix="/a.b").match("/aXb/x", "GET")
    with pytest.raises(ValueError, match="'admin'"):
        router("/", prefix="admin")


# -- building ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values", "path"),
    [
        ("/hello/<name>", {"name": "Your Name"}, "/hello/Your_Name"),
        ("/hello/<name>", {"name": "한"}, "/hello/%ED%95%9C"),
        ("/hello/<name>", {"name": 5, "other": 1}, "/hello/5"),
        ("/hello/<name>", {"name": "50%?#;"}, "/hello/50%25%3F%23%3B"),
        ("/n/<int:n>", {"n": -3}, "/n/-3"),
        ("/n/<int:n>", {"n": "12"}, "/n/12"),
        ("/x/<float:x>", {"x": 2}, "/x/2.0"),
        ("/x/<float:x>", {"x": 1e30}, "/x/1e%2B30"),
        ("/d/<path>", {"path": "a b/c_d"}, "/d/a%20b/c_d"),
        ("/café", {}, "/caf%C3%A9"),
    ],
)
def test_build(text: str, values: dict[str, Any], path: str) -> None:
    """A path is built from values as the README shows, percent-encoded."""
    assert Rule(text).build(values) == path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("/<x>", ""),
        ("/<x>", None),
        ("/<x>", b"x"),
        ("/<x>", "a/b"),
        ("/<x>", "."),
        ("/<x>", ".."),
        ("/<x>", "\ud800"),
        ("/<x>-<int:y>", "a-b"),
        ("/<int:x>", True),
        ("/<int:x>", 1.5),
        ("/<int:x>", "1_0"),
        ("/<int:x>", "one"),
        ("/<float:x>", math.nan),
        ("/<float:x>", "1e999"),
        ("/<float:x>", "inf"),
        ("/<float:x>", True),
        ("/<path:x>", ""),
        ("/<path:x>", "/etc"),
        ("/<path:x>", "a/../b"),
    ],
)
def test_values_that_would_change_the_route_are_refused(text: str, value: Any) -> None:
    """A value that would not come back from the path is a ValueError that names rule and value."""
    with pytest.raises(ValueError, match="rule '/<"):
        Rule(text).build({"x": value, "y": 1})


def test_a_missing_value_is_a_key_error() -> None:
    """A parameter without a value is a KeyError with its name."""
    with pytest.raises(KeyError, match="name"):
        Rule("/hello/<name>").build({"nam": 1})


def test_names_in_order() -> None:
    """The names of a rule's parameters come in the order of its text."""
    assert Rule("/<b>/<int:a>/<path>").names == ("b", "a", "path")


def test_quote_path_keeps_slashes() -> None:
    """A mount point is percent-encoded without its slashes."""
    assert quote_path("/a b/ü") == "/a%20b/%C3%BC"


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/_"), min_size=1).filter(
    lambda text: text not in (".", "..")
)
SEGMENTS = st.lists(TEXTS, min_size=1).map("/".join)


@settings(deadline=None)
@given(st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS, SEGMENTS)
def test_what_is_built_matches_with_the_same_arguments(n: int, x: float, name: str, path: str) -> None:
    """Whatever the values, the path that is built of them leads back to the rule with these values."""
    values = {"n": n, "x": x, "name": name, "path": path}
    rule = Rule("/v<int:n>/<float:x>/<name>/<path>")
    made = Router()
    made.add(rule, "here", "/mount")
    built = rule.build(values)
    assert built.isascii()
    match = made.match("/mount" + unquote(built), "GET")
    assert (match.endpoint, match.arguments) == ("here", values)


@settings(deadline=None)
@given(st.text(), st.sampled_from(["GET", "OPTIONS", "POST"]))
def test_any_path_has_an_answer(path: str, method: str) -> None:
    """No path makes the router raise anything but what it says."""
    made = router("/", "/<int:n>", "/<x>-<y>", "/a/<path>", prefix="/p")
    try:
        match = made.match(path, method)
    except (NotFound, MethodNotAllowed, SlashRedirect):
        return
    assert path.startswith("/p/")
    assert match.endpoint is not None or match.allowed


def test_a_long_hostile_path_is_answered_in_one_pass() -> None:
    """Many separators do not multiply the ways to split a segment, so this comes to an end."""
    with pytest.raises(NotFound):
        router("/<a>-<b>-<c>-<d>.html").match("/" + "-x" * 20000, "GET")
