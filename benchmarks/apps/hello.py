"""The WSGI app that every WSGI server here serves."""

BODY = b"Hello, world!\n"
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]


def app(_environ, start_response):
    start_response("200 OK", list(HEADERS))
    return [BODY]
