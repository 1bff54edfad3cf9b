"""The way from a node to a connection: the name is resolved here, because libpq would block."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from twisted.internet import defer
from twisted.internet.defer import Deferred

from skitai.errors import CODE_TIMEOUT, TIMEOUT, UnsentError

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from skitai.interfaces import IConnector
    from skitai.services.postgresql.driver import Connection
    from skitai.services.postgresql.limits import Limits
    from skitai.services.postgresql.node import PGNode


NEEDED = "PostgreSQL needs psycopg2 and txpostgres: pip install 'skitai[postgresql]'"


def has_driver() -> bool:
    """Whether the packages are installed that make connections."""
    return all(map(find_spec, ("psycopg2", "txpostgres")))


def connect(reactor: Any, connector: IConnector, node: PGNode, limits: Limits) -> Deferred[Connection]:
    """Fire with a connection to ``node``; fail with UnsentError, at the latest after its connect time-out.

    That is libpq's ``connect_timeout`` or the one of ``[http]``. Cancelling closes the socket. Called in the
    reactor thread.
    """
    seconds = float(dict(node.options).get("connect_timeout", connector.timeout))
    connecting = Deferred.fromCoroutine(_connect(reactor, connector, node, limits, seconds))
    connecting.addTimeout(seconds, reactor)
    return connecting.addErrback(_tell, node)


def _tell(failure: Failure, node: PGNode) -> Failure:
    if isinstance(failure.value, defer.TimeoutError):
        raise _too_late(node)
    return failure


def _too_late(node: PGNode) -> UnsentError:
    return UnsentError(f"no connection to {node.label} in time", code=CODE_TIMEOUT, status=TIMEOUT)


async def _connect(
    reactor: Any, connector: IConnector, node: PGNode, limits: Limits, seconds: float
) -> Connection:
    if not has_driver():
        raise UnsentError(NEEDED)
    # Imported where it is needed: a server without databases does not load the driver.
    from skitai.services.postgresql.driver import Connection

    parameters = node.parameters()
    if node.is_socket:
        return await Connection.connect(reactor, parameters, limits)
    addresses = await connector.resolve(node.host)
    # An address that does not answer must not take the time of those behind it.
    share = seconds / len(addresses)
    failures: dict[str, UnsentError] = {}
    for address in addresses:
        connecting = Connection.connect(reactor, {**parameters, "hostaddr": address}, limits)
        try:
            return await connecting.addTimeout(share, reactor)
        except UnsentError as error:
            failures[error.message] = error
        except defer.TimeoutError:
            failure = _too_late(node)
            failures[failure.message] = failure
    # All of them: the refusal of one address must not hide the wrong password at another.
    last = [*failures.values()][-1]
    raise UnsentError("; ".join(failures), code=last.code, status=last.status)
