"""An engine whose reactor runs in a thread, for tests that may block."""

from twisted.internet.defer import Deferred

from serving import eventually
from skitai.services.db.interfaces import TransactionOptions
from skitai.services.db.query import query, query_of_many
from skitai.services.sqlite.engine import SQLiteEngine

#: A statement that does not end by itself.
ENDLESS = "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c"
OPTIONS = {"threads": 4, "rows_max": 1000, "busy_timeout": 5, "slow_statement": 5, "foreign_keys": False}


class Transaction:
    """A session whose methods wait."""

    def __init__(self, files, session):
        self.session = session
        self._call = files.loop.call

    def execute(self, sql, params=None):
        return self._call(self.session.run, query(sql, params))

    def executemany(self, sql, rows):
        return self._call(self.session.run, query_of_many(sql, rows))

    def commit(self):
        return self._call(self.session.commit)

    def rollback(self):
        return self._call(self.session.rollback)


class Files:
    """The databases in ``folder``."""

    def __init__(self, loop, folder, **options):
        self.loop = loop
        self.folder = folder
        self._closed = False
        submit = loop.reactor.callFromThread
        self.engine = SQLiteEngine(folder, loop.reactor, submit, **{**OPTIONS, **options})

    def node(self, name="a.db", **options):
        # For options only: as a member it must have its folder.
        return self.engine.member(name, options) if options else self.engine.node(name, None, None, None)

    def execute(self, sql, params=None, name="a.db", **options):
        """Return the result of a statement."""
        return self.loop.call(self.engine.run, self.node(name, **options), query(sql, params))

    def executemany(self, sql, rows, name="a.db"):
        return self.loop.call(self.engine.run, self.node(name), query_of_many(sql, rows))

    def values(self, sql="select * from t", name="a.db"):
        """Return the first column of each row."""
        result = self.execute(sql, name=name)
        result.reraise()
        return [next(iter(row.values())) for row in result]

    def start(self, sql, params=None, name="a.db"):
        """Start a statement and return its Deferred."""
        return self._start(lambda: self.engine.run(self.node(name), query(sql, params)))

    def start_many(self, sql, rows):
        return self._start(lambda: self.engine.run(self.node(), query_of_many(sql, rows)))

    def start_within(self, transaction, sql):
        return self._start(lambda: transaction.session.run(query(sql)))

    def start_begin(self):
        return self._start(lambda: self.engine.begin(self.node(), TransactionOptions()))

    def _start(self, function):
        (deferred,) = self.loop.call(lambda: [function()])
        return deferred

    def begin(self, name="a.db", *, node=None, **options):
        """Return a transaction that has begun."""
        began = self.loop.call(self.engine.begin, node or self.node(name), TransactionOptions(**options))
        return Transaction(self, began)

    def outcome(self, deferred):
        """Return what ``deferred`` fires with, or raise its failure."""
        return self.loop.call(lambda: deferred)

    def cancel(self, deferred):
        """Cancel ``deferred``; its failure is read by ``outcome``."""
        self.loop.call(deferred.cancel)

    @property
    def threads(self):
        return self.loop.call(self.engine.statistics)["SQLite, threads"]

    @property
    def files(self):
        return self.loop.call(self.engine.statistics)["SQLite"]

    def wait_for_running(self, count=1):
        eventually(lambda: self.threads["running"] == count, f"{count} statements that run")

    def close(self):
        """End the engine, once."""
        if not self._closed:
            self._closed = True
            self.loop.call(lambda: Deferred.fromCoroutine(self.engine.close()))
