"""Which targets of routes are apps, which folders, and what is said of others."""

import pytest

from instances import make_instance
from skitai.errors import ConfigError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "static").mkdir()
    (tmp_path / "pkg").mkdir()
    for name in ("wsgi.py", "static.py", "pkg/__init__.py", "pkg/sub.py"):
        (tmp_path / name).write_text("")
    return tmp_path


def understood(loop, folder, *lines, tail=""):
    """Return the right sides of the routes as they are understood, without the folder's name."""
    (folder / "site.conf").write_text("\n".join(["[routes:line]", *lines, tail]))
    instance = make_instance(loop.reactor, folder / "site.conf")
    shown = [instance.describe_mount(mount) for host in instance.config.hosts for mount in host.mounts]
    return [right.replace(f"{folder}/", "") for right in shown], instance


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("static", "static max_age=300  ; static files"),
        ("./static max_age=1h", "static max_age=3600  ; static files"),
        ("static:app", "static:app  ; app"),
        ("wsgi:application", "wsgi:application  ; app"),
        ("wsgi", "wsgi  ; app"),
        ("wsgi:site.app", "wsgi:site.app  ; app"),
        ("wsgi threads=8", "wsgi threads=8  ; app"),
        ("wsgi threads=0", "wsgi threads=0  ; app"),
        ("pkg:", "pkg  ; app"),
        ("pkg", "pkg  ; app"),
        ("./pkg", "pkg  ; app"),
        ("{folder}/pkg", "pkg  ; app"),
        ("pkg/", "pkg max_age=300  ; static files"),
        ("pkg/.", "pkg max_age=300  ; static files"),
        ("pkg:make( )", "pkg:make()  ; app"),
        ('pkg:site.make("a/b:c",d=1)', "\"pkg:site.make('a/b:c', d=1)\"  ; app"),
        ("pkg.sub:app", "pkg.sub:app  ; app"),
        ("pkg/__init__:app", "pkg:app  ; app"),
        ("./pkg/__init__", "pkg  ; app"),
        ("{folder}/pkg/__init__:make()", "pkg:make()  ; app"),
        ("pkg.__init__:app", "pkg:app  ; app"),
        ("{folder}/static", "static max_age=300  ; static files"),
        ("{folder}/wsgi:app", "wsgi:app  ; app"),
    ],
)
def test_kinds(reactor_thread, folder, target, expected):
    """A folder is static, also beside a module of that name, if it is no package; all else is an app."""
    shown, _ = understood(reactor_thread, folder, f"/x = {target.format(folder=folder)}")
    assert shown == [expected]


def test_folder_and_app_at_one_point(reactor_thread, folder):
    """An app and a folder may share a mount point."""
    shown, _ = understood(reactor_thread, folder, "/ = static", "/ = wsgi")
    assert shown == ["static max_age=300  ; static files", "wsgi  ; app"]


SERVER = (
    "'{0}' is the address of a server, and another server is a cluster: "
    "write / = @NAME here, and members = {0}{1} in [@NAME]"
)


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("none", "there is neither the folder none nor the app none.py: correct the path or create it"),
        ("no:app", "there is neither no.py nor no/__init__.py: correct the path or create it"),
        ("pkg.no:app", "there is neither pkg/no.py nor pkg/no/__init__.py: correct the path or create it"),
        (
            "pkg.sub.application",
            "there is neither the folder pkg.sub.application nor the app pkg/sub/application.py: "
            "did you mean pkg.sub:application?",
        ),
        ("wsgi.py", "there is neither the folder wsgi.py nor the app wsgi/py.py: leave out .py"),
        ("wsgi.py:app", "there is neither wsgi/py.py nor wsgi/py/__init__.py: leave out .py"),
        ("wsgi:a.", "'a.' cannot name a callable: write path/module:callable"),
        ("wsgi:1", "'1' cannot name a callable: write path/module:callable"),
        ("127.0.0.1:9001", SERVER.format("127.0.0.1:9001", "")),
        ("http://127.0.0.1:9001", SERVER.format("127.0.0.1:9001", "")),
        ("https://user:secret@a.example:9/x", SERVER.format("a.example:9", " and ssl = yes")),
        ("http://a.example/", SERVER.format("a.example", "")),
        ("[::1]:9001", SERVER.format("[::1]:9001", "")),
        ("localhost:9001/", SERVER.format("localhost:9001", "")),
        (".wsgi:app", "'.wsgi:app' names no module: write path/module:callable"),
        (":app", "':app' names no module: write path/module:callable"),
        ("no/", "there is no folder no: correct the path or create it"),
        ("a" * 300, f"there is neither the folder {'a' * 300} nor the app {'a' * 300}.py: correct the path"),
        ("static max_age=x", "option max_age: must be a number of seconds"),
        (
            "wsgi max_age=1",
            "unknown option max_age: known are client_cert, queue_max, queue_timeout, threads",
        ),
        ("wsgi threads=-1", "option threads: must be a whole number from 0 to 10000, not '-1'"),
        ("wsgi threads=", "option threads: must be a whole number from 0 to 10000, not ''"),
        ("static threads=1", "unknown option threads: did you mean headers?"),
    ],
)
def test_bad_targets(reactor_thread, folder, target, problem):
    """A target that is not there is refused with what was looked for."""
    with pytest.raises(ConfigError) as caught:
        understood(reactor_thread, folder, f"/ = {target}")
    line = str(caught.value).replace(f"{folder}/", "")
    assert line.startswith(f"site.conf:2: [routes:line] /: {problem}")
    assert len(line.splitlines()) == 1
