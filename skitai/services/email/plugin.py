"""The hooks of ``was.email``: its outbox, its threads and its part of the status page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred

from skitai.config.places import var_folder
from skitai.loop.pool import ThreadPool
from skitai.mail.agents import Figures, look
from skitai.mail.spool import Spool, mail_folder
from skitai.plugins import Metric, counter, gauge, hookimpl
from skitai.services.email.outbox import Outbox
from skitai.services.email.service import EmailService

if TYPE_CHECKING:
    from skitai.interfaces import IInstance

_SECTION = "smtpda"
#: Mails of greenlets and coroutines that are written at once, and how many more may wait: a disk does not get
#: faster by more threads.
_THREADS, _QUEUE = 4, 1000
_SKITAID_VARIABLE = "SKITAID_VAR_PATH"


class _Post:
    """What an instance has for its mail."""

    def __init__(self, instance: IInstance) -> None:
        folder = mail_folder(var_folder(instance.section("global")["var_path"]))
        warning = ""
        if _SECTION not in instance.config.sections and _SKITAID_VARIABLE not in os.environ:
            warning = (
                f"{instance.config.path} has no section [smtpda], so the server starts no delivery agent:"
                f" mail waits in {folder} until one looks there"
            )
        self.outbox = Outbox(Spool(folder), instance.section(_SECTION)["max_size"], warning)
        self.pool = ThreadPool(_THREADS, _QUEUE, instance.bridge.submit)


def _post_of(instance: IInstance) -> _Post:
    post: _Post = instance.state(_Post, lambda: _Post(instance))
    return post


@hookimpl
def skitai_services(instance: IInstance) -> Mapping[str, EmailService]:
    """Give ``was.email``."""
    post = _post_of(instance)
    return {"email": EmailService(post.outbox, post.pool, instance.bridge)}


@hookimpl
def skitai_status(instance: IInstance) -> Mapping[str, Any]:
    """Show where mail goes on the status page, and what becomes of it."""
    outbox = _post_of(instance).outbox
    return {"was.email": {**outbox.statistics(), **attrs.asdict(_figures(outbox))}}


@hookimpl
def skitai_metrics(instance: IInstance) -> Sequence[Metric]:
    """Count the mails."""
    outbox = _post_of(instance).outbox
    counts = {"written": outbox.written, "failed": outbox.failed}
    return [counter("skitai_mail_spooled_total", "Mails that was.email gave the spool.", counts, "outcome")]


def _figures(outbox: Outbox) -> Figures:
    """Return what agents say: a few bytes of a file, which the system has in memory."""
    try:
        return look(outbox.spool.folder)
    except OSError:  # somebody else's spool
        return Figures()


@hookimpl
def skitai_common_metrics(instance: IInstance) -> Sequence[Metric]:
    """Tell what the agents of the spool say: all workers have the same spool."""
    outbox = _post_of(instance).outbox
    if _SECTION not in instance.config.sections and not outbox.written:
        return ()
    found = _figures(outbox)
    waiting = {"due": found.due, "later": found.waiting - found.due}
    outcomes = {name: getattr(found, name) for name in ("sent", "refused", "deferred")}
    text = "Recipients by what servers said."
    return [
        gauge("skitai_mail_agents", "Delivery agents at work on the spool.", found.agents),
        gauge("skitai_mail_waiting", "Mails in the spool.", waiting, "state"),
        counter("skitai_mail_recipients_total", text, outcomes, "outcome"),
        counter("skitai_mail_undelivered_total", "Mails that were given up.", found.undelivered),
    ]


@hookimpl
def skitai_stopping(instance: IInstance) -> Deferred[None]:
    """Wait for the mails that threads are writing."""
    return _post_of(instance).pool.when_done()


@hookimpl
def skitai_shutdown(instance: IInstance) -> None:
    """Let the threads end."""
    _post_of(instance).pool.stop()
