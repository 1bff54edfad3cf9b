"""What the errors of a real server hold."""

import psycopg2
import pytest
from pg_world import World

from skitai.errors import OperationError


@pytest.fixture
def world(reactor_thread):
    world = World(reactor_thread)
    yield world
    world.close()


@pytest.fixture(scope="module")
def uri(postgres):
    return postgres.uri(postgres.make_database())


def frames_of(error):
    """Return the modules of the frames that an exception and all behind it hold."""
    frames = []
    while error is not None:
        traceback = error.__traceback__
        while traceback is not None:
            frames.append(traceback.tb_frame.f_globals["__name__"])
            traceback = traceback.tb_next
        error = error.__cause__ or error.__context__
    return frames


class TestErrors:
    def test_refused_commit(self, world, uri):
        """The error of a refused commit has its code, and holds nothing of the driver."""
        world.ask(uri, "create table late (n int unique deferrable initially deferred)").reraise()
        with pytest.raises(psycopg2.errors.UniqueViolation) as raised, world.db.transaction(uri) as tx:
            tx.executemany("insert into late values (%s)", [(1,), (1,)])
        assert raised.value.pgcode == "23505"
        assert raised.value.cursor is None
        assert not [name for name in frames_of(raised.value) if ".postgresql." in name or "pinned" in name]

    def test_lost_connection(self, world, uri):
        """So does the error of a lost connection, and that of a transaction on it."""
        lost = world.ask(uri, "select pg_terminate_backend(pg_backend_pid()), pg_sleep(1)")
        assert (lost.status, lost.code) == (2, 700)
        with pytest.raises(OperationError) as raised, world.db.transaction(uri) as tx:
            tx.execute("select pg_terminate_backend(pg_backend_pid())")
        for error in (lost.error, raised.value):
            assert not [name for name in frames_of(error) if ".postgresql." in name or "pinned" in name]
