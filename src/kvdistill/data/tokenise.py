"""Tokenised texts: ids, which tokens are answer, and the byte span of each token.

Spans come from the tokens' own bytes, not from a fast tokenizer's character offsets: those repeat
a character that is split over several tokens, and lose the space before a word. Tokenizers whose
tokens stand for no bytes are refused (see `token_bytes`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from transformers import PreTrainedTokenizerBase

from kvdistill.alignment.base import Spans
from kvdistill.data.prompt_style import RenderedText
from kvdistill.data.special_tokens import (
    check_no_control_tokens,
    encode_texts,
    find_begin_ids,
)
from kvdistill.data.token_bytes import list_token_bytes
from kvdistill.errors import ConfigError


@dataclass(frozen=True)
class TokenisedText:
    """One text; BOS, where the tokenizer adds it, and the end-of-text token cover no byte."""

    ids: Int[np.ndarray, " seq"]
    answer: Bool[np.ndarray, " seq"]
    """True on tokens that end past the prompt, so on one that crosses its end, and on EOS."""
    spans: Spans
    truncated: bool

    def truncate(self, length: int) -> "TokenisedText":
        """Its first `length` tokens; marked as truncated if any is lost."""
        if length >= len(self.ids):
            return self
        return TokenisedText(
            ids=self.ids[:length],
            answer=self.answer[:length],
            spans=Spans(
                self.spans.starts[:length], self.spans.ends[:length], min(self.spans.begin, length)
            ),
            truncated=True,
        )


class Tokeniser:
    """Tokenises texts with one fast tokenizer: what it puts before a text by itself, and EOS."""

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
        self.eos_token_id = int(tokenizer.eos_token_id)
        # Many causal models' tokenizers have no pad token.
        self.pad_token_id = (
            self.eos_token_id if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id)
        )
        """Fills up the rows of a batch; masked, so that any id would do."""
        self.begin_ids = find_begin_ids(tokenizer)
        """Stand before every text and cover none of it: mostly BOS, or nothing."""
        self.token_bytes = list_token_bytes(tokenizer, setting)
        self.token_lengths = np.array(
            [0 if piece is None else len(piece) for piece in self.token_bytes], dtype=np.int64
        )

    def __call__(self, texts: Sequence[RenderedText]) -> list[TokenisedText]:
        """Every text, untruncated. Raises ConfigError where its tokens' bytes are not its own."""
        ids_by_text: dict[int, list[int]] = {}
        for markup in (False, True):
            rows = [row for row, text in enumerate(texts) if bool(text.turns) == markup]
            encoded = encode_texts(self.tokenizer, [texts[row].text for row in rows], markup=markup)
            ids_by_text |= dict(zip(rows, encoded, strict=True))
        return [self._tokenise_text(text, ids_by_text[row]) for row, text in enumerate(texts)]

    def _tokenise_text(self, text: RenderedText, ids: list[int]) -> TokenisedText:
        text_bytes = text.text.encode()
        self._check_markup(text, ids)
        prefix_bytes = self._count_prefix_bytes(text, text_bytes, ids)
        begin = len(self.begin_ids)
        token_ids = np.array([*self.begin_ids, *ids, self.eos_token_id], dtype=np.int64)
        # The end-of-text token covers nothing and ends where the text does.
        ends = np.full(len(token_ids), len(text_bytes))
        # BOS covers nothing either, and lies where the text begins.
        ends[:begin] = 0
        # The tokens' bytes are known to be the text's, so that their lengths add up to positions.
        np.cumsum(self.token_lengths[token_ids[begin:-1]], out=ends[begin:-1])
        if prefix_bytes:
            # Only the first tokens can lie in a space that the tokenizer put before the text.
            ends[begin:-1] = (ends[begin:-1] - prefix_bytes).clip(min=0)
        starts = np.zeros_like(ends)
        starts[1:] = ends[:-1]
        answer = ends > len(text.prompt.encode())
        answer[-1] = True
        return TokenisedText(
            ids=token_ids, answer=answer, spans=Spans(starts, ends, begin), truncated=False
        )

    def _check_markup(self, text: RenderedText, ids: list[int]) -> None:
        """Raises ConfigError for control tokens that a user wrote into a chat, and a BOS twice."""
        if not text.turns:
            return
        check_no_control_tokens(self.tokenizer, text.turns, "style.chat", f"text {text.id!r}")
        if self.begin_ids and ids[:1] == self.begin_ids[-1:]:
            raise ConfigError(
                f"{self.setting}: its tokenizer puts {self.tokenizer.decode(self.begin_ids)} "
                "before every text, and the student's chat template writes it once more; no model "
                "was trained on that. Use style.chat=false."
            )

    def _count_prefix_bytes(self, text: RenderedText, text_bytes: bytes, ids: list[int]) -> int:
        """Bytes that the tokenizer put before the text: 1 for SentencePiece's dummy prefix, or 0.

        Raises ConfigError where the tokens' bytes are not the text's.
        """
        pieces = [self.token_bytes[i] for i in ids]
        # None is an unknown token, under which any bytes may lie.
        if None not in pieces:
            covered = b"".join(pieces)  # type: ignore[arg-type]
            if covered == text_bytes:
                return 0
            if covered == b" " + text_bytes:
                return 1
        raise ConfigError(
            f"{self.setting}: the tokens of text {text.id!r} do not spell its bytes, so they "
            "cannot be aligned with another tokenizer's. Use a tokenizer that neither drops nor "
            "rewrites characters, or remove the text."
        )
