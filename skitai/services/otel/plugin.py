"""The hooks of the traces, which are there if the config has ``[otel]``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from skitai.config import Key
from skitai.plugins import hookimpl
from skitai.processes import State
from skitai.services.otel.settings import KEYS, SECTION, read_settings

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from skitai.interfaces import IInstance
    from skitai.services.otel.observer import Observer

_MISSING = "needs the packages of OpenTelemetry: pip install 'skitai[otel]'"
_OWNER = __name__


def _observer_of(instance: IInstance) -> Observer | None:
    """Return what traces ``instance``, made at the first call; None if nothing asks for that."""
    if SECTION not in instance.config.sections:
        return None
    observer: Observer | None = instance.state(_OWNER, partial(_make, instance))
    return observer


def _make(instance: IInstance) -> Observer | None:
    try:
        settings = read_settings(instance.section(SECTION), instance.config.server.name, os.environ)
    except ValueError as error:
        raise instance.config.error("", str(error), section=SECTION) from error
    if settings is None:
        return None
    try:
        from skitai.services.otel.observer import Observer  # only here: the extra may be missing
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise instance.config.error("", _MISSING, section=SECTION) from error
    # Until the apps are loaded, one of them may set a provider of its own.
    return Observer(instance, settings, lambda: instance.slot.state != State.STARTING)


@hookimpl
def skitai_config_sections() -> Mapping[str, Mapping[str, Key]]:
    """Declare what is traced, and where traces go."""
    return {SECTION: KEYS}


@hookimpl
def skitai_observer(instance: IInstance) -> Observer | None:
    """Trace requests and calls."""
    return _observer_of(instance)


@hookimpl
def skitai_app_failed(instance: IInstance, error: BaseException) -> None:
    """Note in the span of a request what its app raised."""
    observer = _observer_of(instance)
    if observer is not None:
        observer.app_failed(error)


@hookimpl
def skitai_shutdown(instance: IInstance) -> Deferred[None] | None:
    """Send what waits, as far as that is quickly done."""
    observer = _observer_of(instance)
    return None if observer is None else observer.stop()
