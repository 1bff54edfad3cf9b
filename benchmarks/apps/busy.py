"""An app that answers 80 requests a second: one that takes 50 ms in each of four threads, or 12.5 in one."""

import time

SECONDS = {True: 0.05, False: 0.0125}
BODY = b"done\n"


def app(environ, start_response):
    """Hold the thread for a while."""
    time.sleep(SECONDS[environ["wsgi.multithread"]])
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))])
    return [BODY]
