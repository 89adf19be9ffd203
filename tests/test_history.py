"""The record of what was asked: appended, chained, and named where it is not what was appended."""

import json
import subprocess
import sys

import pytest

from kvdistill import layout
from kvdistill.history import append_event, read_history


def test_events_are_read_back_in_their_order_with_their_facts(tmp_path):
    append_event(tmp_path, "a", "planned", question="headline", seeds=[42, 43])
    append_event(tmp_path, "b", "looked", running=2)
    append_event(tmp_path, "a", "looked", running=0)
    history = read_history(tmp_path)
    assert [(e.index, e.study, e.event) for e in history.events] == [
        (0, "a", "planned"), (1, "b", "looked"), (2, "a", "looked"),
    ]  # fmt: skip
    assert history.events[0].facts == {"question": "headline", "seeds": [42, 43]}
    assert history.problems == []
    assert [e.index for e in history.select("a", "looked")] == [2]


def test_a_root_without_a_record_has_an_empty_history(tmp_path):
    assert read_history(tmp_path).events == []
    assert read_history(tmp_path).problems == []


def test_what_is_returned_is_what_the_next_line_holds(tmp_path):
    first = append_event(tmp_path, "a", "planned")
    append_event(tmp_path, "a", "looked")
    second = layout.history_file(tmp_path).read_text().splitlines()[1]
    assert json.loads(second)["previous"] == first.sha256 == read_history(tmp_path).events[0].sha256


def edit(lines):
    return [lines[0], lines[1].replace(b'"k": 1', b'"k": 9'), *lines[2:]]


def remove(lines):
    return [lines[0], *lines[2:]]


def remove_first(lines):
    return lines[1:]


def swap(lines):
    return [lines[1], lines[0], *lines[2:]]


@pytest.mark.parametrize("change", [edit, remove, remove_first, swap])
def test_a_changed_record_is_named_and_still_read(tmp_path, change):
    for k in range(4):
        append_event(tmp_path, "a", "looked", k=k)
    path = layout.history_file(tmp_path)
    path.write_bytes(b"\n".join(change(path.read_bytes().splitlines())) + b"\n")
    history = read_history(tmp_path)
    assert history.problems
    assert all(layout.HISTORY in problem for problem in history.problems)
    assert len(history.events) >= 3


def test_half_a_line_of_a_killed_command_is_named_and_the_next_event_follows_it(tmp_path):
    append_event(tmp_path, "a", "planned")
    path = layout.history_file(tmp_path)
    with path.open("ab") as file:
        file.write(b'{"time": "2026')
    append_event(tmp_path, "a", "looked")
    history = read_history(tmp_path)
    assert [e.event for e in history.events] == ["planned", "looked"]
    assert history.problems == [
        "line 2 of history.jsonl is no event: it was edited, or a command was killed while it "
        "wrote it"
    ]


def test_an_event_that_is_none_of_the_record_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no event 'peeked'"):
        append_event(tmp_path, "a", "peeked")
    assert not layout.history_file(tmp_path).exists()


def test_commands_that_append_at_once_lose_no_line_and_break_no_chain(tmp_path):
    code = (
        "import sys; from pathlib import Path; from kvdistill.history import append_event\n"
        "for k in range(20): append_event(Path(sys.argv[1]), sys.argv[2], 'looked', k=k)"
    )
    commands = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name]) for name in "abc"
    ]
    assert [command.wait() for command in commands] == [0, 0, 0]
    history = read_history(tmp_path)
    assert history.problems == []
    for name in "abc":
        assert [e.facts["k"] for e in history.select(name)] == list(range(20))
