"""Whether the chat templates that a config asks for can be used, before anything is queued."""

from pathlib import Path

from transformers import PreTrainedTokenizerBase

from kvdistill import layout
from kvdistill.config.build import build_node
from kvdistill.config.compose import Config
from kvdistill.data.chat_template import check_chat_template
from kvdistill.errors import ConfigError
from kvdistill.files import is_complete
from kvdistill.models import load
from kvdistill.models.pretrained import Pretrained
from kvdistill.plan import hub
from kvdistill.plan.graph import make_conversion_node
from kvdistill.plan.hub_models import PRETRAINED, walk_mappings
from kvdistill.plan.weights.conversion import reads_gguf


def check_chat(config: Config) -> None:
    """Refuses a chat template that is missing, prints a date or writes BOS twice, by name.

    A tokenizer that does not lie at hand is asked in the job that reads it.
    """
    trains = config["trained"] and config["style"]["chat"]
    scores = config["tasks"]["chat_template"]
    days = {"style.date": config["style"].get("date"), "tasks.date": config["tasks"].get("date")}
    if trains and scores and len(set(days.values())) > 1:
        raise ConfigError(
            f"style.date={days['style.date']} but tasks.date={days['tasks.date']}: a student is "
            "asked in the chat that it was trained on. Make them equal."
        )
    if not (trains or scores):
        return
    chosen = {"style.chat": "style.date"} if trains else {}
    chosen |= {"tasks.chat_template": "tasks.date"} if scores else {}
    if (tokenizer := load_at_hand(config, next(iter(chosen)))) is not None:
        for chat, day in chosen.items():
            check_chat_template(tokenizer, days[day], chat, day)


def load_at_hand(config: Config, setting: str) -> PreTrainedTokenizerBase | None:
    """The student's tokenizer where it needs no network, else None.

    Raises ConfigError, naming `setting`, for one that is made of the split's text: it has no chat.
    """
    node = config["student"]
    if reads_gguf(node):
        name = make_conversion_node(node).name
        conversion = layout.artifact_folder(Path(config["root"]), name)
        if is_complete(conversion):  # seconds, where parsing the file takes many
            return load.load_tokenizer(node, "student", conversion)
    nodes = (inner for inner in walk_mappings(node) if inner.get("_target_") == PRETRAINED)
    if (source := next(nodes, None)) is None:
        raise ConfigError(
            f"{setting}=true needs a tokenizer with a chat template, and {node['name']}'s, which "
            f"is made of the split's text, has none. Set {setting}=false, or choose a student "
            "that is an instruct model."
        )
    weights: Pretrained = build_node("student.pretrained", source)
    repo = hub.Repo(str(weights.hub), "model", str(weights.revision))
    return weights.load_tokenizer() if weights.path or hub.is_cached(repo) else None
