import pytest
from call_fakes import ManualService
from zope.interface.verify import verifyClass, verifyObject

from skitai.calls.result import Result
from skitai.calls.service import Service
from skitai.interfaces import INode, IService
from skitai.net.addresses import HostNode, parse_host_port


class TestService:
    def test_provides_the_interface(self):
        """The base class, and what is made of it, is what the call machinery expects."""
        assert verifyClass(IService, Service)
        assert verifyObject(IService, ManualService())

    def test_defaults(self):
        """Unless it says so, a service knows no clusters and its answers are plain results."""
        service = Service()
        assert service.cluster_types == frozenset()
        assert service.result_type is Result

    def test_begin_submits_the_operation(self):
        """The app gets what submit returns, for the operation that its arguments describe."""
        service, submitted = ManualService(), []
        given = service.begin(lambda operation: submitted.append(operation) or "call", "a:1", request="r")
        assert given == "call"
        assert submitted == [service.operation("a:1", "r")]

    def test_begin_lets_bad_arguments_raise(self):
        """Arguments that make no sense raise in the app, and nothing is submitted."""
        submitted = []
        with pytest.raises(TypeError):
            ManualService().begin(submitted.append)
        assert submitted == []

    def test_member_is_a_node_by_default(self):
        """A member of a cluster is written as the target is."""
        assert ManualService().member("a", {}) == HostNode("a", 80)

    def test_what_a_subclass_must_write(self):
        """A service without an operation or a perform says so when it is used."""
        with pytest.raises(NotImplementedError):
            Service().operation()
        with pytest.raises(NotImplementedError):
            Service().perform(None, None)


class TestHostNode:
    def test_is_a_node(self):
        """A host and port is immutable, hashable and has a name for people."""
        node = HostNode("host", 80)
        assert verifyObject(INode, node)
        assert node.label == "host:80"
        assert HostNode("::1", 80).label == "[::1]:80"
        assert {node: 1}[HostNode("host", 80)] == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("host:8080", ("host", 8080)),
        (" host ", ("host", 7)),
        ("10.0.0.1:1", ("10.0.0.1", 1)),
        ("[::1]:65535", ("::1", 65535)),
        ("[fe80::1%eth0]", ("fe80::1%eth0", 7)),
        ("host_1:080", ("host_1", 80)),
        pytest.param(f"host:{'0' * 5000}80", ("host", 80), id="zeros"),
    ],
)
def test_parse_host_port(text, expected):
    """A host with or without a port is split, IPv6 addresses out of their brackets."""
    assert parse_host_port(text, 7) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            ":80",
            "[]:80",
            "[::1",
            "::1]:80",
            "::1",
            "[[::1]]",
            "[::1]80",
            "a b:80",
            "a/b:80",
            "http://a",
        ),
        *("host:", "host:0", "host:65536", "host:-1", "host:8o", "host:80:90", "host:\u0668", "host:80\n:1"),
        pytest.param("host:" + "9" * 5000, id="nines"),
    ],
)
def test_parse_host_port_refuses(text):
    """What is no host or has no proper port raises ValueError that shows it."""
    with pytest.raises(ValueError, match="is not"):
        parse_host_port(text, 7)


def test_parse_host_port_without_default():
    """Where there is no usual port, one that is missing raises ValueError with the fix."""
    with pytest.raises(ValueError, match="'host' has no port: write host:PORT"):
        parse_host_port("host")
