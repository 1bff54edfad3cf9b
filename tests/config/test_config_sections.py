from pathlib import Path

import pytest

from skitai.config import Config, Key, integer, path, text
from skitai.config.http import HTTP_KEYS
from skitai.errors import ConfigError

SMTP = {
    "smtp": {
        "port": Key(integer(1), 25, "port of the relay"),
        "spool": Key(path, None),
        "user": Key(text, ""),
    }
}

KNOWN = (
    "certificates:line",
    "global",
    "http",
    "plugins",
    "routes:line",
    "server",
    "smtp",
    "smtpda",
    "websocket",
)


def claim_error(site, content, declared=SMTP):
    config = site.load(content)
    errors = config.unclaimed(declared)
    if not errors:
        with pytest.raises(ConfigError) as caught:
            config.claim(declared)
        errors.append(caught.value)
    return site.shorten(errors[0])


def test_disabled_plugins(site):
    """[plugins] disable names the plugins that are left out."""
    assert site.load("[plugins]\ndisable = smtp, db,").disabled_plugins == frozenset({"smtp", "db"})
    assert site.load("").disabled_plugins == frozenset()


def test_unknown_plugins_key(site):
    """[plugins] has no other key."""
    assert (
        site.error("[plugins]\ndisabled = a")
        == "site.conf:2: [plugins] disabled: unknown key: did you mean disable?"
    )


def test_sections_stay_raw_until_claimed(site):
    """A section that is not Skitai's own keeps its text and line numbers."""
    config = site.load("[server]\n[smtp]\nport = x\n[crontab:line]\n* * = a: b = c")

    assert list(config.sections) == ["smtp", "crontab:line"]
    assert config.sections["smtp"].entries == {"port": ("x", 3)}
    assert config.sections["crontab:line"].lines == (("* * = a: b = c", 5),)


def test_claimed_section_is_typed(site):
    """Claiming a section types its values, fills in defaults and puts paths into the file's folder."""
    claimed = site.load("[smtp]\nport = 26\nspool = mail").claim(SMTP)

    assert claimed["smtp"] == {"port": 26, "spool": site.folder / "mail", "user": ""}


def test_missing_section_has_defaults():
    """A declared section that the file lacks has its defaults."""
    assert Config(Path("x.conf")).claim(SMTP)["smtp"] == {"port": 25, "spool": None, "user": ""}


def test_shared_sections():
    """[http] is there whatever plugins declare, with a value for each key."""
    values = Config(Path("x.conf")).claim({})["http"]
    assert set(values) == set(HTTP_KEYS)
    assert (values["connect_timeout"], values["verify"], values["proxy"]) == (3, True, None)


def test_claimed_lines(site):
    """A list of lines is claimed by its name; who declared it reads the lines."""
    assert site.load("[crontab:line]\n* * x").claim({"crontab:line": {}})["crontab:line"] == {}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("\n[smpt]", "site.conf:2: [smpt]: unknown section: did you mean smtp?"),
        ("[Server]", "site.conf:1: [Server]: unknown section: did you mean server?"),
        ("[route:line]", "site.conf:1: [route:line]: unknown section: did you mean routes:line?"),
        ("[@up]\nmembers = a\n[up]", "site.conf:3: [up]: unknown section: did you mean @up?"),
        (
            "[shop]\nx = 1\n[routes:line]\n/ = @shop strip=no",
            "site.conf:1: [shop]: unknown section: did you mean [@shop]?",
        ),
        (
            "[shop]\nx = 1\n[smtp]\nuser = a, @shop",
            "site.conf:1: [shop]: unknown section: did you mean [@shop]?",
        ),
        ("[shop]\nmembers = a", "site.conf:1: [shop]: unknown section: did you mean [@shop]?"),
        (
            "[zzz]",
            f"site.conf:1: [zzz]: unknown section: known are {', '.join(KNOWN)}",
        ),
        ("[smtp]\nport = 0", "site.conf:2: [smtp] port: must be a whole number of at least 1, not '0'"),
        ("[smtp]\nprot = 1", "site.conf:2: [smtp] prot: unknown key: did you mean port?"),
    ],
)
def test_claims_refused(site, content, expected):
    """A section nobody declared, an unknown key and a wrong value are refused with the fix."""
    assert claim_error(site, content) == expected


def test_section_without_keys(site):
    """Any key of a section that has none is refused."""
    assert (
        claim_error(site, "[smtp]\na = 1", {"smtp": {}})
        == "site.conf:2: [smtp] a: unknown key: none is known here"
    )


def test_raw_sections_are_not_printed(site):
    """The representation of a configuration, which may end up in a log, lacks what plugins' sections say."""
    assert "hunter2" not in repr(site.load("[smtp]\npassword = hunter2\n[x:line]\nhunter2"))
