"""A memory for what comes again."""

from skitai.http.recurring import Recurring


def test_what_comes_once_is_not_remembered_and_drives_nothing_out():
    memory = Recurring(4)
    for number in range(1000):
        memory.remember(("own", number), number)
        memory.remember(("common", number % 3), "value")
    assert set(memory) <= {("common", number) for number in range(3)}
    assert memory.get(("common", 0)) == "value"


def test_it_holds_a_limited_number():
    memory = Recurring(4)
    for number in range(1000):
        memory.remember(number, number)
        memory.remember(number, number)
        assert len(memory) <= 4
    assert memory.get(999) == 999
