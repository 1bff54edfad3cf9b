"""The command of the agent beside a server, and how its end is waited for."""

import io
import runpy
import sys
from types import SimpleNamespace

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel

from skitai.daemon.logs import plain_observer
from skitai.daemon.mail.beside import agent_command, wait_for_end


def config(tmp_path, *sections, log_path=None):
    return SimpleNamespace(
        sections=dict.fromkeys(sections), places={"log_path": log_path}, path=str(tmp_path / "site.conf")
    )


def twist(stream=None, observer=plain_observer):
    return {"logLevel": LogLevel.info, "fileLogObserverFactory": observer, "logFile": stream or sys.stdout}


def test_no_section(tmp_path):
    """Without [smtpda], there is no agent."""
    assert agent_command(config(tmp_path, "server"), twist(), verbose=False) == ()


def test_command(tmp_path):
    """It logs where the server does, in the same form."""
    words = agent_command(config(tmp_path, "smtpda"), twist(), verbose=False)
    assert words[:3] == (sys.executable, "-m", "twisted")
    assert words[3:] == (
        "--log-level=info", "--log-file=-", "skitai-mail", "--config", str(tmp_path / "site.conf"),
    )  # fmt: skip
    words = agent_command(config(tmp_path, "smtpda"), twist(observer=object()), verbose=False)
    assert "--log-format=json" in words


def test_a_log_of_a_file(tmp_path, monkeypatch):
    """A relative name counts from the folder that the server was started in."""
    monkeypatch.chdir(tmp_path)
    stream = io.StringIO()
    stream.name = "some.log"
    words = agent_command(config(tmp_path, "smtpda"), twist(stream), verbose=False)
    assert f"--log-file={tmp_path / 'some.log'}" in words


@pytest.mark.parametrize("verbose", [False, True])
def test_a_log_of_its_own(tmp_path, verbose):
    """The configuration has a place for it, which --verbose overrides."""
    words = agent_command(config(tmp_path, "smtpda", log_path=tmp_path), twist(), verbose=verbose)
    assert ("--log-file=-" in words) is verbose


def test_the_end_is_waited_for():
    """The Deferred fires as soon as the keeper sees that the agent is gone."""
    looks = []
    keeper = SimpleNamespace(look=lambda: looks.append(1), is_over=False)
    clock, ended = Clock(), []
    wait_for_end(keeper, clock).addCallback(ended.append)
    clock.pump([0.05] * 3)
    assert len(looks) == 4
    assert ended == []
    keeper.is_over = True
    clock.advance(0.05)
    assert len(ended) == 1


def test_python_m(monkeypatch, tmp_path, capsys):
    """``python -m skitai.daemon.mail`` is the command."""
    (tmp_path / "site.conf").write_text(f"[global]\nvar_path = {tmp_path}\n")
    monkeypatch.setattr(sys, "argv", ["skitai-mail", "--config", str(tmp_path / "site.conf"), "queue"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("skitai.daemon.mail", run_name="__main__")
    assert ended.value.code == 0
    assert "no mail waits" in capsys.readouterr().err
