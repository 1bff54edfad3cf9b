"""``cooperative = yes``: processes that greenlets and real threads begin."""

import pytest

from serving import FIXTURE_APPS

pytest.importorskip("gevent")


@pytest.fixture(scope="module")
def server(running_server):
    """A server with one mount in greenlets and one in real threads."""
    app = f"{FIXTURE_APPS}/children:app"
    return running_server({"/greenlets": app, "/threads": f"{app} threads=4"}, cooperative="yes")


def test_any_child_is_waited_for(server):
    """``os.waitpid(-1, 0)`` returns when a child ends, and lets others go on meanwhile."""
    assert server.ask("/greenlets/any").body == b"True"


@pytest.mark.parametrize("where", ["greenlets", "threads"])
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("run", "3 said"),
        ("function", "3 said"),
        ("poll", "None 0 0"),
        ("late", "TimeoutExpired"),
        ("fork", "7"),
        ("system", "4"),
        ("returns", "70"),
        ("exits", "[0, 3, 1]"),
    ],
)
def test_a_process_is_waited_for(server, where, path, expected):
    """Each way to begin a process and to wait for it gives its status, wherever it is used."""
    for _ in range(2):
        assert server.ask(f"/{where}/{path}").body.decode() == expected
