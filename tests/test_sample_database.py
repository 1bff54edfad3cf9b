"""The sample's page of databases: deliveries, what is refused, and databases that do not answer."""

import re
from urllib.parse import urlencode

import pytest

from instances import RunningInstance, make_instance
from serving import REPOSITORY
from skitai.services.postgresql import plugin as postgresql_plugin
from skitai.services.sqlite import plugin as sqlite_plugin

PLUGINS = {"postgresql": postgresql_plugin, "sqlite": sqlite_plugin}
FIELDS = [("Content-Type", "application/x-www-form-urlencoded")]
MEMORY = "type = sqlite3\nmembers = :memory:haarlem, :memory:leiden"


@pytest.fixture
def serve_sample(reactor_thread, threads, tmp_path):
    """Return ``serve_sample(cluster)``: the page over the databases that the keys of ``cluster`` name."""
    instances = []

    def serve(cluster):
        path = tmp_path / "site.conf"
        path.write_text(
            "[server]\nip = 127.0.0.1\nport = 0\naccess_log = off\n"
            f"[routes:line]\n/database = {REPOSITORY}/etc/sample/database_app:app\n[@warehouses]\n{cluster}\n"
        )
        instance = make_instance(reactor_thread.reactor, path, {"threads": str(threads)}, **PLUGINS)
        instances.append(RunningInstance(reactor_thread, instance))
        return instances[-1]

    yield serve
    for instance in instances:
        instance.stop()


@pytest.fixture(params=["sqlite3", "postgresql"])
def site(request, serve_sample):
    """The page over two empty databases of each kind."""
    if request.param == "sqlite3":
        return serve_sample(MEMORY)
    postgres = request.getfixturevalue("postgres")
    host = f"{postgres.host}:{postgres.port}"
    members = [f"{host}/{postgres.make_database()}/{postgres.user}" for _ in range(2)]
    return serve_sample(f"type = postgresql\nmembers = {', '.join(members)}")


def deliver(site, name):
    """Type in a kettle; return the response."""
    return site.ask("/database", "POST", FIELDS, urlencode({"name": name}).encode())


def kettles(site):
    """Return the kettles of each warehouse, the newest first."""
    response = site.ask("/database")
    assert response.code == 200, response.body
    lists = re.findall(r"<ol>(.*?)</ol>", response.body.decode(), re.DOTALL)
    return [re.findall(r"<li>(.*?)</li>", one) for one in lists]


def test_deliveries(site):
    """They go to both warehouses, of which each keeps the newest six, as they were typed in."""
    assert deliver(site, "it's <b>100 %s</b>?")["Location"] == "/database"
    assert "it&#39;s &lt;b&gt;100 %s&lt;/b&gt;?" in sum(kettles(site), [])
    for number in range(16):
        assert deliver(site, f"kettle {number}").code == 303
    found = kettles(site)
    assert [len(one) for one in found] == [6, 6]
    assert "kettle 15" in {one[0] for one in found}


def test_no_name(site):
    """What is no name of a kettle is answered with 400."""
    for name in ("", "  ", "x" * 41, "a\0b", "a\nb"):
        assert deliver(site, name).code == 400
    assert kettles(site) == [["House kettle"], ["House kettle"]]


def test_databases_that_do_not_answer(serve_sample, tmp_path):
    """The page says of each why, and a delivery is answered with 503."""
    gone = tmp_path / "none"
    gone.mkdir()
    site = serve_sample(f"type = sqlite3\nmembers = {gone}/haarlem.db, {tmp_path}/leiden.db")
    gone.rmdir()
    text = site.ask("/database").body.decode()
    assert f"there is no folder {tmp_path}/none" in text
    assert kettles(site) == [["House kettle"]]
    gone.mkdir()
    site = serve_sample(f"type = sqlite3\nmembers = {gone}/haarlem.db, {gone}/leiden.db")
    gone.rmdir()
    refused = deliver(site, "Copper")
    assert refused.code == 503
    assert f"there is no folder {tmp_path}/none" in refused.body.decode()
