"""Saddle apps under every server that a test cares for."""

import pytest
from browser import GatewayBrowser, WSGIBrowser


@pytest.fixture(params=["foreign", "skitai-threads", "skitai-greenlets"])
def browse(request, reactor_thread):
    """Return ``browse(app, mount="")``: a browser for the app, under a strict WSGI server or Skitai."""
    browsers = []

    def open_browser(app, mount=""):
        if request.param == "foreign":
            return WSGIBrowser(app, mount)
        threads = 4 if request.param == "skitai-threads" else 0
        browsers.append(GatewayBrowser(reactor_thread, app, mount, threads))
        return browsers[-1]

    yield open_browser
    for browser in browsers:
        browser.close()
