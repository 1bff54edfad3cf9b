"""Uploaded files: safe names, saving without losing or overwriting anything, and none left behind."""

import errno
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processes import TwistServer, environment, run_python
from serving import eventually
from skitai.saddle.incoming.uploads import TemporaryFiles, UploadedFile, safe_name
from wire import Client


@pytest.fixture
def upload(tmp_path):
    """Return ``upload(data, name)``: an upload whose temporary file lies in a folder of its own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    made = []

    temporary = TemporaryFiles()

    def make(data=b"data", name="a.txt"):
        path = folder / f"saddle-{len(made)}"
        path.write_bytes(data)
        path.chmod(0o600)
        made.append(UploadedFile(str(path), name, len(data), "text/plain", temporary))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def into(tmp_path):
    """The folder to save in."""
    folder = tmp_path / "saved"
    folder.mkdir()
    return folder


@pytest.fixture
def other_file_system(monkeypatch):
    """Let temporary files be on another file system."""
    replace = os.replace

    def across(source, target):
        if "temporary" in str(source):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        replace(source, target)

    monkeypatch.setattr("os.replace", across)


@pytest.mark.parametrize(
    ("posted", "safe"),
    [
        ("plain.txt", "plain.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\photo.jpg", "photo.jpg"),
        (".htaccess", "htaccess"),
        ("...", "unnamed"),
        ("", "unnamed"),
        ("a/", "unnamed"),
        ("a\x00b\r\n.txt", "ab.txt"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("a.txt. ", "a.txt"),
        ('a<b>:"|?*.txt', "ab.txt"),
        ("Müller é.txt", "Müller é.txt"),
        ("\ud800.txt", "txt"),
    ],
)
def test_safe_names(posted, safe):
    """Posted names lose folders, hidden marks and what cannot be seen."""
    assert safe_name(posted) == safe


@settings(deadline=None)
@given(st.text())
def test_any_name_is_safe(posted):
    """Whatever was posted, the name stays in its folder, is visible, fits, and is safe already."""
    name = safe_name(posted)
    assert name
    assert not name.startswith(".")
    assert "/" not in name
    assert "\\" not in name
    assert "\0" not in name
    assert len(name.encode()) <= 200
    assert safe_name(name) == name


def test_long_name_keeps_its_extension():
    """A name that is too long is cut before its extension, between characters."""
    name = safe_name("é" * 200 + ".jpeg")
    assert name == "é" * 97 + ".jpeg"


def test_read_goes_on(upload):
    """Reading takes pieces, then the rest, then nothing."""
    file = upload(b"abcdef")
    assert (file.read(2), file.read(), file.read()) == (b"ab", b"cdef", b"")


def test_save_moves_the_file(upload, into):
    """The saved file has the posted name and a new file's permissions; the temporary one is gone."""
    file = upload(b"data", "a.txt")
    temporary = file.file
    (into / "plain").write_bytes(b"")
    path = file.save(into)
    assert path == file.file == str(into / "a.txt")
    assert (into / "a.txt").read_bytes() == b"data"
    assert (into / "a.txt").stat().st_mode == (into / "plain").stat().st_mode
    assert not os.path.exists(temporary)
    assert sorted(os.listdir(into)) == ["a.txt", "plain"]


def test_saved_file_stays(upload, into):
    """Closing or removing the upload leaves the saved file alone."""
    file = upload()
    file.save(into)
    file.close()
    file.remove()
    assert os.listdir(into) == ["a.txt"]


def test_unique_names(upload, into):
    """The default finds a free name, numbered before the extension."""
    names = [os.path.basename(upload(b"%d" % n).save(into)) for n in range(3)]
    assert names == ["a.txt", "a.1.txt", "a.2.txt"]
    assert [(into / name).read_bytes() for name in names] == [b"0", b"1", b"2"]


def test_overwrite(upload, into):
    """``dup="o"`` replaces what was there."""
    upload(b"old").save(into)
    upload(b"new").save(into, dup="o")
    assert (into / "a.txt").read_bytes() == b"new"
    assert os.listdir(into) == ["a.txt"]


def test_overwrite_does_not_follow_a_link(upload, into, tmp_path):
    """A symbolic link in the folder is replaced, what it points to is not written."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"kept")
    (into / "a.txt").symlink_to(outside)
    upload().save(into, dup="o")
    assert outside.read_bytes() == b"kept"
    assert not (into / "a.txt").is_symlink()


@pytest.mark.parametrize("dup", ["u", "o"])
def test_save_across_file_systems(upload, into, other_file_system, dup):
    """A temporary file on another file system is copied, and nothing else stays behind."""
    file = upload(b"far")
    temporary = file.file
    file.save(into, dup=dup)
    assert (into / "a.txt").read_bytes() == b"far"
    assert os.listdir(into) == ["a.txt"]
    assert not os.path.exists(temporary)


def test_name_given_to_save_is_made_safe(upload, into):
    """A name with a path stays in the folder."""
    assert upload().save(into, name="../../x.txt") == str(into / "x.txt")


def test_mkdir(upload, into):
    """A missing folder is an error that names it, unless it is to be made."""
    file = upload()
    with pytest.raises(FileNotFoundError, match=r"mkdir=True.*deep/er"):
        file.save(into / "deep" / "er")
    file.save(into / "deep" / "er", mkdir=True)
    assert (into / "deep" / "er" / "a.txt").read_bytes() == b"data"


def test_unknown_dup(upload, into):
    """Another ``dup`` is a ValueError that shows the choices."""
    with pytest.raises(ValueError, match=r"dup is 'x'; use 'u' .* or 'o'"):
        upload().save(into, dup="x")


def test_second_save(upload, into):
    """A file is saved once; the error tells where it is."""
    file = upload()
    file.save(into)
    with pytest.raises(ValueError, match=r"already saved as .*a\.txt"):
        file.save(into)


@pytest.mark.parametrize("dup", ["u", "o"])
def test_failed_save_loses_nothing(upload, into, dup, monkeypatch):
    """When the folder cannot take the file, the upload is still whole and the folder as it was."""
    file = upload(b"whole")

    def fail(source, target):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr("os.replace", fail)
        with pytest.raises(OSError, match="Input/output error"):
            file.save(into, dup=dup)
    assert os.listdir(into) == []
    assert file.read() == b"whole"
    file.save(into, dup=dup)
    assert os.listdir(into) == ["a.txt"]


def test_removed_upload(upload):
    """Removing deletes the temporary file; reading afterwards is an OSError."""
    file = upload()
    file.read(1)
    file.remove()
    assert not os.path.exists(file.file)
    with pytest.raises(OSError, match="No such file"):
        file.read()


APP = """
import threading
from skitai.saddle import Saddle

app = Saddle(__name__)
begun = threading.Event()

@app.route("/")
def hang(was, file):
    with open("seen", "w") as seen:
        seen.write(file.file)
    begun.set()
    threading.Event().wait()
"""
FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\ndata\r\n--b--\r\n'
REQUEST = (
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(FORM), FORM)
)
SCRIPT = """
import io, threading, hanging

def ask():
    hanging.app.test_client().post("/", data={"file": (io.BytesIO(b"data"), "x")})

threading.Thread(target=ask, daemon=True).start()
hanging.begun.wait()
"""


@pytest.fixture
def hanging(tmp_path):
    """The folder of an app with a view that never comes to its end, and of its temporary files."""
    (tmp_path / "hanging.py").write_text(APP)
    (tmp_path / "temporary").mkdir()
    return tmp_path


def was_upload_of(folder):
    """Return whether the view got its file, in the folder that is looked at."""
    seen = folder / "seen"
    return seen.exists() and seen.read_text().startswith(str(folder / "temporary" / "saddle-"))


def test_server_that_ends_leaves_no_file(hanging):
    """An upload whose view is still at it when the server ends is deleted."""
    (hanging / "site.conf").write_text(
        "[server]\nip = 127.0.0.1\nport = 0\nthreads = 4\nresponse_timeout = 0.1\n"
        "[routes:line]\n/ = ./hanging:app\n"
    )
    folder = hanging / "temporary"
    server = TwistServer(hanging, "--config", "site.conf", env=environment(TMPDIR=str(folder)))
    try:
        with Client(server.port) as client:
            client.send(REQUEST)
            eventually(lambda: was_upload_of(hanging), "the view has its file")
            assert len(os.listdir(folder)) == 1
            server.stop()
    finally:
        server.stop()
    assert os.listdir(folder) == []


def test_process_that_ends_leaves_no_file(hanging):
    """So it is under any other server that lets its process end in order."""
    folder = hanging / "temporary"
    run_python("-c", SCRIPT, cwd=hanging, env=environment(hanging, TMPDIR=str(folder)))
    assert was_upload_of(hanging)
    assert os.listdir(folder) == []
