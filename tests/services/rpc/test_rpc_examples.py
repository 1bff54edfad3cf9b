"""What the README shows of ``was.rpc``, in apps on both executors, against the standard library's server."""

import json
import socket

import pytest
from rpc_servers import XMLRPCServer

from instances import Hooks, RunningInstance, make_instance
from skitai.services import cache, xml
from skitai.services.http import plugin as http_plugin
from skitai.services.rpc import plugin as rpc_plugin

APP = """
import json
from skitai import was

def package_releases(url):
    s = was.rpc(url)
    s.package_releases("roundup")
    result = s.getwait(20)
    return [result.status, result.code, [[a, b] for a, b in result]]

def prime(url):
    s = was.rpc(url)
    before = s.status
    s.get_prime_number_gt(10000)
    return [before, s.getwait(20).data, s.status, s.code]

def overlap(url):
    s = was.rpc(url)
    s.patient()
    was.go_on.set()
    return s.getwait(20).data

def both(url):
    s1 = was.rpc(url)
    s1.deep.er.repr({"a": [None, 5_000_000_000, "\u00fc"]})
    s2 = was.rpc(url)
    call = s2.search("Mozart")
    return [s1.getwait(20).data, call.getwait(20).data]

def fault(url):
    s = was.rpc(url)
    s.fail(200, "no such thing")
    result = s.getwait(20)
    try:
        result.reraise()
    except Exception as error:
        return [result.status, result.code, result.msg, str(error)]

def lb(url):
    found = []
    for _ in range(4):
        s = was.rpc.lb("@mysearch/rpc2")
        s.search("Mozart")
        found += s.getwait(20).data
    return found

def map(url):
    s = was.rpc.map("@mysearch/rpc2")
    s.search("Mozart")
    results = s.getswait(20)
    all_results = []
    for result in results:
        all_results.extend(result.data)
    return [results.status, s.status, all_results]

def halfdead(url):
    found = []
    for _ in range(4):
        s = was.rpc.lb("@halfdead/rpc2")
        s.search("Mozart")
        found += s.getwait(20).data
    s = was.rpc.map("@halfdead/rpc2")
    s.search("Mozart")
    return [found, s.getswait(20).status]

def cached(url):
    seen = []
    for use_cache in (True, True, False):
        s = was.rpc.lb("@mysearch/rpc2", use_cache=use_cache)
        s.search("Bach")
        result = s.getwait(20)
        if result.code == 200:
            result.cache(60)
        seen.append(result.is_cached)
    return seen

def gathered(url):
    s1 = was.rpc(url)
    s1.search("Haydn")
    s2 = was.rpc.map("@mysearch/rpc2")
    s2.search("Bach")
    return [was.gather(s1, s2, timeout=20).data, len(list(was.as_completed([s1, s2], timeout=20)))]

def xml(url):
    return [was.fromxml(was.toxml({"a": [1, None]})), was.fromxml(was.toxml((1, 2)))]

def app(environ, start_response):
    answer = globals()[environ["PATH_INFO"][1:]](environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
"""


@pytest.fixture(scope="module")
def servers():
    """Two XML-RPC servers."""
    started = [XMLRPCServer("one"), XMLRPCServer("two")]
    yield started
    for server in started:
        server.stop()


@pytest.fixture(scope="module")
def ask(reactor_thread, threads, servers, tmp_path_factory):
    """Return ``ask(view)``: what a view of APP answers, given the first server's address."""
    folder = tmp_path_factory.mktemp("rpc")
    (folder / "rpcapp.py").write_text(APP, encoding="utf-8")
    with socket.socket() as nobody:  # bound, but not listening: whoever connects is refused
        nobody.bind(("127.0.0.1", 0))
        one, two, dead = (
            f"127.0.0.1:{p}" for p in (servers[0].port, servers[1].port, nobody.getsockname()[1])
        )
        (folder / "site.conf").write_text(
            f"[server]\nip = 127.0.0.1\nport = 0\naccess_log = off\nthreads = {threads}\n"
            f"[routes:line]\n/ = rpcapp:app\n[@mysearch]\nmembers = {one}, {two}\n"
            f"[@halfdead]\nmembers = {dead}, {one}\n"
        )
        shared = Hooks(skitai_attributes=lambda: {"go_on": lambda was: servers[0].go_on})
        instance = make_instance(
            reactor_thread.reactor,
            folder / "site.conf",
            http=http_plugin,
            rpc=rpc_plugin,
            xml=xml,
            cache=cache,
            go_on=shared,
        )
        running = RunningInstance(reactor_thread, instance)

        def ask(view):
            response = running.ask(f"/{view}?{servers[0].url}")
            assert response.code == 200, response.body
            return json.loads(response.body)

        yield ask
        running.stop()


def test_package_releases(ask):
    """The result is iterated as the value that the method returned."""
    assert ask("package_releases") == [3, 200, [["1.0", "roundup"], ["1.1", "roundup"]]]


def test_prime_number(ask):
    """``data`` is the value; the proxy has the status and the code of its call."""
    assert ask("prime") == [0, 10007, 3, 200]


def test_request_early_use_late(ask, servers):
    """The request is under way while the app does other work."""
    servers[0].go_on.clear()
    assert ask("overlap") is True


def test_dotted_method(ask):
    """A dotted method is called; None, big ints and letters arrive; the method call gives a call, too."""
    assert ask("both") == ["{'a': [None, 5000000000, 'ü']}", ["one:Mozart"]]


def test_fault(ask):
    """A fault is status 2 at once, never code 200 whatever its number, and reraise() raises it."""
    assert ask("fault") == [2, 701, "no such thing", "<Fault 200: 'no such thing'>"]


def test_load_balancing(ask):
    """``lb`` asks the members by turns."""
    assert sorted(ask("lb")) == ["one:Mozart", "one:Mozart", "two:Mozart", "two:Mozart"]


def test_map_reducing(ask):
    """``map`` asks all members; results are in their order."""
    assert ask("map") == [[3, 3], [3, 3], ["one:Mozart", "two:Mozart"]]


def test_dead_member(ask):
    """A member that refuses is replaced for ``lb``, and a failed result for ``map``."""
    assert ask("halfdead") == [["one:Mozart"] * 4, [2, 3]]


def test_caching(ask):
    """An equal call is answered from the cache, unless the app wants none of it."""
    assert ask("cached") == [False, True, False]


def test_gather(ask):
    """Proxies are waited for together, like any calls."""
    assert ask("gathered") == [[["one:Haydn"], ["one:Bach"], ["two:Bach"]], 3]


def test_xml(ask):
    """``was.toxml`` and ``was.fromxml`` undo one another, for one value and for a tuple of several."""
    assert ask("xml") == [[[{"a": [1, None]}], None], [[1, 2], None]]


def test_without_the_plugin_of_get(reactor_thread, servers, tmp_path):
    """``was.rpc`` works where the plugin of ``was.get`` is disabled, [http] and its clusters included."""
    file = tmp_path / "site.conf"
    (tmp_path / "rpcapp.py").write_text(APP, encoding="utf-8")
    file.write_text(
        f"[server]\nip = 127.0.0.1\nport = 0\naccess_log = off\n[plugins]\ndisable = http\n"
        f"[http]\nidle_timeout = 5\nconnect_timeout = 2\n[routes:line]\n/ = rpcapp:app\n"
        f"[@mysearch]\nmembers = 127.0.0.1:{servers[0].port}\n"
    )
    instance = make_instance(
        reactor_thread.reactor, file, disabled=["http"], http=http_plugin, rpc=rpc_plugin, xml=xml
    )
    assert instance.warnings == ()
    running = RunningInstance(reactor_thread, instance)
    try:
        response = running.ask(f"/package_releases?{servers[0].url}")
        assert json.loads(response.body) == [3, 200, [["1.0", "roundup"], ["1.1", "roundup"]]]
        assert json.loads(running.ask("/lb").body) == ["one:Mozart"] * 4
    finally:
        running.stop()
