"""What the page of the reverse proxy says where it has no reply."""

from skitai.errors import CODE_BUSY
from skitai.net.failures import NoDescriptorError
from skitai.services.proxy.failures import page_detail, status_of


def test_no_descriptor():
    """It is not the members' fault, and the page says whose."""
    error = NoDescriptorError("no connection to 10.0.0.1:80: ...", code=CODE_BUSY)
    assert status_of(error) == 503
    assert page_detail("the proxy", "shop", error) == (
        "The proxy has no reply: this server can open no more connections (LimitNOFILE=, ulimit -n). "
        "The server's log says more."
    )
