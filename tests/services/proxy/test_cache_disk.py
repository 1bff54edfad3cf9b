"""Replies on disk: shared, there again after a restart, limited, and never trusted blindly."""

import errno
import os
import threading

import pytest
from cache_world import CachingProxy, reply

from serving import eventually
from skitai.services.proxy.cache import claim
from skitai.services.proxy.cache import disk as disk_module
from skitai.services.proxy.cache.entry import Entry
from skitai.services.proxy.cache.freshness import Freshness
from skitai.services.proxy.cache.records import BrokenRecordError, Marker, Record, name_of
from skitai.services.proxy.cache.sweeping import sweep

LOOKUP = "X-Cache-Lookup"
FRESH = "Cache-Control: max-age=60"
LONG = bytes(range(256)) * 2000
NOW = 1_800_000_000.0


@pytest.fixture
def kept(caching, tmp_path):
    """Return ``kept(cache="")``: a proxy with a cache on disk; another call is another worker."""
    return lambda cache="", **config: caching(
        f"folder = cache\nmemory_object_max = 100 kb\n{cache}", **config
    )


def full(*_):
    """Do what a disk does that is full."""
    raise OSError(errno.ENOSPC, "No space left on device")


def files(tmp_path, ending=""):
    """Return the files of replies with names that end so."""
    found = [path for path in tmp_path.glob("cache/**/*") if path.is_file() and path.name != claim.NAME]
    return [path for path in found if path.name.endswith(ending)]


@pytest.mark.parametrize("body", [b"ok", b"", LONG], ids=["short", "empty", "long"])
def test_another_worker(kept, tmp_path, body):
    """What one worker has stored another one finds; a short reply is in its memory then."""
    kept().put(FRESH, "Content-Type: text/x", body=body)
    other = kept()
    first = other.ask()
    assert (first[LOOKUP], first.body, first["Content-Type"]) == ("HIT", body, "text/x")
    assert other.ask()[LOOKUP] == ("HIT" if body is LONG else "MEM_HIT")
    assert other.asked == 1
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files(tmp_path))
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    assert not files(tmp_path, ".part")


def test_long_replies(kept):
    """Ranges, conditions and HEAD of a reply that is on disk."""
    cache = kept()
    cache.put(FRESH, 'ETag: "1"', body=LONG)
    assert cache.ask("/a", "Range: bytes=300000-400000").body == LONG[300_000:400_001]
    assert cache.ask("/a", "Range: bytes=5-7").body == LONG[5:8]
    assert cache.ask("/a", 'If-None-Match: "1"').code == 304
    assert cache.ask(method="HEAD")["Content-Length"] == str(len(LONG))
    assert cache.asked == 1


def test_long_reply_is_validated(kept, clock, tmp_path):
    """A 304 changes the record, and leaves the body where it is."""
    cache = kept()
    cache.put(FRESH, 'ETag: "1"', body=LONG)
    (body,) = [path for path in files(tmp_path) if path.stat().st_size == len(LONG)]
    for _ in range(2):
        clock.now += 100
        cache.member.replies.append(b'HTTP/1.1 304 Same\r\nETag: "1"\r\nCache-Control: max-age=60\r\n\r\n')
        response = cache.ask()
        assert (response[LOOKUP], response.body) == ("REVALIDATED", LONG)
    assert kept().ask()[LOOKUP] == "HIT"
    assert body.exists()


def test_another_worker_validates(kept, clock):
    """A reply that is stale in memory may be fresh on disk."""
    one = kept()
    one.put(FRESH, 'ETag: "1"')
    clock.now += 100
    two = kept()
    two.put(FRESH, body=b"new")
    assert (one.ask()[LOOKUP], one.ask().body) == ("HIT", b"new")
    clock.now += 100
    assert one.put(FRESH, body=b"newer").body == b"newer"


def test_longer_now(kept):
    """A reply that is too long for memory now is not hidden by what is there."""
    cache = kept()
    cache.put(FRESH)
    cache.put(FRESH, body=LONG, asking=("Cache-Control: no-cache",))
    assert (cache.ask().body, cache.ask()[LOOKUP]) == (LONG, "HIT")


def test_variants(kept):
    """Variants are found by the fields that Vary names, and removed together."""
    for value in ("x", "y"):
        kept().put(FRESH, "Vary: X-A", body=value.encode(), asking=(f"X-A: {value}",))
    cache = kept()
    for value in ("x", "y"):
        assert (cache.ask("/a", f"X-A: {value}")[LOOKUP], cache.asked) == ("HIT", 2)
    cache.member.replies.append(reply())
    cache.ask(method="DELETE")
    other = kept()
    other.put(FRESH, "Vary: X-A", body=b"new", asking=("X-A: x",))
    assert other.put(FRESH, asking=("X-A: y",))[LOOKUP] == "MISS"


def test_users(kept):
    """A user's request finds on disk what is public, too, and nothing else."""
    kept().put(FRESH, body=LONG)
    assert kept().put(FRESH, asking=("Cookie: a=b",))[LOOKUP] == "MISS"


def test_other_options(kept):
    """A mount with other options begins anew."""
    kept().put(FRESH)
    assert kept(routes="/ = @up cache=yes host=member").put(FRESH)[LOOKUP] == "MISS"


@pytest.mark.parametrize("body", [b"ok", LONG], ids=["short", "long"])
@pytest.mark.parametrize("how", ["cut", "changed", "empty", "gone", "cut body", "no body"])
def test_broken_files(kept, tmp_path, body, how):
    """A file that was cut, changed or lost is a miss, and is replaced."""
    kept().put(FRESH, body=body)
    for path in files(tmp_path):
        data = bytearray(path.read_bytes())
        if how.endswith("body") and body is LONG and "." not in path.name:
            continue  # the record itself is in order
        if how.startswith("cut"):
            path.write_bytes(data[:-1])
        elif how == "changed" and "." not in path.name:
            data[-1] ^= 1
            path.write_bytes(data)
        elif how == "empty":
            path.write_bytes(b"")
        elif how in ("gone", "no body"):
            path.unlink()
    cache = kept()
    assert cache.put(FRESH, body=body)[LOOKUP] == "MISS"
    assert kept().ask().body == body


@pytest.mark.parametrize("where", ["open", "write", "replace"])
@pytest.mark.parametrize("body", [b"ok", LONG], ids=["short", "long"])
def test_full_disk(kept, monkeypatch, where, body, tmp_path):
    """A disk that takes nothing costs no request; short replies are in memory."""
    cache = kept()
    if where == "open":
        monkeypatch.setattr(disk_module, "FileIO", full)
    else:
        owner = disk_module.Spool if where == "write" else disk_module.DiskStore
        monkeypatch.setattr(owner, "write" if where == "write" else "_replace", full)
    assert cache.put(FRESH, body=body).body == body
    if body is LONG:
        assert cache.put(FRESH)[LOOKUP] == "MISS"
    else:
        assert cache.ask()[LOOKUP] == "MEM_HIT"
    assert not files(tmp_path)


@pytest.mark.parametrize("where", ["write", "_put"])
@pytest.mark.parametrize("body", [b"new", LONG], ids=["short", "long"])
def test_newer_reply_on_a_full_disk(kept, monkeypatch, where, body):
    """Where a newer reply cannot be stored, the older one is not used any more, by nobody."""
    cache = kept()
    cache.put(FRESH, body=LONG[::-1])
    with monkeypatch.context() as patch:
        owner = disk_module.Spool if where == "write" else disk_module.DiskStore
        patch.setattr(owner, where, full)
        assert cache.put(FRESH, body=body, asking=("Cache-Control: no-cache",)).body == body
    for each in (cache, kept()):
        if each is cache and body is not LONG:
            assert each.ask()[LOOKUP] == "MEM_HIT"
        else:
            assert each.put("Cache-Control: no-store")[LOOKUP] == "MISS"


def test_no_room_for_a_newer_reply(kept):
    """The same where the folder is full, or the newer reply too long to be kept."""
    cache = kept("disk_max = 600 kb\ndisk_object_max = 1 mb")
    disk = cache.mount.store.disk
    for size in (590_000, 700_000):
        eventually(lambda: not disk._sweeping, "the sweep, after which there is room")
        cache.put(FRESH, target=f"/{size}", body=bytes(500_000))
        assert cache.ask(f"/{size}")[LOOKUP] == "HIT"
        cache.put(FRESH, target=f"/{size}", body=bytes(size), asking=("Cache-Control: no-cache",))
        assert cache.put("Cache-Control: no-store", target=f"/{size}")[LOOKUP] == "MISS"


def test_room_on_a_full_disk(kept, monkeypatch, tmp_path, clock):
    """A disk may be full below the limit: once a minute a part of what is there makes room."""
    cache = kept()
    disk = cache.mount.store.disk
    assert eventually(lambda: not disk._sweeping, "the first sweep")
    for number in range(20):
        cache.put(FRESH, target=f"/{number}", body=bytes(200_000))
    before = disk.bytes
    with monkeypatch.context() as patch:
        patch.setattr(disk_module.Spool, "write", full)
        for _ in range(3):
            cache.put(FRESH, target="/new", body=LONG)
            assert eventually(lambda: not disk._sweeping, "the sweep")
    assert 0.75 * before < sum(path.stat().st_size for path in files(tmp_path)) < 0.9 * before
    cache.put(FRESH, target="/new", body=LONG)
    assert cache.ask("/new")[LOOKUP] == "HIT"


def test_lower_limit(kept, tmp_path):
    """What another run has left above the limit is removed at the start, what was used last stays."""
    cache = kept()
    for number in range(10):
        cache.put("Cache-Control: max-age=100000", target=f"/{number}", body=bytes(200_000))
        for path in files(tmp_path):
            os.utime(path, (path.stat().st_mtime - 120,) * 2)
    cache = kept("disk_max = 1 mb")
    disk = cache.mount.store.disk
    assert eventually(lambda: not disk._sweeping, "the sweep")
    assert sum(path.stat().st_size for path in files(tmp_path)) == disk.bytes <= 1 << 20
    for number in range(10):
        cache.member.replies.append(reply(b"new"))
        assert cache.ask(f"/{number}")[LOOKUP] == ("MISS" if number < 6 else "HIT")
        cache.member.replies.clear()


def test_unusable_folder(kept, tmp_path):
    """Without its folder the cache is one in memory."""
    (tmp_path / "cache").write_text("a file")
    cache = kept()
    cache.put(FRESH)
    assert cache.ask()[LOOKUP] == "MEM_HIT"
    assert "disk_bytes" not in cache.statistics()


def test_unreadable_record(kept, tmp_path):
    """What cannot be read is a miss."""
    kept().put(FRESH)
    (path,) = files(tmp_path)
    path.unlink()
    path.mkdir()
    assert kept().put(FRESH)[LOOKUP] == "MISS"


def test_limits(kept, tmp_path):
    """A reply above the limit of the disk is not kept, and all of them take no more than that together."""
    cache = kept("disk_object_max = 300 kb\ndisk_max = 900 kb")
    cache.put(FRESH, body=LONG)
    assert cache.put(FRESH, body=LONG)[LOOKUP] == "MISS"
    for number in range(8):
        cache.put(FRESH, target=f"/{number}", body=bytes(250_000))
        disk = cache.mount.store.disk
        assert eventually(lambda disk=disk: not disk._sweeping, "the sweep")
    assert sum(path.stat().st_size for path in files(tmp_path)) <= (900 << 10) * 17 // 16
    assert cache.statistics()["disk_bytes"] <= (900 << 10) * 17 // 16


def test_a_client_leaves(kept, tmp_path):
    """Nothing is left of a long reply whose client leaves in the middle."""
    cache = kept()
    go_on = threading.Event()

    def answer(connection):
        connection.send(f"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n{FRESH}\r\n\r\n".encode() + LONG)
        go_on.wait(60)

    cache.member.replies.append(answer)
    with cache.server.client() as client:
        client.send(b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.read_head()
        client.read(len(LONG))
        assert files(tmp_path, ".part")
        client.socket.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")
    assert eventually(lambda: not files(tmp_path), "the end of the file")
    go_on.set()


# -- the parts --------------------------------------------------------------------------------------------


def entry(**changes):
    """Return a reply to be stored."""
    made = {
        "way": "w",
        "code": 200,
        "reason": "OK",
        "fields": (("A", "\xe9"),),
        "vary": (b"x",),
        "selected": (b"1",),
        "freshness": Freshness(NOW, 60.0, 1.0, 2.0, True, False),
        "length": 2,
        "body": b"ok",
    }
    return Entry(**made | changes)


KEY = (True, b"host", b"/a?\xff")


def test_records():
    """A record comes back as it was written."""
    found = Record.decode(Record(KEY, entry=entry()).encode())
    assert found.key == KEY
    names = ("way", "code", "reason", "fields", "vary", "selected", "freshness", "length", "body")
    assert [getattr(found.entry, name) for name in names] == [getattr(entry(), name) for name in names]
    marker = Record(KEY, Marker((b"x",), b"12345678"))
    assert Record.decode(marker.encode()) == marker


@pytest.mark.parametrize(
    "record",
    [
        Record(KEY, entry=entry(length=3)),
        Record(KEY, entry=entry(stored_as="../../etc/passwd")),
    ],
)
def test_wrong_records(record):
    """A record with a right checksum may still be wrong."""
    with pytest.raises(BrokenRecordError):
        Record.decode(record.encode())


def test_every_cut_record():
    """No part of a record is one."""
    data = Record(KEY, entry=entry()).encode()
    for size in range(len(data)):
        with pytest.raises(BrokenRecordError):
            Record.decode(data[:size])


def test_names():
    """Parts of a name cannot be shifted from one into the other."""
    assert name_of((False, b"ab", b"c")) != name_of((False, b"a", b"bc"))
    assert name_of((True, b"a", b"b")) != name_of((False, b"a", b"b"))
    assert name_of((False, b"a", b"b"), b"c") != name_of((False, b"a", b"b,1:c"))


def test_sweep(tmp_path):
    """What was used last stays; what is left over goes, unless it is on its way; strangers' files stay."""

    def write(name, size, age):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(size))
        os.utime(path, (NOW - age, NOW - age))
        return path

    one, two, three, four = (f"{start}/{start.ljust(40, '0')}" for start in ("ab", "cd", "ce", "cf"))
    old = write(one, 10, 1000), write(f"{one}.00000001", 500, 1000)
    used = write(two, 10, 5), write(f"{two}.00000002", 500, 2000)
    replaced = write(f"{two}.00000001", 500, 3000)
    orphan, young = write(f"{three}.00000001", 100, 100), write(f"{four}.00000001", 100, 10)
    left, partial = write(f"{1:016x}.part", 9, 4000), write(f"{2:016x}.part", 9, 10)
    strange = [
        write(name, 5000, 9999)
        for name in (
            "readme",
            "film.part",
            "other/file",
            "js/app.js",
            "de/index.html",
            "de/page",
            two + ".txt",
        )
    ]
    assert sweep(tmp_path, 700, NOW) == 10 + 500 + 100
    assert [path for path in (*used, young, partial, *strange) if not path.exists()] == []
    assert [path.exists() for path in (*old, replaced, orphan, left)] == [False] * 5
    assert sweep(tmp_path / "none", 700, NOW) == 0


def test_sweep_of_one_minute(tmp_path):
    """Of what was used in one minute no more is removed than must be, and of what was used before all."""
    for number in range(100):
        name = f"{number % 10:02}{number:038}"
        path = tmp_path / name[:2] / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(100))
        os.utime(path, (NOW - 1000 * (number < 5),) * 2)
    assert sweep(tmp_path, 8000, NOW) == 7200
    left = [path for path in tmp_path.glob("*/*") if path.stat().st_mtime == NOW]
    assert len(left) == len(list(tmp_path.glob("*/*"))) == 72


def test_one_sweep_at_a_time(kept, clock, monkeypatch):
    """A sweep that takes long is not begun again, and is due after five minutes with something new."""
    began, go_on = [], threading.Event()

    def slow(*_):
        began.append(1)
        go_on.wait(60)
        return 0

    cache = kept()
    disk = cache.mount.store.disk
    assert eventually(lambda: not disk._sweeping, "the first sweep")
    monkeypatch.setattr(disk_module, "sweep", slow)
    for number in range(3):
        clock.now += 301
        cache.put(FRESH, target=f"/{number}")
    go_on.set()
    assert eventually(lambda: not disk._sweeping, "the second sweep")
    assert len(began) == 1


def test_one_of_the_processes_sweeps(kept, clock, monkeypatch):
    """The others take what it has found, unless that was long ago, for another limit, or much is new."""
    began = []

    def sweep(_folder, bytes_max, _now):
        began.append(bytes_max)
        return 5000

    def has_swept(cache):
        disk = cache.mount.store.disk
        eventually(lambda: disk._swept == clock.now and not disk._sweeping, "the end of the sweep")
        assert disk.bytes >= 5000

    monkeypatch.setattr(disk_module, "sweep", sweep)
    first, second = kept("disk_max = 1 mb"), kept("disk_max = 1 mb")
    for cache in (first, second, kept("disk_max = 2 mb")):
        has_swept(cache)
    assert sorted(began) == [2**20, 2**21]
    clock.now += 301
    for cache, target in ((first, "/one"), (second, "/two")):
        cache.put(FRESH, target=target)
        has_swept(cache)
    assert began[2:] == [2**20]
    clock.now += 1
    first.put(FRESH, target="/long", body=LONG)
    has_swept(first)
    assert began[3:] == [2**20]


def test_times_of_use(kept, tmp_path, clock):
    """A use is noted on disk, but not each one."""
    kept().put("Cache-Control: max-age=1000", body=LONG)
    record = next(path for path in files(tmp_path) if "." not in path.name)
    os.utime(record, (NOW - 100, NOW - 100))
    cache = kept()
    cache.ask()
    assert record.stat().st_mtime == NOW
    clock.now += 30
    cache.ask()
    assert record.stat().st_mtime == NOW


def test_check_makes_nothing(proxy, scripted, clock, tmp_path):
    """Where no route has a cache, no folder is made."""
    CachingProxy(proxy, scripted, clock, "folder = cache", routes="/ = @up")
    assert not (tmp_path / "cache").exists()
