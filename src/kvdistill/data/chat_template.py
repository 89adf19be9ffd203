"""A chat template as training and evaluation both use it: one date, one BOS, its own tokens.

The template is that of the tokenizer. What it reads of the clock would give two seeds, or a resumed
run, other texts under one identity: the date is a setting, or such a template is refused.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from unittest.mock import patch

from transformers import PreTrainedTokenizerBase
from transformers.utils import chat_template_utils

from kvdistill.config.types import parse_day
from kvdistill.data.special_tokens import find_begin_ids
from kvdistill.errors import ConfigError

PROBE = [{"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2"}]


@contextmanager
def fix_clock(value: str | None, setting: str) -> Iterator[None]:
    """A context in which the clock of chat templates stands at a day: `value`, YYYY-MM-DD.

    With None, a template that asks what day it is raises ConfigError, naming `setting`. Raises
    ConfigError for what is no day.
    """
    clock = _FixedClock(parse_day(setting, value), setting)
    # transformers hands every template a function `strftime_now` that reads this name, and lets
    # no other function through.
    with patch.object(chat_template_utils, "datetime", clock):
        yield


@dataclass(frozen=True)
class _FixedClock:
    """Stands where transformers has `datetime.datetime`."""

    day: date | None
    setting: str

    def now(self) -> date:
        """The day, to be formatted."""
        if self.day is None:
            raise ConfigError(
                f"{self.setting}=null, but the chat template prints today's date, so that two runs "
                f"of one config would read other texts. Set {self.setting}=YYYY-MM-DD, a day for "
                "all runs."
            )
        return self.day


def render_turns(
    tokenizer: PreTrainedTokenizerBase,
    turns: Sequence[dict[str, str]],
    setting: str,
    *,
    add_generation_prompt: bool = False,
) -> str:
    """The turns as the tokenizer's chat template writes them, less the BOS that reading adds.

    Raises ConfigError for a tokenizer without a template, and for one that writes BOS twice.
    """
    check_has_template(tokenizer, setting)
    text = tokenizer.apply_chat_template(
        list(turns), tokenize=False, add_generation_prompt=add_generation_prompt
    )
    return strip_begin(tokenizer, str(text), setting)


def check_has_template(tokenizer: PreTrainedTokenizerBase, setting: str) -> None:
    """Raises ConfigError for a tokenizer without a chat template: that of most base models."""
    if not tokenizer.chat_template:
        raise ConfigError(
            f"{setting}=true needs a tokenizer with a chat template, and "
            f"{tokenizer.name_or_path or 'this one'} has none: a base model's mostly has not. Set "
            f"{setting}=false, use the instruct model, or put a chat_template into the "
            "tokenizer_config.json of a local copy."
        )


def strip_begin(tokenizer: PreTrainedTokenizerBase, text: str, setting: str) -> str:
    """A chat template's text without the special tokens that reading a text puts before it.

    Raises ConfigError where BOS would stand twice all the same.
    """
    begin = "".join(map(str, tokenizer.convert_ids_to_tokens(find_begin_ids(tokenizer))))
    rest = text.removeprefix(begin)
    bos = tokenizer.bos_token or begin
    # SmolLM2's bos_token begins its turns: twice means at once, one behind the other.
    doubled = rest.startswith(bos) if begin else rest.startswith(bos * 2)
    if bos and doubled:
        raise ConfigError(
            f"{setting}=true: the chat template writes {bos} twice, or where the tokenizer has put "
            f"it already; no model was trained on that. Correct the template, or set "
            f"{setting}=false."
        )
    return rest


def check_chat_template(
    tokenizer: PreTrainedTokenizerBase, day: str | None, chat: str, when: str
) -> None:
    """Raises ConfigError for a chat template that cannot be used; `chat` and `when` are settings.

    That is one that is not there, prints a date while none is set, or writes BOS twice.
    """
    with fix_clock(day, when):
        render_turns(tokenizer, PROBE, chat)
