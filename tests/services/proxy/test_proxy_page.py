"""The examples of the pages are what Skitai takes, and the options are on the page."""

import re

import pytest

from instances import make_instance
from serving import REPOSITORY
from skitai.config.http import HTTP_KEYS, TIME_KEYS
from skitai.services.http import plugin as http_plugin
from skitai.services.proxy.plugin import OPTIONS

PAGE = (REPOSITORY / "docs" / "proxy.md").read_text("utf-8")
EXAMPLES = [
    *re.findall(r"```ini\n(.*?)```", PAGE, re.DOTALL),
    *re.findall(r"```ini\n(.*?)```", (REPOSITORY / "docs" / "cache.md").read_text("utf-8"), re.DOTALL),
]


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_examples(example, tmp_path, reactor_thread):
    """Each config loads without a warning."""
    (tmp_path / "static").mkdir()
    (tmp_path / "site.conf").write_text(example)
    assert make_instance(reactor_thread.reactor, tmp_path / "site.conf", http=http_plugin).warnings == ()


def test_names():
    """The table of options is that of the routes, and that of times shows the defaults."""
    assert re.findall(r"^\| `(\w+)` \|.*\| `\w+` \|$", PAGE, re.MULTILINE)[: len(OPTIONS)] == list(OPTIONS)
    for key in TIME_KEYS:
        default = HTTP_KEYS[key].default
        shown = "`silence_timeout`" if default is None else f"{default:g}"
        assert re.search(rf"^\| `{key}` \|.*\| {shown} \|$", PAGE, re.MULTILINE)
