"""was.mbox: messages for this page and for later ones."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from skitai.saddle.visitor.cookies import Cookies
from skitai.saddle.visitor.mbox import MessageBoxes
from skitai.saddle.visitor.seal import SecureBox

BOX = SecureBox("key")


class Visitor:
    """A browser and the app's message boxes; ``lines`` are what was logged."""

    def __init__(self):
        self.clock = Clock()
        self.clock.advance(1_800_000_000.5)
        self.lines = []
        self.boxes = MessageBoxes(BOX, seconds=self.clock.seconds, warn=self.lines.append)

    def next_request(self, messages):
        """The box of the request after one that ended with ``messages``."""
        return self.boxes.load(self.boxes.save(messages))


@pytest.fixture
def visitor():
    return Visitor()


def texts(messages, *categories):
    return [message.msg for message in messages.get(*categories)]


def test_messages_wait_for_the_next_page(visitor):
    """README's example: both are shown after the redirect, then the one of 60 seconds, then none."""
    mbox = visitor.boxes.load(None)
    mbox.send("This is Flash Message", "flash")
    mbox.send("Kept by 60 seconds", "alram", valid=60)
    mbox = visitor.next_request(mbox)
    assert texts(mbox) == ["This is Flash Message", "Kept by 60 seconds"]
    mbox = visitor.next_request(mbox)
    assert texts(mbox) == ["Kept by 60 seconds"]
    visitor.clock.advance(60)
    assert texts(mbox) == []
    assert visitor.boxes.save(mbox) == ""


def test_a_message_is_a_tuple_of_six(visitor):
    """A template unpacks id, category, created, valid, msg and extra."""
    mbox = visitor.boxes.load(None)
    mbox.send("Deleted", "warning", 60, count=10)
    assert mbox.get() == [(1, "warning", 1_800_000_000, 60, "Deleted", {"count": 10})]
    for message_id, category, created, valid, msg, extra in visitor.next_request(mbox).get():
        assert (message_id, category, created) == (1, "warning", 1_800_000_000)
        assert (valid, msg, extra) == (60, "Deleted", {"count": 10})


def test_a_message_shown_by_the_same_request_needs_no_cookie(visitor):
    """Sent and shown in one request, whatever its size: nothing is left to store."""
    mbox = visitor.boxes.load(None)
    mbox.send("x" * 100_000)
    assert len(texts(mbox)[0]) == 100_000
    assert visitor.boxes.save(mbox) is None
    assert visitor.lines == []


def test_only_what_is_asked_for_is_consumed(visitor):
    """Other categories stay for another page."""
    mbox = visitor.boxes.load(None)
    mbox.send("a", "notice")
    mbox.send("b", "news")
    mbox.send("c", "flash")
    assert texts(mbox, "notice", "news") == ["a", "b"]
    assert texts(mbox, "notice", "news") == []
    assert texts(visitor.next_request(mbox)) == ["c"]


def test_a_message_to_be_shown_once_waits_for_ever(visitor):
    """valid=0 does not expire before it is shown."""
    mbox = visitor.boxes.load(None)
    mbox.send("still here")
    cookie = visitor.boxes.save(mbox)
    visitor.clock.advance(50 * 365 * 86_400)
    assert texts(visitor.boxes.load(cookie)) == ["still here"]


def test_ids_count_up(visitor):
    """No id is given twice while a message may still have it, nor twice in a request."""
    mbox = visitor.boxes.load(None)
    assert [mbox.send("a"), mbox.send("b", valid=60)] == [1, 2]
    mbox.get()
    assert mbox.send("c") == 3
    mbox.remove(3)
    assert visitor.next_request(mbox).send("d") == 3


def test_a_message_can_be_removed(visitor):
    """remove() forgets one by its id; an unknown id does nothing."""
    mbox = visitor.boxes.load(None)
    first = mbox.send("a", valid=60)
    mbox.send("b", valid=60)
    mbox.remove(first)
    mbox.remove(99)
    assert texts(visitor.next_request(mbox)) == ["b"]


def test_nothing_changed_sets_nothing(visitor):
    """A request that shows long-lived messages, or none, leaves the cookie alone."""
    mbox = visitor.boxes.load(None)
    assert visitor.boxes.save(mbox) is None
    mbox.send("a", valid=60)
    mbox = visitor.next_request(mbox)
    mbox.get()
    assert visitor.boxes.save(mbox) is None


def test_the_newest_messages_are_kept(visitor):
    """More than a cookie holds: the oldest are lost, and one line says how many."""
    mbox = visitor.boxes.load(None)
    for number in range(100):
        mbox.send(f"{number} {'x' * 90}")
    kept = texts(visitor.next_request(mbox))
    assert 10 < len(kept) < 100
    assert [int(text.split()[0]) for text in kept] == list(range(100 - len(kept), 100))
    assert visitor.lines == [f"{100 - len(kept)} messages are lost: a cookie cannot hold more"]


def test_one_message_too_large_does_not_push_out_the_others(visitor):
    """A message that alone is too large for a cookie is lost alone."""
    mbox = visitor.boxes.load(None)
    mbox.send("small")
    mbox.send("x" * 5000)
    assert texts(visitor.next_request(mbox)) == ["small"]
    assert visitor.lines == ["1 messages are lost: a cookie cannot hold more"]


@settings(deadline=None)
@given(st.lists(st.text(max_size=900), max_size=12))
def test_what_is_kept_always_fits(messages):
    """Whatever is sent, the cookie can be stored and read again."""
    visitor = Visitor()
    mbox = visitor.boxes.load(None)
    for text in messages:
        mbox.send(text)
    cookies = Cookies("", hidden=("NOTIS",))
    visitor.boxes.store(mbox, cookies)
    kept = texts(visitor.boxes.load(cookies.read_hidden("NOTIS")))
    assert len(kept) == len(messages) or len(visitor.lines) == 1
    assert not kept or kept == [text for text in messages if text in kept]


@settings(deadline=None)
@given(st.text(min_size=1))
def test_a_bad_cookie_is_an_empty_box_and_one_line(text):
    """A cookie the server has not sealed holds no messages; it is logged, and kept till there are some."""
    visitor = Visitor()
    mbox = visitor.boxes.load(text)
    assert mbox.get() == []
    assert visitor.boxes.save(mbox) is None
    assert len(visitor.lines) == 1
    mbox.send("mine")
    assert texts(visitor.next_request(mbox)) == ["mine"]


def test_a_session_is_no_message_box(visitor):
    """What was sealed for another purpose is refused."""
    sealed = BOX.seal("the session SESSION", [[1, "a", 0, 0, "m", {}]], expires=None, now=0)
    assert visitor.boxes.load(sealed).get() == []


@pytest.mark.parametrize("valid", [-1, float("nan"), "60", None, True], ids=repr)
def test_a_bad_valid_is_refused(visitor, valid):
    """Seconds that are none are a ValueError showing them, and nothing is sent."""
    mbox = visitor.boxes.load(None)
    with pytest.raises(ValueError, match="give the seconds that the message is shown"):
        mbox.send("a", valid=valid)
    assert mbox.get() == []


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ({"msg": object()}, "the message is a object"),
        ({"msg": "a", "when": {1, 2}}, "what goes with the message is a dict"),
        ({"msg": "a", "category": 5}, "a message's category must be text, not int"),
        ({"msg": "a", "valid": float("inf")}, "valid is a float"),
    ],
    ids=["message", "more", "category", "valid"],
)
def test_what_is_no_json_is_refused(visitor, message, named):
    """A message that no cookie could carry is a TypeError when it is sent."""
    mbox = visitor.boxes.load(None)
    with pytest.raises(TypeError, match=named):
        mbox.send(**message)
    assert mbox.get() == []


def test_the_cookie_is_kept_by_the_browser(visitor):
    """Messages outlive the browser, and scripts cannot read them."""
    mbox = visitor.boxes.load(None)
    mbox.send("a")
    cookies = Cookies("", hidden=("NOTIS",))
    visitor.boxes.store(mbox, cookies)
    ((_, field),) = cookies.headers()
    assert field.startswith("NOTIS=")
    assert field.endswith("max-age=3153600000; HttpOnly; SameSite=Lax")
