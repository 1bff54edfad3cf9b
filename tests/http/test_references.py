"""Relative references, by the examples of RFC 3986, section 5.4, and where ``urljoin`` is wrong."""

import pytest

from skitai.http.references import resolve

BASE = "http://a/b/c/d;p?q"


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        # 5.4.1
        ("g:h", "g:h"), ("g", "http://a/b/c/g"), ("./g", "http://a/b/c/g"), ("g/", "http://a/b/c/g/"),
        ("/g", "http://a/g"), ("//g", "http://g"), ("?y", "http://a/b/c/d;p?y"), ("g?y", "http://a/b/c/g?y"),
        ("#s", "http://a/b/c/d;p?q#s"), ("g#s", "http://a/b/c/g#s"), ("g?y#s", "http://a/b/c/g?y#s"),
        (";x", "http://a/b/c/;x"), ("g;x", "http://a/b/c/g;x"), ("g;x?y#s", "http://a/b/c/g;x?y#s"),
        ("", "http://a/b/c/d;p?q"), (".", "http://a/b/c/"), ("./", "http://a/b/c/"), ("..", "http://a/b/"),
        ("../", "http://a/b/"), ("../g", "http://a/b/g"), ("../..", "http://a/"), ("../../", "http://a/"),
        ("../../g", "http://a/g"),
        # 5.4.2
        ("../../../g", "http://a/g"), ("../../../../g", "http://a/g"), ("/./g", "http://a/g"),
        ("/../g", "http://a/g"), ("g.", "http://a/b/c/g."), (".g", "http://a/b/c/.g"),
        ("g..", "http://a/b/c/g.."), ("..g", "http://a/b/c/..g"), ("./../g", "http://a/b/g"),
        ("./g/.", "http://a/b/c/g/"), ("g/./h", "http://a/b/c/g/h"), ("g/../h", "http://a/b/c/h"),
        ("g;x=1/./y", "http://a/b/c/g;x=1/y"), ("g;x=1/../y", "http://a/b/c/y"),
        ("g?y/./x", "http://a/b/c/g?y/./x"), ("g?y/../x", "http://a/b/c/g?y/../x"),
        ("g#s/./x", "http://a/b/c/g#s/./x"), ("g#s/../x", "http://a/b/c/g#s/../x"),
        ("http:g", "http://a/b/c/g"),  # "for backward compatibility"
    ],
)  # fmt: skip
def test_examples_of_the_rfc(reference, target):
    """The table of section 5.4."""
    assert resolve(BASE, reference) == target


@pytest.mark.parametrize(
    ("base", "reference", "target"),
    [
        ("http://h/web/http://x/a", "c", "http://h/web/http://x/c"),
        ("http://h/a//b//c", "../../d", "http://h/a//d"),
        ("http://h/a//b", "..", "http://h/a/"),
        ("http://h//a", "b", "http://h//b"),
        ("http://h", "b", "http://h/b"),
        ("http://h?q", "b", "http://h/b"),
        ("http://h?q", "", "http://h?q"),
        ("http://h/a", "/b//c/./d", "http://h/b//c/d"),
        ("http://h/a", "HTTPS://other/x/../y", "HTTPS://other/y"),
        ("http://h/a/b", "mailto:x@y", "mailto:x@y"),
    ],
)
def test_empty_segments_stay(base, reference, target):
    """An empty segment is one like any other (section 3.3), and ``..`` takes away one (section 5.2.4)."""
    assert resolve(base, reference) == target
