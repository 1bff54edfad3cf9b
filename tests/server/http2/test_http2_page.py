"""docs/http2.md: its configuration is one that the server takes, with the defaults that it names."""

import re

import attrs

from serving import REPOSITORY
from skitai.config import load
from skitai.config.server import ServerConfig


def test_the_configuration_of_the_page(tmp_path):
    page = (REPOSITORY / "docs" / "http2.md").read_text()
    (block,) = re.findall(r"```ini\n(.*?)```", page, re.DOTALL)
    (tmp_path / "main.pem").touch()
    (tmp_path / "site.conf").write_text(block)
    server = load(tmp_path / "site.conf").server
    defaults = {field.name: field.default for field in attrs.fields(ServerConfig)}
    assert (server.http2, server.h2c, server.http2_streams) == (True, True, 100)
    assert (defaults["http2"], defaults["h2c"], defaults["http2_streams"]) == (True, False, 100)


def test_the_sample(tmp_path):
    """etc/http2.conf is taken, and its keys mean what it says."""
    text = (REPOSITORY / "etc" / "http2.conf").read_text()
    (tmp_path / "site.conf").write_text(text.partition("[routes:line]")[0])
    server = load(tmp_path / "site.conf").server
    assert (server.h2c, server.http2_streams, server.header_max) == (True, 100, 32 << 10)
    assert (server.body_max, server.keep_alive) == (100 << 20, 60)
