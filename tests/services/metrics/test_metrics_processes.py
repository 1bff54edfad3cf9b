"""The metrics of a server with several processes: sums of all, which survive the death of a worker."""

import os
import signal

from scraping import scrape

from serving import config_text, eventually

APP = """
import os

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""
REQUESTS = "http_server_request_duration_seconds_count"


def test_a_worker_dies(running_server, tmp_path):
    """Whoever answers has the sums of all, and no counter goes back when a worker is killed."""
    (tmp_path / "telling.py").write_text(APP)
    config = config_text({"/": f"{tmp_path}/telling:app"}, processes=2, threads=0) + "[metrics]\n"
    server = running_server(config)
    eventually(lambda: scrape(server)("skitai_workers", state="ready") == 2, "both workers")
    pids = set()
    for _ in range(200):
        pids.add(int(server.ask("/").body))
    assert len(pids) == 2

    def counted():
        return scrape(server)(REQUESTS, http_route="/")

    assert eventually(lambda: counted() == 200, "the reports of both")
    before = scrape(server).counters()
    os.kill(pids.pop(), signal.SIGKILL)
    seen = []

    def is_replaced():
        scraped = scrape(server)
        seen.append(scraped.counters())
        return scraped("skitai_workers", state="ready") == 2 and int(server.ask("/").body) not in pids

    eventually(is_replaced, "a new worker")
    for earlier, later in zip([before, *seen], seen, strict=False):
        assert all(later.get(series, 0) >= value for series, value in earlier.items())
    server.stop()
