"""The command ``skitai``, which is ``twist skitai`` without a search for other plugins of ``twist``."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from twisted.application.service import IServiceMaker, ServiceMaker
from twisted.application.twist._options import TwistOptions
from twisted.application.twist._twist import Twist
from twisted.python.usage import UsageError

from skitai.processes.orders import EXIT_BROKEN, EXIT_CONFIG

_NAME = "skitai"


class _OneCommand(TwistOptions):
    """The options of a ``twist`` that has one command, which is not named."""

    def getSynopsis(self) -> str:
        """Return what stands before the name of the command."""
        return "Usage:"

    @property
    def plugins(self) -> Mapping[str, IServiceMaker]:
        """The one command: others need not be looked for, nor a list of them be kept where they lie."""
        words = "The Skitai application server."
        return {_NAME: ServiceMaker("Skitai", "skitai.tap", words, _NAME)}  # type: ignore[no-untyped-call]


class _Skitai(Twist):
    """``twist`` for one command."""

    @staticmethod
    def options(argv: Sequence[str]) -> TwistOptions:
        """Return the options; print one line and exit for wrong ones."""
        options = _OneCommand()
        try:
            options.parseOptions([_NAME, *argv[1:]])
        except UsageError as error:
            print(f"{_NAME}: {error}\n{_NAME} --help lists the options", file=sys.stderr)
            raise SystemExit(EXIT_CONFIG) from None
        return options


def main() -> None:
    """Serve what the command line says, or print what it asks for."""
    try:
        _Skitai.main(sys.argv)
    except BrokenPipeError:  # who reads what is printed has seen enough, as in skitai keys | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the last flush of Python
        raise SystemExit(EXIT_BROKEN) from None
