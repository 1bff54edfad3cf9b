"""Passwords and TLS, with a server that wants both."""

import os
from urllib.parse import quote

import psycopg
import pytest
from pg_world import World

from certificates import Identity
from databases import Postgres
from serving import eventually
from skitai.net.connector import Connector

PASSWORD = r"p/w: @\%é"
WRONG = "password authentication failed"
NO_PASSWORD = "no password supplied"
#: Who knows the password may enter; one database wants a certificate, too.
RULES = """
local all all scram-sha-256
hostssl template1 all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca
hostssl all all 127.0.0.1/32 scram-sha-256
"""


@pytest.fixture(scope="module")
def authority():
    return Identity(authority=True)


@pytest.fixture(scope="module")
def server(open_folder, authority):
    """A server for ``localhost`` with a certificate, which takes no connection without TLS and a password."""
    folder = open_folder("guarded")
    identity = Identity("localhost", issuer=authority)
    files = {"cert": identity.pem, "key": identity.key_pem(), "ca": authority.pem, "rules": RULES.encode()}
    for name, content in files.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
        if os.getuid() == 0:  # the server runs as nobody then
            os.chown(folder / name, 65534, 65534)
    settings = {"ssl_cert_file": "cert", "ssl_key_file": "key", "ssl_ca_file": "ca", "hba_file": "rules"}
    settings = {name: folder / file for name, file in settings.items()}
    server = Postgres(folder, password=PASSWORD, ssl="on", **settings)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def resolved(reactor_thread):
    """A reactor that has all its threads, which it keeps, and has resolved a name.

    It would start another one for a name that is asked for before a thread is back from the name before.
    """
    pool = reactor_thread.reactor.getThreadPool()
    reactor_thread.call(pool.adjustPoolsize, pool.max)
    reactor_thread.call(Connector(reactor_thread.reactor).resolve, "localhost")


@pytest.fixture
def world(reactor_thread, resolved):
    world = World(reactor_thread)
    yield world
    world.close()


@pytest.fixture
def ca(tmp_path, authority):
    """The file with the authority."""
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.pem)
    return path


def ask(db, *args):
    """Return the words of a result, or its value."""
    s = db(*args)
    s.execute("select 1")
    result = s.getwait(10)
    assert PASSWORD not in repr(result) + result.msg
    return result.scalar() if result.status == 3 else result.msg


def url(server, host="localhost", database="postgres", password=PASSWORD, **options):
    login = "tester" if password is None else f"tester:{quote(password, safe='')}"
    query = "&".join(f"{name}={quote(str(value))}" for name, value in options.items())
    return f"postgresql://{login}@{host}:{server.port}/{database}?{query}"


class TestPasswords:
    def test_given(self, server, world):
        """A password is an argument or a part of the URL."""
        assert ask(world.db, f"localhost:{server.port}", "postgres", "tester", PASSWORD) == 1
        assert ask(world.db, url(server)) == 1
        assert ask(world.db, f"{server.folder}:{server.port}", "postgres", "tester", PASSWORD) == 1

    def test_wrong(self, server, world):
        """With a wrong one each call says so at once, and nothing is left."""
        for _ in range(2):
            assert WRONG in ask(world.db, url(server, "127.0.0.1", password="secret"))
        assert world.pool()["connections"] == 0
        assert NO_PASSWORD in ask(world.db, url(server, password=None))

    def test_environment(self, server, world, monkeypatch):
        """Without one, libpq takes that of PGPASSWORD."""
        monkeypatch.setenv("PGPASSWORD", PASSWORD)
        assert ask(world.db, url(server, password=None)) == 1

    @pytest.mark.parametrize("way", ["environment", "option"])
    def test_file(self, server, world, tmp_path, monkeypatch, way):
        """Without one, libpq looks it up in a file, by the name of the host, if others cannot read that."""
        path = tmp_path / "passwords"
        written = PASSWORD.replace("\\", r"\\").replace(":", r"\:")
        path.write_text(f"127.0.0.1:*:*:*:wrong\nlocalhost:{server.port}:*:tester:{written}\n")
        path.chmod(0o600)
        options = {"passfile": path} if way == "option" else {}
        if way == "environment":
            monkeypatch.setenv("PGPASSFILE", str(path))
        assert ask(world.db, url(server, password=None, **options)) == 1
        path.chmod(0o644)
        assert NO_PASSWORD in ask(world.db, url(server, password=None, application_name="again", **options))


class TestTLS:
    def test_verified(self, server, world, ca):
        """With verify-full the certificate is that of the host, though its address is found by us."""
        options = {"sslmode": "verify-full", "sslrootcert": ca}
        assert ask(world.db, url(server, **options)) == 1
        assert "does not match host name" in ask(world.db, url(server, "127.0.0.1", **options))

    def test_of_another_authority(self, server, world, tmp_path):
        """A certificate of an authority that is not known is refused."""
        (tmp_path / "other.pem").write_bytes(Identity(authority=True).pem)
        options = {"sslmode": "verify-ca", "sslrootcert": tmp_path / "other.pem"}
        assert "certificate verify failed" in ask(world.db, url(server, **options))

    def test_missing_file(self, server, world, tmp_path):
        """A file that is missing is named."""
        options = {"sslmode": "verify-full", "sslrootcert": tmp_path / "none.pem"}
        assert f'"{tmp_path}/none.pem" does not exist' in ask(world.db, url(server, **options))

    def test_none(self, server, world):
        """Without TLS the server refuses, in its own words."""
        assert "no encryption" in ask(world.db, url(server, sslmode="disable"))

    def test_client_certificate(self, server, world, ca, tmp_path, authority):
        """The server may want a certificate of ours."""
        identity = Identity("client", issuer=authority)
        (tmp_path / "cert.pem").write_bytes(identity.pem)
        (tmp_path / "key.pem").write_bytes(identity.key_pem())
        (tmp_path / "key.pem").chmod(0o600)
        options = {"sslcert": tmp_path / "cert.pem", "sslkey": tmp_path / "key.pem"}
        assert ask(world.db, url(server, database="template1", **options)) == 1
        assert "client certificate" in ask(world.db, url(server, database="template1"))

    def test_cancelled(self, server, world):
        """A statement is cancelled over TLS, too."""
        s = world.db(url(server, sslmode="require"))
        s.execute("select pg_sleep(30)")
        assert s.getwait(0.5).status == 1
        eventually(lambda: world.pool()["idle"] == 1, "the connection is idle")
        with psycopg.connect(url(server), autocommit=True) as connection:
            running = (
                "select count(*) from pg_stat_activity where query like '%sleep(30)' and state = 'active'"
            )
            assert connection.execute(running).fetchone() == (0,)
