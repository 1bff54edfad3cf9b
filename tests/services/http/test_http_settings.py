"""The [http] section and the TLS keys of clusters: what they mean, and what is said of wrong ones."""

import pytest
from twisted.internet.testing import MemoryReactorClock

from certificates import Identity
from instances import make_instance
from skitai.config.http import HTTP_KEYS
from skitai.errors import ConfigError
from skitai.net.addresses import HTTPNode
from skitai.services.http import plugin
from skitai.services.http.connections import connections_of

AUTHORITY = Identity("search1", authority=True)


@pytest.fixture
def start(tmp_path):
    """Return ``start(config text)``: an instance with the HTTP client."""

    def make(text=""):
        file = tmp_path / "skitai.conf"
        file.write_text(text)
        return make_instance(MemoryReactorClock(), file, http=plugin)

    return make


@pytest.fixture
def refused(start, tmp_path):
    """Return ``refused(config text)``: the one line that says why, without the folder."""

    def say(text):
        with pytest.raises(ConfigError) as caught:
            start(text)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return say


def proxy(instance, host):
    """Return the proxy for a host, if any."""
    return instance.connector.proxy_for(HTTPNode(host, 80))


def test_defaults(start):
    """Without the section there are limits fit for production, and no proxy."""
    instance = start()
    limits = connections_of(instance).pool.limits
    assert (limits.connections, limits.idle, limits.waiting) == (2048, 2048, 4096)
    assert 0 < limits.total <= 8192
    assert (instance.connector.timeout, limits.silence_seconds, limits.idle_seconds) == (3, 60, 10)
    assert limits.response_max == 64 << 20
    assert proxy(instance, "one.test") is None


def test_values(start):
    """Every key has its effect."""
    instance = start(
        "[http]\nconnections = 9\nconnections_per_host = 8\nidle_per_host = 7\nwaiting_per_host = 6\n"
        "idle_timeout = 5 s\nconnect_timeout = 4\nsilence_timeout = 3 min\nresponse_max = 2 KB\n"
        "proxy = http://me:secret@proxy.test:3128\nno_proxy = .here.test\n"
    )
    limits = connections_of(instance).pool.limits
    assert (limits.total, limits.connections, limits.idle, limits.waiting) == (9, 8, 7, 6)
    assert (limits.idle_seconds, instance.connector.timeout, limits.silence_seconds) == (5, 4, 180)
    assert limits.response_max == 2048
    assert proxy(instance, "one.test").label == "proxy proxy.test:3128"
    assert proxy(instance, "one.here.test") is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("proxy = proxy:3128", "a proxy is http://host:port or http://user:password@host:port"),
        ("no_proxy = 10.0.0.0/99", "'10.0.0.0/99' is not a host, a .domain, an address or a network"),
        ("resolver = dns", "must be one of async, system, not 'dns'"),
        ("ca = ca.pem", "cannot read ca.pem: No such file or directory"),
        ("certfile = x.pem", "cannot read x.pem: No such file or directory"),
        ("keyfile = x.pem", "is of no use without certfile"),
        ("passphrase = secret", "is of no use without certfile"),
        ("connections_per_host = 0", "must be a whole number of at least 1, not '0'"),
    ],
)
def test_wrong_values(refused, line, message):
    """A wrong value is one line with its place."""
    key = line.partition(" ")[0]
    assert refused(f"[http]\n{line}\n").startswith(f"skitai.conf:2: [http] {key}: {message}")


def test_secrets_are_not_shown():
    """Passwords are stars wherever the config is shown."""
    assert HTTP_KEYS["proxy"].show("http://me:secret@proxy:1") == "http://****@proxy:1"
    assert "secret" not in HTTP_KEYS["passphrase"].show("secret")


def test_cluster(start, tmp_path):
    """A cluster has a profile of its own where it says something of TLS, the rest is as in [http]."""
    for name in ("a.pem", "b.pem"):
        (tmp_path / name).write_bytes(AUTHORITY.pem + AUTHORITY.key_pem())
    instance = start(
        "[http]\nca = a.pem\ncertfile = a.pem\n[@plain]\nmembers = search1\nssl = yes\n"
        "[@own]\nmembers = search1\nssl = yes\ncertfile = b.pem\n"
        "[@careless]\nmembers = search1\nssl = yes\nverify = no"
    )
    service = plugin.skitai_cluster_types(instance)["http"]
    profiles = {
        name: service.member(cluster.members[0].address, cluster.options).profile
        for name, cluster in instance.config.clusters.items()
    }
    assert profiles["plain"] is None
    assert (profiles["own"].ca, profiles["own"].certfile) == (tmp_path / "a.pem", tmp_path / "b.pem")
    assert (profiles["careless"].verify, profiles["careless"].certfile) == (False, tmp_path / "a.pem")


@pytest.mark.parametrize(
    ("line", "place", "message"),
    [
        ("passphrase = secret", "skitai.conf:4: [@c] passphrase:", "is of no use without certfile"),
        ("ca = x.pem", "skitai.conf:4: [@c] ca:", "cannot read x.pem: No such file or directory"),
        ("verify = maybe", "skitai.conf:4: [@c] verify:", "must be yes or no, not 'maybe'"),
    ],
)
def test_wrong_cluster(refused, line, place, message):
    """A wrong TLS key of a cluster is one line with its place."""
    assert refused(f"[@c]\nmembers = search1\nssl = yes\n{line}\n") == f"{place} {message}"


def test_cluster_without_tls(refused):
    """TLS keys of a cluster that speaks no TLS are a mistake."""
    assert "[@c] verify: has no effect without ssl = yes" in refused("[@c]\nmembers = search1\nverify = no\n")


def test_warning(start):
    """Whoever does not verify is told so once, at the start."""
    assert start().warnings == ()
    careless = start("[http]\nverify = no\n[@c]\nmembers = search1\nssl = yes\nverify = no\n")
    (warning,) = careless.warnings
    assert warning.startswith("verify = no in [http] and [@c]: ")
