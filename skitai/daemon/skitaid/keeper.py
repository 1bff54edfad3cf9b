"""The children of skitaid: one server for each file in servers-enabled, and the agents."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import attrs
from twisted.logger import Logger

from skitai.daemon.skitaid.child import Child, Condition, Program
from skitai.daemon.skitaid.places import AGENTS, MAIL_AGENT, Places
from skitai.errors import ConfigError
from skitai.processes.files import state_of

_log = Logger()

_NAME = re.compile(r"[^\W_][\w.+-]*")


@attrs.define
class _Server:
    child: Child
    #: The state of its file when that was looked at last.
    state: object
    is_wanted: bool = True


class Keeper:
    """Starts and ends children as the folder of ``places`` says; ``is_verbose``: they print what they log."""

    def __init__(self, places: Places, *, is_verbose: bool) -> None:
        self._places = places
        self._is_verbose = is_verbose
        self._servers: dict[str, _Server] = {}
        self._cron_agent = Child("cron", self._cron, has_workers=False)
        self._mail_agent = Child(MAIL_AGENT, self._mail, has_workers=False)
        self._has_mail = False
        #: The state of skitaid.conf when that was looked at last.
        self._state: object = None
        self._refused: set[str] = set()
        self._is_ending = False

    def children(self) -> list[Child]:
        """Return the agents, and the servers in the order of their names."""
        agents = [self._cron_agent]
        if self._has_mail or self._mail_agent.pid is not None:
            agents.append(self._mail_agent)
        return [*agents, *(server.child for _, server in sorted(self._servers.items()))]

    def start(self, now: float) -> None:
        """Start all."""
        self._cron_agent.start(now)
        self._look_at_file(now)
        self._look_at_folder(now)

    def look(self, now: float) -> None:
        """Look at the files and at all children. Called about once a second."""
        if not self._is_ending:
            self._look_at_file(now)
            self._look_at_folder(now)
        for child in self.children():
            child.look(now)
        for name, server in list(self._servers.items()):
            if not server.is_wanted and server.child.condition is Condition.DOWN:
                server.child.close()
                del self._servers[name]

    def ended(self, pid: int, status: int, now: float) -> None:
        """Take note that a process has ended, which may be a child."""
        for child in self.children():
            if child.pid == pid:
                child.ended(status, now)

    def stop(self, now: float, *, at_once: bool = False) -> None:
        """Have all children end."""
        self._is_ending = True
        for child in self.children():
            child.stop(at_once=at_once, now=now)

    @property
    def is_over(self) -> bool:
        """Whether all children have ended."""
        return all(child.pid is None for child in self.children())

    def _look_at_file(self, now: float) -> None:
        """Have a delivery agent while skitaid.conf has a section for it."""
        state = state_of(self._places.config)
        if state == self._state:
            return
        self._state = state
        try:
            has_mail = self._places.has_mail()
        except ConfigError as error:
            _log.error("{error}; the delivery agent is left as it is", error=str(error))
            return
        if has_mail != self._has_mail:
            self._has_mail = has_mail
            if has_mail:
                self._mail_agent.start(now)
            else:
                _log.info("skitaid.conf has no [{name}] any more", name=MAIL_AGENT)
                self._mail_agent.stop()
        elif has_mail:
            self._mail_agent.changed(now)

    # -- the folder ----------------------------------------------------------------------------------------

    def _look_at_folder(self, now: float) -> None:
        found = dict(self._files())
        for name, state in found.items():
            server = self._servers.get(name)
            if server is None:
                child = Child(name, partial(self._server, name), has_workers=True)
                self._servers[name] = _Server(child, state)
                child.start(now)
            elif not server.is_wanted:
                server.is_wanted = True
                server.child.start(now)
            elif server.state != state:
                server.state = state
                server.child.changed(now)
        for name, server in self._servers.items():
            if name not in found and server.is_wanted:
                _log.info("{name}.conf is gone", name=name)
                server.is_wanted = False
                server.child.stop()

    def _files(self) -> Iterator[tuple[str, object]]:
        """Yield the names of the configurations, and what tells whether they have changed."""
        try:
            entries = sorted(os.scandir(self._places.servers), key=lambda entry: entry.name)
        except OSError:
            return
        for entry in entries:
            if not entry.name.endswith(".conf"):
                continue
            name = entry.name.removesuffix(".conf")
            if name in AGENTS or not _NAME.fullmatch(name):
                self._refuse(name)
                continue
            state = state_of(entry)
            if state is not None:  # else it is gone already, or a link to nowhere
                yield name, state

    def _refuse(self, name: str) -> None:
        if name not in self._refused:
            self._refused.add(name)
            why = "the name of an agent" if name in AGENTS else "no name: use letters, digits, - and _"
            _log.error("{name}.conf is not served: {name} is {why}", name=name, why=why)

    # -- programs ------------------------------------------------------------------------------------------

    def _server(self, name: str) -> Program:
        config = str(self._places.servers / f"{name}.conf")
        if self._is_verbose:
            return Program([*_python("twisted"), "--log-file=-", "skitai", "-v", "--config", config], None)
        folder = self._folder(name)
        log = f"--log-file={folder / 'server.log'}"
        command = [*_python("twisted"), log, "skitai", "--config", config, "--logs", str(folder)]
        return Program(command, folder / "stderr.log")

    def _cron(self) -> Program:
        command = [*_python("skitai.daemon.cron"), "--config", str(self._places.config)]
        if self._is_verbose:
            return Program(command, None)
        folder = self._folder("cron")
        log = ["--log", str(folder / "cron.log"), "--keep", str(self._places.logs_kept)]
        return Program([*command, *log], folder / "stderr.log")

    def _mail(self) -> Program:
        command = [*_python("twisted"), "skitai-mail", "--config", str(self._places.config)]
        if self._is_verbose:
            return Program([*command, "--verbose"], None)
        folder = self._folder(MAIL_AGENT)
        return Program([*command, "--logs", str(folder)], folder / "stderr.log")

    def _folder(self, name: str) -> Path:
        folder = self._places.folder_of(name)
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]
