from dataclasses import dataclass

import pytest

from skitai.saddle.routes import router
from skitai.saddle.routes.router import Router, Rule


@dataclass
class Tried:
    """How many rules' expressions were tried."""

    count: int = 0


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> Tried:
    counter = Tried()
    match = Rule.match

    def counted(rule: Rule, path: str) -> object:
        counter.count += 1
        return match(rule, path)

    monkeypatch.setattr(router.Rule, "match", counted)
    return counter


@pytest.mark.parametrize(
    ("shape", "path"),
    [
        ("/page{}", "/page7"),
        ("/item{}/<int:n>", "/item7/5"),
        ("/<lang>/page{}", "/en/page7"),
        ("/shop/item{}-<name>.html", "/shop/item7-x.html"),
        ("/files{}/<path>", "/files7/a/b"),
    ],
)
def test_a_thousand_routes_cost_no_more_than_ten(shape: str, path: str, tried: Tried) -> None:
    """Among a thousand routes of one shape no more than one expression is tried."""
    made = Router()
    for number in range(1000):
        made.add(Rule(shape.format(number)), number)
    assert made.match(path, "GET").endpoint == 7
    assert tried.count <= 1
