"""Python's logging in the log of the apps, and apps that configure logging themselves."""

import io
import logging
import logging.config
import logging.handlers
import time

import pytest

from skitai.context import Was, current_was
from skitai.services.logging import AppLog
from skitai.services.records import Records

MOMENT = time.mktime((2026, 11, 22, 16, 9, 21, 0, 0, -1))
STAMP = "2026.11.22 16:09:21 "


class Plain(logging.StreamHandler):
    """A handler of an app; pytest's own do not count."""


@pytest.fixture
def log():
    """The log, with Python's logging as in a new process."""
    root, last = logging.root, logging.lastResort
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    root.setLevel(logging.WARNING)
    stream = io.StringIO()
    stream.records = Records(AppLog(stream, clock=lambda: MOMENT))
    yield stream
    stream.records.end()
    assert logging.lastResort is last
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def logger(request):
    logger = logging.getLogger(f"tested.{request.node.name}")
    yield logger
    logger.handlers[:] = []
    logger.propagate = True


def begin(log):
    """Begin to load an app, with no handlers as in a new process: pytest adds its own to each test."""
    logging.root.handlers[:] = [
        h for h in logging.root.handlers if not type(h).__module__.startswith("_pytest")
    ]
    log.records.step_aside()


def load(log, configure=lambda: None):
    """Load an app that configures logging."""
    begin(log)
    configure()
    log.records.take_root()


def test_record(log, logger):
    """A record has stamp, level and name; what Python leaves out by itself is left out."""
    load(log)
    logger.warning("%d left", 3)
    logger.info("not this")
    assert log.getvalue() == f"{STAMP}[warning] {logger.name}: 3 left\n"


def test_levels(log, logger):
    """The level is the app's business: of one logger, or of all."""
    load(log)
    logger.setLevel(logging.INFO)
    logger.info("this")
    logging.root.setLevel(logging.DEBUG)
    logging.getLogger("tested.other").debug("and this")
    assert [line.partition("] ")[2] for line in log.getvalue().splitlines()] == [
        f"{logger.name}: this",
        "tested.other: and this",
    ]


def test_request_id(log, logger):
    """Within a request, its id is at the end of the first line."""
    load(log)
    token = current_was.set(Was(None, {"HTTP_X_REQUEST_ID": "abc-1"}))
    try:
        logger.error("two\nlines")
    finally:
        current_was.reset(token)
    assert log.getvalue() == f"{STAMP}[error] {logger.name}: two (request abc-1)\n  lines\n"


def test_traceback(log, logger):
    """A traceback is as Python prints it, and nothing in it passes for a record."""
    load(log)
    try:
        raise ValueError("words\n2026.11.22 16:09:21 [info] forged\x1b[2J")
    except ValueError:
        logger.exception("failed")
    first, *trace = log.getvalue().splitlines()
    assert first == f"{STAMP}[error] {logger.name}: failed"
    assert trace[0] == "Traceback (most recent call last):"
    assert trace[-2:] == ["ValueError: words", "  2026.11.22 16:09:21 [info] forged\\x1b[2J"]


def test_wrong_arguments(log, logger, capsys):
    """A record whose arguments do not fit disturbs nobody; Python complains on standard error."""
    load(log)
    logger.warning("%d", "x")
    assert log.getvalue() == ""
    assert "Logging error" in capsys.readouterr().err


def test_warnings(log, recwarn):
    """Warnings are records of py.warnings."""
    load(log)
    logging.getLogger("py.warnings").warning("%s", "app.py:3: UserWarning: old\n  old()\n")
    assert log.getvalue() == f"{STAMP}[warning] py.warnings: app.py:3: UserWarning: old\n    old()\n"


@pytest.mark.parametrize(
    "configure",
    [
        lambda: logging.basicConfig(level=logging.INFO),
        lambda: logging.warning("implicitly"),
    ],
    ids=["level", "implicit"],
)
def test_a_default_handler_is_replaced(log, logger, configure):
    """basicConfig without anything but a level says that records are wanted, not where."""
    load(log, configure)
    assert [type(handler).__name__ for handler in logging.root.handlers] == ["RecordHandler"]
    logger.warning("once")
    assert log.getvalue().count("once") == 1


def test_an_app_with_a_format(log, logger):
    """What the app configures stays, and there are no double lines."""
    own = io.StringIO()
    load(log, lambda: logging.basicConfig(stream=own, format="%(message)s", level=logging.INFO))
    logger.info("mine")
    assert (own.getvalue(), log.getvalue()) == ("mine\n", "")


def test_a_logger_with_a_handler(log, logger):
    """A record that a handler of the app prints is not written again; one that it does not take is."""
    own = io.StringIO()
    handler = Plain(own)
    handler.setLevel(logging.ERROR)
    load(log, lambda: logger.addHandler(handler))
    logger.error("printed")
    logger.warning("not printed")
    assert own.getvalue() == "printed\n"
    assert log.getvalue() == f"{STAMP}[warning] {logger.name}: not printed\n"


def test_handlers_that_print_nothing(log, logger):
    """Handlers that only tell somebody, and those that drop all, do not count; filters do."""

    class Mail(logging.Handler):
        def emit(self, record):
            """Send a mail."""

    filtered = Plain(io.StringIO())
    filtered.addFilter(lambda record: False)
    load(log, lambda: [logger.addHandler(each) for each in (Mail(), logging.NullHandler(), filtered)])
    logger.error("failed")
    assert log.getvalue().count("failed") == 1


def test_a_queue_at_the_root(log, logger):
    """Any handler of the root logger is the app's decision."""
    handler = logging.handlers.MemoryHandler(10)
    load(log, lambda: logging.root.addHandler(handler))
    logger.error("kept")
    assert (len(handler.buffer), log.getvalue()) == (1, "")


def test_a_second_app(log, logger):
    """Each app that is loaded can configure logging, though an earlier one has not."""
    load(log)
    own = io.StringIO()
    load(log, lambda: logging.basicConfig(stream=own, format="%(message)s"))
    logger.warning("to the second")
    assert (own.getvalue(), log.getvalue()) == ("to the second\n", "")


def test_while_an_app_is_loaded(log, logger):
    """What is said meanwhile is not lost."""
    begin(log)
    logger.warning("at import")
    assert "at import" in log.getvalue()


def test_flask(log, monkeypatch):
    """app.logger of Flask comes here, once, at the levels of Flask."""
    flask = pytest.importorskip("flask")
    load(log)
    app = flask.Flask("tested_flask")
    app.logger.warning("from flask")
    assert log.getvalue() == f"{STAMP}[warning] tested_flask: from flask\n"


def test_django(log, capsys):
    """Errors of Django in production come here; in debug mode Django prints them itself."""
    pytest.importorskip("django")
    from django.conf import settings
    from django.utils.log import DEFAULT_LOGGING

    if not settings.configured:
        settings.configure(DEBUG=False)
    django = logging.getLogger("django")
    before = django.handlers[:], django.level, django.propagate
    try:
        load(log, lambda: logging.config.dictConfig(DEFAULT_LOGGING))
        logging.getLogger("django.request").error("Internal Server Error: /")
    finally:
        django.handlers[:], django.level, django.propagate = before
    assert log.getvalue() == f"{STAMP}[error] django.request: Internal Server Error: /\n"


def test_dict_config_that_clears_all(log, logger):
    """An app that configures logging late takes it over."""
    load(log)
    own = io.StringIO()
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"own": {"class": "logging.StreamHandler", "stream": own}},
            "root": {"handlers": ["own"]},
        }
    )
    logger.warning("mine")
    assert (own.getvalue(), log.getvalue()) == ("mine\n", "")
