"""Databases of SQLite, and what they must leave behind: nothing."""

import threading

import pytest
from sqlite_files import Files

from serving import eventually


@pytest.fixture
def make_files(reactor_thread, tmp_path):
    """Return ``make_files(**options)``: databases in ``tmp_path``, closed at the end."""
    made = []

    def make(**options):
        made.append(Files(reactor_thread, tmp_path, **options))
        return made[-1]

    yield make
    for files in made:
        files.close()
    eventually(lambda: not [t for t in threading.enumerate() if t.name.startswith("skitai-run")])


@pytest.fixture
def files(make_files):
    files = make_files()
    files.execute("create table t (a, b)").reraise()
    return files
