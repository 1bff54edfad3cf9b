"""What ``twist skitai`` writes: plain lines, and what apps print among them."""

import json
import re
import subprocess
import sys

import pytest

from processes import environment
from serving import FIXTURE_APPS, config_text, eventually

#: On a busy machine, what holds the reactor would have a line among those that are looked at.
CONFIG = config_text({"/": f"{FIXTURE_APPS}/streams:app"}, blocked_warning="off")
STAMP = r"\d{4}\.\d\d\.\d\d \d\d:\d\d:\d\d"


@pytest.fixture(scope="module")
def server(running_server, threads):
    """A server whose output, of both kinds, is one file."""
    started = running_server(CONFIG, threads)
    eventually(lambda: "[info] Mounted: " in started.log_text(), "the last line of its start")
    return started


def written(server, path):
    """Return what a request of ``path`` adds to the output, its line in the access log at the end."""
    before = len(server.log_text())
    server.ask(path)
    access = re.compile(rf"^{STAMP} \[info\] 127\.0\.0\.1:\d+ GET {path} HTTP/1\.1 (\d+) .*\n", re.MULTILINE)
    found = eventually(lambda: access.search(server.log_text(), before), "the line of the request")
    text = server.log_text()[before:]
    return text[: found.start() - before], int(found[1]), text[found.end() - before :]


def test_standard_streams(server):
    """Text, bytes, child processes, records and wsgi.errors leave at once, and in the order of writing."""
    text, code, rest = written(server, "/kinds")
    assert (code, rest) == (200, "")
    record = re.compile(
        rf"^{STAMP} \[warning\] tested: (6 record) \(request [0-9a-f]+-[0-9a-f]+\)$", re.MULTILINE
    )
    assert record.search(text)
    text = record.sub(r"\1", text)
    text = re.sub(rf"^{STAMP} .*\n", "", text, flags=re.MULTILINE)  # what a slow machine has the server say
    assert [line[:2] for line in text.splitlines()] == [f"{n} " for n in range(1, 9)]
    assert text.endswith("8 words and more\n")


def test_a_prompt_is_not_held_back(server):
    """Text without a line end is there when it was flushed."""
    before = len(server.log_text())
    server.ask("/prompt")
    assert server.log_text()[before:].startswith("(Pdb) ")


def test_descriptors(server):
    """The streams are the process's own: faulthandler takes them."""
    _, code, _ = written(server, "/faults")
    assert code == 200


def test_traceback(server):
    """An app that fails leaves one record with the traceback that Python prints, before its access line."""
    text, code, _ = written(server, "/fails")
    assert code == 500
    assert re.match(
        rf"{STAMP} \[error\] GET /fails failed \(request \S+\)\nTraceback \(most recent call last\):\n", text
    )
    assert text.endswith('    raise ValueError("on purpose")\nValueError: on purpose\n')


def test_syntax_error(running_server, tmp_path):
    """An app with a syntax error leaves one record, which shows the place."""
    (tmp_path / "broken.py").write_text("x = (\n")
    server = running_server({"/": f"{tmp_path}/broken:app"})
    assert server.ask("/").code == 503
    log = server.log_text()
    assert re.search(rf"^{STAMP} \[error\] cannot load {tmp_path}/broken:app: SyntaxError", log, re.MULTILINE)
    assert log.count(f'  File "{tmp_path}/broken.py", line 1\n    x = (\n        ^\nSyntaxError: ') == 1
    assert log.count("x = (") == 1


def test_every_record_has_one_form(running_server):
    """From the start to the end, each line that the server itself writes begins with the same stamp."""
    server = running_server(CONFIG)
    server.ask("/faults")
    server.stop()
    lines = server.log_text().splitlines()
    assert [line for line in lines if not re.match(rf"{STAMP} \[info\] ", line)] == []
    assert any(line.endswith("Main loop terminated.") for line in lines)


def test_json_for_who_asks(tmp_path):
    """--log-format=json, --log-file and --log-level are obeyed."""
    config = tmp_path / "tested.conf"
    config.write_text(config_text({"/": f"{FIXTURE_APPS}/streams:app"}))
    log = tmp_path / "log.json"
    command = [
        sys.executable,
        "-m",
        "twisted",
        "--log-format=json",
        f"--log-file={log}",
        "skitai",
        "--config",
    ]
    process = subprocess.Popen([*command, str(config)], env=environment(), stdout=subprocess.PIPE)
    try:
        eventually(lambda: log.exists() and "Skitai serves" in log.read_text(), "the start")
    finally:
        process.terminate()
        output, _ = process.communicate()
    records = [json.loads(text) for text in log.read_text().split("\x1e")[1:]]
    assert "Skitai serves {name} on {urls}" in [each["log_format"] for each in records]
    assert output == b""
