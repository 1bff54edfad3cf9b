"""Routes to clusters in the configuration."""

import pytest

from instances import Hooks, RunningInstance, make_instance
from skitai.calls.service import Service
from skitai.errors import ConfigError
from skitai.services.http import plugin as http_plugin


class Upstream(Service):
    cluster_types = frozenset({"other"})
    default_port = 80


def make(loop, folder, *lines):
    (folder / "site.conf").write_text(
        "\n".join(["[server]", "ip = 127.0.0.1", "port = 0", "access_log = off", *lines])
    )
    types = Hooks(skitai_cluster_types=lambda: {"other": Upstream()})
    return make_instance(loop.reactor, folder / "site.conf", http=http_plugin, types=types)


def test_shown(reactor_thread, tmp_path):
    """--check shows all options of a route to a cluster."""
    instance = make(
        reactor_thread, tmp_path, "[routes:line]", "/up = @up host=member", "[@up]", "members = host:80"
    )
    (mount,) = instance.config.hosts[0].mounts
    assert (
        instance.describe_mount(mount) == "@up strip=yes host=member rewrite=no buffer=yes cache=no  ; proxy"
    )
    assert instance.warnings == ()


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("@mysaerch", "there is no section [@mysaerch]: did you mean @mysearch?"),
        ("@elsewhere", "there is no section [@elsewhere]: known are @mysearch, @other"),
        ("@other", "@other has type other: only a cluster of type http can be mounted"),
        ("@mysearch stirp=no", "unknown option stirp: did you mean strip?"),
        ("@mysearch strip=never", "option strip: must be yes or no, not 'never'"),
    ],
)
def test_refused(reactor_thread, tmp_path, target, problem):
    """A route to a cluster needs one of that name, of a type that speaks HTTP, and its options."""
    clusters = ("[@mysearch]", "members = a", "[@other]", "type = other", "members = a")
    with pytest.raises(ConfigError) as caught:
        make(reactor_thread, tmp_path, *clusters, "[routes:line]", f"/ = {target}")
    assert str(caught.value) == f"{tmp_path}/site.conf:11: [routes:line] /: {problem}"


def test_no_cluster(reactor_thread, tmp_path):
    """Where there is none at all, the message says what one looks like."""
    with pytest.raises(ConfigError) as caught:
        make(reactor_thread, tmp_path, "[routes:line]", "/ = @shop")
    assert str(caught.value).endswith("there is no section [@shop]: write one, with members = host:port")


@pytest.mark.parametrize("cache", ["yes", "no"])
def test_a_cache_that_nobody_uses(reactor_thread, log_lines, tmp_path, cache):
    """Whoever writes [cache] means to have one: the log says what is missing."""
    instance = make(
        reactor_thread,
        tmp_path,
        *("[routes:line]", f"/up = @up cache={cache}", "[@up]", "members = host:80", "[cache]"),
    )
    running = RunningInstance(reactor_thread, instance)
    running.stop()
    said = f"{tmp_path}/site.conf:9: [cache]: has no effect: no route has cache=yes"
    assert (said in log_lines) == (cache == "no")


@pytest.mark.parametrize(
    ("address", "hint"),
    [("http://a:80", "leave out http://"), ("https://a", "leave out https://, and write ssl = yes")],
)
def test_member_with_scheme(reactor_thread, tmp_path, address, hint):
    """A member is no URL."""
    with pytest.raises(ConfigError) as caught:
        make(reactor_thread, tmp_path, "[@up]", f"members = {address}")
    assert str(caught.value).endswith(f"[@up] members: {address!r} is not host[:port]: {hint}")
