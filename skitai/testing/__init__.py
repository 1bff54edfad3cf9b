"""What authors of apps and of plugins need to test them without a network, a server or a wait.

- ``FakeWas``: ``from skitai import was`` works, and a script answers.
- ``ServiceHarness`` and ``verify_service``: call one service as ``was.NAME`` would.
- ``InlineExecutor``: runs apps at once, in the test's own thread.

docs/testing.md shows each at work.
"""

from skitai.testing.executor import InlineExecutor
from skitai.testing.fakewas import FakeWas
from skitai.testing.recording import RecordedRequest
from skitai.testing.services import ServiceHarness, verify_service

__all__ = ["FakeWas", "InlineExecutor", "RecordedRequest", "ServiceHarness", "verify_service"]
