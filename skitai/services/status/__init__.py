"""``was.status``, ``was.restart``, ``was.shutdown`` and ``was.version``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import skitai
from skitai.plugins import hookimpl
from skitai.services.status.page import status_page

if TYPE_CHECKING:
    from skitai.interfaces import IInstance


@hookimpl
def skitai_attributes(instance: IInstance) -> Mapping[str, Callable[[Any], Any]]:
    """Give the attributes that show an app its worker, and those that end the worker."""
    return {
        "status": lambda _was: partial(status, instance),
        "restart": lambda _was: partial(restart, instance),
        "shutdown": lambda _was: partial(shutdown, instance),
        "version": lambda _was: skitai.__version__,
    }


def status(instance: IInstance, flt: str | None = None, fancy: bool = True) -> Any:
    """Return the state of this worker as an HTML page or, without ``fancy``, as a dict of its sections.

    ``flt`` keeps the sections whose title contains it, in any case. The page shows addresses and versions,
    so give it only to people who may know them. Called in any thread; raises as ``IInstance.status`` does.
    """
    sections = {
        title: section
        for title, section in instance.status().items()
        if flt is None or flt.lower() in title.lower()
    }
    return status_page(instance.config.server.name, sections) if fancy else sections


def restart(instance: IInstance, fast: bool = False) -> None:
    """End this worker in good order and start it anew; ``fast``: requests under way get one second.

    Returns at once; the request that asks is still answered. Called in any thread.
    """
    instance.leave(restart=True, fast=bool(fast))


def shutdown(instance: IInstance, fast: bool = False) -> None:
    """End this worker in good order; ``fast``: requests under way get one second.

    Returns at once; the request that asks is still answered. Called in any thread.
    """
    instance.leave(restart=False, fast=bool(fast))
