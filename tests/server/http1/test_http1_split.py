"""However the bytes of a connection are cut into reads, the requests and answers are the same."""

from http1_corpus import CASES
from http_channel import MemoryServer, read_answers
from hypothesis import given, settings
from hypothesis import strategies as st

# A method that llhttp does not know is served if a read begins with its request, or one before it. In the
# rest of a request it is refused: where it begins is unknown, and so is what else is wrong with it. Clients
# that have such methods do not pipeline.
REQUESTS = [
    case
    for case in CASES
    if len(case.sent) < 2000 and not any(word in case.sent for word in (b"BREW ", b"get /", b"GETTER"))
]


@st.composite
def streams(draw):
    """Some requests that are served, then one that may be refused, as one stream with places to cut it."""
    kept = [case for case in REQUESTS if not case.closes]
    cases = [*draw(st.lists(st.sampled_from(kept), max_size=4)), draw(st.sampled_from(REQUESTS))]
    stream = b"".join(case.sent for case in cases)
    cuts = draw(st.lists(st.integers(0, len(stream)), max_size=20).map(sorted))
    return cases, [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


def exchange(pieces):
    """Return what the app saw, what the client got and how the connection stands after those reads."""
    seen = []

    def app(request):
        body = request.take_body()
        with body or memoryview(b""):
            seen.append((request.method, request.uri, request.headers, body.read() if body else b""))
        request.respond("200 OK", [], b"%d" % len(seen))

    server = MemoryServer(app)
    connection = server.connect()
    for piece in pieces:
        connection.send(piece)
    answers, rest = read_answers(connection.received)
    final = [(answer.code, answer.body) for answer in answers if answer.code != 100]
    return seen, final, rest, connection.closed


@settings(max_examples=300, deadline=None)
@given(streams())
def test_split(stream):
    """Any split gives the same requests and answers as one read does, and as each request does alone."""
    cases, pieces = stream
    seen, answers, rest, closed = exchange(pieces)
    assert (seen, answers, rest, closed) == exchange([b"".join(pieces)])
    assert [code for code, _ in answers] == [code for case in cases for code in case.codes if code != 100]
    assert len(seen) == sum(len(case.reached) for case in cases)
    assert rest == b""
    assert closed == cases[-1].closes


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=200), max_size=5))
def test_noise(pieces):
    """No bytes whatever get more than a refusal out of the server."""
    seen, answers, rest, _ = exchange(pieces)
    assert rest == b""
    assert len(answers) <= len(seen) + 1
