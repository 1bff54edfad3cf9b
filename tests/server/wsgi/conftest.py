"""What the tests of overload share."""

from contextlib import suppress

import pytest
from overloading import APP, CONFIG, close_all


@pytest.fixture
def overloaded(running_server, tmp_path):
    """Return ``overloaded(threads, queue_timeout, options)``, which serves an app that can be held up."""
    (tmp_path / "held.py").write_text(APP)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "page.txt").write_text("a file")
    servers = []

    def start(threads=1, queue_timeout="0.3", options=""):
        values = {"threads": threads, "queue_timeout": queue_timeout, "options": options}
        servers.append(running_server(CONFIG.format(folder=tmp_path, **values)))
        return servers[-1]

    yield start
    close_all()
    for server in servers:
        with suppress(OSError):  # it may have been stopped; one with a thread that is held would wait for it
            server.ask("/other/release")
        server.stop()
