import pytest

from skitai.config import Key, Mount, VirtualHost, integer, path, yes_no
from skitai.errors import ConfigError


def points(config):
    return {host.names: [(mount.target, mount.point) for mount in host.mounts] for host in config.hosts}


def mount_of(site, line):
    """Return the mount of a file with one route."""
    ((mount,),) = (host.mounts for host in site.routes(line).hosts)
    return mount


def test_mounts(site):
    """A route has a point without the slash at its end, and its target as it is written."""
    config = site.routes("/ = ./static", "/a/ = wsgi:app  ; a comment", "/up = @up")

    mounts = (Mount("", "./static"), Mount("/a", "wsgi:app"), Mount("/up", "@up"))
    assert config.hosts == (VirtualHost(("default",), mounts),)
    assert [mount.line for mount in config.hosts[0].mounts] == [2, 3, 4]
    assert config.hosts[0].mounts[0].folder == site.folder


@pytest.mark.parametrize(
    ("written", "target", "options"),
    [
        ("@up strip=no", "@up", {"strip": "no"}),
        ("./shop:app  threads=8   name=x=y", "./shop:app", {"threads": "8", "name": "x=y"}),
        ('a note="two words" empty= more=1', "a", {"note": "two words", "empty": "", "more": "1"}),
        ('a note=""', "a", {"note": ""}),
        ("./my files", "./my files", {}),
        ("./my files a=1", "./my files", {"a": "1"}),
        ('"./my a=1 files" b=2', "./my a=1 files", {"b": "2"}),
        ('"a = b"', "a = b", {}),
        ("a=b", "a=b", {}),
        ("./x a=1 ; b=2", "./x", {"a": "1"}),
    ],
)
def test_options(site, written, target, options):
    """Options follow the target as key=value; what has spaces stands in double quotes."""
    mount = mount_of(site, f"/x = {written}")

    assert (mount.target, mount.options) == (target, options)


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("", "needs a target, such as a folder, path/module:callable or @cluster"),
        ('""', "needs a target, such as a folder, path/module:callable or @cluster"),
        ("@up strip = no", "has a space before =: write key=value, and a target with ' =' in double quotes"),
        ('"./a', 'a target that begins with " must end with "; options follow after a space'),
        ('"./a"b', 'a target that begins with " must end with "; options follow after a space'),
        ("@up a=1 b", "'b' is not an option: write key=value, or key=\"value\" for a value with spaces"),
        (
            '@up key="secret',
            "'key' is not an option: write key=value, or key=\"value\" for a value with spaces",
        ),
        ("@up a=1 a=2", "option a is given twice: keep one of the two"),
    ],
)
def test_bad_right_sides(site, target, problem):
    """What is neither a target nor an option is refused, without the values of options."""
    assert site.routes_error(f"/ = {target}") == f"site.conf:2: [routes:line] /: {problem}"


KEYS = {"size": Key(integer(1), 5), "strip": Key(yes_no, True), "file": Key(path, None)}


def test_typed_options(site):
    """Options are read with casters, as sections are: defaults filled in, paths relative to the file."""
    mount = mount_of(site, "/ = x size=7 file=a/b")

    assert mount.read_options(KEYS) == {"size": 7, "strip": True, "file": site.folder / "a/b"}


@pytest.mark.parametrize(
    ("option", "keys", "problem"),
    [
        ("sise=3", KEYS, "unknown option sise: did you mean size?"),
        ("threads=3", KEYS, "unknown option threads: known are file, size, strip"),
        ("threads=3", {}, "unknown option threads: this target takes none"),
        ("size=0", KEYS, "option size: must be a whole number of at least 1, not '0'"),
        ("strip=maybe", KEYS, "option strip: must be yes or no, not 'maybe'"),
    ],
)
def test_bad_options(site, option, keys, problem):
    """An option that is unknown or has a wrong value is refused with the line and the mount point."""
    mount = mount_of(site, f"/x = y {option}")

    with pytest.raises(ConfigError) as caught:
        mount.read_options(keys)

    assert site.shorten(caught.value) == f"site.conf:2: [routes:line] /x: {problem}"


def test_virtual_hosts(site):
    """Routes belong to the heading above them, the first ones to the default host."""
    config = site.routes(
        "/ = static",
        ": www.Example.com example.com",
        "/ = wsgi:app",
        "@ .example.com *.example.org *.Bücher.example",
        "/x = static",
        ": [::1]",
        "/y = static",
    )

    assert points(config) == {
        ("default",): [("static", "")],
        ("www.example.com", "example.com"): [("wsgi:app", "")],
        (".example.com", ".example.org", ".xn--bcher-kva.example"): [("static", "/x")],
        ("[::1]",): [("static", "/y")],
    }


def test_same_host_under_two_headings(site):
    """A name under two headings has the mounts of both; other names keep theirs."""
    config = site.routes(": a b", "/ = static", ": b", "/ = wsgi", ": default", "/ = other")

    assert points(config) == {
        ("a",): [("static", "")],
        ("b",): [("static", ""), ("wsgi", "")],
        ("default",): [("other", "")],
    }


def test_repeated_name_in_one_heading(site):
    """A name that stands twice in one heading is one name."""
    assert points(site.routes(": a A", "/ = static")) == {("a",): [("static", "")]}


@pytest.mark.parametrize(
    ("lines", "number"), [([": a", ": b", "/ = static"], 2), ([": b", "/ = static", ": a"], 4)]
)
def test_heading_without_a_route(site, lines, number):
    """A host whose heading has no route below it would not be served: that is told."""
    hint = "write one, or put all names into one heading"
    problem = f"site.conf:{number}: [routes:line]: no route stands below ': a': {hint}"
    assert site.routes_error(*lines) == problem


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("/ static", "expected 'mount = target' or ': host'"),
        (":", "the heading names no host: write ': default' or ': HOST HOST'"),
        (": a,b", "'a,b' is not a host name: write host, .domain or default, with spaces between"),
        (": a:80", "'a:80' is not a host name: write host, .domain or default, with spaces between"),
        (": ü..b", "'ü..b' is not a host name: write host, .domain or default, with spaces between"),
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
