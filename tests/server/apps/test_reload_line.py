"""What a developer reads in the log after a save."""

import pytest

from serving import eventually

APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"{text}"]
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with an app."""
    (tmp_path / "shop.py").write_text(APP.format(text="one"))
    return tmp_path


def test_a_save_has_one_line(running_server, folder, threads):
    """A change is one line, a mistake its traceback, and its end a line again, under both executors."""
    server = running_server({"/shop": f"{folder}/shop:app"}, threads=threads, reloader="yes")
    assert server.ask("/shop").body == b"one"
    assert "was loaded again" not in server.log_text()

    def lines():
        return [line for line in server.log_text().splitlines() if line.endswith("was loaded again")]

    (folder / "shop.py").write_text(APP.format(text="two and more"))
    assert server.ask("/shop").body == b"two and more"
    (line,) = eventually(lines, "the line of the reload")
    assert "[info] the app at /shop was loaded again" in line
    (folder / "shop.py").write_text("this is no Python")
    assert server.ask("/shop").code == 500
    (folder / "shop.py").write_text(APP.format(text="three"))
    assert server.ask("/shop").body == b"three"
    eventually(lambda: len(lines()) == 2, "the line of the mended app")
    server.stop()
