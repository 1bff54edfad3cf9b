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

    def lines():
        return [line for line in server.log_text().splitlines() if "shop.py changed: a new process" in line]

    def becomes(code, body):
        eventually(lambda: (answer := server.ask("/shop")).code == code and body in answer.body)

    assert lines() == []
    (folder / "shop.py").write_text(APP.format(text="two and more"))
    becomes(200, b"two and more")
    (line,) = eventually(lines, "the line of the reload")
    assert "[info] " in line
    (folder / "shop.py").write_text("this is no Python")
    becomes(503, b"SyntaxError")
    assert "SyntaxError: invalid syntax" in server.log_text()
    (folder / "shop.py").write_text(APP.format(text="three"))
    becomes(200, b"three")
    eventually(lambda: len(lines()) == 3, "the line of the mended app")
    server.stop()


def test_in_place(running_server, folder, threads):
    """An app that reloads by its own word is loaded again in place, and a line says so."""
    source = """
class App:
    use_reloader = True
    def __call__(self, environ, start_response):
        start_response("200 OK", [])
        return [b"{text}"]
app = App()
"""
    (folder / "shop.py").write_text(source.format(text="one"))
    server = running_server({"/shop": f"{folder}/shop:app"}, threads=threads)
    assert server.ask("/shop").body == b"one"
    assert "was loaded again" not in server.log_text()
    (folder / "shop.py").write_text(source.format(text="two and more"))
    assert server.ask("/shop").body == b"two and more"
    eventually(lambda: "[info] the app at /shop was loaded again" in server.log_text())
    server.stop()
