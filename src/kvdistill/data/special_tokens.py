"""Special tokens before a text and inside it: a model is read as it was trained.

What a tokenizer's own post-processor puts before every text (BOS for Llama 3 and Gemma; nothing for
Qwen, SmolLM2 and GPT-2) stands before every text here too, in training and in evaluation. What it
puts behind one does not: EOS ends the texts that are trained on, where `Tokeniser` appends it, and
no prompt. A special token that stands in a user's text is text: only a chat template writes it.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import takewhile

from transformers import PreTrainedTokenizerBase

from kvdistill.errors import ConfigError


def find_begin_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids that the tokenizer's post-processor puts before every text; mostly BOS or none."""
    encoding = tokenizer.backend_tokenizer.encode("a", add_special_tokens=True)
    pairs = zip(encoding.ids, encoding.special_tokens_mask, strict=True)
    return [index for index, _ in takewhile(lambda pair: pair[1], pairs)]


def encode_texts(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, markup: bool
) -> list[list[int]]:
    """Ids of the texts alone, with nothing before or behind them.

    `markup` says that a chat template wrote the texts, so that special tokens in them are read as
    such; otherwise their characters are read as any others.
    """
    if not texts:
        return []
    # One call for all, as fast tokenizers work on a batch in parallel.
    ids: list[list[int]] = tokenizer(
        list(texts),
        add_special_tokens=False,
        split_special_tokens=not markup,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )["input_ids"]
    return ids


def check_no_control_tokens(
    tokenizer: PreTrainedTokenizerBase, turns: Sequence[str], setting: str, text: str
) -> None:
    """Refuses what users wrote between a chat template's tokens where it would be such a token.

    `setting` is the config path that chose the chat template, `text` names where the words stand.
    """
    contents = [t.content for t in tokenizer.added_tokens_decoder.values() if t.special]
    pattern = _compile_alternatives(tuple(contents))
    for turn in turns if contents else ():
        if match := pattern.search(turn):
            raise ConfigError(
                f"{setting}: {text} holds {match[0]!r}, which {tokenizer.name_or_path or 'the'} "
                f"tokenizer would read as a control token. Remove the row, or set {setting}=false, "
                "where it is read as its characters."
            )


@lru_cache(maxsize=64)
def _compile_alternatives(contents: tuple[str, ...]) -> re.Pattern[str]:
    """What matches any of these strings, the longest first."""
    return re.compile("|".join(map(re.escape, sorted(contents, key=len, reverse=True))))
