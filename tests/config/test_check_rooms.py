"""Rules of what is read of the teachers: how much a press keeps, and that none means none."""

from pathlib import Path

import pytest

PRESSES = sorted(path.stem for path in Path("conf/compression").glob("*.yaml"))
pytestmark = pytest.mark.usefixtures("hydra")


@pytest.mark.parametrize("press", [each for each in PRESSES if each != "full"])
def test_what_no_text_can_keep_is_refused_of_every_press(press: str) -> None:
    from kvdistill.config.check_rooms import check_compression
    from kvdistill.config.compose import compose
    from kvdistill.errors import ConfigError

    config = compose([f"compression={press}"])
    for keep in (1.5, 0, -3, 0.0, -0.5, True, "x", None, [1]):
        config["compression"]["keep"] = keep
        with pytest.raises(ConfigError, match=r"^compression\.keep=.* a ratio in \(0, 1\] with"):
            check_compression(config)
    with pytest.raises(ConfigError, match=r"^compression\.keep=1\.5 must be a ratio"):
        compose([f"compression={press}", "compression.keep=1.5"])


def test_how_it_is_written_says_whether_it_is_a_share_or_a_number() -> None:
    from kvdistill.config.compose import compose
    from kvdistill.plan.resources.run_memory import read_kept_share

    def share(keep: str) -> float:
        config = compose(["compression=uniform", f"compression.keep={keep}"])
        return read_kept_share(config) * config["budget"]["seq_len"]

    assert (share("1"), share("16")) == (1, 16)
    assert share("1.0") == 2 * share("0.5") > 16


@pytest.mark.parametrize(
    "setting", ["logits.weight=0.3", "kv.keys=1", "kv.values=0.5", "on_policy.every=2"]
)
def test_what_was_chosen_to_be_none_is_not_put_to_work_by_a_setting(setting: str) -> None:
    from kvdistill.config.compose import compose
    from kvdistill.errors import ConfigError

    group = setting.partition(".")[0]
    chosen = [] if group != "kv" else ["logits=forward_kl", "loss.kv_weight=0"]
    compose([f"{group}=none", *chosen])
    with pytest.raises(ConfigError, match=f"^{group}=none, but {setting}"):
        compose([f"{group}=none", *chosen, setting])
