"""What the tests of overload share."""

from contextlib import suppress

import pytest
from overloading import APP, CONFIG, close_all


@pytest.fixture(scope="session")
def serve_held(running_server, tmp_path_factory):
    """Return ``serve_held(threads, queue_timeout, options)``, which serves an app that can be held up."""
    folder = tmp_path_factory.mktemp("held")
    (folder / "held.py").write_text(APP)
    (folder / "files").mkdir()
    (folder / "files" / "page.txt").write_text("a file")

    def start(threads=1, queue_timeout="0.3", options=""):
        values = {"threads": threads, "queue_timeout": queue_timeout, "options": options}
        return running_server(CONFIG.format(folder=folder, **values))

    return start


@pytest.fixture
def overloaded(serve_held):
    """Return what ``serve_held`` does; its servers are stopped at the end of the test."""
    servers = []

    def start(*args, **options):
        servers.append(serve_held(*args, **options))
        return servers[-1]

    yield start
    close_all()
    for server in servers:
        with suppress(OSError):  # it may have been stopped; one with a thread that is held would wait for it
            server.ask("/other/release")
        server.stop()
