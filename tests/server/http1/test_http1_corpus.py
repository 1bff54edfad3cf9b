"""Each of the malformed and odd requests of the corpus comes out as it must, however it arrives."""

import pytest
from http1_corpus import CASES


def seen(request):
    body = request.take_body()
    content = b""
    if body is not None:
        with body:
            content = body.read()
    request.seen = b" ".join(filter(None, [request.method, request.uri, content])).decode("latin-1")
    request.respond("200 OK", [], b"")


@pytest.mark.parametrize("in_pieces", [False, True], ids=["at once", "in pieces"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_corpus(memory_server, log, case, in_pieces):
    """A request is answered or refused as the corpus says, and nothing hidden in it reaches the app."""
    server = memory_server(seen)
    client = server.connect()
    client.send(case.sent, piece=1 + len(case.sent) // 10_000 if in_pieces else None)
    # Whether a client has to be told to send its body depends on what has come of it.
    assert tuple(code for code in client.codes if code != 100) == case.codes
    assert tuple(request.seen for request in server.requests) == case.reached
    assert client.closed == case.closes
    assert not [event for event in log if "log_failure" in event]


def test_size():
    """The corpus has at least sixty requests, each of its own."""
    assert len({case.sent for case in CASES}) == len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)
