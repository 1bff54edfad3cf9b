"""The spool: who writes, who claims, what is set aside, who may read it."""

import errno
import fcntl
import os
import stat
import subprocess
import sys
import threading
import time

import pytest
from dying import DEFERRED, ENVELOPE, MESSAGE, REFUSED, SENT

from processes import environment
from skitai.mail.envelope import Envelope, new_id
from skitai.mail.spool import Spool, mail_folder

NOBODY = 65534


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "var" / "mail")


@pytest.fixture
def quick(monkeypatch):
    """Nothing is synced: for many mails."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
    monkeypatch.setattr(os, "posix_fadvise", lambda *_arguments: None)


def mail(number, **changes):
    return Envelope(f"mail-{number}", "ann@a.example", ("bob@b.example",), 1000.0 + number, **changes)


def run(code, *arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(), **options,
    )  # fmt: skip


# -- writing ---------------------------------------------------------------------------------------------


def test_a_mail(spool):
    """What is written is there, under its id."""
    spool.write(ENVELOPE, MESSAGE)
    assert spool.ids() == ["mail-1"]
    with spool.claim("mail-1") as claim:
        assert claim.id == "mail-1"
        assert claim.envelope == ENVELOPE
        assert claim.message() == MESSAGE
        assert claim.tries == 0
        assert claim.next_at is None
        assert claim.pending == ENVELOPE.recipients
    assert (spool.incoming / "mail-1.eml").read_bytes() == MESSAGE
    assert os.listdir(spool.folder / "tmp") == []


def test_an_empty_spool(spool):
    """Who only looks makes no folders."""
    assert spool.ids() == []
    assert spool.entries() == []
    assert spool.undelivered() == []
    assert spool.claim("mail-1") is None
    assert spool.purge(0) == 0
    assert spool.clean(0) == 0
    assert not spool.drop("mail-1", "spool")
    assert not spool.folder.exists()


@pytest.mark.parametrize("umask", [0, 0o022, 0o777])
def test_for_the_owner_alone(spool, umask):
    """Passwords and mail are nobody else's business, whatever the umask is."""
    spool.folder.parent.mkdir()
    before = os.umask(umask)
    try:
        spool.write(ENVELOPE, MESSAGE)
        with spool.claim("mail-1") as claim:
            claim.record([REFUSED], None)
            claim.give_up("no")
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (spool.folder, *spool.folder.rglob("*"))}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert len(modes) == 9


def test_an_id_that_is_there(spool):
    """A mail is never overwritten."""
    spool.write(ENVELOPE, MESSAGE)
    with pytest.raises(FileExistsError, match="there is a mail with this id"):
        spool.write(ENVELOPE, b"other")
    with spool.claim("mail-1") as claim:
        assert claim.message() == MESSAGE


def test_what_a_crash_left_under_an_id(spool):
    """A bounce has the same id again: files without an envelope are in nobody's way."""
    spool.make_folders()
    for left in (spool.incoming / "mail-1.eml", spool.folder / "tmp" / "mail-1.json"):
        left.write_text("half of it")
    spool.write(ENVELOPE, MESSAGE)
    with spool.claim("mail-1") as claim:
        assert claim.envelope == ENVELOPE
        assert claim.message() == MESSAGE
    assert os.listdir(spool.folder / "tmp") == []


def test_the_order_of_syncs(spool, monkeypatch):
    """Both files are durable before the envelope has its name, and the names before the app goes on."""
    spool.make_folders()
    steps = []
    sync, rename = os.fsync, os.rename

    def synced(descriptor):
        steps.append(os.path.relpath(os.readlink(f"/proc/self/fd/{descriptor}"), spool.folder))
        sync(descriptor)

    def renamed(source, target):
        steps.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    spool.write(ENVELOPE, MESSAGE)
    assert steps == ["spool/mail-1.eml", "tmp/mail-1.json", "rename", "spool"]


@pytest.mark.parametrize("name", ["spool/mail-1.eml", "tmp/mail-1.json", "spool"])
def test_a_sync_that_fails(spool, monkeypatch, name):
    """The error names the file or the folder that could not be synced, and nothing is left of the mail."""
    spool.make_folders()
    sync = os.fsync

    def synced(descriptor):
        if os.readlink(f"/proc/self/fd/{descriptor}") == str(spool.folder / name):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    with pytest.raises(OSError, match="Input/output error") as caught:
        spool.write(ENVELOPE, MESSAGE)
    assert caught.value.filename == str(spool.folder / name)
    assert [path for path in spool.folder.rglob("*") if path.is_file()] == []


def test_the_folder_is_a_file(spool):
    """An error names what is in the way."""
    spool.folder.parent.mkdir()
    spool.folder.write_text("")
    with pytest.raises(OSError, match=str(spool.folder)):
        spool.write(ENVELOPE, MESSAGE)


def test_the_place(tmp_path):
    """The folder in the folder of the configuration."""
    assert mail_folder(tmp_path) == tmp_path / "daemons" / "smtpda" / "mail"


# -- who claims ------------------------------------------------------------------------------------------


def test_a_claim_is_for_one(spool):
    """Nobody else gets a mail, also not in the same process, until it is released."""
    spool.write(ENVELOPE, MESSAGE)
    with spool.claim("mail-1") as claim:
        assert spool.claim("mail-1") is None
        assert Spool(spool.folder).claim("mail-1") is None
        assert not spool.drop("mail-1", "spool")
        assert not spool.retry("mail-1", "spool")
        claim.release()
        with spool.claim("mail-1") as other:
            assert other.pending == ENVELOPE.recipients
    assert spool.claim("mail-2") is None


def test_a_claim_ends_with_its_process(spool):
    """A crash lets go: no lock file has to be removed."""
    spool.write(ENVELOPE, MESSAGE)
    code = (
        "import sys; from pathlib import Path; from skitai.mail.spool import Spool\n"
        "claim = Spool(Path(sys.argv[1])).claim('mail-1'); print(claim.id, flush=True); sys.stdin.read()"
    )
    with run(code, spool.folder) as process:
        assert process.stdout.readline() == "mail-1\n"
        assert spool.claim("mail-1") is None
        process.kill()
    with spool.claim("mail-1") as claim:
        assert claim.pending == ENVELOPE.recipients


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_mail_that_goes_before_it_is_locked(spool, monkeypatch, is_replaced):
    """Who locks a file that is not the mail any more has claimed nothing."""
    spool.write(ENVELOPE, MESSAGE)
    real = fcntl.flock

    def flock(descriptor, operation):
        (spool.incoming / "mail-1.json").unlink()
        if is_replaced:
            (spool.incoming / "mail-1.json").write_bytes(ENVELOPE.to_json())
        real(descriptor, operation)

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", flock)
        assert spool.claim("mail-1") is None
    assert spool.ids_in("bad") == []


CLAIM_ALL = """
import sys
from pathlib import Path
from skitai.mail.spool import Spool
spool = Spool(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
while ids := spool.ids():
    for mail_id in ids:
        claim = spool.claim(mail_id)
        if claim is not None:
            print(claim.id)
            claim.done()
"""


def test_two_agents(spool, quick):
    """Two processes share a thousand mails: each is claimed once."""
    for number in range(1000):
        spool.write(mail(number), MESSAGE)
    agents = [run(CLAIM_ALL, spool.folder) for _ in range(2)]
    for agent in agents:
        agent.stdout.readline()
    for agent in agents:
        agent.stdin.write("go\n")
        agent.stdin.flush()
    claimed = [agent.communicate(timeout=60)[0].split() for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0]
    assert sorted(sum(claimed, [])) == sorted(f"mail-{number}" for number in range(1000))
    assert os.listdir(spool.incoming) == []
    assert spool.ids_in("bad") == []


def test_many_set_aside_the_same(spool, quick):
    """What cannot be read is set aside once, and whole, whoever comes first."""
    for number in range(50):
        spool.write(mail(number), MESSAGE)
        (spool.incoming / f"mail-{number}.json").unlink()
        (spool.incoming / f"mail-{number}.json").symlink_to("nowhere")  # cannot be opened, so not locked
    problems = []

    def claim_all():
        try:
            assert {spool.claim(mail_id) for mail_id in spool.ids()} <= {None}
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=claim_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(spool.ids_in("bad")) == 50
    assert os.listdir(spool.incoming) == []
    assert len(os.listdir(spool.folder / "bad")) == 150


# -- what became of it -----------------------------------------------------------------------------------


def test_outcomes(spool):
    """Each recipient has a fate of its own, which the next who claims the mail knows."""
    spool.write(ENVELOPE, MESSAGE)
    with spool.claim("mail-1") as claim:
        claim.record([SENT, DEFERRED], 2000.0)
        assert claim.pending == ("cat@c.example",)
    with spool.claim("mail-1") as claim:
        assert (claim.tries, claim.next_at, claim.pending) == (1, 2000.0, ("cat@c.example",))
        claim.record([DEFERRED], 3000.0)
        claim.record([REFUSED], None)
        assert (claim.tries, claim.next_at, claim.pending) == (3, None, ())
        assert claim.outcomes == {"bob@b.example": SENT, "cat@c.example": REFUSED}
        claim.give_up("cat@c.example: 550 no cats")
    assert spool.ids() == []
    assert spool.claim("mail-1") is None
    assert (spool.folder / "undeliver" / "mail-1.reason").read_text() == "cat@c.example: 550 no cats\n"


def test_a_long_torn_line(spool):
    """What a crash left is overwritten, and nothing of it remains behind a shorter line."""
    spool.write(ENVELOPE, MESSAGE)
    with spool.claim("mail-1") as claim:
        claim.record([SENT], 2000.0)
    with open(spool.incoming / "mail-1.state", "ab") as state:
        state.write(b'{"address": "' + b"x" * 5000)
    with spool.claim("mail-1") as claim:
        claim.record([], 3000.0)
    assert b"xxx" not in (spool.incoming / "mail-1.state").read_bytes()
    with spool.claim("mail-1") as claim:
        assert (claim.tries, claim.next_at, claim.pending) == (2, 3000.0, ("cat@c.example",))


def test_done(spool):
    """Nothing is left of a mail that was sent, also where nothing was recorded."""
    for number in (1, 2):
        spool.write(mail(number), MESSAGE)
    with spool.claim("mail-1") as claim:
        claim.record([SENT], None)
        claim.done()
    with spool.claim("mail-2") as claim:
        claim.done()
        claim.done()
    assert os.listdir(spool.incoming) == []


def test_set_aside_by_the_agent(spool):
    """The agent may find that a mail is unfit."""
    spool.write(ENVELOPE, MESSAGE)
    with spool.claim("mail-1") as claim:
        claim.set_aside("no such thing")
    assert [entry.reason for entry in spool.entries_in("bad")] == ["no such thing"]


# -- what cannot be read ---------------------------------------------------------------------------------


def spoil_directory(path):
    path.unlink()
    path.mkdir()


def spoil_pipe(path):
    path.unlink()
    os.mkfifo(path)


def spoil_link(path):
    path.rename(path.with_suffix(".other"))
    path.symlink_to(path.with_suffix(".other"))


SPOILERS = {
    "empty": lambda path: path.write_bytes(b""),
    "a directory": spoil_directory,
    "a pipe": spoil_pipe,
    "a link": spoil_link,
}


@pytest.mark.parametrize("how", SPOILERS)
@pytest.mark.parametrize("suffix", ["json", "eml"])
def test_unfit_files(spool, suffix, how):
    """A mail that cannot be read blocks nobody: it is set aside, with the reason."""
    for number in range(3):
        spool.write(mail(number), MESSAGE)
    SPOILERS[how](spool.incoming / f"mail-1.{suffix}")
    claims = [spool.claim(mail_id) for mail_id in spool.ids()]
    assert [claim and claim.id for claim in claims] == ["mail-0", None, "mail-2"]
    for claim in (claims[0], claims[2]):
        claim.release()
    assert spool.ids() == ["mail-0", "mail-2"]
    assert spool.ids_in("bad") == ["mail-1"]
    assert (spool.folder / "bad" / "mail-1.reason").read_text().strip()
    assert spool.entries_in("bad")[0].reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda folder: (folder / "mail-1.eml").unlink(), "No such file"),
        (lambda folder: (folder / "mail-1.json").write_text("{"), "the envelope is not JSON"),
        (lambda folder: (folder / "mail-1.json").write_bytes(mail(2).to_json()), "that of the mail mail-2"),
        (lambda folder: (folder / "mail-1.state").write_text("{}\n"), "line 1 of the state is malformed"),
        (lambda folder: (folder / "mail-1.eml").write_text(""), "the message is empty"),
    ],
)
def test_unfit_mails(spool, change, reason):
    """The reason says what is wrong."""
    spool.write(ENVELOPE, MESSAGE)
    change(spool.incoming)
    assert spool.claim("mail-1") is None
    assert spool.ids() == []
    assert reason in (spool.folder / "bad" / "mail-1.reason").read_text()
    with pytest.raises(ValueError, match=reason):
        spool.claim("mail-1", "bad")
    assert spool.ids_in("bad") == ["mail-1"]


def test_trouble_of_all_mails(spool, monkeypatch):
    """Where there are too many open files, no mail is at fault."""
    spool.write(ENVELOPE, MESSAGE)

    def refuse(*_arguments, **_options):
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(OSError, match="Too many open files"):
            spool.claim("mail-1")
    assert spool.ids() == ["mail-1"]


# -- whose it is -----------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
class TestUsers:
    @pytest.mark.parametrize(
        "call", ["ids()", "write(envelope, b'x')", "claim('mail-1')", "entries()", "make_folders()"]
    )
    def test_a_spool_of_another(self, open_folder, call):
        """The error says whose it is."""
        spool = Spool(open_folder(f"of-root-{call[:5]}") / "mail")
        spool.write(ENVELOPE, MESSAGE)
        os.seteuid(NOBODY)
        try:
            with pytest.raises(PermissionError, match="belongs to root, not to nobody: run as"):
                eval(f"spool.{call}", {"spool": spool, "envelope": mail(2)})
        finally:
            os.seteuid(0)
        assert spool.ids() == ["mail-1"]

    def test_a_folder_that_root_made(self, open_folder):
        """The folder is named that has to be given away."""
        folder = open_folder("daemons-of-root")
        os.seteuid(NOBODY)
        try:
            with pytest.raises(PermissionError, match=f"belongs to root.*{folder}"):
                Spool(folder / "mail").write(ENVELOPE, MESSAGE)
        finally:
            os.seteuid(0)

    def test_root_as_a_guest(self, open_folder):
        """What root writes into a spool of somebody else belongs to that, who can send it."""
        folder = open_folder("of-nobody")
        os.chown(folder, NOBODY, NOBODY)
        spool = Spool(folder / "mail")
        spool.write(ENVELOPE, MESSAGE)
        with spool.claim("mail-1") as claim:
            claim.record([DEFERRED], 5.0)
        assert {path.stat().st_uid for path in spool.folder.rglob("*")} == {NOBODY}
        os.seteuid(NOBODY)
        try:
            with spool.claim("mail-1") as claim:
                claim.give_up("no")
        finally:
            os.seteuid(0)
        assert spool.ids_in("undeliver") == ["mail-1"]


# -- what stands in it -----------------------------------------------------------------------------------


def test_entries(spool):
    """What is known of each mail, oldest first, without a claim; with a claim, too."""
    spool.write(mail(2, subject="Second"), MESSAGE)
    spool.write(ENVELOPE, MESSAGE)
    with spool.claim("mail-1") as claim:
        claim.record([SENT, DEFERRED], 2000.0)
        first, second = spool.entries()
    assert (first.id, first.place, first.created, first.sender) == (
        "mail-1",
        "spool",
        1000.0,
        "ann@a.example",
    )
    assert (first.recipients, first.pending) == (ENVELOPE.recipients, ("cat@c.example",))
    assert (first.tries, first.next_at, first.last, first.reason) == (1, 2000.0, DEFERRED, "")
    assert (second.subject, second.tries, second.next_at, second.last) == ("Second", 0, None, None)


def test_entries_that_cannot_be_read(spool):
    """They are named, with what is wrong, and left where they are."""
    spool.write(mail(1), MESSAGE)
    spool.write(mail(2), MESSAGE)
    (spool.incoming / "mail-1.json").write_text("[]")
    first, second = spool.entries()
    assert (first.id, first.envelope, first.recipients, first.subject) == ("mail-1", None, (), "")
    assert "not an envelope" in first.reason
    assert second.envelope == mail(2)
    assert spool.ids() == ["mail-1", "mail-2"]


def test_other_files(spool):
    """What is no mail is no matter."""
    spool.make_folders()
    for name in ("README", "x.json~", "mail-9.eml", "mail-9.state"):
        (spool.incoming / name).write_text("x")
    assert spool.ids() == []
    assert spool.clean(0) == 2
    assert sorted(os.listdir(spool.incoming)) == ["README", "x.json~"]


def test_thousands(spool, quick):
    """Ten times the mails take ten times as long, not a hundred times."""

    def seconds_for(count):
        for _ in range(count):
            now = time.time()
            spool.write(Envelope(new_id(now), "ann@a.example", ("bob@b.example",), now), b"x")
        start = time.process_time()
        assert len(spool.entries()) == count
        for mail_id in spool.ids():
            spool.claim(mail_id).done()
        return time.process_time() - start

    few = min(seconds_for(100) for _ in range(3))
    assert seconds_for(1000) < 30 * few


# -- time and people -------------------------------------------------------------------------------------


def test_purge(spool):
    """Undelivered mails go when they are old; others stay."""
    for number in (1, 2, 3):
        spool.write(mail(number), MESSAGE)
    for number in (1, 2):
        with spool.claim(f"mail-{number}") as claim:
            claim.give_up("no")
    reason = spool.folder / "undeliver" / "mail-1.reason"
    os.utime(reason, (time.time() - 1000, time.time() - 1000))
    with spool.claim("mail-1", "undeliver"):
        assert spool.purge(500) == 0  # somebody has it
    assert spool.purge(500) == 1
    assert [entry.id for entry in spool.undelivered()] == ["mail-2"]
    assert spool.ids() == ["mail-3"]
    assert sorted(os.listdir(spool.folder / "undeliver")) == [
        "mail-2.eml", "mail-2.json", "mail-2.reason"
    ]  # fmt: skip


def test_clean_leaves_what_is_young(spool):
    """A file without an envelope may be of a mail that is just being written."""
    spool.make_folders()
    for path in (spool.folder / "tmp" / "mail-1.json", spool.incoming / "mail-2.eml"):
        path.write_text("x")
    assert spool.clean(3600) == 0
    assert spool.clean(0) == 2


def test_retry(spool):
    """A mail that waits is due now; its tries count on."""
    spool.write(ENVELOPE, MESSAGE)
    with spool.claim("mail-1") as claim:
        claim.record([SENT, DEFERRED], 2e9)
    assert spool.retry("mail-1", "spool")
    with spool.claim("mail-1") as claim:
        assert (claim.next_at, claim.tries, claim.pending) == (None, 1, ("cat@c.example",))


def test_retry_after_giving_up(spool):
    """The mail comes back, as new to who was refused; who has got it does not get it again."""
    spool.write(ENVELOPE, MESSAGE)
    with spool.claim("mail-1") as claim:
        claim.record([SENT, REFUSED], None)
        claim.give_up("no cats")
    assert spool.retry("mail-1", "undeliver")
    assert os.listdir(spool.folder / "undeliver") == []
    assert spool.entries()[0].reason == ""
    with spool.claim("mail-1") as claim:
        assert (claim.next_at, claim.tries, claim.pending) == (None, 0, ("cat@c.example",))
        claim.record([REFUSED], None)
        claim.give_up("again")
    assert spool.undelivered()[0].reason == "again"
    assert not spool.retry("mail-1", "spool")


def test_retry_of_a_mended_mail(spool):
    """What a person has mended comes back; what is still unfit does not, and says why."""
    spool.write(ENVELOPE, MESSAGE)
    (spool.incoming / "mail-1.json").write_text("{")
    assert spool.claim("mail-1") is None
    with pytest.raises(ValueError, match="not JSON"):
        spool.retry("mail-1", "bad")
    (spool.folder / "bad" / "mail-1.json").write_bytes(ENVELOPE.to_json())
    assert spool.retry("mail-1", "bad")
    assert os.listdir(spool.folder / "bad") == []
    with spool.claim("mail-1") as claim:
        assert claim.message() == MESSAGE


@pytest.mark.parametrize("place", ["spool", "undeliver", "bad"])
def test_drop(spool, place):
    """A mail goes for good, wherever it is."""
    spool.write(ENVELOPE, MESSAGE)
    with spool.claim("mail-1") as claim:
        claim.record([REFUSED], 5.0)
        if place == "undeliver":
            claim.give_up("no")
        elif place == "bad":
            claim.set_aside("no")
    assert spool.drop("mail-1", place)
    assert [path for path in spool.folder.rglob("*") if path.is_file()] == []


def test_drop_of_what_is_no_file(spool):
    """A person can remove what nobody can lock."""
    spool.write(ENVELOPE, MESSAGE)
    spoil_pipe(spool.incoming / "mail-1.json")
    assert spool.claim("mail-1") is None
    assert spool.drop("mail-1", "bad")
    assert os.listdir(spool.folder / "bad") == []
