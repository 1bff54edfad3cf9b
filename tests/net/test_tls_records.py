"""Records of TLS that bring no data are counted, however they are cut."""

import random

import pytest

from skitai.net import tls_records
from skitai.net.tls_records import Records


@pytest.fixture
def moment(monkeypatch):
    """A clock: a list with the time."""
    now = [1000.0]
    monkeypatch.setattr(tls_records, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def _looks_at_each(monkeypatch):
    """Whatever comes is looked at, however little it is."""
    monkeypatch.setattr(tls_records, "LOOK_BYTES", 1)


def record(size):
    return b"\x17\x03\x03" + size.to_bytes(2, "big") + bytes(size)


@pytest.mark.parametrize("look", [1, 1024])
@pytest.mark.parametrize("seed", range(20))
def test_any_pieces(moment, monkeypatch, seed, look):
    """A hundred are no flood, and one more is, whatever pieces they come in, once they are looked at."""
    monkeypatch.setattr(tls_records, "LOOK_BYTES", look)
    sizes = random.Random(seed)
    data = b"".join(record(sizes.choice((0, 1, 22, 300, 16_384))) for _ in range(100))
    records = Records()
    while data:
        end = sizes.choice((1, 2, 4, 5, 6, 1000, 65_536))
        assert not records.are_too_many(data[:end], 0)
        data = data[end:]
    assert any(records.are_too_many(record(1), 0) for _ in range(look // len(record(1)) + 1))


@pytest.mark.usefixtures("_looks_at_each")
def test_data(moment):
    """Records with data do not count, and make up for no others."""
    records = Records()
    for _ in range(1000):
        assert not records.are_too_many(record(100) * 3, 3)
    assert not records.are_too_many(record(22) * 100 + record(100), 1)
    assert records.are_too_many(record(22), 0)


@pytest.mark.usefixtures("_looks_at_each")
def test_forgiven(moment):
    """Ten a second are forgiven, but none in advance."""
    records = Records()
    assert not records.are_too_many(record(22) * 100, 0)
    moment[0] += 10
    assert not records.are_too_many(record(22), 0)
    assert not records.are_too_many(record(22) * 99, 0)
    moment[0] += 1
    assert not records.are_too_many(record(22) * 10, 0)
    assert records.are_too_many(record(22), 0)
