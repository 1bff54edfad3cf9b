"""Functions of a test, called where apps run."""

import threading

from skitai.plugins import hookimpl


class Runner:
    """A plugin: ``run(function)`` returns what the function returns where apps run, or raises that."""

    @hookimpl
    def skitai_startup(self, instance):
        self.instance = instance

    def __call__(self, function, seconds=60):
        over, outcome = threading.Event(), []

        def called(was):
            try:
                outcome.append((function(), None))
            except BaseException as error:
                outcome.append((None, error))
            over.set()

        self.instance.bridge.submit(lambda: self.instance.run(called))
        assert over.wait(seconds)
        value, error = outcome[0]
        if error is not None:
            raise error
        return value
