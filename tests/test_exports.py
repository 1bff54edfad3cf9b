"""The names that apps and plugins import, and what errors say."""

import copy
import pickle
import subprocess
import sys

import pytest

import skitai
import skitai.plugins
import skitai.testing
from skitai import errors, interfaces
from skitai.context import CurrentWas


def test_public_names_of_skitai():
    """An app needs one import: ``from skitai import was``."""
    assert skitai.__all__ == [
        "DB_PGSQL",
        "DB_SQLITE3",
        "WEBSOCKET_DEDICATE",
        "WEBSOCKET_MULTICAST",
        "WEBSOCKET_REQDATA",
        "__version__",
        "standalone",
        "was",
    ]
    assert type(skitai.was) is CurrentWas
    assert skitai.__version__.split(".")[0].isdigit()


def test_public_names_of_testing():
    """What test authors import."""
    assert skitai.testing.__all__ == [
        "FakeWas",
        "InlineExecutor",
        "RecordedRequest",
        "ServiceHarness",
        "verify_service",
    ]


def test_public_names_of_plugins():
    """What plugin authors decorate their hooks with, and what some hooks return."""
    assert skitai.plugins.__all__ == ["Answerer", "Metric", "counter", "gauge", "hookimpl", "lowest"]


@pytest.mark.parametrize("module", [skitai, skitai.plugins, skitai.testing])
def test_everything_promised_is_there(module):
    """Each public name exists and says what it is."""
    for name in module.__all__:
        assert getattr(module, name).__doc__


def test_contracts():
    """The interfaces, with the names that implementers must have."""
    names = {
        interface.__name__: sorted(interface.names())
        for interface in vars(interfaces).values()
        if isinstance(interface, type(interfaces.IService)) and interface.__module__ == interfaces.__name__
    }
    assert names == {
        "IBus": ["enter", "leave", "members", "publish", "recent", "shared", "subscribe", "unsubscribe"],
        "IBusSubscriber": ["interrupted", "published"],
        "IBodySink": ["end"],
        "IConnection": [
            "abort",
            "addresses",
            "blocked",
            "body_wanted",
            "client",
            "end",
            "flush",
            "holds_body",
            "inform",
            "peer",
            "reactor",
            "secure",
            "send",
            "server",
            "start",
            "stream_body",
            "take_over",
            "transport",
            "waiting",
        ],
        "IConnector": ["connect", "proxy_for", "resolve", "timeout", "tls"],
        "IExecutor": ["line", "lines", "multithread", "start", "statistics", "stop", "submit"],
        "IThreadExecutor": ["let_go", "tasks"],
        "IInstance": [
            "board",
            "bridge",
            "bus",
            "common_metrics",
            "config",
            "connector",
            "executor",
            "executors",
            "is_first",
            "leave",
            "main_pid",
            "metrics",
            "others_serve",
            "plugins",
            "reactor",
            "run",
            "section",
            "services",
            "slot",
            "state",
            "status",
        ],
        "IHeadResource": ["at_head"],
        "ILastingProtocol": ["stop"],
        "ILivingApp": ["begin", "end", "while_broken"],
        "INode": ["label"],
        "IResultCache": ["clear", "expire", "get", "put", "statistics"],
        "IServiceMethods": ["methods"],
        "ISessionStore": ["create", "load", "remove", "replace"],
        "ISharedResults": ["fetch", "forget", "store"],
        "IService": ["begin", "cluster_keys", "cluster_types", "member", "node", "perform", "result_type"],
    }


def test_importing_installs_no_reactor():
    """Nothing that an app or its tests import chooses the reactor for them."""
    imports = "import sys, skitai, skitai.testing, skitai.plugins"
    code = f"{imports}; print('twisted.internet.reactor' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_was_is_made_when_it_is_asked_for():
    """What runs beside servers loads nothing of what calls are made of, and commands are there sooner."""
    code = """if True:
        import sys, skitai.daemon.supervisor.process
        import skitai.daemon.cron.agent, skitai.daemon.mail.command, skitai.daemon.skitaid.command
        print(sys.modules.keys() & {"skitai.context", "OpenSSL", "cryptography", "twisted.internet.defer"})
        from skitai import was
        print(was, was is skitai.was, hasattr(skitai, "wos"))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["set()", "<skitai.was> True False"]


ALL_ERRORS = [
    (errors.SkitaiError("what"), "what"),
    (errors.MisuseError("what"), "what"),
    (errors.DeadlockError("what"), "what"),
    (errors.NoServerError("what"), "what"),
    (errors.ConfigError("what"), "what"),
    (errors.ConfigError("what", path="a.conf"), "a.conf: what"),
    (errors.ConfigError("what", section="server"), "[server]: what"),
    (
        errors.ConfigError("what", path="a.conf", line=3, section="server", key="port"),
        "a.conf:3: [server] port: what",
    ),
    (errors.PluginError("echo", "it broke"), "plugin 'echo': it broke"),
    (errors.OperationError("refused"), "[701] refused (status: 2)"),
    (errors.OperationError("gone", code=410, status=2, node="a:80"), "[410] gone (status: 2)"),
    (errors.OperationTimeout(), "[702] Timeout (status: 1)"),
    (errors.OperationTimeout("slow", code=705), "[705] slow (status: 1)"),
    (errors.UnsentError("refused", code=706), "[706] refused (status: 2)"),
    (errors.CommitUnknownError("lost", code=700), "[700] lost (status: 2)"),
]


@pytest.mark.parametrize(("error", "message"), ALL_ERRORS)
class TestErrors:
    def test_message(self, error, message):
        """An error says what is wrong, and where."""
        assert str(error) == message

    def test_one_base_class(self, error, message):
        """An app can catch all that Skitai raises on purpose."""
        assert isinstance(error, errors.SkitaiError)

    @pytest.mark.parametrize("duplicate", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
    def test_copies_say_the_same(self, error, message, duplicate):
        """An error survives a copy, or the way to another process, with all its attributes."""
        twin = duplicate(error)
        assert type(twin) is type(error)
        assert str(twin) == message
        assert vars(twin) == vars(error)


def test_every_error_is_tried():
    """No error class escapes these tests."""
    classes = {value for value in vars(errors).values() if isinstance(value, type)}
    assert {type(error) for error, _ in ALL_ERRORS} == classes


def test_families():
    """Who misused it, who is to be asked again, who timed out: told apart by class."""
    assert issubclass(errors.NoServerError, errors.MisuseError)
    assert issubclass(errors.NoServerError, AttributeError)
    assert issubclass(errors.OperationTimeout, errors.OperationError)
    assert issubclass(errors.UnsentError, errors.OperationError)
    assert not issubclass(errors.OperationError, errors.MisuseError)
