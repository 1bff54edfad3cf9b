"""What is seen of requests through the proxy: logs, metrics, hooks and the status page."""

from instances import Hooks


def test_access_log_and_hook(proxy, member, tmp_path):
    """A request through the proxy is in the access log, and plugins are told of its end."""
    seen = []

    def finished(instance, request):
        seen.append((request.place.point, request.status_code))

    hooks = Hooks(skitai_request_finished=finished)
    server = proxy(
        member,
        routes="/shop = @up",
        server=f"access_log = {tmp_path}/access.log\naccess_format = combined",
        plugins={"watching": hooks},
    )
    with server.client() as client:
        client.send(b"GET /shop/a HTTP/1.1\r\nHost: a\r\n\r\n")
        member.accept().answer()
        client.response()
    server.stop()
    assert seen == [("/shop", 200)]
    assert '"GET /shop/a HTTP/1.1" 200 2 ' in (tmp_path / "access.log").read_text()


def test_metrics(proxy, member):
    """The figures of each route are there, with the status of error pages."""
    server = proxy(member, routes="/shop = @up")
    with server.client() as client:
        client.send(b"GET /shop/ HTTP/1.1\r\nHost: a\r\n\r\n")
        member.accept().answer()
        client.response()
        member.connections[0].close()
        member.close()
        assert server.ask("/shop/").code == 502
    found = {metric.name: dict(metric.values) for metric in server.loop.call(server.instance.metrics)}
    assert found["skitai_proxy_requests_total"] == {("/shop", "@up"): 2}
    assert found["skitai_proxy_under_way"] == {("/shop", "@up"): 0}
    assert found["skitai_proxy_failed_total"] == {("/shop", "@up", "502"): 1}
    row = server.counts()
    assert (row["mount"], row["cluster"], row["requests"], row["502"]) == ("/shop", "@up", 2, 1)


def test_log(proxy, member, lines):
    """The log says what the page does not: the request, the member and the reason."""
    member.close()
    proxy(member, routes="/shop = @up").ask("/shop/a?b")
    (line,) = [line for line in lines() if line.startswith("the proxy")]
    assert line.startswith("the proxy /shop = @up has no reply for GET /shop/a?b: [")
    assert f"127.0.0.1:{member.port}" in line
    assert line.endswith("(members in [@up])")


def test_no_members(proxy, lines):
    """A cluster whose names have no addresses answers 503."""
    server = proxy("dns:nowhere.invalid:80")
    response = server.ask("/")
    assert response.code == 503
    assert b"no members at present (members in [@up])" in response.body
