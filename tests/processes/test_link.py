"""The line between two processes."""

import os

import pytest

from skitai.processes.link import Link, LinkClosedError


@pytest.fixture
def ends():
    ours, theirs = Link.pair()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_messages(ends):
    """Each arrives as a whole, in order, in both directions."""
    ours, theirs = ends
    ours.send({"kind": "a", "text": "x" * 100_000})
    ours.send({"kind": "b"})
    theirs.send({"kind": "c", "numbers": [1, 2]})
    assert theirs.receive() == ({"kind": "a", "text": "x" * 100_000}, [])
    assert theirs.receive() == ({"kind": "b"}, [])
    assert ours.receive() == ({"kind": "c", "numbers": [1, 2]}, [])


def test_descriptors(ends):
    """The other end gets duplicates, which its children do not inherit."""
    ours, theirs = ends
    read_end, write_end = os.pipe()
    ours.send({"kind": "a"}, [read_end])
    os.close(read_end)
    _, (received,) = theirs.receive()
    os.write(write_end, b"hello")
    assert os.read(received, 10) == b"hello"
    assert not os.get_inheritable(received)
    os.close(received)
    os.close(write_end)


def test_nothing_there(ends):
    """Who does not want to wait is told that there is nothing."""
    ours, _ = ends
    ours.set_blocking(False)
    with pytest.raises(BlockingIOError):
        ours.receive()


def test_the_end(ends):
    """What was said is heard before the end is; nothing can be said after it."""
    ours, theirs = ends
    ours.send({"kind": "last"})
    ours.close()
    assert theirs.receive() == ({"kind": "last"}, [])
    with pytest.raises(LinkClosedError):
        theirs.receive()
    with pytest.raises(LinkClosedError):
        theirs.send({"kind": "late"})


def test_too_long(ends):
    """What the system would refuse is refused here."""
    with pytest.raises(ValueError, match="a message of 200016 bytes: 150000 is the most"):
        ends[0].send({"kind": "x" * 200_004})


def test_nobody_reads(ends):
    """A process that hears nothing does not hold up the other one."""
    ours, _ = ends
    ours.set_blocking(False)

    def say_much():
        for _ in range(100_000):
            ours.send({"kind": "x" * 1000})

    with pytest.raises(BlockingIOError):
        say_much()


def test_another_process(ends):
    """The end can be handed to a child by its number."""
    ours, theirs = ends
    child = os.fork()
    if child == 0:
        try:
            there = Link.at(os.dup(theirs.fileno()))
            there.send({"pid": os.getpid()})
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert ours.receive()[0] == {"pid": child}
