"""Where skitaid finds and keeps its files."""

from pathlib import Path

import pytest

from skitai.daemon.skitaid.places import config_of, find_places
from skitai.errors import ConfigError

ROOT, USER = 0, 1000


@pytest.fixture
def home(tmp_path):
    """A home folder, and its file skitaid.conf."""
    folder = tmp_path / ".config" / "skitaid"
    folder.mkdir(parents=True)
    return tmp_path, folder / "skitaid.conf"


def test_of_root(tmp_path):
    """Root has the places of the README."""
    config = tmp_path / "skitaid.conf"
    config.touch()
    places = find_places({"config": str(config)}, {"HOME": "/root"}, ROOT)
    assert places.log_of(None) == Path("/var/log/skitaid/skitaid.log")
    assert places.log_of("smtpda") == Path("/var/log/skitaid/daemons/smtpda/smtpda.log")
    assert places.log_of("cron", "request") == Path("/var/log/skitaid/daemons/cron/cron.log")
    assert places.log_of("sample") == Path("/var/log/skitaid/instances/sample/app.log")
    assert places.log_of("sample", "server") == Path("/var/log/skitaid/instances/sample/server.log")
    assert (places.var, places.pid_file) == (
        Path("/var/local/skitaid"),
        Path("/var/lock/skitaid/skitaid.pid"),
    )
    assert places.servers == tmp_path / "servers-enabled"


def test_of_a_user(home):
    """A user has everything below the own folders, wherever XDG puts them."""
    folder, config = home
    places = find_places({}, {"HOME": str(folder)}, USER)
    state = folder / ".local/state/skitaid"
    assert (places.config, places.logs, places.var, places.lock) == (
        config,
        state / "log",
        state,
        state / "lock",
    )
    variables = {"HOME": str(folder), "XDG_CONFIG_HOME": f"{folder}/c", "XDG_STATE_HOME": "not/absolute"}
    places = find_places({}, variables, USER)
    assert (places.config, places.var) == (folder / "c/skitaid/skitaid.conf", state)


def test_order(home, monkeypatch):
    """Options come before variables, and these before the file."""
    folder, config = home
    config.write_text("[global]\nlog_path = logs\nvar_path = /srv/var\n")
    variables = {"HOME": str(folder)}
    places = find_places({}, variables, USER)
    assert (places.logs, places.var, places.lock) == (
        config.parent / "logs", Path("/srv/var"), Path("/srv/var/lock")
    )  # fmt: skip
    assert find_places({"config": str(config)}, {}, ROOT).lock == Path("/srv/var/lock")
    variables |= {"SKITAID_LOG_PATH": "/v/log", "SKITAID_VAR_PATH": "/v/var"}
    places = find_places({"log_path": None}, variables, USER)
    assert (places.logs, places.var) == (Path("/v/log"), Path("/v/var"))
    monkeypatch.chdir(folder)
    places = find_places({"log_path": "o", "var_path": "/o/var"}, variables, USER)
    assert (places.logs, places.var) == (folder / "o", Path("/o/var"))


def test_wrong_files(home):
    """A file that is named must be there; wrong values are refused, and unknown sections warned of."""
    folder, config = home
    variables = {"HOME": str(folder)}
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        find_places({"config": str(config)}, variables, USER)
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        find_places({}, {**variables, "SKITAID_CONFIG": str(config)}, USER)
    config.write_text("[global]\nlogpath = x\n")
    with pytest.raises(ConfigError, match="unknown key: did you mean log_path"):
        find_places({}, variables, USER)
    config.write_text("[smtpda]\nsmtpserver = 127.0.0.1:25\n[crontabs:line]\n* * * * * x\n")
    assert find_places({}, variables, USER).warnings == (
        f"{config}:3: [crontabs:line]: unknown section: did you mean crontab:line?",
    )


def test_config_of(home):
    """A name is looked up in servers-enabled first; a prefix says which folder is meant."""
    folder, _ = home
    places = find_places({}, {"HOME": str(folder)}, USER)
    for where in (places.servers, places.available):
        where.mkdir()
        (where / "one.conf").touch()
    (places.available / "two.conf").touch()
    assert config_of(places, "one") == config_of(places, "e/one.conf") == places.servers / "one.conf"
    assert config_of(places, "a/one") == places.available / "one.conf"
    assert config_of(places, "two") == places.available / "two.conf"
    with pytest.raises(ConfigError, match=r"there is no two\.conf in .*servers-enabled$"):
        config_of(places, "e/two")
