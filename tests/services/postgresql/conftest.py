"""What tests of PostgreSQL share."""

import pytest


@pytest.fixture(scope="module")
def database(postgres):
    """The name of an empty database, which the tests of a module share."""
    return postgres.make_database()
