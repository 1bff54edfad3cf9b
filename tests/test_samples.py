"""The samples in etc/ are taken as they stand there."""

import pytest

from serving import REPOSITORY
from skitai.config import load
from skitai.plugins.manager import create_plugin_manager
from skitai.worker.serving import Server

#: All but that of the daemon, and that which names the certificates of Let's Encrypt.
SAMPLES = sorted(
    path.name
    for path in (REPOSITORY / "etc").glob("*.conf")
    if "[routes:line]" in path.read_text("utf-8") and path.name != "https.conf"
)


@pytest.mark.parametrize("name", SAMPLES)
def test_sample(name, reactor_thread):
    """What a sample names is there: `twist skitai --config NAME` needs no further file."""
    manager = create_plugin_manager(())
    assert Server(load(REPOSITORY / "etc" / name, {}), manager, reactor_thread.reactor).warnings == ()
