"""Which pairs of sets refuse and which only report, and the report itself."""

import json
from dataclasses import asdict, replace
from itertools import combinations_with_replacement

import pytest

from kvdistill.data.leakage import Document, DocumentSet, Leakage
from kvdistill.errors import ConfigError

ITEM = "How many rolls did Priya bake in all on Monday and on the following Tuesday?"
NEAR = ITEM.replace("rolls", "buns")
OTHER = "A rope bridge needs nine planks of oak and twice as many of pine; what is the sum?"


def make_set(name, role, *texts):
    return DocumentSet(name, role, [Document(f"{name}-{i}", t) for i, t in enumerate(texts)])


def find_pair(report, first, second, method):
    return next(
        entry
        for entry in report.pairs
        if (entry.first, entry.second, entry.method) == (first, second, method)
    )


@pytest.mark.parametrize(
    ("one", "other", "verdict"),
    [
        ("train", "train", "leak"),
        ("train", "val", "leak"),
        ("train", "test", "leak"),
        ("train", "task", "leak"),
        ("rationale", "task", "leak"),
        ("val", "test", "leak"),
        ("val", "task", "leak"),
        ("calibration", "test", "leak"),
        ("calibration", "task", "leak"),
        ("examples", "task", "leak"),
        ("train", "drawn", "leak"),
        ("val", "drawn", "leak"),
        ("examples", "examples", "clean"),
        ("examples", "test", "clean"),
        ("test", "drawn", "clean"),
        ("drawn", "drawn", "clean"),
        ("train", "examples", "clean"),
        ("train", "calibration", "clean"),
        ("train", "rationale", "clean"),
        ("test", "task", "clean"),
        ("task", "task", "clean"),
    ],
)
def test_what_may_be_shared_depends_on_what_the_sets_are_for(one, other, verdict):
    sets = [make_set("b", other, ITEM), make_set("a", one, ITEM.lower())]
    assert Leakage()(sets).verdict == verdict
    assert Leakage()(sets[::-1]).verdict == verdict


def test_a_hit_is_reported_with_both_ids_and_what_they_share():
    sets = [make_set("a", "train", OTHER, NEAR), make_set("t", "task", ITEM)]
    report = Leakage()(sets)
    entry = find_pair(report, "a", "t", "ngram")
    assert entry.hits == 1
    assert entry.rate == 1.0
    assert entry.blocking
    assert entry.verdict == "leak"
    assert (entry.shown[0].first, entry.shown[0].second) == ("a-1", "t-0")
    assert entry.shown[0].shared.startswith("did priya bake in all")
    assert find_pair(report, "a", "t", "exact").verdict == "clean"
    assert report.tainted == {"t": ["t-0"]}
    assert "'a-1' and 't-0'" in Leakage().describe_refusal(report, sets)
    json.dumps(asdict(report), allow_nan=False)


def test_every_pair_and_every_set_is_checked_by_every_method():
    sets = [make_set(name, role, OTHER) for name, role in
            (("a", "train"), ("b", "val"), ("c", "test"), ("d", "task"))]  # fmt: skip
    checked = {(e.first, e.second, e.method) for e in Leakage()(sets).pairs}
    pairs = combinations_with_replacement("abcd", 2)
    assert checked == {
        (*both, method) for both in pairs for method in ("exact", "ngram", "template")
    }


def test_duplicates_within_a_set_are_reported_only():
    report = Leakage()([make_set("a", "train", ITEM, ITEM + "!", OTHER)])
    assert find_pair(report, "a", "a", "exact").hits == 1
    assert find_pair(report, "a", "a", "exact").verdict == "reported"
    assert report.verdict == "clean"


@pytest.mark.parametrize(
    ("near", "verdict"), [("drop", "leak"), ("refuse", "leak"), ("report", "clean")]
)
def test_near_copies_between_own_parts_follow_the_setting(near, verdict):
    sets = [make_set("a", "train", NEAR), make_set("t", "test", ITEM)]
    report = Leakage(near=near)(sets)
    assert report.verdict == verdict
    assert report.tainted == {"t": ["t-0"]}


@pytest.mark.parametrize(
    ("settings", "other", "text", "names"),
    [
        ({"near": "refuse"}, "test", NEAR, [
            "data.leakage.near=refuse keeps near copies", "data.leakage.near=report names",
            "data.leakage.near=drop leaves them out", "data.leakage.allow",
        ]),
        ({"near": "drop"}, "test", NEAR, ["data.leakage.near=drop", "data.leakage.near=report"]),
        ({"near": "report"}, "task", NEAR, ["No data.leakage.near (report here)", "allow"]),
        ({"near": "report"}, "test", ITEM, ["No data.leakage.near (report here)", "allow"]),
    ],
)  # fmt: skip
def test_a_refusal_names_the_setting_its_value_and_the_way_out(settings, other, text, names):
    leakage = Leakage(**settings)
    sets = [make_set("a", "train", text), make_set("t", other, ITEM)]
    line = leakage.describe_refusal(leakage(sets), sets)
    for name in names:
        assert name in line
    assert f"near={settings['near']} leaves" not in line


@pytest.mark.parametrize(("template", "verdict"), [("report", "clean"), ("refuse", "leak")])
def test_a_question_with_other_numbers_is_reported_or_refused_and_taints_nothing(template, verdict):
    ask = "A rope bridge needs {} planks of oak, {} of pine and {} nails; what is the sum?"
    sets = [
        make_set("a", "train", ask.format(9, 4, "1,200")),
        make_set("t", "task", ask.format(8, 5, 31)),
    ]
    report = Leakage(template=template)(sets)
    assert find_pair(report, "a", "t", "template").hits == 1
    assert find_pair(report, "a", "t", "ngram").hits == 0
    assert report.verdict == verdict
    assert report.tainted == {"t": []}


def test_a_set_within_another_is_compared_as_a_part_of_it():
    """By itself it would have other common wording: what the whole may hold, its part may too."""
    ask = "Which of the following statements about {} is the most correct one of all of them?"
    texts = [ask.format(word) for word in "abcdefghijklmnopqrstuvwx"]
    train, test = make_set("a", "train", *texts[:12]), make_set("t", "test", *texts[12:])
    parts = [
        DocumentSet("c", "calibration", train.documents[:4]),
        DocumentSet("d", "drawn", test.documents[:4]),
    ]
    report = Leakage()([train, test, *parts])
    assert {pair.hits for pair in report.pairs} == {0}
    # Texts that no part holds are compared as they stand.
    others = [ask.format(word * 2) for word in "abcdefgh"]
    alone = [make_set("c", "calibration", *others[:4]), make_set("d", "drawn", *others[4:])]
    assert find_pair(Leakage()([train, test, *alone]), "c", "d", "ngram").hits > 0


def test_a_few_of_the_test_rows_asked_under_other_ids_are_compared_as_part_of_it():
    """What `near=drop` leaves of train must not become a leak where few items are asked."""
    ask = "Which of the following statements about {} is the most correct one of all of them?"
    train = make_set("a", "train", ask.format("z"))
    test = make_set("t", "test", *map(ask.format, "abcdefghijkl"))
    assert not any(Leakage().find_near_copies([train, test]).values())
    asked = [replace(each, id=f"family/{each.id}") for each in test.documents[:4]]
    report = Leakage()([train, test, DocumentSet("few", "drawn", asked)])
    assert find_pair(report, "a", "few", "ngram").hits == 0
    assert report.verdict == "clean"
    planted = Leakage()(
        [make_set("a", "train", test.documents[2].text), test, DocumentSet("few", "drawn", asked)]
    )
    assert planted.tainted == {"t": ["t-2"], "few": ["family/t-2"]}


def test_the_matches_of_a_part_are_those_of_its_documents():
    train = make_set("a", "train", OTHER, NEAR, "Something else that stands here by itself.")
    test = make_set("t", "test", "Nothing of the kind is asked for in here.", ITEM)
    parts = [
        DocumentSet("c", "calibration", train.documents[1:]),
        DocumentSet("d", "drawn", test.documents[1:]),
    ]
    entry = find_pair(Leakage()([train, test, *parts]), "c", "d", "ngram")
    assert [(hit.first, hit.second) for hit in entry.shown] == [("a-1", "t-1")]


@pytest.mark.parametrize("first", ["train", "calibration", "val"])
def test_a_task_drawn_from_the_split_follows_the_setting_for_near_copies(first):
    sets = [make_set("a", first, NEAR), make_set("t", "drawn", ITEM)]
    assert Leakage(near="report")(sets).verdict == "clean"
    assert Leakage(near="refuse")(sets).verdict == "leak"


def test_only_what_was_taught_taints():
    sets = [make_set(role, role, ITEM) for role in ("val", "test", "examples")]
    sets.append(make_set("t", "task", OTHER, ITEM))
    report = Leakage()(sets)
    assert report.tainted == {"val": [], "test": [], "t": []}
    report = Leakage()([*sets, make_set("r", "rationale", f"As in: {ITEM} we add.")])
    assert report.tainted == {"val": [], "test": [], "t": ["t-1"]}


def test_near_copies_of_a_task_and_exact_copies_always_refuse():
    sets = [make_set("a", "train", NEAR), make_set("t", "task", ITEM)]
    assert Leakage(near="report")(sets).verdict == "leak"
    sets = [make_set("a", "train", ITEM), make_set("t", "test", ITEM)]
    assert Leakage(near="report")(sets).verdict == "leak"


def test_an_allowed_pair_is_counted_and_taints_but_does_not_refuse():
    sets = [make_set("a", "train", ITEM), make_set("t", "task", ITEM, OTHER)]
    allow = [{"first": "t-0", "second": "a-0", "reason": "a proverb"}]
    report = Leakage(allow=allow)(sets)
    entry = find_pair(report, "a", "t", "exact")
    assert (entry.hits, entry.allowed, entry.verdict) == (0, 1, "clean")
    assert report.verdict == "clean"
    assert report.tainted == {"t": ["t-0"]}


def test_near_copies_are_those_of_a_later_set():
    sets = [make_set("a", "train", NEAR, OTHER), make_set("t", "test", ITEM)]
    assert Leakage().find_near_copies(sets) == {"a": {"a-0": "t-0"}, "t": {}}
    allow = [{"first": "a-0", "second": "t-0", "reason": "checked by hand"}]
    assert Leakage(allow=allow).find_near_copies(sets) == {"a": {}, "t": {}}


def test_shown_hits_are_capped_and_all_are_counted():
    texts = [f"{ITEM} {a} {b}" for a in "abcdefgh" for b in "abcdefgh"]
    report = Leakage()([make_set("a", "train", *texts), make_set("t", "task", *texts)])
    entry = find_pair(report, "a", "t", "exact")
    assert (entry.hits, len(entry.shown)) == (64, 20)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"template": "drop"}, r"data\.leakage\.template must be report or refuse, got 'drop'"),
        ({"near": "keep"}, r"data\.leakage\.near must be drop, refuse or report, got 'keep'"),
        (
            {"allow": [{"first": "a", "second": "b"}]},
            r"allow\[0\] must give first, second and reason",
        ),
        ({"allow": [{"first": "a", "second": "b", "reason": ""}]}, r"allow\[0\]"),
    ],
)
def test_bad_settings_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        Leakage(**values)
