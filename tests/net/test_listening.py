"""The sockets that the server listens on."""

import os
import socket
import stat

import pytest
from twisted.internet import endpoints
from twisted.internet.protocol import Factory, Protocol
from twisted.python.systemd import ListenFDs

from serving import eventually
from skitai.net.endpoints import PortEndpoint, UnixEndpoint
from skitai.net.listening import listen, take_inherited, url_of
from skitai.net.sockets import ListenError
from wire import PATIENCE


class Greeter(Protocol):
    """Says hello to whoever connects, and hangs up."""

    words = b"hello"

    def connectionMade(self):
        self.transport.write(self.words)
        self.transport.loseConnection()


class Secret(Greeter):
    """Stands for what speaks TLS."""

    words = b"secret"


class Greeters:
    """Listens, in the reactor of ``loop``; ``factory`` shows what is left of it."""

    def __init__(self, loop):
        self.loop = loop
        self.factory = Factory.forProtocol(Greeter)
        self.factory.noisy = False
        self.tls_factory = Factory.forProtocol(Secret)
        self.tls_factory.noisy = False
        self.ports = []

    def listen(self, ip="127.0.0.1", port=0, unix_socket=None, inherited=()):
        """Return the addresses that listen."""
        endpoints = [PortEndpoint(ip, port)]
        if unix_socket is not None:
            endpoints.append(UnixEndpoint(unix_socket))
        return self.listen_on(*endpoints, inherited=inherited)

    def listen_on(self, *endpoints, inherited=()):
        """Return the addresses that listen."""
        found = self.loop.call(
            listen, self.loop.reactor, endpoints, self.factory, self.tls_factory, inherited
        )
        self.ports += [listening.port for listening in found]
        self.tls = [listening.opened.tls for listening in found]
        return [port.getHost() for port in self.ports]

    def error(self, *endpoints, **addresses):
        """Return key and message of the error, after which nothing listens."""
        with pytest.raises(ListenError) as caught:
            self.listen_on(*endpoints) if endpoints else self.listen(**addresses)
        eventually(lambda: self.factory.numPorts == 0, "the end of all ports")
        return caught.value.key, str(caught.value)

    def stop(self):
        while self.ports:
            self.loop.call(self.ports.pop().stopListening)


@pytest.fixture
def greeters(reactor_thread):
    greeters = Greeters(reactor_thread)
    yield greeters
    greeters.stop()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "socket"


def hear(address):
    """Return what the server at a port or path says."""
    family = socket.AF_INET if isinstance(address, int) else socket.AF_UNIX
    with socket.socket(family) as client:
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", address) if isinstance(address, int) else str(address))
        return client.makefile("rb").read()


def listening_socket(family=socket.AF_INET, address=("127.0.0.1", 0)):
    opened = socket.socket(family)
    opened.bind(address)
    opened.listen()
    return opened


class TestTCP:
    """A port."""

    def test_free_port(self, greeters):
        """Port 0 is any free one, on the address that was named."""
        (host,) = greeters.listen()
        assert host.host == "127.0.0.1"
        assert hear(host.port) == b"hello"

    def test_in_use(self, greeters):
        """A port that somebody listens on is named, with what to do."""
        with listening_socket() as other:
            port = other.getsockname()[1]
            assert greeters.error(port=port) == (
                "port",
                f"127.0.0.1:{port} is in use: end the program that listens there or choose another port",
            )

    def test_foreign_address(self, greeters):
        """An address of another machine is the fault of ip, not of port."""
        key, message = greeters.error(ip="192.0.2.1")
        assert key == "ip"
        assert message.startswith("192.0.2.1:0 is not an address of this machine")


class TestUnix:
    """A Unix socket beside the port."""

    def test_beside_the_port(self, greeters, path):
        """Both answer; every local user may use the socket; its file goes when it is closed."""
        port, unix = greeters.listen(unix_socket=path)
        assert hear(port.port) == hear(path) == b"hello"
        assert url_of(unix, secure=False) == f"unix:{path}"
        assert url_of(unix, secure=True) == f"unix:{path} (TLS)"
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        greeters.stop()
        assert not path.exists()

    def test_left_by_a_crash(self, greeters, path):
        """A socket that nobody listens on is replaced."""
        listening_socket(socket.AF_UNIX, str(path)).close()
        greeters.listen(unix_socket=path)
        assert hear(path) == b"hello"

    def test_in_use(self, greeters, path):
        """A socket that somebody listens on stays as it is, even while he accepts nobody."""
        with socket.socket(socket.AF_UNIX) as other, socket.socket(socket.AF_UNIX) as client:
            other.bind(str(path))
            other.listen(0)
            client.connect(str(path))  # the backlog is full now
            assert greeters.error(unix_socket=path) == (
                "unix_socket",
                f"cannot listen on {path}: another program listens there",
            )
            assert path.is_socket()

    @pytest.mark.parametrize("kind", ["file", "folder", "link"])
    def test_other_file(self, greeters, path, kind):
        """A file of any other kind is never deleted, nor what a link leads to."""
        if kind == "folder":
            path.mkdir()
        elif kind == "link":
            path.symlink_to("target")
            listening_socket(socket.AF_UNIX, str(path.parent / "target")).close()
        else:
            path.write_text("precious")
        assert greeters.error(unix_socket=path) == (
            "unix_socket",
            f"cannot listen on {path}: there is a file that is no socket",
        )
        assert os.path.lexists(path)

    def test_missing_folder(self, greeters, path):
        """A folder that does not exist is an error."""
        key, message = greeters.error(unix_socket=path / "socket")
        assert (key, message) == ("unix_socket", f"cannot listen on {path}/socket: No such file or directory")

    def test_long_path(self, greeters, path):
        """A path too long for a socket is an error, too."""
        key, message = greeters.error(unix_socket=path.with_name("x" * 120))
        assert (key, message.endswith("AF_UNIX path too long")) == ("unix_socket", True)

    def test_replaced_while_listening(self, greeters, path):
        """At the end the socket of a newer server stays, and one that is gone already is no problem."""
        greeters.listen(unix_socket=path)
        path.unlink()
        with listening_socket(socket.AF_UNIX, str(path)):
            greeters.stop()
            assert path.is_socket()
        greeters.listen(unix_socket=path)
        path.unlink()
        greeters.stop()


class TestSeveral:
    """Several addresses."""

    def test_each_has_its_factory(self, greeters, path):
        """Ports and Unix sockets, with TLS and without, listen side by side in the order of the list."""
        hosts = greeters.listen_on(
            PortEndpoint("127.0.0.1", 0),
            UnixEndpoint(path, tls=True),
            PortEndpoint("::1", 0, tls=True),
            UnixEndpoint(path.with_name("plain")),
        )
        assert greeters.tls == [False, True, True, False]
        assert hear(hosts[0].port) == hear(path.with_name("plain")) == b"hello"
        assert hear(path) == b"secret"
        with socket.create_connection(("::1", hosts[2].port), PATIENCE) as client:
            assert client.makefile("rb").read() == b"secret"

    def test_both_families(self, greeters):
        """One port of all interfaces may be listed for IPv4 and for IPv6, in any order."""
        with listening_socket() as other:
            port = other.getsockname()[1]
        for ips in (("", "::"), ("::", "")):
            greeters.listen_on(*(PortEndpoint(ip, port) for ip in ips))
            for host in ("127.0.0.1", "::1"):
                with socket.create_connection((host, port), PATIENCE) as client:
                    assert client.makefile("rb").read() == b"hello"
            greeters.stop()

    def test_all_or_none(self, greeters, path):
        """Where the last cannot be listened on, the ones before it stop, and their sockets are gone."""
        with listening_socket() as other:
            port = other.getsockname()[1]
            key, message = greeters.error(
                UnixEndpoint(path), PortEndpoint("127.0.0.1", 0), PortEndpoint("127.0.0.1", port)
            )
        assert (key, message.split(" is ")[0]) == ("port", f"127.0.0.1:{port}")
        assert not path.exists()


class TestInherited:
    """Sockets that systemd passes on."""

    @pytest.mark.parametrize(
        ("pid", "count", "expected"),
        [
            (os.getpid, "2", [3, 4]),
            (os.getpid, "0", []),
            (os.getpid, "\u0662x", []),
            (os.getppid, "2", []),
            (str, "2", []),
        ],
        ids=["us", "us, none", "us, nonsense", "others", "nobody"],
    )
    def test_for_whom(self, pid, count, expected):
        """They are for the process whose number is named; what tells of them is removed there only."""
        environ = {"LISTEN_PID": str(pid()), "LISTEN_FDS": count, "LISTEN_FDNAMES": "a:b", "PATH": "/bin"}
        assert list(take_inherited(None, environ)) == expected
        assert ("LISTEN_FDS" in environ) == (pid is not os.getpid)
        assert environ["PATH"] == "/bin"

    def test_nothing_passed(self):
        """Without systemd there are none."""
        assert list(take_inherited(None, {})) == []

    def test_taken_by_twisted(self, reactor_thread, monkeypatch):
        """Those that Twisted has taken note of, and removed from the environment, are found all the same."""
        monkeypatch.setattr(endpoints._SystemdParser, "_sddaemon", ListenFDs([7, 8], ("a", "b")))
        assert list(take_inherited(reactor_thread.reactor, {})) == [7, 8]

    def test_instead_of_ip_and_port(self, greeters):
        """An inherited port takes the place of the configured one; child processes do not get it."""
        with listening_socket() as passed, listening_socket() as other:
            os.set_inheritable(passed.fileno(), True)
            (host,) = greeters.listen(port=other.getsockname()[1], inherited=[passed.fileno()])
            assert host.port == passed.getsockname()[1]
            assert hear(host.port) == b"hello"
            assert not os.get_inheritable(passed.fileno())

    def test_port_that_nobody_opens(self, greeters, log_lines):
        """A port without a passed socket is told of, where another one has its own: it was forgotten."""
        with listening_socket() as passed:
            port = passed.getsockname()[1]
            ends = [PortEndpoint("127.0.0.1", port), PortEndpoint("127.0.0.1", 1)]
            assert len(greeters.listen_on(*ends, inherited=[passed.fileno()])) == 1
            said = "port 1 is not opened: systemd passes sockets, and none for it (add a ListenStream=)"
            assert log_lines.count(said) == 1
            greeters.stop()
            greeters.listen_on(ends[1], inherited=[passed.fileno()])  # it has its default, maybe
            assert log_lines.count(said) == 1

    def test_unix(self, greeters, path):
        """The rights of an inherited Unix socket are not ours to change, nor is its file ours to delete."""
        with listening_socket(socket.AF_UNIX, str(path)) as passed:
            path.chmod(0o600)
            greeters.listen(inherited=[passed.fileno()])
            assert hear(path) == b"hello"
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            greeters.stop()
            assert path.is_socket()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))  # who passed it may still accept

    def test_which_are_tls(self, greeters, path):
        """An inherited socket is what the list says of its port or path, or else what all entries are."""
        with (
            listening_socket() as named,
            listening_socket(socket.AF_UNIX, str(path)) as unix,
            listening_socket() as unnamed,
        ):
            numbers = [named.fileno(), unix.fileno(), unnamed.fileno()]
            port = named.getsockname()[1]
            greeters.listen_on(PortEndpoint("", port, tls=True), UnixEndpoint(path), inherited=numbers)
            assert greeters.tls == [True, False, False]
            assert hear(port) == b"secret"
            assert hear(path) == b"hello"
            greeters.stop()
            greeters.listen_on(PortEndpoint("", 1, tls=True), inherited=numbers)
            assert greeters.tls == [True, True, True]

    def test_not_listening(self, greeters, tmp_path):
        """What is no listening socket is refused, and the others are given up."""
        with listening_socket() as good, socket.socket() as bad, open(tmp_path / "file", "w") as file:
            for descriptor, reason in (
                (bad.fileno(), "it does not listen"),
                (file.fileno(), "Socket operation on non-socket"),
                (1 << 19, "Bad file descriptor"),
            ):
                assert greeters.error(inherited=[good.fileno(), descriptor]) == (
                    "ip",
                    f"cannot use the inherited socket {descriptor}: {reason}",
                )


def test_urls(greeters):
    """Addresses are shown as people type them into a browser."""
    (host,) = greeters.listen(ip="")
    assert url_of(host, secure=True) == f"https://127.0.0.1:{host.port}/ (all interfaces)"
    greeters.stop()
    (host,) = greeters.listen(ip="::1")
    assert url_of(host, secure=False) == f"http://[::1]:{host.port}/"
