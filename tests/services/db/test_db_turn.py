"""Turns: a lock that goes round in order."""

from twisted.internet.defer import CancelledError

from skitai.services.db.turn import Turn


class Users:
    """Wants ``turn`` and notes who has it."""

    def __init__(self):
        self.turn, self.had = Turn(), []

    def want(self, name, use=lambda: None):
        def begin(_):
            self.had.append(name)
            use()

        return self.turn.acquire().addCallback(begin)


def test_in_order():
    """Whoever waits has the lock in order, one at a time."""
    users = Users()
    for name in "abc":
        users.want(name)
    assert users.had == ["a"]
    users.turn.release()
    users.turn.release()
    assert users.had == ["a", "b", "c"]
    users.turn.release()
    assert not users.turn.locked


def test_given_up():
    """Who gives up is passed over."""
    users = Users()
    users.want("a")
    given_up = users.want("b")
    users.want("c")
    given_up.cancel()
    given_up.addErrback(lambda failure: failure.trap(CancelledError))
    users.turn.release()
    assert users.had == ["a", "c"]


def test_given_back_at_once():
    """Thousands that give it back at once are served one after the other, not each from within the last."""
    users = Users()
    users.want("first")
    for number in range(5000):
        users.want(number, users.turn.release)
    users.turn.release()
    assert users.had == ["first", *range(5000)]
    assert not users.turn.locked


def test_nobody_goes_ahead():
    """Who comes while the lock changes hands waits behind those who were there before."""
    users = Users()

    def give_back_and_return():
        users.turn.release()
        users.want("d")

    users.want("a")
    users.want("b", give_back_and_return)
    users.want("c")
    users.turn.release()
    users.turn.release()
    assert users.had == ["a", "b", "c", "d"]
