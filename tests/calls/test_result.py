import copy

import pytest
from call_fakes import ManualService

from skitai.calls.result import Result, Results
from skitai.errors import OperationError, OperationTimeout

NODE = ManualService().node("host:80")


class TestResult:
    def test_normal(self):
        """A result is normal unless said otherwise; reraise then does nothing."""
        result = Result(b"data", code=404, msg="Not Found", node=NODE)
        assert (result.status, result.code, result.msg, result.data) == (3, 404, "Not Found", b"data")
        assert result.error is None
        result.reraise()
        assert repr(result) == "<Result 3 404 'Not Found' from host:80>"

    def test_iterates_over_data(self):
        """Looping over a result is looping over its data, as the README's examples do."""
        assert list(Result([(1, "a"), (2, "b")])) == [(1, "a"), (2, "b")]

    def test_failed_takes_code_and_status_of_the_error(self):
        """A failure's result has empty data and what the error carries, the node included."""
        error = OperationError("no such host", code=704)
        result = Result.failed(error, NODE)
        assert (result.status, result.code, result.msg, result.data) == (2, 704, "no such host", b"")
        assert result.error is error
        assert result.node is error.node is NODE

    def test_failed_keeps_the_errors_own_node(self):
        """A service that names the node knows best."""
        other = ManualService().node("other:80")
        assert Result.failed(OperationError("broken", node=other), NODE).node is other

    def test_failed_time_out(self):
        """A time-out has status 1 and code 702."""
        result = Result.failed(OperationTimeout())
        assert (result.status, result.code, result.data) == (1, 702, b"")
        with pytest.raises(OperationTimeout):
            result.reraise()

    def test_failed_for_any_exception(self):
        """An exception that is no OperationError has code 701, and is the cause of the one raised."""
        error = ValueError("odd")
        result = Result.failed(error, NODE)
        assert (result.status, result.code, result.msg) == (2, 701, "ValueError: odd")
        with pytest.raises(OperationError, match=r"\[701\] ValueError: odd \(status: 2\)") as raised:
            result.reraise()
        assert raised.value.__cause__ is error
        assert raised.value.node is NODE

    def test_reraise_for_a_failure_that_the_service_made(self):
        """A result of status 1 or 2 without an exception raises one that fits."""
        with pytest.raises(OperationTimeout):
            Result(b"", status=1, code=702, msg="late").reraise()
        with pytest.raises(OperationError) as raised:
            Result(b"", status=2, code=550, msg="refused", node=NODE).reraise()
        assert (raised.value.code, raised.value.status, raised.value.node) == (550, 2, NODE)

    def test_errors_name_what_was_asked(self):
        """What a failure raises has the target as ``url``, whoever made the exception."""
        for failure in (OperationError("broken"), ValueError("odd")):
            with pytest.raises(OperationError) as raised:
                Result.failed(failure, NODE, "@c/path").reraise()
            assert raised.value.url == "@c/path"
        assert (
            Result.failed(OperationError("broken", url="http://b/"), NODE, "http://a/").error.url
            == "http://b/"
        )
        assert OperationTimeout().url is None

    def test_subclass_says_what_empty_is(self):
        """A failure of a service whose data are rows has no rows."""

        class Rows(Result):
            empty = ()

        result = Rows.failed(OperationError("down"))
        assert type(result) is Rows
        assert list(result) == []

    def test_can_be_copied(self):
        """A copy of a failed result says the same."""
        assert repr(copy.copy(Result.failed(OperationError("x")))) == repr(Result.failed(OperationError("x")))


class TestResults:
    def test_is_a_sequence_in_member_order(self):
        """Results count, index, slice and iterate; their attributes are lists."""
        first, second = Result(b"1", code=200), Result.failed(OperationError("down"))
        results = Results([first, second])
        assert len(results) == 2
        assert list(results) == [first, second]
        assert results[1] is second
        assert list(results[:1]) == [first]
        assert results.status == [3, 2]
        assert results.code == [200, 701]
        assert results.data == [b"1", b""]

    def test_reraise_raises_the_first_failure(self):
        """The first failure in member order is raised; without one, nothing is."""
        bad, worse = OperationError("bad"), OperationError("worse")
        with pytest.raises(OperationError) as raised:
            Results([Result(), Result.failed(bad), Result.failed(worse)]).reraise()
        assert raised.value.message == "bad"
        Results([Result(), Result()]).reraise()

    def test_repr_shows_each(self):
        """The representation shows what came of each."""
        assert repr(Results([Result(code=404, msg="no")])) == "<Results [<Result 3 404 'no' from None>]>"
