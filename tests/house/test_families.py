"""docs/architectures.md says what each family of models can do, as it does it."""

import pytest

from tests.house import families

# transformers renames a property that PEFT still reads under its old name.
pytestmark = pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing.*:FutureWarning")


@pytest.mark.integration
@pytest.mark.parametrize("name", families.FAMILIES)
def test_the_page_says_what_a_family_can_do(name: str) -> None:
    assert families.read_page()[name] == families.examine_family(name), (
        "python -m tests.house.families"
    )


def test_the_page_has_every_family_and_no_other() -> None:
    assert list(families.read_page()) == list(families.FAMILIES)
