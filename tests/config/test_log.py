"""The log: redis-server's form, the level, and where lines go."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path

from cluster.log import REPLICA, Log, format_line

NOON_NS = 1_700_000_000_123_000_000


def make(level: str = "notice") -> tuple[Log, io.BytesIO]:
    stream = io.BytesIO()
    return Log(level=level, clock_ns=lambda: NOON_NS, pid=lambda: 42, stream=stream), stream


def test_the_form_of_a_line() -> None:
    at = time.gmtime(NOON_NS // 10**9)
    assert format_line(7, "S", at, 5, "notice", "hello") == "7:S 14 Nov 2023 22:13:20.005 * hello\n"


def test_levels_have_their_marks_and_the_low_ones_are_left_out() -> None:
    log, stream = make("debug")
    for level in ("debug", "verbose", "notice", "warning"):
        log(level, level)
    marks = re.findall(r"^42:M \d\d \w{3} 2023 [\d:]{8}\.123 (.) (\w+)$", stream.getvalue().decode(), re.MULTILINE)
    assert marks == [(".", "debug"), ("-", "verbose"), ("*", "notice"), ("#", "warning")]
    log, stream = make("warning")
    log("notice", "no")
    log("warning", "yes")
    assert stream.getvalue().count(b"\n") == 1


def test_level_and_role_change_while_it_runs() -> None:
    log, stream = make()
    log.level = "verbose"
    log.role = lambda: REPLICA
    log("verbose", "now")
    assert log.level == "verbose"
    assert stream.getvalue().startswith(b"42:S ")


def test_a_text_cannot_forge_a_line() -> None:
    log, stream = make()
    log("notice", "a\r\n1:M forged")
    assert stream.getvalue().count(b"\n") == 1
    assert rb"a\r\n1:M forged" in stream.getvalue()


def test_bytes_that_are_no_text_are_written_as_they_are() -> None:
    log, stream = make()
    log("notice", b"\xff".decode("utf-8", "surrogateescape"))
    assert stream.getvalue().endswith(b"* \xff\n")


def test_a_file_can_be_rotated_under_the_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = Log(str(path), pid=lambda: 1)
    log.check()
    log("notice", "one")
    path.rename(tmp_path / "log.1")
    log("notice", "two")
    assert path.read_text().endswith("* two\n")


def test_a_log_that_cannot_be_written_does_not_raise(tmp_path: Path) -> None:
    Log(str(tmp_path / "no" / "log"))("warning", "lost")
