"""A configuration without a file: what a command line serves."""

import pytest

from skitai.config import Given, load
from skitai.errors import ConfigError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "files").mkdir()
    return tmp_path


def test_the_same_as_a_file(folder):
    """It is what a file with the same words says."""
    (folder / "shop.conf").write_text(
        "[server]\nip = 127.0.0.1\nport = 0\nreloader = yes\n"
        "[routes:line]\n/static = ./files max_age=1h\n/ = web/shop:create_app()\n"
    )
    given = Given("web/shop:create_app()", ("/static = ./files max_age=1h",), folder)
    config = load(given, {"port": "0", "reloader": "yes"})
    other = load(folder / "shop.conf")
    assert (config.server, config.hosts) == (other.server, other.hosts)
    assert config.hosts[0].mounts[0].folder == other.hosts[0].mounts[0].folder == folder
    assert (config.is_given, other.is_given) == (True, False)


@pytest.mark.parametrize(
    ("overrides", "listens"),
    [
        ({}, ["127.0.0.1:5000"]),
        ({"port": "80"}, ["127.0.0.1:80"]),
        ({"ip": "0.0.0.0"}, ["0.0.0.0:5000"]),
        ({"listen": "80, [::1]:81"}, ["80", "[::1]:81"]),
        ({"unix_socket": "/tmp/x"}, ["unix:/tmp/x"]),
        ({"unix_socket": "/tmp/x", "port": "80"}, ["127.0.0.1:80", "unix:/tmp/x"]),
    ],
)
def test_where_it_listens(folder, overrides, listens):
    """Nobody else can ask unless the command line lets them."""
    config = load(Given("app:app", folder=folder), overrides)
    assert [str(endpoint) for endpoint in config.server.endpoints] == listens


@pytest.mark.parametrize(
    ("app", "static", "name"),
    [
        ("app:app", (), "app"),
        ("web/shop:create_app('a/b')", (), "shop"),
        ("mysite.wsgi", (), "mysite"),
        (":app", (), "app"),
        ("web/shop/__init__:app", (), "shop"),
        ("__init__", (), "site"),
        ("files/", (), "files"),
        (None, ("/=files",), "site"),
    ],
)
def test_name(tmp_path, app, static, name):
    """The server is called as its module, or as the folder that it is started in."""
    (tmp_path / "site" / "files").mkdir(parents=True)
    assert load(Given(app, static, tmp_path / "site")).server.name == name
    assert load(Given(app, static, tmp_path / "site"), {"name": "mine"}).server.name == "mine"


@pytest.mark.parametrize(
    ("static", "message"),
    [
        (("files",), "--static files: write --static /PATH=FOLDER"),
        (("files=/x",), "--static files=/x: a mount point starts with /"),
        (("/x=",), "--static /x=: needs a target"),
        (("/x=gone",), "--static /x=gone: there is no folder "),
        (("/x=files", "/x/=files"), "--static /x/=files: /x has a folder already: keep one of the two"),
    ],
)
def test_static_refused(folder, static, message):
    """An error names the option."""
    with pytest.raises(ConfigError) as caught:
        load(Given("app:app", static, folder))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_errors_name_the_option(folder):
    """As it was written, if that is told; a key that no option gave is named by its option."""
    with pytest.raises(ConfigError, match=r"^-w: must be a whole number"):
        load(Given("app:app", folder=folder), {"processes": "x"}, spelt={"processes": "-w"})
    config = load(Given("app:app", folder=folder), {"unix_socket": "x"}, spelt={"unix_socket": "--uds"})
    assert str(config.error("keep_alive", "is wrong")) == "--keep-alive: is wrong"
    assert str(config.error("unix_socket", "is wrong")) == "--uds: is wrong"
    assert str(config.error("url", "is wrong", section="redis")) == "[redis] url: is wrong"
    assert str(config.located(ConfigError("is wrong"))) == f"{folder / 'app'}: is wrong"
