import attrs
import pytest

from skitai.config import Key, describe, describe_section, integer, optional, show_secret, text
from skitai.config.describe import mounted

FULL = """\
[server]
port = 0
access_log = off
body_max = 1 MB
keep_alive = 1.5
passphrase = hunter1
[routes:line]
/ = static
/ = wsgi
: example.com .example.com
/up = @up  strip=no
[@up]
members = a:80, b:80 3
[@db]
type = pgsql
auth_token = hunter4
members = s1:5432/mydb/user/hun/ter2 2, http://u:hunter3@host/
"""


def test_text(site):
    """The description is in the form of the file, with defaults filled in and routes as they are written."""
    lines = describe(site.load(FULL)).replace(f"{site.folder}/", "").splitlines()

    assert lines[:6] == ["[server]", "name = site", "ip =", "port = 0", "unix_socket =", "listen ="]
    assert {
        "access_log = off",
        "body_max = 1 MB",
        "keep_alive = 1.5",
        "ssl = no",
        "static_max_age = 300",
    } <= set(lines)
    assert lines[lines.index("[routes:line]") :] == [
        "[routes:line]",
        ": default",
        "/ = static",
        "/ = wsgi",
        ": example.com .example.com",
        "/up = @up strip=no",
        "",
        "[@up]",
        "type = http",
        "members = a:80 1, b:80 3",
        "",
        "[@db]",
        "type = postgresql",
        "auth_token = ****",
        "members = s1:5432/mydb/user/**** 2, http://u:****@host/ 1",
    ]


def test_description_loads_to_the_same_values(site):
    """What is described means, loaded again, the same but for the secrets."""
    config = site.load(FULL)

    again = site.load(describe(config))

    assert again.server == attrs.evolve(config.server, passphrase="****")
    assert (config.hosts, config.clusters["up"]) == (again.hosts, again.clusters["up"])


def test_secrets_are_masked(site):
    """No password, passphrase or token is in the description."""
    assert "hun" not in describe(site.load(FULL)).replace(str(site.folder), "")


def test_nothing_but_defaults(site):
    """An empty configuration is described too."""
    assert describe(site.load("")).endswith("\n[routes:line]\n")


def test_routes_as_plugins_understand_them(site):
    """Whoever knows what the routes mean says what their right sides are."""
    text = describe(site.routes("/ = static"), lambda mount: f"{mount.target.upper()}  ; kind")

    assert text.endswith("\n[routes:line]\n: default\n/ = STATIC  ; kind\n")


@pytest.mark.parametrize("target", ['"a b=c" d="e f" g=', '"a =b"', "a b", "a=b c=d"])
def test_quotes(site, target):
    """A route with spaces and quotes is described as it may stand in the file."""
    config = site.routes(f"/ = {target}")

    assert f"/ = {target}\n" in describe(config)
    assert site.load(describe(config)).hosts == config.hosts


def test_section_of_a_plugin():
    """A plugin's section is described with its own keys."""
    keys = {"port": Key(integer(1), 25), "password": Key(optional(text), None, show=show_secret)}

    assert (
        describe_section("smtp", keys, {"port": 26, "password": "hunter2"})
        == "[smtp]\nport = 26\npassword = ****\n"
    )


def test_what_is_mounted(site):
    """One line tells it, with the host where there are several, and without options: they may be secrets."""
    hosts = site.load(FULL).hosts
    assert mounted(hosts) == "/ = static, / = wsgi, example.com/up = @up"
    lines = "".join(f"/{number} = wsgi\n" for number in range(25))
    assert mounted(site.load(f"[routes:line]\n{lines}").hosts).endswith("/19 = wsgi, and 5 more")
    assert mounted(()) == "nothing"
