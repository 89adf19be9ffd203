"""A text as one tokenizer reads it: ids, the answer's mask, and the bytes under each token.

Spans come from the tokens' own bytes, not from character offsets: those repeat a character split
over several tokens and lose the space before a word (FIELD.md 2.6). Byte-level BPE and
SentencePiece with byte fallback say their bytes; any other tokenizer is refused by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from transformers import PreTrainedTokenizerBase

from kvdistill.alignment.base import Spans
from kvdistill.data.prompt_style import Text
from kvdistill.data.token_bytes import piece_bytes
from kvdistill.errors import ConfigError


@dataclass(frozen=True)
class Tokenised:
    """One text; the end-of-text token, if it fits, is last and covers no byte."""

    ids: Int[np.ndarray, " seq"]
    answer: Bool[np.ndarray, " seq"]
    """True on the tokens that end past the prompt, so on one that crosses its end, and on EOS."""
    spans: Spans
    truncated: bool

    def cut(self, length: int) -> "Tokenised":
        """Its first tokens; marked as truncated if any is lost."""
        if length >= len(self.ids):
            return self
        return Tokenised(
            ids=self.ids[:length],
            answer=self.answer[:length],
            spans=Spans(self.spans.starts[:length], self.spans.ends[:length]),
            truncated=True,
        )


class Tokeniser:
    """Reads texts with one fast tokenizer. BOS is not added, EOS is."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, setting: str) -> None:
        """`setting` is the config path that chose the tokenizer, named in errors.

        Raises ConfigError for a slow tokenizer, one whose tokens do not say their bytes, and one
        without an end-of-text token.
        """
        if not tokenizer.is_fast:
            raise ConfigError(
                f"{setting}: {type(tokenizer).__name__} is a slow tokenizer; kvdistill needs a "
                "fast one (tokenizer.json). Convert it with transformers and save it."
            )
        if tokenizer.eos_token_id is None:
            raise ConfigError(
                f"{setting}: the tokenizer has no end-of-text token. Set eos_token in its "
                "tokenizer_config.json."
            )
        self.tokenizer, self.setting = tokenizer, setting
        self.eos = int(tokenizer.eos_token_id)
        self.pad = self.eos if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id)
        """Fills the rows of a batch; under the mask, so any id would do."""
        self.bytes = piece_bytes(tokenizer, setting)
        self.lengths = np.array(
            [0 if piece is None else len(piece) for piece in self.bytes], dtype=np.int64
        )

    def __call__(self, texts: Sequence[Text]) -> list[Tokenised]:
        """Every text, whole. Raises ConfigError where the tokens' bytes are not the text's."""
        if not texts:
            return []
        read = self.tokenizer(
            [text.text for text in texts],
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )["input_ids"]
        return [self._one(text, ids) for text, ids in zip(texts, read, strict=True)]

    def _one(self, text: Text, ids: list[int]) -> Tokenised:
        wanted = text.text.encode()
        surplus = self._surplus(text, wanted, ids)
        read = np.array([*ids, self.eos], dtype=np.int64)
        # The end-of-text token covers nothing and ends where the text does.
        ends = np.full(len(read), len(wanted))
        np.cumsum(self.lengths[read[:-1]], out=ends[:-1])
        if surplus:
            # Only the first tokens can lie in a space that the tokenizer put before the text.
            ends[:-1] = (ends[:-1] - surplus).clip(min=0)
        starts = np.zeros_like(ends)
        starts[1:] = ends[:-1]
        answer = ends > len(text.prompt.encode())
        answer[-1] = True
        return Tokenised(ids=read, answer=answer, spans=Spans(starts, ends), truncated=False)

    def _surplus(self, text: Text, wanted: bytes, ids: list[int]) -> int:
        """Bytes before the text that are the tokenizer's own: 1 for a dummy prefix space, or 0."""
        pieces = [self.bytes[i] for i in ids]
        if None not in pieces:
            covered = b"".join(pieces)  # type: ignore[arg-type]
            if covered == wanted:
                return 0
            if covered == b" " + wanted:
                return 1
        raise ConfigError(
            f"{self.setting}: the tokens of text {text.id!r} do not spell its bytes, so they "
            "cannot be aligned with another tokenizer's. Use a tokenizer that neither drops nor "
            "rewrites characters, or remove the text."
        )
