"""Messages and ShareGPT conversations become a question and its answer, or a line of refusal."""

import pytest

from kvdistill.data.columns import ColumnMapping
from kvdistill.errors import ConfigError

MAPPING = ColumnMapping(
    setting="data.source.fields", source="mine", task="own",
    columns={"question": "talk", "answer": "talk"},
)  # fmt: skip


def write_turns(keys, *turns):
    return [dict(zip(keys, turn, strict=True)) for turn in turns]


def read(talk):
    record = MAPPING({"talk": talk}, "file row 1", "id-1")
    return record.question, record.answer


@pytest.mark.parametrize(
    ("keys", "user", "assistant"),
    [(("role", "content"), "user", "assistant"), (("from", "value"), "human", "gpt")],
)
def test_the_last_turn_is_the_answer_and_all_before_it_the_question(keys, user, assistant):
    talk = write_turns(keys, (user, "2 and 2?"), (assistant, "4"))
    assert read(talk) == ("2 and 2?", "4")
    longer = [*write_turns(keys, ("system", "Be brief.")), *talk]
    longer += write_turns(keys, (user, "And 3?"), (assistant, "7"))
    assert read(longer) == ("Be brief.\n\n2 and 2?\n\n4\n\nAnd 3?", "7")


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([("user", "2 and 2?")], "does not end with an answer"),
        ([("assistant", "4")], "do not speak in turns"),
        ([("system", "Be brief.")], "does not end with an answer"),
        ([("user", "2?"), ("user", "3?"), ("assistant", "4")], "do not speak in turns"),
        ([("user", "2?"), ("assistant", "4"), ("assistant", "5")], "do not speak in turns"),
        ([("user", "2?"), ("system", "No."), ("assistant", "4")], "do not speak in turns"),
        ([("user", "2?"), ("assistant", "4"), ("user", "Thanks")], "does not end with an answer"),
        ([("user", "2?"), ("tool", "4")], "a turn of 'tool'"),
        ([("user", ["an image"]), ("assistant", "4")], "holds list"),
    ],
)
def test_a_conversation_without_an_answer_is_refused_by_its_row(turns, message):
    with pytest.raises(ConfigError, match=rf"file row 1, field question: .*{message}"):
        read(write_turns(("role", "content"), *turns))


def test_a_content_in_parts_of_text_is_one_text():
    parts = [{"type": "text", "text": "2 and"}, {"type": "text", "text": "2?"}]
    assert read(write_turns(("role", "content"), ("user", parts), ("assistant", "4"))) == (
        "2 and\n2?", "4",
    )  # fmt: skip
    picture = [{"type": "image"}, {"type": "text", "text": "2?"}]
    with pytest.raises(ConfigError, match="a turn of 'user' that holds list"):
        read(write_turns(("role", "content"), ("user", picture), ("assistant", "4")))


def test_a_list_of_other_objects_is_still_no_text():
    with pytest.raises(ConfigError, match="holds list, not text"):
        read([{"speaker": "user", "said": "2?"}])
