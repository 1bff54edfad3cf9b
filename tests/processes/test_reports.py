"""Reports: what they add up to, and what stays of workers that are gone."""

from skitai.processes import Board, State
from skitai.processes.board import REPORT_MAX
from skitai.processes.reports import LOWEST, add_up, decode, encode, fold


def report(requests, members, *seconds):
    return encode(
        {
            "requests_total": ["counter", "Requests.", [], {'mount="/"': requests}],
            "members": ["gauge", "Members.", [], {"": members}],
            "seconds": ["histogram", "Seconds.", [1], {"": list(seconds)}],
        }
    )


def sums_of(board):
    sums = add_up(map(decode, board.reports()))
    return {name: series for name, (_, _, _, series) in sums.items()}


def test_sums():
    """Workers are summed, of a histogram each count."""
    assert decode(report(3, 1, 2, 1, 4.5)) == add_up(
        map(decode, [report(1, 1, 2, 0, 0.5), report(2, 0, 0, 1, 4)])
    )


def test_what_is_no_report():
    """What a worker of another release put up counts as nothing."""
    assert [decode(data) for data in (b"", b"\x80\x04", b"[1]", b"{")] == [{}] * 4


def test_other_bounds():
    """After a change of bounds, the counts of before cannot be added."""
    old, new = ["histogram", "", [1], {"": [1, 1, 1.0]}], ["histogram", "", [1, 2], {"": [1, 1, 1, 1.0]}]
    assert add_up([{"a": new}, {"a": old}]) == {"a": new}


def test_a_worker_that_is_gone_still_counts():
    """Its counts stay, its gauges go, and its slot is free without a report."""
    board = Board.create(2)
    for slot in board:
        slot.state = State.READY
        slot.report(report(2, 1, 1, 1, 3.0))
    board.retire(board[0])
    assert (len(board), board.free(), board[0].last_report()) == (2, board[0], b"")
    assert sums_of(board) == {
        "requests_total": {'mount="/"': 4},
        "members": {"": 1},
        "seconds": {"": [2, 2, 6.0]},
    }
    board.retire(board[1])
    board.retire(board[0])  # which has not reported
    assert sums_of(board) == {"requests_total": {'mount="/"': 4}, "seconds": {"": [2, 2, 6.0]}}
    board.close()


def test_a_board_for_one():
    """A process alone has a slot, and what another process would retire."""
    board = Board.alone()
    assert (len(board), board.reports()) == (1, [])
    board[0].report(report(1, 1, 1, 0, 0.1))
    board.retire(board[0])
    assert sums_of(board)["requests_total"] == {'mount="/"': 1}
    board.close()


def test_sums_that_are_too_long():
    """Series that the last worker did not have are left out, as of routes that are gone."""

    def of(mounts):
        return encode({"a": ["counter", "", [], dict.fromkeys(mounts, 1)]})

    assert decode(fold(of("xy"), of("yz"), REPORT_MAX)) == {
        "a": ["counter", "", [], {"y": 2, "z": 1, "x": 1}]
    }
    assert decode(fold(of("xy"), of("yz"), 40)) == {"a": ["counter", "", [], {"y": 2, "z": 1}]}


def test_lowest():
    """Of a gauge that is marked so, the lowest of all workers counts."""
    reports = [{"until": ["gauge", "Until when.", LOWEST, {"": moment}]} for moment in (5, 3, 9)]
    assert add_up(reports) == {"until": ["gauge", "Until when.", LOWEST, {"": 3}]}
