"""The threads that deliver: each takes mail after mail for one server, and keeps what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from threading import Event, Lock
from time import monotonic

from twisted.logger import Logger

from skitai.daemon.mail.bounce import bounce, bounced_id
from skitai.daemon.mail.dialogue import Carrier, ImpossibleError, Letter, StaleError, UnavailableError
from skitai.daemon.mail.lanes import Waiting
from skitai.daemon.mail.queue import Key, Queue
from skitai.daemon.mail.retries import due_at
from skitai.daemon.mail.rules import Rules
from skitai.daemon.mail.wire import CODE_TIMEOUT, Reply, clean
from skitai.mail.claim import Claim
from skitai.mail.spool import Spool
from skitai.mail.state import RecipientOutcome

_log = Logger()

#: Seconds that a connection is kept without a mail: servers want it back.
IDLE_SECONDS = 5.0
#: Seconds until a mail is tried again for which something else went wrong here, such as the disk.
_TROUBLE_SECONDS = 60.0
#: Seconds between two tries to write what must be kept.
_DISK_SECONDS = 2.0
#: Seconds until it is looked again whether the mail of a bounce has been put away.
_BOUNCE_SECONDS = 2.0


class Office:
    """What all workers share. ``clock`` gives seconds since the epoch. Used in any thread."""

    def __init__(self, spool: Spool, queue: Queue, rules: Rules, clock: Callable[[], float]) -> None:
        self.spool = spool
        self.queue = queue
        self.clock = clock
        self.rules = rules
        #: Whether a mail was left to another agent, which may end before it has delivered that.
        self.has_left_some = False
        #: How many recipients got a mail, were refused, and were deferred; and how many mails were given up.
        self.counts = {"sent": 0, "refused": 0, "deferred": 0, "undelivered": 0}
        #: The agent is to end: what is begun may be finished, and what is not is left. Then its time is over.
        self.ending, self.stopped = Event(), Event()
        self._lock = Lock()
        self._carriers: set[Carrier] = set()

    def count(self, verdict: str) -> None:
        """Count what became of one recipient, or ``undelivered``."""
        with self._lock:
            self.counts[verdict] += 1

    def figures(self) -> dict[str, int]:
        """Return what the agent says of itself, by the names of ``skitai.mail.agents.Figures``."""
        with self._lock:
            counts = dict(self.counts)
        return {"waiting": len(self.queue), "due": self.queue.due(), **counts}

    def open_carrier(self, rules: Rules, key: Key) -> Carrier:
        """Return a carrier that is ready; raises UnavailableError and ImpossibleError."""
        carrier = rules.carrier(key)
        with self._lock:
            self._carriers.add(carrier)
        try:
            carrier.open(self.ending.is_set)
        except BaseException:
            self.let_go(carrier)
            raise
        return carrier

    def let_go(self, carrier: Carrier) -> None:
        """The carrier is closed."""
        with self._lock:
            self._carriers.discard(carrier)

    def abort_late(self, now: float | None = None) -> None:
        """End what takes too long, by the time ``now`` (monotonic)."""
        self._abort(lambda deadline: deadline < (monotonic() if now is None else now))

    def abort_all(self) -> None:
        """End all that is under way, and let nobody wait any longer."""
        self.stopped.set()
        self._abort(lambda _deadline: True)

    def _abort(self, is_meant: Callable[[float], bool]) -> None:
        with self._lock:
            carriers = list(self._carriers)
        for carrier in carriers:
            deadline = carrier.deadline
            if deadline is not None and is_meant(deadline):
                carrier.abort()


class Worker:
    """Delivers mail for the server ``key``, in a thread of its own."""

    def __init__(self, office: Office, key: Key, idle_seconds: float = IDLE_SECONDS) -> None:
        self._office = office
        self._key = key
        self._idle_seconds = idle_seconds
        self._rules = office.rules
        self._carrier: Carrier | None = None
        self._is_surplus = False

    def run(self) -> None:
        """Deliver until nothing was due for a while."""
        queue = self._office.queue
        try:
            while not self._is_surplus and (mail := queue.take(self._key, self._idle_seconds)) is not None:
                try:
                    self._handle(mail)
                finally:
                    queue.free(self._key)
        finally:
            self._hang_up()
            queue.left(self._key)

    # -- one mail ------------------------------------------------------------------------------------------

    def _handle(self, mail: Waiting) -> None:
        self._with_claim(mail, partial(self._look_at, mail))

    def _with_claim(self, mail: Waiting, action: Callable[[Claim], None]) -> None:
        """Call ``action`` with the claim of ``mail``, unless another agent has it.

        If that fails, the mail comes again: one must not stop or lose the others.
        """
        office = self._office
        try:
            claim = office.spool.claim(mail.id)
            if claim is None:
                office.has_left_some = True
                office.queue.forget(mail.id)
                return
            with claim:
                action(claim)
        except Exception as error:  # noqa: BLE001 - whatever it is
            if isinstance(error, OSError | ValueError):
                _log.error("mail {id}: {error}", id=mail.id, error=str(error))
            else:
                _log.failure("mail {id}", id=mail.id)
            self._later(mail, office.clock() + _TROUBLE_SECONDS)

    def _look_at(self, mail: Waiting, claim: Claim) -> None:
        policy, now = self._office.rules.policy, self._office.clock()
        if not claim.pending or (policy.is_last(claim.tries) and claim.next_at is None):
            self._finish(claim)  # a crash came before that
        elif (bounced := bounced_id(claim.id)) and self._office.spool.has(bounced):
            # Not before that is put away: after a crash in between, the bounce would be written again.
            self._later(mail, now + _BOUNCE_SECONDS)
        elif (at := due_at(claim.next_at, now)) > now:
            self._later(mail, at)  # another agent has tried it meanwhile
        else:
            self._deliver(mail, claim)

    def _deliver(self, mail: Waiting, claim: Claim) -> None:
        envelope = claim.envelope
        try:
            data = claim.message()
        except OSError as error:
            _log.error("mail {id} is set aside: {error}", id=claim.id, error=str(error))
            claim.set_aside(str(error))
            self._office.queue.forget(claim.id)
            return
        letter = Letter(claim.id, envelope.sender, claim.pending, data, envelope.needs_utf8)
        try:
            outcomes = self._try(letter)
        except UnavailableError as error:
            self._unavailable(mail, claim, error, len(data))
            return
        except ImpossibleError as error:
            reply = Reply(554, f"the mail names no server that there is: {clean(str(error))}")
            outcomes = [_outcome(one, "refused", reply) for one in claim.pending]
        self._keep(mail, claim, outcomes, len(data))

    def _try(self, letter: Letter) -> list[RecipientOutcome]:
        while True:
            carrier = self._ready()
            try:
                outcomes = carrier.deliver(letter)
            except StaleError:
                self._hang_up()
                continue  # a new connection is never stale
            except UnavailableError:
                self._hang_up()
                raise
            if self._office.queue.works(self._key):
                _log.info("{server} takes mail again", server=self._server)
            return outcomes

    def _ready(self) -> Carrier:
        """Return the connection, a new one if there is none, or if the configuration has changed."""
        office = self._office
        if self._carrier is not None and (not self._carrier.is_open or self._rules is not office.rules):
            self._hang_up()
        if self._carrier is None:
            self._rules = office.rules
            self._carrier = office.open_carrier(self._rules, self._key)
            office.queue.connected(self._key, 1)
        return self._carrier

    def _hang_up(self) -> None:
        if self._carrier is not None:
            carrier, self._carrier = self._carrier, None
            carrier.close()
            self._office.let_go(carrier)
            self._office.queue.connected(self._key, -1)

    @property
    def _server(self) -> str:
        return self._rules.target if self._key is None else self._key.address

    # -- what became of it ---------------------------------------------------------------------------------

    def _keep(self, mail: Waiting, claim: Claim, outcomes: Sequence[RecipientOutcome], size: int) -> None:
        """Keep what the server said, on disk, before anything else is said to it."""
        office = self._office
        before = claim.outcomes.values()
        if all(outcome.verdict == "sent" for outcome in (*outcomes, *before)):
            self._surely(claim.done)
            office.queue.forget(mail.id)
        elif self._is_aborted(outcomes):
            claim.release()
            self._later(mail, office.clock())
        else:
            next_at = self._next_at(claim, outcomes)
            self._surely(lambda: claim.record(outcomes, next_at))
            if next_at is None:
                self._finish(claim)
            else:
                claim.release()
                self._later(mail, next_at)
        for outcome in outcomes:
            self._tell(claim, outcome, size)

    def _next_at(self, claim: Claim, outcomes: Sequence[RecipientOutcome]) -> float | None:
        tries, policy = claim.tries + 1, self._office.rules.policy
        if all(outcome.verdict != "deferred" for outcome in outcomes) or policy.is_last(tries):
            return None
        return self._office.clock() + policy.delay(tries)

    def _is_aborted(self, outcomes: Sequence[RecipientOutcome]) -> bool:
        """Whether the agent has ended the try itself: that does not count as one."""
        return self._office.stopped.is_set() and all(outcome.code == CODE_TIMEOUT for outcome in outcomes)

    def _finish(self, claim: Claim) -> None:
        """Put away a mail that is not tried again."""
        failed = [outcome for outcome in claim.outcomes.values() if outcome.verdict != "sent"]
        if failed:
            self._give_up(claim, failed)
        else:
            self._surely(claim.done)
        self._office.queue.forget(claim.id)

    def _give_up(self, claim: Claim, failed: Sequence[RecipientOutcome]) -> None:
        rules, envelope = self._office.rules, claim.envelope
        if rules.bounce and envelope.sender:
            report = bounce(envelope, claim.message(), failed, rules.host, self._office.clock())
            with suppress(FileExistsError):  # it was written before a crash
                self._office.spool.write(*report)
        reason = "\n".join(f"{outcome.address}: {outcome.code} {outcome.reply}" for outcome in failed)
        self._surely(lambda: claim.give_up(reason))
        self._office.count("undelivered")
        _log.error("mail {id} is given up; it is kept in undeliver", id=claim.id)

    def _surely(self, action: Callable[[], None]) -> None:
        """Call ``action`` until it succeeds: a full disk must not have the mail sent once more."""
        while True:
            try:
                action()
            except OSError as error:
                _log.error("cannot keep what became of a mail, will try again: {error}", error=str(error))
                if self._office.stopped.wait(_DISK_SECONDS):
                    raise
            else:
                return

    def _later(self, mail: Waiting, at: float) -> None:
        self._office.queue.later(self._key, mail._replace(at=at))

    def _tell(self, claim: Claim, outcome: RecipientOutcome, size: int) -> None:
        self._office.count(outcome.verdict)
        write = {"sent": _log.info, "refused": _log.error, "deferred": _log.warn}[outcome.verdict]
        sender = clean(claim.envelope.sender) or "<>"
        kilobytes = max(1, round(size / 1024))
        # Formatted here: Twisted's way of putting values into a text takes longer than all else that we do.
        said = f"-{outcome.code} {clean(outcome.reply)} {sender} -> {clean(outcome.address)} ({kilobytes} Kb)"
        write("{said}", said=said)

    # -- a server that takes nothing -----------------------------------------------------------------------

    def _unavailable(self, mail: Waiting, claim: Claim, error: UnavailableError, size: int) -> None:
        """Have all mail of the server wait; say so once."""
        office, reply = self._office, error.reply
        queue, policy = office.queue, office.rules.policy
        is_left = office.stopped.is_set() or (error.is_login and office.ending.is_set())
        if is_left or (not error.is_login and queue.is_full(self._key)):
            claim.release()
            queue.put_back(self._key, mail)
            self._is_surplus = True
            return
        until, is_news, before = queue.failed(self._key, f"{reply.code} {reply.text}", policy)
        if is_news:
            what = "does not let us in" if error.is_login else "takes no mail"
            _log.error(
                "{server} {what}, all mail for it waits: {code} {reply}",
                server=self._server, what=what, code=reply.code, reply=reply.text,
            )  # fmt: skip
        outcomes = [_outcome(one, "deferred", reply) for one in claim.pending]
        is_last = policy.is_last(claim.tries + 1) or claim.envelope.created < before
        self._surely(lambda: claim.record(outcomes, None if is_last else until))
        if not error.is_login:
            for outcome in outcomes:
                self._tell(claim, outcome, size)
        if is_last:
            self._finish(claim)
        else:
            claim.release()
            self._later(mail, until)
        for old in queue.expired(self._key, before):
            self._with_claim(old, partial(self._expire, reply))

    def _expire(self, reply: Reply, claim: Claim) -> None:
        """Give up a mail that has waited for its server as long as the others were tried."""
        outcomes = [_outcome(one, "deferred", reply) for one in claim.pending]
        claim.record(outcomes, None)
        self._finish(claim)


def _outcome(recipient: str, verdict: str, reply: Reply) -> RecipientOutcome:
    return RecipientOutcome(recipient, verdict, reply.code, reply.text)  # type: ignore[arg-type]
