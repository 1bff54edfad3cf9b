import pytest

from skitai.config import ClusterConfig, MemberConfig


def cluster_of(site, *lines):
    return site.load("\n".join(("[@c]", *lines))).clusters["c"]


def members_of(site, members):
    return [(member.address, member.weight) for member in cluster_of(site, f"members = {members}").members]


def test_readme_clusters(site):
    """The README's clusters load, with its spelling of postgresql."""
    config = site.load(
        "[@mysearch]\nssl = yes\nmembers = s1.example.com:443, s2.example.com:443\n"
        "[@mydb]\ntype = postresql\nmembers = s1.example.com:5432/mydb/user/passwd\n"
        "[@mysqlite3]\ntype = sqlite3\nmembers = /tmp/sqlite1.db, /tmp/sqlite2.db\n"
    )

    assert dict(config.clusters) == {
        "mysearch": ClusterConfig(
            "mysearch",
            "http",
            (MemberConfig("s1.example.com:443"), MemberConfig("s2.example.com:443")),
            {"ssl": "yes"},
        ),
        "mydb": ClusterConfig("mydb", "postgresql", (MemberConfig("s1.example.com:5432/mydb/user/passwd"),)),
        "mysqlite3": ClusterConfig(
            "mysqlite3", "sqlite3", (MemberConfig("/tmp/sqlite1.db"), MemberConfig("/tmp/sqlite2.db"))
        ),
    }


@pytest.mark.parametrize(
    ("written", "meant"),
    [("pgsql", "postgresql"), ("Postgres", "postgresql"), ("sqlite", "sqlite3"), ("http", "http")],
)
def test_names_of_types(site, written, meant):
    """Types have the names that people give them."""
    assert cluster_of(site, f"type = {written}\nmembers = a").type == meant


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ("a:1 3, b:2", [("a:1", 3), ("b:2", 1)]),
        ("h/db/u/p/a/ss 2", [("h/db/u/p/a/ss", 2)]),
        ("/tmp/my file.db", [("/tmp/my file.db", 1)]),
        ("10", [("10", 1)]),
    ],
)
def test_members(site, members, expected):
    """Only commas part members, and only a number that stands alone at the end is a weight."""
    assert members_of(site, members) == expected


@pytest.mark.parametrize(
    ("written", "kind"), [("pgsql", "postgresql"), ("PostgreSQL", "postgresql"), ("x", "x")]
)
def test_types(site, written, kind):
    """A type has its usual spellings; unknown ones are left to plugins."""
    assert kind == cluster_of(site, f"type = {written}", "members = a").type


def test_options(site):
    """Other keys are the service's, as text; ssl is brought into one spelling."""
    assert cluster_of(site, "ssl = NO", "pool_max = 7", "members = a").options == {
        "ssl": "no",
        "pool_max": "7",
    }


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", "1: [@c]: needs at least one member: write members = ADDRESS, ADDRESS"),
        (
            "member = a",
            "1: [@c]: needs at least one member: write members = ADDRESS, ADDRESS (member is not members)",
        ),
        ("members =", "2: [@c] members: needs at least one address"),
        (
            "members = a,",
            "2: [@c] members: has no address before or after a comma (the list must be on one line)",
        ),
        ("members = a 0", "2: [@c] members: weight of a: must be a whole number of at least 1, not '0'"),
        ("members = a -1", "2: [@c] members: weight of a: must be a whole number of at least 1, not '-1'"),
        ("members = a 1.5", "2: [@c] members: weight of a: must be a whole number of at least 1, not '1.5'"),
        ("type = a b\nmembers = a", "2: [@c] type: 'a b' is not a type such as http or postgresql"),
        ("members = a\nssl = 1", "3: [@c] ssl: must be yes or no, not '1'"),
    ],
)
def test_bad_clusters(site, lines, expected):
    """A cluster that cannot be used is refused with line, key and the fix."""
    assert site.error(f"[@c]\n{lines}") == f"site.conf:{expected}"


@pytest.mark.parametrize("name", ["", "a/b", "a?b", "a b"])
def test_bad_names(site, name):
    """A cluster's name must be one that a target can name."""
    expected = f"site.conf:1: [@{name}]: a cluster's name has only letters, digits and _ . -"

    assert site.error(f"[@{name}]\nmembers = a") == expected


def test_passwords_are_not_printed(site):
    """Neither the representation nor an error of a cluster tells its passwords."""
    config = site.load("[@c]\npassword = hunter1\nmembers = h/db/u/hunter2 3, http://u:hunter3@h")

    assert "hunter" not in repr(config)
    assert "hunter" not in site.error("[@c]\nmembers = h/db/u/hunter2 0")
