"""The examples of docs/forward.md and etc/forward.conf are what Skitai takes, and what watches the proxy."""

import re

import pytest
from forward_world import LISTS

from instances import make_instance
from serving import REPOSITORY, eventually
from skitai.config import SERVER_KEYS
from skitai.errors import ConfigError, OperationError
from skitai.services import forward as forward_plugin
from skitai.services.forward.failures import page_of
from skitai.services.http import plugin as http_plugin

PAGE = (REPOSITORY / "docs" / "forward.md").read_text("utf-8")
SAMPLE = (REPOSITORY / "etc/forward.conf").read_text("utf-8")
EXAMPLES = [*re.findall(r"```ini\n(.*?)```", PAGE, re.DOTALL), SAMPLE]


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_examples(example, tmp_path, reactor_thread):
    """Each config loads without a warning."""
    (tmp_path / "users").write_text("")
    text = example.replace("/etc/skitaid/proxy.htpasswd", str(tmp_path / "users"))
    (tmp_path / "site.conf").write_text(text)
    made = make_instance(
        reactor_thread.reactor, tmp_path / "site.conf", http=http_plugin, forward=forward_plugin
    )
    assert made.warnings == ()


def test_defaults():
    """The table of limits shows the defaults."""
    for key in ("proxy_tunnels_max", "proxy_tunnels_per_client", "proxy_idle_timeout"):
        assert re.search(rf"^\| `{key}` \|.*\| {SERVER_KEYS[key].default:g} \|$", PAGE, re.MULTILINE)
    for key in SERVER_KEYS:
        if key.startswith("proxy_") and key != "proxy_protocol":
            assert f"`{key}" in PAGE, key


def test_figures(forward, destination):
    """The status page and the metrics count what the proxy does."""
    server = forward(server=LISTS + "\nproxy_users = a:b")
    server.fetch("http://a.example/")
    client, _ = server.connect("a.example:443")
    client.close()
    found = {metric.name: dict(metric.values) for metric in server.loop.call(server.instance.metrics)}
    assert found["skitai_forward_refused_total"] == {("proxy_users",): 2}
    assert found["skitai_forward_tunnels_open"] == {(): 0}
    assert found["skitai_forward_tunnel_bytes_total"] == {("sent",): 0, ("received",): 0}
    counts = server.counts()
    assert (counts["refused"], counts["requests"], counts["tunnels"]) == (2, 0, 0)


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        ("", "forward proxy for this machine to all that is public, without passwords"),
        (
            "proxy_clients = 10.0.0.0/8, unix\nproxy_destinations = *.a.example, ::1\nproxy_users = a:b",
            "forward proxy for 10.0.0.0/8, unix to *.a.example, ::1, with passwords",
        ),
    ],
)
def test_said_at_the_start(forward, lists, said):
    """Whom it serves stands in the log: nobody should learn from strangers that it does."""
    server = forward(server=lists)
    eventually(lambda: said in server.messages, "the line")


def test_nothing_without_the_proxy(reactor_thread, tmp_path):
    """A server that is no proxy shows nothing of one, and refuses CONNECT."""
    from instances import RunningInstance

    (tmp_path / "site.conf").write_text("[server]\nip = 127.0.0.1\nport = 0\naccess_log = off\n")
    made = make_instance(
        reactor_thread.reactor, tmp_path / "site.conf", http=http_plugin, forward=forward_plugin
    )
    server = RunningInstance(reactor_thread, made)
    assert "Forward proxy" not in reactor_thread.call(made._overview)
    assert not [
        metric for metric in reactor_thread.call(made.metrics) if metric.name.startswith("skitai_forward")
    ]
    with server.client() as client:
        client.send(b"CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.response().code == 405
    assert server.ask("http://a.example/ping").body == b"pong"
    server.stop()


def test_no_plugin(reactor_thread, tmp_path):
    """Where no plugin brings the proxy, the server does not start."""
    config = tmp_path / "site.conf"
    config.write_text(f"[server]\nenable_proxy = yes\n{LISTS}\n[plugins]\ndisable = forward\n")
    expected = r"conf:2: \[server\] enable_proxy: no plugin brings the forward proxy"
    with pytest.raises(ConfigError, match=expected):
        make_instance(reactor_thread.reactor, config)
    with pytest.raises(ConfigError, match=expected + "; it may be of a plugin that is not loaded: 'forward'"):
        make_instance(reactor_thread.reactor, config, disabled={"forward"}, forward=forward_plugin)


def test_server_that_stops(forward, destination, reactor_thread):
    """A tunnel that is asked for when the server has closed its connectors gets 503."""
    server = forward()
    proxy = forward_plugin.plugin._proxies(server.instance)[0]
    for connector in proxy._connectors:
        reactor_thread.call(connector.close)
    client, head = server.connect(f"127.0.0.1:{destination.port}")
    assert (head.code, b"the server is shutting down" in client.read()) == (503, True)
    client.close()
    eventually(lambda: server.counts()["open tunnels"] == 0, "the end of the tunnel")


@pytest.mark.parametrize(
    ("code", "limit", "words"),
    [
        (702, "", "longer to be connected than connect_timeout in [http] allows"),
        (702, "silence_timeout", "longer than silence_timeout in [http] allows"),
        (707, "", "(connections_per_host and waiting_per_host in [http])"),
        (705, "", "the server is shutting down"),
        (704, "", "the destination has no address"),
        (701, "", "refused, broke off or answered wrongly"),
    ],
)
def test_pages(code, limit, words):
    """Each page names the limit and its key."""
    error = OperationError("secret 10.0.0.1", code=code)
    if limit:
        error.limit = limit
    page = page_of(error)
    assert words in page
    assert "secret" not in page
