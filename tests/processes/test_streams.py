"""Standard streams: what apps do to theirs does not concern the server."""

import pytest

from processes import run_python

TAKEN = {
    "wrapped": "import codecs; sys.stdout = codecs.getwriter('utf-8')(sys.stdout.detach())",
    "closed": "sys.stdout.close()",
    "lost": "sys.stdout.buffer.close()",
    "none": "sys.stdout = None",
}


@pytest.mark.parametrize("taken", TAKEN.values(), ids=TAKEN)
def test_own_streams(taken):
    """The server's streams write whatever becomes of those of ``sys``, in order with what is printed."""
    found = run_python("-c", f"""if True:
        import sys
        from skitai.processes.streams import flush_streams, keep_own_streams, own_stream
        keep_own_streams()
        print("before", flush=True)
        own_stream("stdout").write("line\\n")
        {taken}
        own_stream("stdout").write("wait")
        flush_streams()
        own_stream("stderr").write("\\udc80\\n")
        """)  # fmt: skip
    assert (found.stdout, found.stderr, found.returncode) == ("before\nline\nwait", "\\udc80\n", 0)


def test_no_standard_stream():
    """A stream that is no file, or none at all, is the one of ``sys``."""
    found = run_python("-c", """if True:
        import io, sys
        sys.stdout, sys.stderr = io.StringIO(), None
        from skitai.processes.streams import flush_streams, keep_own_streams, own_stream
        keep_own_streams()
        flush_streams()
        assert own_stream("stdout") is sys.stdout and own_stream("stderr") is None
        """)  # fmt: skip
    assert found.returncode == 0
