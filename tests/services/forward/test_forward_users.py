"""Who must log in: passwords of the config, and those of a htpasswd file."""

import os

import bcrypt
import pytest
from forward_world import LISTS, Forward, basic

from instances import make_instance
from skitai.errors import ConfigError
from skitai.services import forward as forward_plugin
from skitai.services.forward.passwords import apr1, checker_of, parse_htpasswd

PASSWORDS = "proxy_users = anna:sécret word, bert:x:y"


def asked(server, destination, *fields):
    """Return the response to a request with ``fields`` that the destination gets."""
    with server.client() as client:
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        client.send(f"GET http://127.0.0.1:{destination.port}/ HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
        head, _ = destination.accept().answer(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok")
        destination.connections[-1].close()
        assert b"proxy-auth" not in head.lower()
        return client.response()


def test_login(forward, destination):
    """The right password is let in, with any characters; it is not passed on (see above)."""
    server = forward(server=f"{LISTS}\n{PASSWORDS}")
    assert asked(server, destination, basic("anna", "sécret word")).code == 200
    assert asked(server, destination, basic("bert", "x:y")).code == 200
    client, head = server.connect(f"127.0.0.1:{destination.port}", fields=[basic("bert", "x:y")])
    assert head.code == 200
    client.close()
    assert server.refusals() == []


WRONG = [
    (),
    (basic("anna", "wrong"),),
    (basic("nobody", "sécret word"),),
    (basic("anna", ""),),
    (basic("", ""),),
    (("Proxy-Authorization", "Basic"),),
    (("Proxy-Authorization", "Basic !!!"),),
    (("Proxy-Authorization", "Basic /w=="),),
    (("Proxy-Authorization", "Basic YW5uYQ=="),),  # no colon
    (("Proxy-Authorization", "Bearer x"),),
    (basic("anna", "sécret word"), basic("bert", "x:y")),
    (("Proxy-Authorization", "Basic " + "A" * 5000),),
    (basic("anna", "sécret word", "Authorization"),),
    (basic("anna", "sécret word", "Proxy_Authorization"),),
]


@pytest.fixture(scope="module")
def guarded(reactor_thread, tmp_path_factory):
    made = Forward(reactor_thread, tmp_path_factory.mktemp("guarded"), server=f"{LISTS}\n{PASSWORDS}")
    yield made
    made.stop()


@pytest.mark.parametrize("fields", WRONG, ids=range(len(WRONG)))
def test_no_login(guarded, fields):
    """All else gets 407 with the challenge, before anything is said of the target."""
    for target in ("http://127.0.0.1:1/", "http://secret.example/", "https://x/"):
        response = guarded.fetch(target, fields=fields)
        assert response.code == 407
        assert response["Proxy-Authenticate"] == 'Basic realm="Skitai forward proxy", charset="UTF-8"'
        assert b" (proxy_users in [server])" in response.body
    client, head = guarded.connect("127.0.0.1:1", fields=fields)
    assert (head.code, head["Connection"]) == (407, "close")
    client.close()
    assert guarded.asked == []


def test_wrong_password(forward):
    """It is told apart from none, with which browsers begin, on the page and in the log."""
    server = forward(server=f"{LISTS}\n{PASSWORDS}")
    pages = [server.fetch("http://a.example/", fields=fields).body for fields in ((), [basic("anna", "x")])]
    assert b"a user and a password are needed (proxy_users" in pages[0]
    assert b"the user or the password is wrong (proxy_users" in pages[1]
    assert [line.partition(": ")[2].partition(",")[0] for line in server.refusals()] == [
        "no password ([server] proxy_users)",
        "a wrong password",
    ]


def test_log_without_passwords(forward):
    """The line names the user, never the password; a name is shown escaped."""
    server = forward(server=f"{LISTS}\n{PASSWORDS}")
    server.fetch("http://a.example/", fields=[basic("an\nna", "wr0ng")])
    (line,) = server.refusals()
    assert line.endswith(r"with 407: a wrong password, or an unknown user 'an\nna' ([server] proxy_users)")
    assert "wr0ng" not in "".join(server.messages)


def test_hashes():
    """What htpasswd and others have written."""
    assert apr1(b"myPassword", b"qHDFfhPC") == "nITSVHgYbDAK1Y0acGRnY0"  # of Apache's manual
    written = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    for entry, password in (("$apr1$ab$" + apr1(b"secret", b"ab"), b"secret"), (written, b"secret"),
                            (written.replace("$2b$", "$2y$"), b"secret")):  # fmt: skip
        checker = checker_of(entry)
        assert checker(password)
        assert not checker(password + b"x")
        assert not checker(b"")


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 32, 100])
def test_apr1_against_openssl(length):
    """OpenSSL computes the same."""
    import shutil
    import subprocess

    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    password = ("aé%Z" * 30)[:length]
    command = ["openssl", "passwd", "-apr1", "-salt", "ab./XYZ0", "-stdin"]
    if length:
        made = subprocess.run(command, input=password.encode() + b"\n", capture_output=True, check=True)
        assert made.stdout.decode().strip() == "$apr1$ab./XYZ0$" + apr1(password.encode(), b"ab./XYZ0")
    else:
        assert len(apr1(b"", b"ab./XYZ0")) == 22


@pytest.mark.parametrize(
    "line",
    ["anna:secret", "anna:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "anna:rqXexS6ZhobKA", "anna", ":$apr1$a$b",
     "anna:$6$abc$def", "anna:$apr1$toolongsalt$" + "a" * 22, "anna:" + "$2y$05$short"],
)  # fmt: skip
def test_other_hashes(line):
    """Others are refused, without the line itself in the message."""
    with pytest.raises(ValueError, match=r"^line 2 is not of `htpasswd -B` or `htpasswd -m`$"):
        parse_htpasswd(f"# users\n{line}\n")


def test_bcrypt_is_missing(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "bcrypt", None)
    with pytest.raises(ValueError, match=r"line 1 needs the package bcrypt: pip install 'skitai\[bcrypt\]'"):
        parse_htpasswd("anna:$2y$05$" + "a" * 53)


def test_file(forward, destination, tmp_path):
    """Users of a file; a change of it counts for the next request, a broken one does not."""
    path = tmp_path / "users"
    path.write_text(f"anna:$apr1$ab${apr1(b'secret', b'ab')}\nbert:{_bcrypt('other')}\n")
    server = forward(server=f"{LISTS}\nproxy_users = users")
    for _ in range(2):  # the second time it is remembered
        assert asked(server, destination, basic("anna", "secret")).code == 200
    assert asked(server, destination, basic("bert", "other")).code == 200
    for name, password in (("anna", "other"), ("bert", "secret"), ("nobody", "secret"), ("x", "x" * 100)):
        assert server.fetch("http://127.0.0.1:1/", fields=[basic(name, password)]).code == 407
    path.write_text(f"anna:$apr1$cd${apr1(b'changed', b'cd')}\n")
    assert server.fetch("http://127.0.0.1:1/", fields=[basic("anna", "secret")]).code == 407
    assert asked(server, destination, basic("anna", "changed")).code == 200
    path.write_text("nonsense\n")
    assert asked(server, destination, basic("anna", "changed")).code == 200
    assert any("holds on as it was: line 1 is not of" in line for line in server.messages)
    os.unlink(path)
    assert asked(server, destination, basic("anna", "changed")).code == 200
    path.write_text("")
    assert server.fetch("http://127.0.0.1:1/", fields=[basic("anna", "changed")]).code == 407


def test_empty_file(forward, tmp_path):
    """An empty file lets nobody in."""
    (tmp_path / "users").touch()
    server = forward(server=f"{LISTS}\nproxy_users = users")
    assert server.fetch("http://127.0.0.1:1/", fields=[basic("a", "b")]).code == 407


def test_checks_are_bounded(forward, tmp_path, monkeypatch):
    """Strangers cannot have the server compute hashes without an end."""
    from skitai.services.forward import users

    monkeypatch.setattr(users, "_WAITING_MAX", 0)
    (tmp_path / "users").write_text(f"anna:$apr1$ab${apr1(b'secret', b'ab')}\n")
    server = forward(server=f"{LISTS}\nproxy_users = users")
    response = server.fetch("http://127.0.0.1:1/", fields=[basic("anna", "x")])
    assert (response.code, b"(proxy_users in [server])" in response.body) == (503, True)


def test_remembered_logins_are_bounded(forward, destination, tmp_path, monkeypatch):
    from skitai.services.forward import users

    monkeypatch.setattr(users, "_REMEMBERED", 1)
    lines = [f"u{number}:$apr1$ab${apr1(b'secret', b'ab')}" for number in range(3)]
    (tmp_path / "users").write_text("\n".join(lines))
    server = forward(server=f"{LISTS}\nproxy_users = users")
    for number in range(3):
        assert asked(server, destination, basic(f"u{number}", "secret")).code == 200
    known = forward_plugin.plugin._proxies(server.instance)[0]._gate._users._known
    assert len(known) == 1


@pytest.mark.parametrize("content", [None, "anna:pl41n\n"], ids=["missing", "unreadable"])
def test_wrong_file(reactor_thread, tmp_path, content):
    """A file that is not there or holds something else stops the start, and is named with its line."""
    if content is not None:
        (tmp_path / "users").write_text(content)
    config = tmp_path / "site.conf"
    config.write_text(f"[server]\nport = 0\nenable_proxy = yes\n{LISTS}\nproxy_users = users\n")
    with pytest.raises(
        ConfigError, match=r"conf:6: \[server\] proxy_users: .*/users cannot be used: "
    ) as error:
        make_instance(reactor_thread.reactor, config, forward=forward_plugin)
    assert "pl41n" not in str(error.value)


def _bcrypt(password):
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
