"""Which statements leave something behind on their connection."""

import time

import pytest

from skitai.services.postgresql.sessionstate import leaves_state


@pytest.mark.parametrize(
    "sql",
    [
        "set time zone 'UTC'",
        "  SET search_path = x",
        "-- why\n/* and\nhow */ set x = 1",
        "select 1; set session x = 1",
        "create temp table t (n int)",
        "create local temporary table t as select 1",
        "select 1 into temporary t",
        "select set_config('x', '1', false)",
        "select pg_advisory_lock(1)",
        "select pg_try_advisory_lock_shared (1)",
        "listen news",
        "prepare p as select 1",
        "declare c cursor with hold for select 1",
        r"select E'it\'s'; set x = 1",
        r"select e'\\', 1; set x = 1",
        "select $$it's$$; set x = 1",
        "select $a$ $$ ' $a$; set x = 1",
        "select 1 /* /* */ ' */; set x = 1 -- '",
        "create or replace temp view v as select 1",
        "create table pg_temp.t (n int)",
        "explain analyze create temp table t as select 1",
        "do $$ begin set x = 1; end $$",
        "update pg_settings set setting = '1' where name = 'x'",
        'select "pg_advisory_lock"(1)',
    ],
)
def test_what_stays(sql):
    """Settings, temporary tables, locks of the session and the like stay with the connection."""
    assert leaves_state(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "select 1",
        "update t set n = 1",
        "insert into temperatures values (1)",
        "set local x = 1",
        "set transaction read only",
        "set constraints all deferred",
        "select pg_advisory_xact_lock(1)",
        "create table t (n int)",
        "select * from settings; select * from prepared",
        "select 'set x'; select E'\\'; set x'; select $$; set x$$; select $b$ $$; set x$b$",
        "select a$b$ from t /* ; set x */ -- ; set x",
        "select temp from readings; select pg_try_advisory_xact_lock(1)",
    ],
)
def test_what_does_not_stay(sql):
    """Everything else, also what ends with its transaction, leaves the connection clean."""
    assert not leaves_state(sql)


@pytest.mark.parametrize("part", ["/**/", "-- \n", "; ", "$$", "$a$", "e'\\", "*/ ", "create ", "a$"])
def test_long_statements(part):
    """The look at a long statement takes little time, whatever it consists of."""
    sql = part * (50_000 // len(part))
    began = time.process_time()
    assert not leaves_state(sql)
    assert time.process_time() - began < 1
