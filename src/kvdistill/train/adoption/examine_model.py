"""What a model will be refused for, asked of its config and tokenizer, and how it pairs.

A module of its own, so that a child process can run it: the command that adopts imports no torch.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from kvdistill.config.build import build_node
from kvdistill.config.compose import Config
from kvdistill.config.types import list_models
from kvdistill.data.packing import Packing
from kvdistill.data.tokenise import Tokeniser
from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry
from kvdistill.models.attention.check_packing import check_packing
from kvdistill.models.check_capture import CaptureRequest, check_capture
from kvdistill.models.geometry import read_geometry
from kvdistill.models.pretrained import Pretrained
from kvdistill.plan.hub_models import PRETRAINED
from kvdistill.train.adoption.pair_tokens import check_spelling, pair_tokens
from kvdistill.train.answers.check_distributions import check_head
from kvdistill.train.inputs import hash_tokeniser
from kvdistill.train.preflight import check_training

Answer = dict[str, Any]


def read_class_geometry(node: Mapping[str, Any]) -> dict[str, int | bool]:
    """The geometry of a `pretrained` node with what its model's class adds to its config.json."""
    source: Pretrained = build_node("pretrained", node)
    return read_geometry(source.load_config())


def examine_model(request: Mapping[str, Any]) -> Answer:
    """What a command learns of a model before it has weights.

    Args:
        request: `config`, composed and with whole geometries; `role`, the model's place in it
            (student, teachers.a); `paired`, whether the config's other models are its partners.

    Returns:
        `refusals`: what it cannot be used for -> why. `tokens`: place of each partner -> a
        `TokenPairing` and `same` for equal tokenizers, or the `fault` of one.
    """
    config, role = request["config"], request["role"]
    models = list_models(config)
    refusals = dict(list_refusals(models[role], role))
    own = read_tokeniser(models[role], role)
    if isinstance(own, str):
        refusals["texts"] = own
    if not request["paired"]:
        return {"refusals": refusals, "tokens": {}}
    if "its config" not in refusals and (why := explain_refusal(lambda: check_training(config))):
        refusals["this command's other settings"] = why
    tokens = {}
    for name in list(config["teachers"]) if role == "student" else ["student"]:
        place = "student" if name == "student" else f"teachers.{name}"
        other = read_tokeniser(models[place], place)
        student, teacher = (own, other) if role == "student" else (other, own)
        tokens[place] = compare_tokens(student, teacher, config)
    return {"refusals": refusals, "tokens": tokens}


def list_refusals(node: Mapping[str, Any], role: str) -> Iterator[tuple[str, str]]:
    """(what it is refused for, why) of one model, by its config alone."""
    geometry = Geometry.from_node(node)
    try:
        model = build_node(f"{role}.pretrained", node["pretrained"]).read_config(geometry)
    except (ConfigError, OSError, ValueError) as error:
        yield "its config", " ".join(str(error).split())
        return
    layers = range(geometry.layers)
    plain = CaptureRequest(role, layers)
    turned = CaptureRequest(role, layers, needs_attention=True, needs_rotary=True)
    checks: dict[str, Callable[[], object]] = {
        "keys and values": lambda: check_capture(model, plain),
        "turned keys, and presses that read attention": lambda: check_capture(model, turned),
        "train.packing": lambda: check_packing(model, role, Packing(one_row=False)),
    }
    if role != "student":
        checks["next-token distributions"] = lambda: check_head(model, role)
    for use, check in checks.items():
        if why := explain_refusal(check):
            yield use, why
            if use == "keys and values":
                return  # what reads attention reads them too


def explain_refusal(check: Callable[[], object]) -> str:
    """Why a check refuses; empty where it does not."""
    try:
        check()
    except ConfigError as error:
        return str(error)
    return ""


def read_tokeniser(node: Mapping[str, Any], role: str) -> Tokeniser | str | None:
    """The tokenizer of a model; why it cannot be used; None where there is none yet."""
    if (node.get("pretrained") or {}).get("_target_") != PRETRAINED:
        return None
    try:
        source: Pretrained = build_node(f"{role}.pretrained", node["pretrained"])
        tokeniser = Tokeniser(source.load_tokenizer(), role)
        check_spelling(tokeniser)
    except Exception as error:  # noqa: BLE001 - any failure to load or tokenise is the answer
        return " ".join(str(error).split()) or type(error).__name__
    return tokeniser


def compare_tokens(
    student: Tokeniser | str | None, teacher: Tokeniser | str | None, config: Config
) -> Answer:
    """How the two divide the sample's texts, or the fault of the one that cannot."""
    for tokeniser in (student, teacher):
        if tokeniser is None:
            return {"fault": "its tokenizer is made with its split, which is not built yet"}
        if isinstance(tokeniser, str):
            return {"fault": tokeniser}
    assert isinstance(student, Tokeniser)
    assert isinstance(teacher, Tokeniser)
    pairing = pair_tokens(student, teacher, build_node("alignment", config["alignment"]))
    return {**asdict(pairing), "same": hash_tokeniser(student) == hash_tokeniser(teacher)}
