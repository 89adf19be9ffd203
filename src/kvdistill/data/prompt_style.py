"""Prompt templates: how a record becomes text, with its rationale, without it, or both.

One rendered text serves the student and every teacher, since alignment needs identical bytes; a
chat template, where used, is therefore the student's for all. The text is NFC, so that tokenizers
with and without that normalisation cover the same bytes.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter

from transformers import PreTrainedTokenizerBase

from kvdistill.config.types import parse_day
from kvdistill.data.chat_template import fix_clock, render_turns
from kvdistill.errors import ConfigError
from kvdistill.records import Record

TEMPLATE_FIELDS = ("question", "rationale", "answer")
TEMPLATE_PARTS = ("prompt", "answer")


@dataclass(frozen=True, kw_only=True)
class RenderedText:
    """A record rendered by one template, divided where the loss begins."""

    id: str
    """Unique: the record's id, a colon, the template's name."""
    task: str
    style: str
    prompt: str
    """Masked from the loss."""
    answer: str
    turns: tuple[str, ...] = ()
    """What was put into a chat template, which wrote the rest; empty without one."""

    @property
    def text(self) -> str:
        """The whole text, without the end-of-text token that tokenising appends."""
        return self.prompt + self.answer


@dataclass(frozen=True, kw_only=True)
class Style:
    """Renders each record once by every template."""

    templates: Mapping[str, Mapping[str, str]]
    """By name: `prompt` and `answer`, in which {question}, {rationale}, {answer} are filled in."""
    chat: bool = False
    """Whether prompt and answer become a turn each of the student's own chat template."""
    date: str | None = None
    """The day, as YYYY-MM-DD, that a chat template prints as today's; null where it prints none."""
    mask_prompt: bool = True
    """False: the loss counts the prompt too."""

    def __post_init__(self) -> None:
        if not self.templates:
            raise ConfigError("style.templates is empty. Choose style=cot, direct or mixed.")
        for name, template in self.templates.items():
            _check_template(name, template)
        parse_day("style.date", self.date)

    def render(
        self, record: Record, tokenizer: PreTrainedTokenizerBase | None = None
    ) -> list[RenderedText]:
        """One text a template, in their order; `tokenizer` is the student's, for its chat template.

        Raises ConfigError for a record that lacks what a template asks for, and for a chat
        template that cannot be used.
        """
        return [self._render_template(record, name, tokenizer) for name in self.templates]

    def render_answer(
        self,
        record: Record,
        name: str,
        answer: str,
        tokenizer: PreTrainedTokenizerBase | None = None,
    ) -> RenderedText:
        """The text of one template with another's answer in the place of the record's own."""
        return self._render_template(record, name, tokenizer, answer)

    def list_stops(self) -> list[str]:
        """What a model that writes on behind its answer begins the next question with.

        That is what the templates' prompts begin with; in a chat the end of the turn ends it.
        """
        heads = [each["prompt"].partition("{")[0].strip() for each in self.templates.values()]
        return [] if self.chat else sorted({head for head in heads if head})

    def _render_template(
        self,
        record: Record,
        name: str,
        tokenizer: PreTrainedTokenizerBase | None,
        other_answer: str | None = None,
    ) -> RenderedText:
        template = self.templates[name]
        values = {field: getattr(record, field) for field in TEMPLATE_FIELDS}
        for field in _list_fields(template["prompt"] + template["answer"]):
            if not values[field].strip():
                raise ConfigError(
                    f"style.templates.{name} asks for a {field}, but record {record.id!r} of "
                    f"{record.source} has none. Use a style without it, or add it to the data."
                )
        # format_map fills in once: braces in a question are text, not fields.
        prompt = unicodedata.normalize("NFC", template["prompt"].format_map(values))
        own_answer = template["answer"].format_map(values)
        answer = unicodedata.normalize("NFC", own_answer if other_answer is None else other_answer)
        turns: tuple[str, ...] = ()
        if self.chat:
            turns = (prompt.strip(), answer.strip())
            prompt, answer = _render_chat(turns, tokenizer, self.date)
        if not self.mask_prompt:
            prompt, answer = "", prompt + answer
        return RenderedText(
            id=f"{record.id}:{name}", task=record.task, style=name, prompt=prompt, answer=answer,
            turns=turns,
        )  # fmt: skip


def _list_fields(template: str) -> set[str]:
    """The names in braces. Raises ValueError for text that is no template."""
    return {field for _, field, _, _ in Formatter().parse(template) if field is not None}


def _check_template(name: str, template: Mapping[str, str]) -> None:
    # The id of a text is `record:template`, divided at its last colon.
    if ":" in name:
        raise ConfigError(f"style.templates.{name}: a template's name must hold no colon.")
    if set(template) != set(TEMPLATE_PARTS):
        raise ConfigError(
            f"style.templates.{name} must have exactly prompt and answer, got {sorted(template)}."
        )
    for part in TEMPLATE_PARTS:
        try:
            unknown = _list_fields(template[part]) - set(TEMPLATE_FIELDS)
        except ValueError as error:
            raise ConfigError(
                f"style.templates.{name}.{part} is not a template: {error}. "
                "Write a literal brace twice."
            ) from error
        if unknown:
            raise ConfigError(
                f"style.templates.{name}.{part} asks for {{{sorted(unknown)[0]}}}; "
                "a record has {question}, {rationale} and {answer}."
            )
    if "answer" not in _list_fields(template["answer"]):
        raise ConfigError(f"style.templates.{name}.answer must hold {{answer}}.")


def _render_chat(
    turns: tuple[str, ...], tokenizer: PreTrainedTokenizerBase | None, day: str | None
) -> tuple[str, str]:
    """A chat of one user turn and its answer, divided where the assistant begins to write.

    The end of the turn is left out where it is EOS, which tokenising appends: it is trained once.
    """
    if tokenizer is None:
        raise ConfigError("style.chat=true is for a student that has a tokenizer of its own.")
    user, assistant = turns
    both = [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
    with fix_clock(day, "style.date"):
        prompt = render_turns(tokenizer, both[:1], "style.chat", add_generation_prompt=True)
        conversation = render_turns(tokenizer, both, "style.chat")
    # A template may render the same turn otherwise once an answer follows it.
    if not conversation.startswith(prompt):
        raise ConfigError(
            "style.chat=true: the student's chat template does not write a conversation as its "
            "prompt followed by the answer, so the prompt cannot be masked. Use style.chat=false."
        )
    written = conversation.removeprefix(prompt)
    if tokenizer.eos_token and tokenizer.eos_token in written:
        written = written[: written.rindex(tokenizer.eos_token)]
    return prompt, written
