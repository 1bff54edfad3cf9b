import attrs
import pytest

from skitai.calls.operation import Operation


@pytest.mark.parametrize(
    ("target", "cluster", "path"),
    [
        ("@search/q?x=1", "search", "/q?x=1"),
        ("@search", "search", ""),
        ("@search?x=/1", "search", "?x=/1"),
        ("@", "", ""),
        ("http://host/@search", None, "http://host/@search"),
        ("host:5432/db", None, "host:5432/db"),
        ("", None, ""),
    ],
)
def test_target_is_a_cluster_or_an_address(target, cluster, path):
    """A target that starts with @ names a cluster up to its first / or ?; the rest is the path."""
    operation = Operation(target)
    assert operation.cluster == cluster
    assert operation.path == path


def test_is_careful_by_default():
    """Unless the service says so, an operation is neither cached nor done twice."""
    operation = Operation("host:80")
    assert operation.cache_key is None
    assert operation.idempotent is False


def test_another_one():
    """What differs is another operation, which equals one that was made so."""
    operation = Operation("host:80", cache_key=("a", 1))
    other = attrs.evolve(operation, idempotent=True)
    assert operation == Operation("host:80", cache_key=("a", 1))
    assert other == Operation("host:80", cache_key=("a", 1), idempotent=True)


def test_another_request():
    """Only the request differs, whatever an operation is made of."""
    given = {field.name: object() for field in attrs.fields(Operation)} | {"filter": print}
    operation = Operation(**given)
    assert operation.with_request(1) == Operation(**given | {"request": 1})
