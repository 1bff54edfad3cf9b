"""What is said of words that are none."""

import pytest

from skitai.formats.spelling import Keywords, nearest

KEYWORDS = Keywords({"verify": "it is in the config"}, frozenset({"follow", "data"}))


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("verify", "it is in the config"),
        ("folow", "did you mean follow?"),
        ("Data", "did you mean data?"),
        ("timeot", "did you mean timeout?"),
        ("xyz", "known are data, follow, timeout"),
    ],
)
def test_unexpected(word, hint):
    """What other libraries call so comes before what is alike, and that before a list of all."""
    message = KEYWORDS.unexpected("f()", word, ["timeout"])
    assert message == f"f() got an unexpected keyword argument {word!r}: {hint}"


def test_refuse():
    """The first word is refused; without one, nothing is."""
    KEYWORDS.refuse("f()", {})
    with pytest.raises(TypeError, match=r"argument 'a': known are data, follow$"):
        KEYWORDS.refuse("f()", {"a": 1, "verify": 2})


def test_refuse_meant():
    """Words that nobody can have meant are returned."""
    assert KEYWORDS.refuse_meant("f()", {"xyz": 1}) == ["xyz"]
    with pytest.raises(TypeError, match="'folow'"):
        KEYWORDS.refuse_meant("f()", {"xyz": 1, "folow": 1})


def test_nothing_known():
    """Where nothing can be written, that is said."""
    assert nearest("a", []) == "none is known here"
