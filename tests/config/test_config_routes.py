import pytest

from skitai.config import AppMount, ProxyMount, StaticMount, VirtualHost


def points(config):
    return {
        host.names: [(type(mount).__name__, mount.point) for mount in host.mounts] for host in config.hosts
    }


def test_kinds_of_mounts(site):
    """A folder is static, path/module:callable is an app, @name is a cluster; relative to the file."""
    config = site.load(
        "[@up]\nmembers = host:80\n[routes:line]\n/ = static\n/ = wsgi:application\n/a/ = wsgi\n"
        "/b = pkg.sub:app\n/c = pkg:\n/up = @up\n"
    )

    folder = site.folder
    assert config.hosts == (
        VirtualHost(
            ("default",),
            (
                StaticMount("", folder / "static"),
                AppMount("", folder, "wsgi", "application"),
                AppMount("/a", folder, "wsgi", "app"),
                AppMount("/b", folder, "pkg.sub", "app"),
                AppMount("/c", folder, "pkg", "app"),
                ProxyMount("/up", "up"),
            ),
        ),
    )
    assert [mount.line for mount in config.hosts[0].mounts] == [4, 5, 6, 7, 8, 9]


def test_absolute_target(site):
    """An absolute target is taken as it is."""
    (host,) = site.routes(f"/ = {site.folder}/static", f"/app = {site.folder}/wsgi:app").hosts

    assert host.mounts == (StaticMount("", site.folder / "static"), AppMount("/app", site.folder, "wsgi"))


def test_file_of_an_app(site):
    """An app's file is the module's, or the package's where there is no such module."""
    (host,) = site.routes("/a = wsgi", "/b = pkg:app", "/c = pkg.sub:app").hosts

    assert [str(mount.file.relative_to(site.folder)) for mount in host.mounts] == [
        "wsgi.py",
        "pkg/__init__.py",
        "pkg/sub.py",
    ]


def test_folder_wins_over_module_without_callable(site):
    """A target without a callable that is a folder is static, even beside a module of that name."""
    (site.folder / "static.py").write_text("")

    (host,) = site.routes("/ = static", "/ = static:app").hosts

    assert [type(mount) for mount in host.mounts] == [StaticMount, AppMount]


def test_proxy_mount_warns(site):
    """A proxied cluster is accepted with a warning that names its line."""
    config = site.load("[routes:line]\n: a b\n/up = @up\n[@up]\nmembers = host:80")

    assert config.warnings == (
        f"{site.file}:3: [routes:line] /up: this version does not serve @up yet: it answers 503",
    )


def test_virtual_hosts(site):
    """Routes belong to the heading above them, the first ones to the default host."""
    config = site.routes(
        "/ = static",
        ": www.Example.com example.com",
        "/ = wsgi:app",
        "@ .example.com *.example.org",
        "/x = static",
        ": [::1]",
        "/y = static",
    )

    assert points(config) == {
        ("default",): [("StaticMount", "")],
        ("www.example.com", "example.com"): [("AppMount", "")],
        (".example.com", ".example.org"): [("StaticMount", "/x")],
        ("[::1]",): [("StaticMount", "/y")],
    }


def test_same_host_under_two_headings(site):
    """A name under two headings has the mounts of both; other names keep theirs."""
    config = site.routes(": a b", "/ = static", ": b", "/ = wsgi", ": default", "/ = other")

    assert points(config) == {
        ("a",): [("StaticMount", "")],
        ("b",): [("StaticMount", ""), ("AppMount", "")],
        ("default",): [("AppMount", "")],
    }


def test_repeated_name_in_one_heading(site):
    """A name that stands twice in one heading is one name."""
    assert points(site.routes(": a A", "/ = static")) == {("a",): [("StaticMount", "")]}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            ("/x = wsgi", "/x/ = other"),
            "3: [routes:line] /x: contradicts line 2, the same mount point of host default",
        ),
        (
            (": a", "/ = static", ": b a", "/ = pkg"),
            "5: [routes:line] /: contradicts line 3, the same mount point of host a",
        ),
    ],
)
def test_contradicting_routes(site, lines, expected):
    """Two mounts of one kind on one point of one host are refused with both lines."""
    assert site.routes_error(*lines) == f"site.conf:{expected}: keep one of the two"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("/ static", "expected 'mount = target' or ': host'"),
        (":", "the heading names no host: write ': default' or ': HOST HOST'"),
        (": a,b", "'a,b' is not a host name: write host, .domain or default, with spaces between"),
        (": a:80", "'a:80' is not a host name: write host, .domain or default, with spaces between"),
        (": *", "'*' is not a host name: write host, .domain or default, with spaces between"),
    ],
)
def test_bad_lines(site, line, problem):
    """A line that is neither route nor heading is refused with its number."""
    assert site.routes_error(line) == f"site.conf:2: [routes:line]: {problem}"


@pytest.mark.parametrize(
    ("point", "problem"),
    [
        ("x", "a mount point starts with /"),
        ("", "a mount point starts with /"),
        ("//", "a mount point has no //, . or .. in it"),
        ("/a//b", "a mount point has no //, . or .. in it"),
        ("/a/../b", "a mount point has no //, . or .. in it"),
        ("/a?b", "a mount point is a plain path, without ?"),
        ("/a%20b", "a mount point is a plain path, without %"),
        ("/a#b", "a mount point is a plain path, without #"),
    ],
)
def test_bad_mount_points(site, point, problem):
    """A mount point that no request path can begin with is refused."""
    assert site.routes_error(f"{point} = static").endswith(f": {problem}")


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("", "needs a target: a folder, path/module:callable or @cluster"),
        (
            "nothing",
            "there is neither the folder nothing nor the app nothing.py: correct the path or create it",
        ),
        ("no:app", "there is neither no.py nor no/__init__.py: correct the path or create it"),
        ("pkg.no:app", "there is neither pkg/no.py nor pkg/no/__init__.py: correct the path or create it"),
        ("wsgi.py", "there is neither the folder wsgi.py nor the app wsgi/py.py: leave out .py"),
        ("wsgi.py:app", "there is neither wsgi/py.py nor wsgi/py/__init__.py: leave out .py"),
        ("wsgi:1", "'1' cannot name a callable: write path/module:callable"),
        (".wsgi:app", "'.wsgi:app' names no module: write path/module:callable"),
        (":app", "':app' names no module: write path/module:callable"),
        ("no/", "'no/' names no module: write path/module:callable"),
        ("a" * 300, f"there is neither the folder {'a' * 300} nor the app {'a' * 300}.py: correct the path"),
        ("@up", "there is no section [@up]: none is known here"),
    ],
)
def test_bad_targets(site, target, problem):
    """A target that is not there is refused with what was looked for."""
    assert site.routes_error(f"/ = {target}").startswith(f"site.conf:2: [routes:line] /: {problem}")


def test_bad_clusters(site):
    """A route to a cluster needs one of that name, of a type that speaks HTTP."""
    text = "[@mysearch]\ntype = sqlite3\nmembers = a.db\n[routes:line]\n/ = @"

    assert (
        site.error(text + "mysaerch")
        == "site.conf:5: [routes:line] /: there is no section [@mysaerch]: did you mean mysearch?"
    )
    assert site.error(text + "mysearch").endswith(
        "@mysearch has type sqlite3: only a cluster of type http can be mounted"
    )
