"""Saddle apps under every server that a test cares for."""

import errno
import io
import os

import pytest
from browser import GatewayBrowser, WSGIBrowser


@pytest.fixture
def small_disk(monkeypatch):
    """Return ``small_disk(room, number=ENOSPC)``: all uploads together may have ``room`` bytes."""
    left = 0
    refusal = errno.ENOSPC

    class Disk(io.FileIO):
        def write(self, data):
            nonlocal left
            if len(data) > left:
                raise OSError(refusal, os.strerror(refusal))
            left -= len(data)
            return super().write(data)

    def make(room, number=errno.ENOSPC):
        nonlocal left, refusal
        left, refusal = room, number

    monkeypatch.setattr(
        "skitai.saddle.incoming.uploads.os.fdopen",
        lambda handle, mode: io.BufferedWriter(Disk(handle, mode), 8192),
    )
    return make


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
