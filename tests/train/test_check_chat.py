"""Chat templates that cannot be used are refused before anything is queued."""

import copy

import pytest

from kvdistill.errors import ConfigError
from kvdistill.train.check_chat import check_chat
from kvdistill.train.preflight import check_run_config
from tests.data.factories import make_family_tokenizer

CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"


@pytest.fixture
def chat_config(hydra, tmp_path):
    from kvdistill.config.compose import compose

    def make(template, *overrides):
        tokenizer = make_family_tokenizer("llama3")
        tokenizer.chat_template = template
        tokenizer.save_pretrained(tmp_path)
        config = copy.deepcopy(compose(list(overrides)))
        config["student"] = {
            "pretrained": {
                "_target_": "kvdistill.models.pretrained.Pretrained",
                "path": str(tmp_path),
            }
        }
        return config

    return make


@pytest.mark.parametrize("setting", ["style.chat", "tasks.chat_template"])
def test_a_student_made_of_the_split_has_no_chat(hydra, setting):
    from kvdistill.config.compose import compose

    with pytest.raises(ConfigError, match=rf"^{setting}=true needs.*Set {setting}=false"):
        check_run_config(compose([f"{setting}=true"]))


@pytest.mark.parametrize("setting", ["style.chat", "tasks.chat_template"])
def test_a_base_model_is_refused_and_an_instruct_model_is_not(chat_config, setting):
    with pytest.raises(ConfigError, match=rf"^{setting}=true needs a tokenizer with a chat"):
        check_chat(chat_config(None, f"{setting}=true"))
    check_chat(chat_config(CHAT, f"{setting}=true"))


def test_a_template_with_a_clock_needs_a_date(chat_config):
    dated = "{{ strftime_now('%Y') }}" + CHAT
    with pytest.raises(ConfigError, match=r"^style\.date=null"):
        check_chat(chat_config(dated, "style.chat=true"))
    with pytest.raises(ConfigError, match=r"^tasks\.date=null"):
        check_chat(chat_config(dated, "tasks.chat_template=true"))
    check_chat(chat_config(dated, "style.chat=true", "style.date=2024-07-26"))


def test_training_and_evaluation_have_one_date(chat_config):
    both = ("style.chat=true", "tasks.chat_template=true", "style.date=2024-07-26")
    with pytest.raises(ConfigError, match=r"^style\.date=2024-07-26 but tasks\.date=None"):
        check_chat(chat_config(CHAT, *both))
    check_chat(chat_config(CHAT, *both, "tasks.date=2024-07-26"))


def test_a_gguf_file_that_is_converted_is_not_parsed_for_its_template(chat_config, tmp_path):
    from kvdistill.plan.graph import make_conversion_node

    config = chat_config(CHAT, "style.chat=true", f"root={tmp_path}")
    source = {**config["student"]["pretrained"], "path": "/nowhere", "gguf_file": "a.gguf"}
    config["student"] = {"name": "own", "pretrained": source, "dtype": "float32"}
    folder = tmp_path / "artifacts" / make_conversion_node(config["student"]).name
    folder.mkdir(parents=True)
    with pytest.raises(OSError, match="nowhere"):
        check_chat(config)
    tokenizer = make_family_tokenizer("llama3")
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder / "model")
    (folder / "manifest.json").write_text("{}")
    check_chat(config)
