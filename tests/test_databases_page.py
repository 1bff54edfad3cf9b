"""Examples of docs/databases.md, run as they stand, against a real PostgreSQL and under each executor."""

import asyncio
import re
from pathlib import Path

import psycopg
import pytest

from instances import RunningInstance, make_instance
from skitai.services.postgresql import plugin as postgresql_plugin
from skitai.services.sqlite import plugin as sqlite_plugin

PAGE = (Path(__file__).parents[1] / "docs" / "databases.md").read_text("utf-8")
PLUGINS = {"postgresql": postgresql_plugin, "sqlite": sqlite_plugin}
SERVER = "[server]\nip = 127.0.0.1\nport = 0\naccess_log = off\n"
TABLES = """
    create table orders (customer text, item text, quantity integer);
    create table stock (item text, quantity integer);
    create table customers (name text primary key);
    create table accounts (name text, balance numeric);
    insert into accounts values ('ann', 10), ('bob', 0);
"""


def blocks(title, language):
    """Return the examples in a section of the page."""
    (section,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", f"## Top\n{PAGE}", re.DOTALL | re.MULTILINE)
    return re.findall(rf"^```{language}\n(.*?)^```", section, re.DOTALL | re.MULTILINE)


def functions(title):
    """Return the names that the Python examples of a section define."""
    names = {}
    for example in blocks(title, "python"):
        exec(compile(example, "databases.md", "exec"), names)
    return names


class Site:
    """A running instance whose clusters are those of the page, with databases of the tests."""

    def __init__(self, loop, instance, uris):
        self.running = RunningInstance(loop, instance)
        self._uri = uris[0]
        self._uris = uris

    def call(self, function, *args):
        """Call a function of the page where apps run."""
        instance = self.running.instance
        return self.running.loop.call(instance.run, lambda was: function(*args))

    def sql(self, statement, database=0):
        """Execute a statement beside Skitai, and return its rows."""
        with psycopg.connect(self._uris[database]) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def site(reactor_thread, threads, postgres, tmp_path, monkeypatch):
    """A site with three databases: the first is the shop, all are its shards."""
    names = [postgres.make_database() for _ in range(3)]
    members = [f"{postgres.host}:{postgres.port}/{name}/{postgres.user}" for name in names]
    uris = [postgres.uri(name) for name in names]
    for uri in uris:
        with psycopg.connect(uri) as connection:
            connection.execute(TABLES)
    monkeypatch.setenv("SHOP_URL", uris[0].replace("postgresql:", "postgresql+psycopg:"))
    path = tmp_path / "site.conf"
    path.write_text(
        f"{SERVER}[@shop]\ntype = postgresql\nmembers = {members[0]}\n"
        f"[@shards]\ntype = postgresql\nmembers = {', '.join(members)}\n"
    )
    instance = make_instance(reactor_thread.reactor, path, {"threads": str(threads)}, **PLUGINS)
    site = Site(reactor_thread, instance, uris)
    yield site
    site.running.stop()


def test_a_page_of_rows(site):
    """The first example."""
    site.sql("insert into orders values ('ann', 'tea', 2), ('bob', 'tea', 3), ('ann', 'cup', 1)")
    page = functions("Top")["page"]
    assert site.call(page, "ann") == ["Orders of ann", "1 cup", "2 tea"]
    assert site.call(page, "a'; drop table orders; --") == ["Orders of a'; drop table orders; --"]


def test_many_rows_at_once(site):
    """The example of executemany and gather."""
    restock = functions("Statements")["restock"]
    assert site.call(restock, [("tea", 100), ("cup", 9)]) == (2, ["cup"])


def test_a_statement_that_is_refused(site):
    """The driver's own exception tells that there is such a row."""
    sign_up = functions("What fails, and how")["sign_up"]
    assert site.call(sign_up, "ann") == "Welcome, ann!"
    assert site.call(sign_up, "ann") == "There is a ann already."


def test_a_transaction(site):
    """The payment happens as a whole or not at all."""
    pay = functions("Transactions")["pay"]
    site.call(pay, "ann", "bob", 7)
    with pytest.raises(ValueError, match="ann has too little money"):
        site.call(pay, "ann", "bob", 4)
    assert site.sql("select name, balance from accounts order by name") == [("ann", 3), ("bob", 7)]


def test_a_part_of_a_transaction(site):
    """What is refused undoes its part alone, in a coroutine, too."""
    site.sql("insert into customers values ('bob')")
    import_customers = functions("Transactions")["import_customers"]
    assert site.call(lambda: asyncio.run(import_customers(["ann", "bob", "eve"]))) == ["bob"]
    assert site.sql("select name from customers order by name") == [("ann",), ("bob",), ("eve",)]


def test_several_databases(site):
    """The rows of all shards come in the order of the members."""
    for number in range(3):
        site.sql(f"insert into orders values ('customer {number}', 'tea', {number})", number)
    search = functions("Several databases")["search"]
    assert site.call(search, "tea") == ["customer 0: 0", "customer 1: 1", "customer 2: 2"]


def test_stream_of_notifications(site):
    """It gives each notification, as Server-Sent Events have it."""
    stream = functions("Notifications")["stream"]

    def read():
        events = stream()
        return next(events), events.close()

    reading = site.running.loop.call(lambda: [site.running.instance.run(lambda was: read())])[0]
    done = []
    reading.addBoth(done.append)
    while not done:  # it listens from some time on
        site.sql("select pg_notify('orders', 'tea')")
    assert done == [(b"data: tea\n\n", None)]


def test_notifications(site):
    """The loop ends with the notification that says so."""
    follow = functions("Notifications")["follow"]
    seen = []
    following = site.running.loop.call(lambda: [site.running.instance.run(lambda was: follow(seen))])[0]
    while "closed" not in seen:  # it listens from some time on
        site.sql("select pg_notify('orders', 'tea'), pg_notify('orders', 'closed')")
    site.running.loop.call(lambda: following)
    assert seen[-2:] == ["tea", "closed"]


def test_both_ways(site):
    """The object mapper and was.db do the same."""
    names = functions("Both ways side by side")
    assert site.call(names["buy_by_orm"], "ann", "tea") == 1
    assert site.call(names["buy_by_was"], "ann", "cup") == 2
    names["engine"].dispose()


def test_sqlite(reactor_thread, threads, tmp_path):
    """The example of SQLite, twice: it finds its table there."""
    path = tmp_path / "site.conf"
    path.write_text(SERVER)
    people = functions("SQLite")["people"]
    instance = make_instance(reactor_thread.reactor, path, {"threads": str(threads)}, **PLUGINS)
    running = RunningInstance(reactor_thread, instance)
    try:
        for _ in range(2):
            assert reactor_thread.call(instance.run, lambda was: people()) == ["Cho is 42"]
    finally:
        running.stop()
    assert (tmp_path / "people.db").exists()


def test_the_limits_are_the_defaults(reactor_thread, tmp_path):
    """The sections of the config have every key, with what holds without it."""
    (limits,) = blocks("Limits", "ini")
    instances = []
    for number, text in enumerate(["", limits]):
        path = tmp_path / f"{number}.conf"
        path.write_text(f"{SERVER}{text}")
        instances.append(make_instance(reactor_thread.reactor, path, **PLUGINS))
    for name, plugin in PLUGINS.items():
        (keys,) = plugin.skitai_config_sections().values()
        shown = re.findall(r"^(\w+) = ", limits.partition(f"[{name}]\n")[2].partition("\n[")[0], re.MULTILINE)
        assert shown == list(keys)
        assert instances[0].section(name) == instances[1].section(name)


def test_every_cluster_can_be_read(reactor_thread, tmp_path):
    """The clusters of the page have the keys and members that the plugins want."""

    def in_folder(found):
        name = found[2].rpartition("/")[2]
        (tmp_path / name).touch()
        return f"{found[1]} = {name}"

    (tmp_path / "archive").mkdir()
    for number, text in enumerate(re.findall(r"^```ini\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)):
        if "[@" in text:
            path = tmp_path / f"{number}.conf"
            text = re.sub(r"^(ssl\w*(?:cert|key)|passfile) = (\S+)", in_folder, text, flags=re.MULTILINE)
            path.write_text(f"{SERVER}{text}")
            make_instance(reactor_thread.reactor, path, **PLUGINS)
