"""What tests of a whole instance share."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from gates import Setting


@pytest.fixture
def setting(reactor_thread, tmp_path):
    setting = Setting(reactor_thread, tmp_path)
    yield setting
    for running in setting.started:
        running.stop()


@pytest.fixture
def aside():
    """A thread for what is to happen meanwhile: ``aside(function, ...)`` returns a Future."""
    with ThreadPoolExecutor(2) as pool:
        yield pool.submit
