"""How Python keeps the attributes of requests: as an array, also where the first of them come together."""

import subprocess
import sys

import pytest

CODE = """
import sys
from skitai.server.request.request import Request

requests = [Request(None, b"GET", b"/", "1.1", []) for _ in range(100)]
for request in requests:
    request.complete = request.keep_alive = request.written = True
    request.authority = request.path = request.query = b"x"
    request.place, request.status_code, request.bytes_sent, request.bodyless = None, 200, 1, False
    request.arrived = request.answered = request.ended = 1.0
attributes = vars(requests[-1])
print(len(attributes), sys.getsizeof(attributes), sys.getsizeof(dict(attributes)))
"""


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="others keep attributes in other ways")
def test_the_first_requests_come_together():
    """What they set later has its place in the array, too; else each would have a dictionary of its own."""
    ran = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=60)
    count, size, size_of_its_own = map(int, ran.stdout.split())
    assert count == 26
    assert size < size_of_its_own
