"""How the house reads stays as it was made: names, sizes, and no folder too full."""

import pytest

from tests.house.measure import is_participle, measure

AT_MOST = {
    "names_defined_twice_percent": 8.0,
    "participles_percent": 4.0,
    "dialect_variables_percent": 0.5,
    "largest_folder_modules": 20,
    "module_lines_median": 100,
    "module_lines_p90": 200,
}


@pytest.mark.integration
@pytest.mark.parametrize("figure", AT_MOST)
def test_a_figure_stays_below_its_bound(figure: str) -> None:
    assert measure()[figure] <= AT_MOST[figure]


@pytest.mark.parametrize("name", ["asked", "told_of", "rows_kept", "checked_rows"])
def test_a_participle_is_told_from_a_verb(name: str) -> None:
    assert is_participle(name)


@pytest.mark.parametrize("name", ["check_added", "read_sealed", "seed", "is_built"])
def test_a_verb_is_told_from_a_participle(name: str) -> None:
    assert not is_participle(name)
