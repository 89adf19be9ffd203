"""The student's own answers to the questions of a micro-batch, for its teachers to read.

On-policy distillation compares student and teacher on what the student writes (Agarwal et al. 2024,
GKD, arXiv 2306.13649, algorithm 1): a share of the steps takes such texts instead of given ones, no
gradient passes through the writing, and of these texts the loss is the distance to the teacher
alone. So is it here: in every n-th step the terms of K and V and of distributions are about own
texts, in the place of the given ones, and cross-entropy stays on the given ones, since an own
answer is no label.

What is written is a function of the weights, the seed, the step and the text's id: a run that was
killed and goes on writes the same, and so do two ranks that share a batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from transformers import PreTrainedModel

from kvdistill.config.schema import OnPolicy
from kvdistill.data.collate import Collator, TextDataset
from kvdistill.data.prompt_style import RenderedText
from kvdistill.models.generation.write_answers import (
    Decoding,
    Prompt,
    WrittenText,
    encode_prompt,
    write_answers,
)
from kvdistill.plan.flops import TokenLoad
from kvdistill.types import Batch


@dataclass(frozen=True)
class OwnBatch:
    """Own texts as the student and its teachers read them, and what writing them took."""

    batch: Batch
    written: TokenLoad
    """Tokens that passed through the student while it wrote, prompts among them."""
    answers: Sequence[WrittenText]

    def describe(self) -> dict[str, float]:
        """Mean length of the answers in tokens, and the share that ended, as the curves have it."""
        count = len(self.answers)
        return {
            "own_tokens": sum(each.tokens for each in self.answers) / count,
            "own_ended": sum(each.ended for each in self.answers) / count,
        }


@dataclass(frozen=True)
class OwnTexts:
    """Writes the own texts of a run."""

    settings: OnPolicy
    texts: TextDataset
    """The given ones, whose questions are asked."""
    collate: Collator
    seed: int
    stops: Sequence[str] = ()
    """Strings that end an answer."""

    @cached_property
    def text_by_id(self) -> Mapping[str, RenderedText]:
        """The given texts."""
        return {text.id: text for text in self.texts.texts}

    def is_due(self, step: int) -> bool:
        """Whether a step, counted from 0, compares on own texts."""
        return step % self.settings.every == 0

    def write_batch(self, student: PreTrainedModel, given: Batch, step: int) -> OwnBatch:
        """Own answers to the questions of a micro-batch, on its device.

        The student must be in evaluation. An answer that ran out of tokens is compared like any
        other, with the end-of-text token that all texts have behind it.
        """
        asked = [self.text_by_id[text] for text in given.ids[: self.settings.texts]]
        tokenizer = self.texts.student_tokeniser.tokenizer
        # Another step draws other answers to a question that comes again.
        prompts = [Prompt(f"{step}/{text.id}", text.prompt, bool(text.turns)) for text in asked]
        shortest = min(len(encode_prompt(tokenizer, prompt)) for prompt in prompts)
        room = max(self.texts.seq_len - shortest, 1)
        decoding = Decoding(
            max_new_tokens=min(room, self.settings.max_new_tokens or room),
            temperature=self.settings.temperature,
            seed=self.seed,
            stops=self.stops,
        )
        answers = write_answers(student, tokenizer, prompts, decoding)
        own = self.texts.read_alike(
            [replace_answer(text, each.text) for text, each in zip(asked, answers, strict=True)]
        )
        batch = self.collate([own[row] for row in range(len(own))])
        lengths = [each.prompt_tokens + each.tokens for each in answers]
        written = TokenLoad(sum(lengths), sum(length * length for length in lengths))
        return OwnBatch(batch.to(given.student.ids.device), written, answers)


def replace_answer(text: RenderedText, answer: str) -> RenderedText:
    """The text with another answer; in a chat as the turn that it is."""
    turns = (*text.turns[:-1], answer.strip()) if text.turns else ()
    return replace(text, answer=answer, turns=turns)
