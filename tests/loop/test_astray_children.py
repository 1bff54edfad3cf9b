"""Children that apps fork within a request, with threads and with greenlets."""

import pytest

from serving import FIXTURE_APPS


@pytest.fixture(scope="module")
def server(running_server):
    """A server with one mount in greenlets and one in a single thread, which a child must not keep."""
    app = f"{FIXTURE_APPS}/children:app"
    return running_server({"/greenlets": f"{app} threads=0", "/threads": f"{app} threads=1"})


@pytest.mark.parametrize("where", ["greenlets", "threads"])
@pytest.mark.parametrize(("path", "expected"), [("returns", "70"), ("exits", "[0, 3, 1]"), ("fork", "7")])
def test_a_child_ends(server, where, path, expected):
    """One that returns from its request ends, and sys.exit gives its status: it is no second server."""
    for _ in range(2):
        assert server.ask(f"/{where}/{path}").body.decode() == expected
    log = server.log_text()
    assert "astray" not in log
    assert "failed" not in log
