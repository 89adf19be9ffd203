import pytest


def expect_refusal(overrides: list[str], match: str) -> None:
    from kvdistill.config.compose import compose
    from kvdistill.errors import ConfigError

    with pytest.raises(ConfigError, match=match) as caught:
        compose(overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("hydra")
class TestCompose:
    def test_default_is_two_teachers_on_nano(self) -> None:
        from kvdistill.config.compose import compose

        config = compose([])
        assert config["arm"] == "multi_teacher"
        assert config["scale"] == "nano"
        assert len(config["teachers"]) == 2
        assert config["choices"]["fusion"] == "fixed"

    def test_command_line_wins_over_the_arm(self) -> None:
        from kvdistill.config.compose import compose

        assert compose(["arm=single_teacher", "alignment=truncate"])["alignment"][
            "_target_"
        ].endswith("Truncate")

    def test_unknown_choice_lists_the_choices(self) -> None:
        expect_refusal(
            ["fusion=mena"], r"fusion=mena is no choice .* fixed, learnable, select, similarity"
        )

    def test_misspelt_key_names_the_nearest(self) -> None:
        expect_refusal(
            ["fusion.wieghts=null"], r"fusion.wieghts is no setting. Did you mean fusion.weights"
        )

    def test_misspelt_group_names_the_nearest(self) -> None:
        expect_refusal(["fusoin=fixed"], r"fusoin is no setting. Did you mean fusion\?")

    def test_a_key_of_a_group_that_was_not_chosen_is_told_so(self) -> None:
        expect_refusal(["arm=sft", "teachers.a.name=x"], r"teachers\.a\.name is no setting here")

    def test_override_that_contradicts_the_arm_is_refused(self) -> None:
        expect_refusal(
            ["arm=single_teacher", "teachers=cross_family"],
            r"teachers=cross_family contradicts arm=single_teacher",
        )

    def test_kv_weight_in_sft_is_refused(self) -> None:
        expect_refusal(["arm=sft", "loss.kv_weight=1.0"], r"loss.kv_weight=1.0 contradicts arm=sft")

    def test_mandatory_value_is_asked_for(self) -> None:
        expect_refusal(
            ["scale=smollm"], r"smollm2 must be given: add smollm2=VALUE|benchmarks must"
        )

    def test_a_choice_of_another_scale_says_what_it_lacks(self) -> None:
        expect_refusal(
            ["teachers=tuned"],
            r"teachers\.a\.pretrained\.path takes its value from smollm2, which nothing here sets",
        )

    @pytest.mark.parametrize("override", ["budget.batch_size=abc", "budget.batch_size=1.5"])
    def test_wrong_type_names_the_key(self, override: str) -> None:
        expect_refusal([override], r"budget.batch_size")

    @pytest.mark.parametrize("value", ["0", "-3"])
    def test_batch_size_must_be_positive(self, value: str) -> None:
        expect_refusal(
            [f"budget.batch_size={value}"], rf"budget.batch_size must be positive, got {value}"
        )

    def test_infinite_weight_is_refused(self) -> None:
        expect_refusal(["loss.kv_weight=inf"], r"loss.kv_weight must be 0 or more, got inf")

    def test_seed_zero_works_and_a_word_does_not(self) -> None:
        from kvdistill.config.compose import compose

        assert compose(["seed=0"])["seed"] == 0
        expect_refusal(["seed=one"], r"seed must be a whole number")

    @pytest.mark.parametrize("seed", ["-1", "4294967296", "1.5", "true"])
    def test_a_seed_that_no_generator_takes_is_refused(self, seed: str) -> None:
        expect_refusal([f"seed={seed}"], r"seed must be a whole number of 0 or more, below 2\*\*32")

    @pytest.mark.parametrize("override", ["arm=null", "fusion=null"])
    def test_no_choice_of_a_group_is_refused(self, override: str) -> None:
        expect_refusal([override], r"=null is no choice of")


@pytest.mark.usefixtures("new_hydra")
def test_a_plain_command_is_composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from kvdistill.config import compose as module
    from kvdistill.config import compose_cache, explain

    calls = []
    real = compose_cache.hydra_compose
    for each in (compose_cache, explain):
        monkeypatch.setattr(each, "hydra_compose", lambda *a, **k: calls.append(a) or real(*a, **k))
    module.compose(["fusion=learnable"])
    assert len(calls) == 1
