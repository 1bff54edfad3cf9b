"""Transactions over a fake engine."""

# ruff: noqa: PT012 - a block that is to fail has several statements, by its nature

import pytest
from db_fakes import DriverError, FakeEngine, FakeNode, FakeSession, found, refused, unreached
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock

from skitai.calls.dispatch import Dispatcher
from skitai.calls.traffic import CallLimits
from skitai.calls.uncollected import OpenCalls
from skitai.context import Caller
from skitai.errors import CommitUnknownError, MisuseError, OperationError, OperationTimeout
from skitai.services.db.interfaces import RefusedError, TransactionOptions
from skitai.services.db.pinned import Pinned
from skitai.services.db.result import DBResult
from skitai.services.db.service import DatabaseService
from skitai.testing import ServiceHarness

UNDONE = ("ROLLBACK TO SAVEPOINT skitai_1", "RELEASE SAVEPOINT skitai_1")


class World:
    def __init__(self, read_only=()):
        self.engine = FakeEngine()
        service = DatabaseService()
        service.add(self.engine)
        service.member = lambda address, options: FakeNode(address, read_only=address in read_only)
        self.clock = MemoryReactorClock()
        self.harness = ServiceHarness(service, self.clock, clusters={"main": ["a", "b"]})
        self.service = service
        self.db = self.harness.call
        self.log, self.answers, self.waiting = self.engine.log, self.engine.answers, self.engine.waiting
        self.answers.update({f"BEGIN {name}": None for name in "hab"})
        self.answers["COMMIT"] = None
        for n in "123":
            self.answers[n] = found(n)
        for step in ("SAVEPOINT", "RELEASE SAVEPOINT", "ROLLBACK TO SAVEPOINT"):
            self.answers.update({f"{step} skitai_{n}": DBResult() for n in "123"})


@pytest.fixture
def world():
    return World()


class TestCommit:
    def test_statements_in_order(self, world):
        """Statements are executed in order on one connection, and the end of the block commits."""
        with world.db.transaction("h") as tx:
            one, two = tx.execute("1"), tx.execute("2", (5,))
            assert one.getwait().scalar() == "1"
        assert two.getwait().scalar() == "2"
        assert world.log == ["BEGIN h", "1", "2", "COMMIT"]
        assert one.getwait().node.label == "h"
        assert world.harness.in_flight == 0

    def test_waits_for_statements(self, world):
        """The end waits for statements that nobody has waited for."""
        del world.answers["2"]
        with world.db.transaction("h") as tx:
            tx.execute("2")
            tx.execute("3")
            world.clock.callLater(1, lambda: world.waiting["2"].callback(found()))
        assert world.log == ["BEGIN h", "2", "3", "COMMIT"]

    def test_options(self, world):
        """The isolation level and readonly reach the engine."""
        with world.db.transaction("h", isolation="REPEATABLE_READ", readonly=True):
            pass
        options = world.engine.sessions[0].options
        assert (options.isolation, options.readonly) == ("repeatable read", True)

    @pytest.mark.parametrize(
        ("options", "error"), [({"isolation": "none"}, ValueError), ({"timeout": "5"}, TypeError)]
    )
    def test_wrong_options(self, world, options, error):
        """A wrong option is named where it is written."""
        with pytest.raises(error, match=next(iter(options))):
            world.db.transaction("h", **options)

    def test_unknown_options(self, world):
        """One that is not known is refused in the name of what was called."""
        with pytest.raises(TypeError, match=r"^was\.db\.transaction\(\) got an unexpected .* 'isolate'"):
            world.db.transaction("h", isolate="serializable")

    def test_refused_commit(self, world):
        """The database may refuse at the commit: its error is raised."""
        world.answers["COMMIT"] = DriverError("conflict")
        with pytest.raises(DriverError, match="conflict"), world.db.transaction("h") as tx:
            tx.execute("1")
        assert world.harness.in_flight == 0

    def test_lost_during_commit(self, world):
        """A connection that is lost during COMMIT leaves the outcome unknown, and the error says so."""
        world.answers["COMMIT"] = OperationError("connection lost", code=700)
        with (
            pytest.raises(CommitUnknownError, match="unknown: connection lost") as raised,
            world.db.transaction("h") as tx,
        ):
            tx.execute("1")
        assert raised.value.code == 700

    def test_slow_commit(self, world):
        """So does a commit that takes too long; it is cancelled."""
        del world.answers["COMMIT"]
        with (
            pytest.raises(CommitUnknownError, match="COMMIT took more than 2 s"),
            world.db.transaction("h", timeout=2),
        ):
            pass
        assert world.waiting["COMMIT"].called


class TestRollback:
    def test_exception(self, world):
        """An exception in the block rolls back and is raised."""
        with pytest.raises(ZeroDivisionError), world.db.transaction("h") as tx:
            tx.execute("1")
            raise ZeroDivisionError
        assert world.log == ["BEGIN h", "1", "ROLLBACK"]

    def test_exception_with_a_statement_under_way(self, world):
        """A statement that is under way then is cancelled."""
        with pytest.raises(ZeroDivisionError), world.db.transaction("h") as tx:
            tx.execute("slow")
            raise ZeroDivisionError
        assert world.waiting["slow"].called
        assert world.log == ["BEGIN h", "slow", "ROLLBACK"]
        assert world.harness.in_flight == 0

    def test_failed_statement(self, world):
        """After a refused statement nothing more is executed, and the end raises its error."""
        world.answers["bad"] = refused("no such table")
        with pytest.raises(DriverError, match="no such table"), world.db.transaction("h") as tx:
            assert tx.execute("bad").getwait().status == 2
            later = tx.execute("1").getwait()
            assert (later.status, later.code) == (2, 501)
            assert later.msg == "not executed, because of what came before: no such table"
        assert world.log == ["BEGIN h", "bad", "ROLLBACK"]

    def test_many_behind_a_failed_one(self, world):
        """However many statements wait behind one that fails, each has its result, and the end its error."""
        with pytest.raises(DriverError, match="no such table"), world.db.transaction("h") as tx:
            tx.execute("slow")
            behind = [tx.execute("1") for _ in range(500)]
            world.waiting["slow"].callback(refused("no such table"))
        assert {call.code for call in behind} == {501}
        assert world.log == ["BEGIN h", "slow", "ROLLBACK"]

    def test_statement_out_of_time(self, world):
        """A statement that misses its deadline is cancelled, and nothing is committed."""
        with pytest.raises(OperationTimeout, match="did not end in time"), world.db.transaction("h") as tx:
            assert tx.execute("slow").getwait(1).status == 1
        assert world.log == ["BEGIN h", "slow", "ROLLBACK"]

    def test_waiting_statement_out_of_time(self, world):
        """A statement that never had its turn aborts the transaction, too: half of it is not committed."""
        with pytest.raises(OperationTimeout), world.db.transaction("h") as tx:
            slow = tx.execute("slow")
            assert tx.execute("1").getwait(1).status == 1
            world.waiting["slow"].callback(found())
            assert slow.getwait().status == 3
        assert world.log == ["BEGIN h", "slow", "ROLLBACK"]

    def test_end_out_of_time(self, world):
        """A block whose statements do not end in time is rolled back: nothing of COMMIT was sent."""
        with (
            pytest.raises(OperationTimeout) as raised,
            world.db.transaction("h", timeout=2) as tx,
        ):
            tx.execute("slow")
        assert not isinstance(raised.value, CommitUnknownError)
        assert world.waiting["slow"].called
        assert world.log == ["BEGIN h", "slow", "ROLLBACK"]

    def test_lost_connection(self, world):
        """A connection that is lost before COMMIT has committed nothing, for sure."""
        world.answers["1"] = OperationError("connection lost", code=700)
        with (
            pytest.raises(OperationError, match="connection lost") as raised,
            world.db.transaction("h") as tx,
        ):
            assert tx.execute("1").getwait().code == 700
        assert not isinstance(raised.value, CommitUnknownError)
        assert world.log[-1] == "ROLLBACK"


class TestBegin:
    def test_cannot_begin(self, world):
        """A database that cannot be reached fails each statement and the end."""
        world.answers["BEGIN h"] = unreached()
        with pytest.raises(OperationError, match="refused the connection"), world.db.transaction("h") as tx:
            result = tx.execute("1").getwait()
            assert result.status == 2
            assert "refused the connection" in result.msg
        assert world.log == ["BEGIN h"]
        assert world.harness.in_flight == 0

    def test_another_member(self, world):
        """Of a cluster a member is taken that can be reached."""
        world.answers["BEGIN a"] = unreached()
        with world.db.transaction("@main") as tx:
            assert tx.execute("1").getwait().node.label == "b"
        assert world.log == ["BEGIN a", "BEGIN b", "1", "COMMIT"]

    def test_refused(self, world):
        """What a database refuses that is well says nothing against the member, as with a statement."""
        world.answers["BEGIN a"] = RefusedError(refused("cannot use serializable mode in a hot standby"))
        with pytest.raises(DriverError, match="in a hot standby"), world.db.transaction("@main") as tx:
            assert "in a hot standby" in tx.execute("1").getwait().msg
        assert world.log == ["BEGIN a"]
        assert [member.failures for member in world.harness.clusters["main"].members] == [0, 0]

    def test_read_only_member(self):
        """A replica takes only transactions that read, and is well."""
        world = World(read_only="ab")
        with pytest.raises(MisuseError, match=r"^a is read_only: begin with readonly=True"):
            _fail(world)
        with world.db.transaction("@main", readonly=True) as tx:
            tx.execute("1")
        assert world.log == ["BEGIN b", "1", "COMMIT"]
        assert [member.failures for member in world.harness.clusters["main"].members] == [0, 0]

    def test_slow_begin(self, world):
        """A transaction that is given up before it has begun is rolled back when it begins."""
        del world.answers["BEGIN h"]
        with pytest.raises(ZeroDivisionError), world.db.transaction("h") as tx:
            tx.execute("1")
            raise ZeroDivisionError
        world.waiting["BEGIN h"].callback(None)
        assert world.log == ["BEGIN h", "ROLLBACK"]
        assert world.harness.in_flight == 0


def _fail(world):
    with world.db.transaction("@main"):
        pass


class TestNested:
    def test_kept(self, world):
        """A transaction within another is a savepoint."""
        with world.db.transaction("h") as tx, tx.transaction() as inner:
            inner.execute("1")
        assert world.log == ["BEGIN h", "SAVEPOINT skitai_1", "1", "RELEASE SAVEPOINT skitai_1", "COMMIT"]

    def test_undone_by_an_exception(self, world):
        """An exception undoes the inner block alone, if the outer one catches it."""
        with world.db.transaction("h") as tx:
            with pytest.raises(ZeroDivisionError), tx.transaction() as inner:
                inner.execute("1")
                raise ZeroDivisionError
            tx.execute("2")
        assert world.log == ["BEGIN h", "SAVEPOINT skitai_1", "1", *UNDONE, "2", "COMMIT"]

    def test_undone_with_a_statement_under_way(self, world):
        """A statement that is under way then is cancelled, and so are those behind it."""
        with world.db.transaction("h") as tx:
            with pytest.raises(ZeroDivisionError), tx.transaction() as inner:
                inner.execute("1").wait()
                slow = inner.execute("slow")
                behind = inner.execute("2")
                raise ZeroDivisionError
            assert tx.execute("3").getwait().status == 3
        assert (slow.code, behind.code) == (705, 705)
        assert world.waiting["slow"].called
        assert world.log == ["BEGIN h", "SAVEPOINT skitai_1", "1", "slow", *UNDONE, "3", "COMMIT"]

    def test_undone_before_it_began(self, world):
        """What was executed before the inner block is kept, though it waits when that is undone."""
        with world.db.transaction("h") as tx:
            slow, one = tx.execute("slow"), tx.execute("1")
            with pytest.raises(ZeroDivisionError), tx.transaction() as inner:
                two = inner.execute("2")
                raise ZeroDivisionError
            world.waiting["slow"].callback(found())
            assert (slow.getwait().status, one.getwait().status, two.code) == (3, 3, 705)
        assert world.log == ["BEGIN h", "slow", "1", "SAVEPOINT skitai_1", *UNDONE, "COMMIT"]

    def test_undone_where_cancelling_ends_all(self, world, monkeypatch):
        """Where a cancelled statement would end the transaction, its end is waited for."""
        monkeypatch.setattr(FakeSession, "outlives_cancelling", False)
        with world.db.transaction("h") as tx:
            with pytest.raises(ZeroDivisionError), tx.transaction() as inner:
                slow = inner.execute("slow")
                raise ZeroDivisionError
            world.waiting["slow"].callback(found())
            assert tx.execute("3").getwait().status == slow.getwait().status == 3
        assert world.log == ["BEGIN h", "SAVEPOINT skitai_1", "slow", *UNDONE, "3", "COMMIT"]

    def test_undone_by_a_failure(self, world):
        """A refused statement is raised at the end of the inner block, and the outer one goes on."""
        world.answers["bad"] = refused()
        with world.db.transaction("h") as tx:
            with pytest.raises(DriverError), tx.transaction() as inner:
                inner.execute("bad")
            assert tx.execute("2").getwait().status == 3
        assert world.log[-2:] == ["2", "COMMIT"]

    def test_failure_outside(self, world):
        """An inner block does not mend a failure that came before it."""
        world.answers["bad"] = refused()
        with pytest.raises(DriverError), world.db.transaction("h") as tx:
            tx.execute("bad")
            with pytest.raises(OperationError), tx.transaction() as inner:
                inner.execute("1")
        assert world.log == ["BEGIN h", "bad", "ROLLBACK"]

    def test_two_deep(self, world):
        """Savepoints nest."""
        with world.db.transaction("h") as tx, tx.transaction() as one:
            with pytest.raises(ZeroDivisionError), one.transaction() as two:
                two.execute("1")
                raise ZeroDivisionError
            one.execute("2")
        assert world.log[-3:] == ["2", "RELEASE SAVEPOINT skitai_1", "COMMIT"]

    def test_answers_at_once(self, world):
        """Steps that were waiting and are all answered at once are noted in their order."""
        pinned = Pinned("a")
        world.engine.answers.update({"SAVEPOINT x": found(), "RELEASE SAVEPOINT x": found()})
        steps = [Deferred.fromCoroutine(step) for step in (pinned.savepoint("x"), pinned.release("x"))]
        begun = pinned.begin(world.engine, FakeNode("a"), TransactionOptions())
        assert Deferred.fromCoroutine(begun).result.status == 3
        assert [step.result.status for step in steps] == [3, 3]


class TestMisuse:
    def test_outside_the_block(self, world):
        """A transaction executes within its block only, and is for one block."""
        tx = world.db.transaction("h")
        with pytest.raises(MisuseError, match="within its block"):
            tx.execute("1")
        with tx:
            pass
        with pytest.raises(MisuseError, match="within its block"):
            tx.execute("1")
        with pytest.raises(MisuseError, match="for one block"):
            tx.__enter__()

    def test_no_such_function(self, world):
        """Only what the service offers is there."""
        with pytest.raises(AttributeError, match="has no 'transactions'"):
            world.db.transactions  # noqa: B018


class TestRequest:
    def _caller(self, world):
        open_calls = OpenCalls()
        dispatcher = world.harness._dispatcher
        return Caller(dispatcher, world.service, name="db", open_calls=open_calls), open_calls

    def test_end_of_the_request(self, world):
        """The end of the request rolls back what is open, and the block that goes on hears of it."""
        db, open_calls = self._caller(world)
        tx = db.transaction("h").__enter__()
        tx.execute("1")
        open_calls.end()
        assert world.log == ["BEGIN h", "1", "ROLLBACK"]
        with pytest.raises(OperationError, match="the request has ended"):
            tx.__exit__(None, None, None)

    def test_end_of_the_request_in_the_middle(self, world):
        """A statement under way is cancelled then."""
        db, open_calls = self._caller(world)
        db.transaction("h").__enter__().execute("slow")
        open_calls.end()
        assert world.log == ["BEGIN h", "slow", "ROLLBACK"]
        assert world.harness.in_flight == 0

    def test_nothing_is_kept(self, world):
        """What has ended is not told of the request's end."""
        db, open_calls = self._caller(world)
        for _ in range(3):
            with db.transaction("h"):
                pass
        open_calls.end()
        assert world.log == ["BEGIN h", "COMMIT"] * 3

    def test_limit_of_calls(self, world):
        """Statements of a transaction that has begun are not held up by the limit of calls."""
        dispatcher = Dispatcher(world.harness._dispatcher.bridge, {}, limits=CallLimits(1))
        db = Caller(dispatcher, world.service)
        with db.transaction("h") as tx:
            other = db("h")
            other.execute("other")
            tx.execute("1").wait()
        other.cancel()
        assert world.log == ["BEGIN h", ("h", "other"), "1", "COMMIT"]


def test_in_a_coroutine(world):
    """`async with` begins and commits, or rolls back."""

    async def work(fails):
        async with world.db.transaction("h") as tx:
            assert (await tx.execute("1")).scalar() == "1"
            async with tx.transaction() as inner:
                inner.execute("2")
            if fails:
                raise ZeroDivisionError
        return "done"

    assert Deferred.fromCoroutine(work(False)).result == "done"
    failing = Deferred.fromCoroutine(work(True))
    failing.addErrback(lambda failure: failure.trap(ZeroDivisionError))
    assert world.log[-2:] == ["RELEASE SAVEPOINT skitai_1", "ROLLBACK"]
