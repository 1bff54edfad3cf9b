"""Workers of an app that has standard streams of its own."""

from processes import SkitaiServer
from serving import eventually

APP = """
import codecs
import sys

sys.stdout = codecs.getwriter("utf-8")(sys.stdout.detach())  # as people write for another encoding
sys.stderr.close()
sys.stderr = sys.stdout

def app(environ, start_response):
    print("asked for", environ["PATH_INFO"], flush=True)  # a stream of one's own may hold lines back
    environ["wsgi.errors"].write("to the errors\\n")
    environ["wsgi.errors"].flush()
    if environ["PATH_INFO"] == "/fails":
        raise LookupError("this")
    start_response("200 OK", [])
    return [b"served"]
"""


def test_logs_go_on(tmp_path):
    """The server's logs, and what its apps print, are there although an app has taken the streams away."""
    (tmp_path / "app.py").write_text(APP)
    server = SkitaiServer(tmp_path, "app:app", "--workers", "2", "--port", "0")
    try:
        assert server.ask("/").body == b"served"
        assert server.ask("/fails").code == 500
        for text in (
            "asked for /\n", "to the errors\n", "GET / HTTP/1.1 200", "[error] GET /fails failed",
            "LookupError: this", "GET /fails HTTP/1.1 500",
        ):  # fmt: skip
            eventually(lambda: text in server.log_text(), f"{text!r} in the log")  # noqa: B023 - called here
    finally:
        server.stop()
