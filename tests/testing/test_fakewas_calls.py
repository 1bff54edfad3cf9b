"""What a test of an app can rely on: the fakes gather, cache and know clusters as a server does."""

import pytest

from skitai import was
from skitai.errors import MisuseError
from skitai.testing import FakeWas


@pytest.fixture
def fake():
    with FakeWas(clusters={"c": 2}) as fake:
        yield fake


def test_gather(fake):
    """Several answers are gathered in the order of the calls, without waiting."""
    fake.reply("get", "http://x/1", b"1", delay=2)
    fake.reply("get", "http://x/2", b"2", delay=1)
    assert was.gather(was.get("http://x/1"), was.get("http://x/2")).data == [b"1", b"2"]
    assert fake.clock.seconds() == 2


def test_as_completed(fake):
    """Answers come in the order of their delays, time-outs last."""
    fake.stall("get", "http://x/0")
    fake.reply("get", "http://x/1", b"1", delay=2)
    fake.reply("get", "http://x/2", b"2", delay=1)
    calls = [was.get(f"http://x/{number}") for number in range(3)]
    results = [(result.status, result.data) for result in was.as_completed(calls, timeout=3)]
    assert results == [(3, b"2"), (3, b"1"), (1, b"")]


def test_cache(fake):
    """A cached answer is given again without using up another of the script, until it expires."""
    fake.reply("get", "http://x/1", b"1")
    was.get("http://x/1").cache(60)
    assert was.get("http://x/1").getwait().is_cached
    assert len(fake.requests) == 2
    fake.clock.advance(60)
    fake.reply("get", "http://x/1", b"2")
    assert was.get("http://x/1").getwait().data == b"2"


def test_each_fake_has_a_cache_of_its_own():
    """What one test had cached is unknown to the next."""
    for _ in range(2):
        with FakeWas() as fake:
            fake.reply("get", "http://x/1", b"1")
            assert not was.get("http://x/1").cache(60).is_cached


def test_cluster(fake):
    """An app sees how the members of a cluster are."""
    fake.fail("get", "@c/", OSError("down"))
    fake.reply("get", "@c/", b"up")
    assert was.get.lb("@c/").getwait().data == b"up"
    assert [member.state for member in was.cluster("@c").members] == ["resting", "up"]
    with pytest.raises(MisuseError, match=r"no cluster @d here: FakeWas\(clusters=\{'d': 1\}\)"):
        was.cluster("@d")


def test_detach(fake):
    """``detach`` is for the server, not for the service."""
    fake.stall("get", "http://x/")
    was.get("http://x/", detach=True)
    assert "detach" not in fake.requests[0].kwargs
    fake.clock.advance(60)
    assert len(fake.clock.getDelayedCalls()) == 0
