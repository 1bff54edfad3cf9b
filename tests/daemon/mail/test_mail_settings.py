"""What the agent and the command take from a configuration."""

import os

import pytest

from skitai.config import describe_section
from skitai.config.mail import MAIL_KEYS
from skitai.daemon.mail import settings as mail_settings
from skitai.daemon.mail.settings import as_owner, read_settings
from skitai.errors import ConfigError


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Return ``config(text)``: a file; there is no other, and no variable."""
    for name in ("SKITAID_CONFIG", "SKITAID_VAR_PATH", "SKITAID_LOG_PATH", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def write(text):
        path = tmp_path / "some.conf"
        path.write_text(text)
        return path

    return write


def test_values(config, tmp_path):
    """Other sections are not looked at: the file may be that of a server, or skitaid.conf."""
    path = config(
        "[global]\nvar_path = var\n[smtpda]\nsmtpserver = mail.example:587\npassword = geheim\n"
        "[server]\nno_such_key = 1\n[crontab:line]\n* * * * * ls\n[@db]\n"
    )
    settings = read_settings(path)
    assert settings.path == path
    assert settings.spool == tmp_path / "var" / "daemons" / "smtpda" / "mail"
    assert settings.values["smtpserver"] == "mail.example:587"
    assert settings.values["max_retry"] == 10
    assert settings.is_configured
    assert "geheim" not in repr(settings)


def test_secrets(config):
    """What the section is shown as has no password, and no command: that may have one."""
    path = config("[smtpda]\npassword = geheim\ntoken_command = refresh --key geheim\n")
    shown = describe_section("smtpda", MAIL_KEYS, read_settings(path).values)
    assert "token_command = ****" in shown
    assert "geheim" not in shown


def test_a_password_from_the_environment(config, monkeypatch):
    """It need not stand in the file."""
    monkeypatch.setenv("SMTP_PASSWORD", "geheim")
    settings = read_settings(config("[smtpda]\nuser = ann\npassword = ${SMTP_PASSWORD}\n"))
    assert settings.values["password"] == "geheim"
    monkeypatch.delenv("SMTP_PASSWORD")
    with pytest.raises(ConfigError, match=r"some.conf:3: \[smtpda\] password: .*SMTP_PASSWORD"):
        read_settings(settings.path)


def test_defaults(config, tmp_path, monkeypatch):
    """A file need not say anything."""
    monkeypatch.setenv("SKITAID_VAR_PATH", str(tmp_path / "elsewhere"))
    settings = read_settings(config(""))
    assert settings.spool == tmp_path / "elsewhere" / "daemons" / "smtpda" / "mail"
    assert settings.values["smtpserver"] == "127.0.0.1:25"
    assert not settings.is_configured


def test_the_environment_counts_first(config, tmp_path, monkeypatch):
    """A spool in the file gives way to the variable, as it does for skitaid."""
    monkeypatch.setenv("SKITAID_VAR_PATH", str(tmp_path / "elsewhere"))
    settings = read_settings(config("[global]\nvar_path = here\n"))
    assert settings.spool == tmp_path / "elsewhere" / "daemons" / "smtpda" / "mail"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[smtpda]\nmax_retries = 3\n", r"some.conf:2: \[smtpda\] max_retries: .*did you mean max_retry"),
        ("[smtpda]\nmax_retry = often\n", r"some.conf:2: \[smtpda\] max_retry"),
        ("[global]\nvar = x\n", r"some.conf:2: \[global\] var"),
        ("queue\n", "some.conf:1"),
    ],
)
def test_wrong_files(config, text, problem):
    """The error points at the line."""
    with pytest.raises(ConfigError, match=problem):
        read_settings(config(text))


def test_a_file_that_is_not_there(config, tmp_path):
    """Who names a file means it."""
    with pytest.raises(ConfigError, match="No such file"):
        read_settings(tmp_path / "no.conf")


def test_the_file_of_skitaid(config, tmp_path, monkeypatch):
    """Without a name, it is that of skitaid, where that would look, and need not be there."""
    named = config("[global]\nvar_path = there\n")
    monkeypatch.setenv("SKITAID_CONFIG", str(named))
    assert read_settings().path == named
    assert read_settings().spool.is_relative_to(tmp_path / "there")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("os.getuid", lambda: 1000)
    monkeypatch.delenv("SKITAID_CONFIG")
    settings = read_settings()
    assert settings.path == tmp_path / "config" / "skitaid" / "skitaid.conf"
    assert settings.spool.is_relative_to(tmp_path / ".local" / "state")
    assert not settings.is_configured


# -- whose the spool is ----------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_the_user_of_the_server(config, monkeypatch):
    """Root becomes the user of the server, and reads the file again: folders of a user may be others."""
    became = []
    monkeypatch.setattr(mail_settings, "become", lambda *given: became.append(given))
    path = config("[server]\nuser = nobody\n[smtpda]\n")
    settings = read_settings(path)
    assert settings.owner.name == "nobody"
    assert as_owner(settings, lambda: "read again") == "read again"
    assert became == [(settings.owner, ())]

    def refuse(*_given):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(mail_settings, "become", refuse)
    with pytest.raises(ConfigError, match="cannot become nobody: Operation not permitted"):
        as_owner(settings, lambda: None)


@pytest.mark.parametrize("text", ["", "[server]\n", "[server]\nuser = \n"])
def test_nobody_else(config, text):
    """Without a user, all stays as it is."""
    settings = read_settings(config(text))
    assert settings.owner is None
    assert as_owner(settings, lambda: None) is settings


@pytest.mark.parametrize(("key", "problem"), [("user", "no user no-such"), ("group", "no group no-such")])
def test_who_is_not_there(config, key, problem):
    """The error points at the line."""
    with pytest.raises(ConfigError, match=rf"some.conf:2: \[server\] {key}: there is {problem}"):
        read_settings(config(f"[server]\n{key} = no-such\n"))
