"""Certificates whose files change while a server runs."""

import datetime
from types import SimpleNamespace

import pytest
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher

from certificates import Identity
from skitai.net import certificates
from skitai.net.certificates import Source
from skitai.net.pem import load_files
from skitai.net.renewing import LOOK_SECONDS, Renewal
from skitai.net.server_tls import ServerTLS

ROOT = Identity(authority=True)
DAY = 86_400


def signed(days=60, **options):
    return Identity("a.org", issuer=ROOT, days=days, **options)


class World:
    """Two certificates in files, and what looks at them under a clock of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.clock = Clock()
        self.speaks = True
        self.log = []
        self.put("main", signed(400))
        self.put("a", signed())
        # After the certificates: else these have a day more where a second ends in between.
        self.clock.advance(datetime.datetime.now(datetime.UTC).timestamp())
        self.tls = ServerTLS(self.source("main").read())
        self.tls.add(self.source("a", "a.org", "*.a.org").read())
        self.renewal = Renewal(self.tls, self.clock, lambda: self.speaks, self.clock.seconds)
        globalLogPublisher.addObserver(self._observe)

    def _observe(self, event):
        if event["log_namespace"] == "skitai.net.renewing":
            self.log.append(f"{event['log_level'].name} {formatEvent(event)}")

    def close(self):
        globalLogPublisher.removeObserver(self._observe)
        self.renewal.stop()

    def source(self, name, *names):
        files = (self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return Source(names, files, lambda: load_files(files, None))

    def put(self, name, identity):
        self.put_certificate(name, identity)
        self.put_key(name, identity)
        return identity.certificate

    def put_certificate(self, name, identity):
        self._replace(f"{name}.pem", identity.pem)
        return identity.certificate

    def put_key(self, name, identity):
        self._replace(f"{name}.key", identity.key_pem())

    def _replace(self, name, content):
        """Put a file in its place at once, as clients of authorities do."""
        (self.folder / "new").write_bytes(content)
        (self.folder / "new").rename(self.folder / name)

    def look(self, times=1):
        for _ in range(times):
            self.clock.advance(LOOK_SECONDS)

    @property
    def shown(self):
        return [each.loaded.identity.certificate for each in self.tls]


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.close()


def test_renewed(world):
    """A pair that changes is shown when it has stayed the same for two looks; the other is left alone."""
    main, before = world.shown
    world.renewal.start()
    world.look(3)
    after = world.put("a", signed())
    world.look()
    assert world.shown == [main, before]
    world.look()
    assert world.shown == [main, after]
    world.look(3)
    assert world.log == ["info the certificate for a.org *.a.org was read anew"]


def test_half_a_pair(world):
    """A certificate whose key comes a look later is no reason to complain."""
    main, _ = world.shown
    world.renewal.start()
    new = signed()
    world.put_certificate("a", new)
    world.look()
    world.put_key("a", new)
    world.look(2)
    assert world.shown == [main, new.certificate]
    assert len(world.log) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda world: world.put_certificate("a", signed()),
            "the key in {folder}/a.key is not that of the first certificate in {folder}/a.pem",
        ),
        (lambda world: (world.folder / "a.key").unlink(), "cannot read {folder}/a.key: No such file"),
        (
            lambda world: (world.folder / "a.pem").write_bytes(b"x"),
            "{folder}/a.pem holds no certificate in PEM form",
        ),
        (lambda world: world.put("a", signed(-1)), "the certificate in {folder}/a.pem expired on "),
        (
            lambda world: world.put("a", signed(since=1)),
            "the certificate in {folder}/a.pem is not valid before",
        ),
    ],
    ids=["mismatched", "gone", "damaged", "expired", "too early"],
)
def test_broken(world, change, reason):
    """What cannot be used leaves what was there; the log says why, once. What is mended is shown."""
    before = world.shown
    world.renewal.start()
    change(world)
    world.look(9)
    assert world.shown == before
    (said,) = world.log
    expected = f"error the certificate for a.org *.a.org stays what it was: {reason}"
    assert said.startswith(expected.format(folder=world.folder))
    after = world.put("a", signed())
    world.look(2)
    assert world.shown[1] == after
    assert len(world.log) == 2


def test_both_expired(world):
    """A certificate that has expired gives way to a newer one that has, too."""
    world.put("a", signed(-3))
    world.renewal.start()
    old = world.shown[1]
    world.clock.advance(100 * DAY)
    world.log.clear()
    after = world.put("a", signed(-1))
    world.look(2)
    assert world.shown[1] == after != old


def test_changed_before_the_start(world):
    """A worker that is forked later begins with what the files hold then."""
    after = world.put("a", signed())
    world.renewal.start()
    assert world.shown[1] == after


def test_hidden(world, monkeypatch):
    """A user who may not look at the files is told so, once, and nothing is read."""

    def stat(file):
        raise PermissionError(13, "Permission denied", str(file))

    before = world.shown
    monkeypatch.setattr(certificates, "os", SimpleNamespace(stat=stat))
    world.renewal.start()
    world.look(5)
    assert world.shown == before
    assert [line.partition(" of the ")[0] for line in world.log] == [
        "info this user may not look at the files"
    ] * 2


def test_ending(world):
    """A certificate that ends within its last quarter is named once a day, by one worker."""
    world.renewal.start()
    world.clock.advance(39 * DAY)
    assert world.log == []
    world.clock.advance(15 * DAY)
    world.clock.advance(DAY)
    world.speaks = False
    world.clock.advance(DAY)
    world.speaks = True
    world.clock.advance(DAY)
    world.look(5)
    said = [line.partition(" UTC")[2] for line in world.log]
    assert said == [", in 5 days", ", in 4 days", ", in 2 days"]
    assert all(line.startswith("warn the certificate for a.org *.a.org expires on ") for line in world.log)
    world.log.clear()
    world.clock.advance(4 * DAY)
    assert world.log[-1].startswith("warn the certificate for a.org *.a.org expired on ")
