"""Where frames end, in all sizes and in all pieces."""

import pytest

from skitai.services.proxy.frames import FrameEnds

FRAMES = [
    b"\x89\x00",
    b"\x81\x85\1\2\3\4hello",
    b"\x82\x7e\x01\x00" + b"x" * 256,
    b"\x82\xff\0\0\0\0\0\1\0\0\1\2\3\4" + b"x" * 65536,
]


@pytest.mark.parametrize("step", [1, 3, 7, 100_000])
def test_ends(step):
    """After each whole frame it is at an end, and never before."""
    ends = FrameEnds()
    assert ends.at_end
    for frame in FRAMES:
        for start in range(0, len(frame), step):
            ends.feed(frame[start : start + step])
            assert ends.at_end == (start + step >= len(frame))
    ends.feed(b"".join(FRAMES))
    assert ends.at_end
