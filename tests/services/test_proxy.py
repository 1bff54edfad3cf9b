"""Routes to clusters: known, and not served yet."""

import pytest

from instances import Hooks, RunningInstance, make_instance
from skitai.calls.service import Service
from skitai.errors import ConfigError


class Upstream(Service):
    cluster_types = frozenset({"http"})
    default_port = 80


def make(loop, folder, *lines):
    (folder / "site.conf").write_text(
        "\n".join(["[server]", "ip = 127.0.0.1", "port = 0", "access_log = off", *lines])
    )
    types = Hooks(skitai_cluster_types=lambda: {"http": Upstream(), "other": Upstream()})
    return make_instance(loop.reactor, folder / "site.conf", http=types)


def test_not_served_yet(reactor_thread, tmp_path):
    """A route to a cluster answers 503, and a warning with its line says so."""
    instance = make(reactor_thread, tmp_path, "[routes:line]", "/up = @up", "[@up]", "members = host:80")
    (mount,) = instance.config.hosts[0].mounts
    assert instance.describe_mount(mount) == "@up  ; proxy"
    assert instance.warnings == (
        f"{tmp_path}/site.conf:6: [routes:line] /up: this version does not serve @up yet: it answers 503",
    )
    server = RunningInstance(reactor_thread, instance)
    try:
        assert server.ask("/up/x").code == 503
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("@mysaerch", "there is no section [@mysaerch]: did you mean mysearch?"),
        ("@other", "@other has type other: only a cluster of type http can be mounted"),
        ("@mysearch strip=no", "unknown option strip: this target takes none"),
    ],
)
def test_refused(reactor_thread, tmp_path, target, problem):
    """A route to a cluster needs one of that name, of a type that speaks HTTP, and takes no options yet."""
    clusters = ("[@mysearch]", "members = a", "[@other]", "type = other", "members = a")
    with pytest.raises(ConfigError) as caught:
        make(reactor_thread, tmp_path, *clusters, "[routes:line]", f"/ = {target}")
    assert str(caught.value) == f"{tmp_path}/site.conf:11: [routes:line] /: {problem}"
