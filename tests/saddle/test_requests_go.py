"""What a request leaves behind when it is over."""

import gc
import io

from skitai.saddle import Saddle
from skitai.saddle.was import SaddleWas


def test_a_request_goes_at_once():
    """A cycle would keep it, and its body, until there is a garbage collection."""
    app = Saddle(__name__)

    @app.route("/<name>", methods=["POST"])
    def view(was, name):
        was.response.set_header("X-Name", name)
        return name

    def count():
        return sum(type(each) is SaddleWas for each in gc.get_objects())

    gc.collect()
    gc.disable()
    before = count()
    try:
        for path in ("/a", "/none/at/all"):
            body = io.BytesIO(b"x" * 1000)
            environ = {
                "REQUEST_METHOD": "POST",
                "PATH_INFO": path,
                "wsgi.input": body,
                "CONTENT_LENGTH": "1000",
            }
            b"".join(app(environ, lambda status, headers, exc_info=None: None))
        assert count() == before
    finally:
        gc.enable()
