"""The addresses of PostgreSQL databases."""

import traceback
from pathlib import Path

import pytest

from skitai.config.clusters import masked_address
from skitai.services.postgresql.node import OptionError, PGNode, node_of, node_of_member


class TestArguments:
    @pytest.mark.parametrize(
        ("server", "host", "port"),
        [
            ("127.0.0.1:5433", "127.0.0.1", 5433),
            ("DB.example.com", "db.example.com", 5432),
            ("[::1]", "::1", 5432),
            ("[::1]:5433", "::1", 5433),
            ("/var/run/postgresql", "/var/run/postgresql", 5432),
            ("/var/run/postgresql:5433", "/var/run/postgresql", 5433),
        ],
    )
    def test_servers(self, server, host, port):
        """A server is a host, an address or the folder of a Unix socket, with a port or without."""
        node = node_of(server, "d", "u", "p/w")
        assert node == PGNode(host, port, "d", "u", "p/w")
        assert node.is_socket == server.startswith("/")

    @pytest.mark.parametrize("server", ["", "a b", "h:0", "h:x", "/run:x", "u:secret@h", "http://h", "a/b"])
    def test_wrong_servers(self, server):
        """Anything else is refused, and no message repeats a password."""
        with pytest.raises(ValueError) as raised:  # noqa: PT011 - several messages
            node_of(server, None, None, None)
        assert "secret" not in str(raised.value)

    def test_a_member(self):
        """What stands in a config is no server, and its password is not repeated."""
        with pytest.raises(
            ValueError, match="dbname, user and password are arguments of their own"
        ) as raised:
            node_of("h:5432/d/u/secret", None, None, None)
        assert "secret" not in str(raised.value)

    @pytest.mark.parametrize(
        "arguments", [("h", "d\0", "u", "p"), ("h", "d", "\0u", "p"), ("h", "d", "u", "p\0w")]
    )
    def test_nul(self, arguments):
        """A name with a NUL character is a mistake of the caller, and no failed connection."""
        with pytest.raises(ValueError, match="has a NUL character"):
            node_of(*arguments)
        with pytest.raises(ValueError, match="dbname has a NUL character"):
            node_of("postgresql://h/a%00b", None, None, None)

    @pytest.mark.parametrize("url", ["mysql://u:secret@h/d", "postgresql+psycopg2://u:secret@h/d"])
    def test_other_schemes(self, url):
        """The URL of something else is named by its scheme, in the config as well."""
        for refused in (lambda: node_of(url, None, None, None), lambda: node_of_member(url, {})):
            with pytest.raises(ValueError, match=r":// is not known: .* begins with postgresql://") as raised:
                refused()
            assert "secret" not in str(raised.value)

    def test_files(self):
        """Who forgets to say that a file is SQLite's is told so."""
        with pytest.raises(ValueError, match=r"write was\.db\('shop.db', DB_SQLITE3\)"):
            node_of("shop.db", None, None, None)
        assert node_of("shop.db", "d", None, None).host == "shop.db"

    def test_label(self):
        """A node is named without its password, and its repr has none."""
        node = node_of("[::1]", "d", "u", "secret")
        assert node.label == "u@[::1]:5432/d"
        assert "secret" not in repr(node)
        assert node_of("h", None, None, None).label == "h:5432"


class TestURLs:
    @pytest.mark.parametrize(
        ("url", "node"),
        [
            ("postgresql://u:p%2Fw%40@h:1/d", PGNode("h", 1, "d", "u", "p/w@")),
            ("postgres://h/d%20e", PGNode("h", 5432, "d e")),
            ("postgresql:///d?host=/run/pg&port=7&user=u&password=p", PGNode("/run/pg", 7, "d", "u", "p")),
            ("postgresql://%2Frun%2Fpg:7/d", PGNode("/run/pg", 7, "d")),
            ("postgresql://u@[::1]/", PGNode("::1", 5432, None, "u")),
            ("postgresql://:7/d", PGNode("localhost", 7, "d")),
            ("postgresql://", PGNode("localhost")),
        ],
    )
    def test_places(self, url, node):
        """A URL of libpq's form has the host, the database and the user."""
        assert node_of(url, None, None, None) == node

    def test_options(self):
        """The options of libpq are passed on; relative files are in the folder of the config."""
        url = "postgresql://h/d?sslmode=verify-full&sslrootcert=ca.pem&application_name=a%20b"
        node = node_of(url, None, None, None, Path("/etc/site"))
        assert node.parameters() == {
            "host": "h", "port": "5432", "dbname": "d", "client_encoding": "UTF8", "sslmode": "verify-full",
            "sslrootcert": "/etc/site/ca.pem", "application_name": "a b", "keepalives_idle": "60",
            "keepalives_interval": "10", "keepalives_count": "3",
        }  # fmt: skip

    def test_options_of_others(self):
        """Options of libpq come before ours, and JDBC's way to ask for TLS is known."""
        node = node_of("postgresql://h/d?ssl=true&keepalives_idle=5", None, None, None)
        assert node.options == (("keepalives_idle", "5"), ("sslmode", "require"))
        assert node.parameters()["keepalives_idle"] == "5"
        assert "keepalives_idle" not in node_of("/run/pg", "d", None, None).parameters()

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("postgresql://h/d?sslmod=require", "sslmod: unknown option in the URL: did you mean sslmode?"),
            ("postgresql://h/d?sslmode=on", "sslmode: 'on' is not one of disable, allow"),
            ("postgresql://h/d?connect_timeout=soon", "connect_timeout: 'soon' is not a whole number"),
            ("postgresql://h,i/d", "several hosts"),
            ("postgresql://h/d?a", "malformed"),
            ("postgresql://[::1/d", "malformed"),
            ("postgresql://u:p@h:70000/d", "70000"),
            ("postgresql://h:70000/d", "malformed"),
        ],
    )
    def test_wrong_urls(self, url, message):
        """A wrong URL is refused with what is wrong."""
        with pytest.raises(ValueError, match=message.replace("?", r"\?").replace("[", r"\[")):
            node_of(url, None, None, None)

    @pytest.mark.parametrize("password", ["secret/x", "secret#x", "secret?x", "secret[", "secret\u2100"])
    def test_unencoded_passwords(self, password):
        """A URL whose password breaks it is refused, and nothing of the password is told."""
        with pytest.raises(ValueError, match="%2F") as raised:
            node_of(f"postgresql://u:{password}@h/d", None, None, None)
        assert "secret" not in "".join(traceback.format_exception(raised.value)[2:])

    def test_url_and_arguments(self):
        """A URL leaves no place for other arguments."""
        with pytest.raises(ValueError, match="a URL has the database"):
            node_of("postgresql://h/d", "d", None, None)


class TestMembers:
    @pytest.mark.parametrize(
        ("address", "node"),
        [
            ("h:1/d/u/p", PGNode("h", 1, "d", "u", "p")),
            ("h/d/u/p/w//x", PGNode("h", 5432, "d", "u", "p/w//x")),
            ("h/d", PGNode("h", 5432, "d")),
            ("h", PGNode("h")),
            ("postgresql://u:p@h/d", PGNode("h", 5432, "d", "u", "p")),
        ],
    )
    def test_addresses(self, address, node):
        """A member is the README's form or a URL; the password may hold slashes."""
        assert node_of_member(address, {}) == node

    def test_options(self):
        """The keys of the cluster are options of each member, and those of a URL come first."""
        options = {"sslmode": "require", "passfile": "pgpass", "read_only": "yes"}
        node = node_of_member("h/d/u", options, Path("/etc/site"))
        assert node.read_only
        assert node.options == (("passfile", "/etc/site/pgpass"), ("sslmode", "require"))
        assert node.parameters()["options"] == "-c default_transaction_read_only=on"
        node = node_of_member("postgresql://h/d?sslmode=disable&options=-c%20x%3D1", options)
        assert dict(node.options)["sslmode"] == "disable"
        assert node.parameters()["options"] == "-c x=1 -c default_transaction_read_only=on"

    @pytest.mark.parametrize("address", ["h/d/u:secret", "h:1/d/u:secret", "h:1:d:u:secret"])
    def test_colons(self, address):
        """A password after a colon is neither taken for a part of the user, nor told."""
        with pytest.raises(ValueError, match="there are slashes") as raised:
            node_of_member(address, {})
        assert "secret" not in str(raised.value)

    @pytest.mark.parametrize("options", [{"read_only": "maybe"}, {"sslmode": "on"}, {"password": "p"}])
    @pytest.mark.parametrize("address", ["h/d/u/p", "postgresql://h/d?sslmode=require"])
    def test_wrong_options(self, options, address):
        """A wrong key is named."""
        with pytest.raises(OptionError) as raised:
            node_of_member(address, options)
        assert raised.value.key == next(iter(options))


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("h/d/u/p/w", "h/d/u/****"),
        ("postgresql://u:p@h/d", "postgresql://u:****@h/d"),
        ("postgresql://u:p/w@x@h/d", "postgresql://u:****@h/d"),
        ("postgresql://h/d?password=secret&user=u", "postgresql://h/d?password=****&user=u"),
        ("postgresql://h/d?sslpassword=secret", "postgresql://h/d?sslpassword=****"),
        ("u:p@h:80", "u:****@h:80"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("/tmp/a.db", "/tmp/a.db"),
        ("h:80", "h:80"),
    ],
)
def test_masked(address, masked):
    """No password of a member is shown, even one that should have been encoded."""
    assert masked_address(address) == masked
