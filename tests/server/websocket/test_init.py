"""What an app may set in ``environ["websocket_init"]``."""

import pytest

import skitai
from skitai.server.websocket.init import WebSocketInit, read_init


def test_the_tuple_of_the_readme():
    """The design, the keep-alive in seconds and the name of the variable."""
    assert read_init((skitai.WEBSOCKET_REQDATA, 60, "message")) == WebSocketInit(1, 60, "message")
    assert read_init([skitai.WEBSOCKET_DEDICATE, None, None]) == WebSocketInit(2)
    assert read_init((skitai.WEBSOCKET_MULTICAST, 0.5, None)) == WebSocketInit(3, 0.5)


def test_nothing():
    """An app that leaves it alone takes no websocket."""
    assert read_init(None) is None


def test_all_that_can_be_said():
    """What has no place in a tuple: subprotocols, and what runs in the place of the app."""
    init = WebSocketInit(skitai.WEBSOCKET_DEDICATE, 10, subprotocols=("v2.chat", "chat"), serve=print)
    assert read_init(init) is init


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (True, TypeError, "must be (skitai.WEBSOCKET_"),
        ("chat", TypeError, "must be (skitai.WEBSOCKET_"),
        ((1, 60), ValueError, "it has 2 items"),
        ((4, 60, None), ValueError, "4 is not a design; there are skitai.WEBSOCKET_REQDATA,"),
        ((True, 60, "m"), ValueError, "True is not a design"),
        (("DEDICATE", 60, None), ValueError, "'DEDICATE' is not a design"),
        ((2, "60", None), TypeError, "keep-alive must be a number of seconds or None, not '60'"),
        ((2, True, None), TypeError, "keep-alive must be a number"),
        ((2, -1, None), ValueError, "keep-alive cannot be -1 seconds"),
        ((2, float("nan"), None), ValueError, "keep-alive cannot be nan seconds"),
        ((2, float("inf"), None), ValueError, "keep-alive cannot be inf seconds"),
        ((1, 60, None), ValueError, "WEBSOCKET_REQDATA needs the name"),
        ((1, 60, ""), ValueError, "WEBSOCKET_REQDATA needs the name"),
        ((3, 60, 7), TypeError, "must be a str or None, not 7"),
        (WebSocketInit(2, subprotocols="chat"), TypeError, "subprotocols must be a tuple of names"),
        (WebSocketInit(2, subprotocols=("a b",)), ValueError, "'a b' cannot be the name of a subprotocol"),
        (WebSocketInit(2, subprotocols=(7,)), ValueError, "7 cannot be the name"),
        (WebSocketInit(2, serve="view"), TypeError, "serve must be a function"),
        (WebSocketInit(1, name="m", serve=print), ValueError, "not skitai.WEBSOCKET_REQDATA"),
    ],
)
def test_mistakes(value, kind, message):
    """Each is named, with what to write instead."""
    with pytest.raises(kind) as caught:
        read_init(value)
    assert message in str(caught.value)
