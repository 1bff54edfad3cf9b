"""The README's examples on databases as people run them: real databases and servers, both executors."""

import json
import os

import psycopg
import pytest

from serving import FIXTURE_APPS

TABLES = """
    create table weather (city text);
    insert into weather values ('San Francisco'), ('Hayward');
    create table cities (name text);
    create sequence visits;
"""


@pytest.fixture(scope="module")
def uris(postgres, threads):
    """Where the two databases of ``@mydb`` are, for each executor others."""
    uris = [postgres.uri(postgres.make_database()) for _ in range(2)]
    for uri in uris:
        with psycopg.connect(uri) as connection:
            connection.execute(TABLES)
    return uris


@pytest.fixture(scope="module")
def server(running_server, threads, postgres, uris, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    host = f"{postgres.host}:{postgres.port}"
    names = [uri.rpartition("/")[2] for uri in uris]
    members = ", ".join(f"{host}/{name}/{postgres.user}/passwd" for name in names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_DATABASE", f"{host} {names[0]} {postgres.user}")
        return running_server(
            "[server]\nip = 127.0.0.1\nport = 0\n[routes:line]\n"
            f"/ = {FIXTURE_APPS}/readme_databases:app\n"
            f"[@mydb]\ntype = postresql\nmembers = {members}\n"
            f"[@mysqlite3]\ntype = sqlite3\nmembers = {folder}/sqlite1.db, {folder}/sqlite2.db\n",
            threads,
        )


def ask(server, path, method="GET"):
    """Return what a view made, which must have gone well."""
    response = server.ask(path, method)
    assert response.code == 200, (response.body, server.log_text()[-3000:])
    return json.loads(response.body)


def test_simple_query(server):
    """Rows are dicts with attributes, and the result gives them one after the other."""
    assert ask(server, "/simple") == [3, "San Francisco", ["San Francisco", "Hayward"]]


def test_load_balancing_and_map(server):
    """What one member has stored, map finds; lb finds it on that member."""
    status, rows = ask(server, "/load-balancing")
    assert status == 3
    assert rows in ([], [{"name": "New York"}])  # another member may be asked: these are no replicas
    everywhere = ask(server, "/map")
    assert len(everywhere) == 2
    assert sum(everywhere, []) == [{"name": "New York"}]


def test_a_wrong_statement(server):
    """It has no rows and code 501; wait() and reraise() raise the driver's own exception."""
    postgres, sqlite = [2, 501, [], "UndefinedTable"], [2, 501, [], "OperationalError"]
    assert ask(server, "/wrong") == [postgres, postgres, sqlite, sqlite]


def test_available_methods(server):
    """Each line of the list works; map asks all members, and lb and map take a server, too."""
    one = [{"one": 1}]
    assert ask(server, "/methods") == [[one], [one], [one], [one], [one], [one], [one, one]]


def test_sqlite(server):
    """A script makes a table, and a query finds its row, time and again; the file is beside the config."""
    for _ in range(2):
        assert ask(server, "/sqlite") == [3, [{"name_last": "Cho", "age": 42}]]
    # The working directory of the server is that of its config.
    assert os.path.exists(f"/proc/{server.process.pid}/cwd/sqlite3.db")


def test_files_as_a_cluster(server):
    """One file is asked, or both."""
    rows = [{"path": "/"}]
    assert ask(server, "/sqlite-cluster") == [rows, [rows, rows]]


def test_caching(server):
    """What is kept answers without asking; with use_cache=False the answer takes the place of the old one."""
    first, second = ask(server, "/cached"), ask(server, "/cached")
    assert (first[1], second[1]) == (False, True)
    assert [first[0], first[2]] == [second[0], second[2]]
    posted, last = ask(server, "/cached", "POST"), ask(server, "/cached")
    assert (posted[1], last[1]) == (False, True)
    assert posted[2] != first[2]
    assert [posted[0], posted[2]] == [last[0], last[2]]


def test_failures_are_not_kept(server, uris):
    """Once its table is there, the same statement succeeds."""
    assert ask(server, "/failed-once") == [2, False]
    for uri in uris:
        with psycopg.connect(uri) as connection:
            connection.execute("create table later (name text)")
    assert ask(server, "/failed-once") == [3, False]
    assert ask(server, "/failed-once") == [3, True]
