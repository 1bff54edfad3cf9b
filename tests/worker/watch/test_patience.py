"""How long a server that was asked to stop may take, by a clock of the test's own."""

from skitai.worker.watch.patience import Patience, Step


def steps(patience, *looks):
    """Return the steps at each ``(now, held)``."""
    return [patience.look(now, held) for now, held in looks]


def test_a_server_that_stops_is_left_alone():
    """As long as the reactor answers, the server has the time of all its parts."""
    patience = Patience(11.0, began=100.0)
    assert steps(patience, (100, 0), (111, 0.1), (133.9, 0.2), (134, 0)) == [*[Step.WAIT] * 3, Step.END]


def test_what_holds_the_reactor_is_interrupted():
    """After the time of the requests, what holds the reactor is interrupted, and a second later ended."""
    patience = Patience(11.0, began=100.0)
    assert steps(patience, (110, 9), (111, 10), (111.1, 10.1), (111.5, 10.5), (112, 11)) == [
        Step.WAIT, Step.INTERRUPT, Step.WAIT, Step.INTERRUPT, Step.END,
    ]  # fmt: skip


def test_each_that_holds_it_is_interrupted():
    """What holds the reactor after that has a second of its own."""
    patience = Patience(1.0, began=0.0)
    assert steps(patience, (1, 1), (1.5, 0), (2, 0.3), (2.5, 0.8)) == [
        Step.INTERRUPT, Step.WAIT, Step.INTERRUPT, Step.INTERRUPT,
    ]  # fmt: skip


def test_a_second_signal_ends_all_in_a_second():
    """Whoever asks twice waits a second."""
    patience = Patience(11.0, began=0.0)
    patience.hurry(2.0)
    patience.hurry(2.9)
    assert steps(patience, (2.9, 0), (3.0, 0)) == [Step.WAIT, Step.END]


def test_the_end_of_the_interpreter_has_its_time():
    """When the reactor has ended, nothing is interrupted, and the process ends after the time of one part."""
    patience = Patience(11.0, began=0.0, is_last=True)
    assert steps(patience, (10.9, 10.9), (11, 11)) == [Step.WAIT, Step.END]
