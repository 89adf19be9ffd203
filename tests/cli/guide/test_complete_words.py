"""The shell completes stages and questions, which are no groups of Hydra's."""

import pytest
from hydra.plugins.completion_plugin import CompletionPlugin, DefaultCompletionPlugin

from kvdistill.cli.guide.complete_words import match_words, offer_values

VALUES = {"stage": ["plan", "publish", "status"], "sweep": ["aa", "matrix"]}


@pytest.mark.parametrize(
    ("word", "offered"),
    [
        ("stage=", ["stage=plan", "stage=publish", "stage=status"]),
        ("stage=p", ["stage=plan", "stage=publish"]),
        ("sweep=m", ["sweep=matrix"]),
        ("sweep=[aa,m", ["sweep=[aa,matrix"]),
        ("sweep=[m", ["sweep=[matrix"]),
        ("sweep=zz", []),
        ("fusion=", None),
        ("stage", None),
    ],
)
def test_the_last_word_is_completed(word, offered):
    assert match_words(word, VALUES) == offered


def test_hydra_is_asked_for_every_other_word_and_is_itself_afterwards(monkeypatch):
    monkeypatch.setattr(CompletionPlugin, "_query", lambda *_: ["hydra's"])
    before = CompletionPlugin._query
    plugin = DefaultCompletionPlugin.__new__(DefaultCompletionPlugin)
    with offer_values(VALUES):
        assert plugin._query("config", "-m stage=st") == ["stage=status"]
        assert plugin._query("config", "fusion=") == ["hydra's"]
    assert CompletionPlugin._query is before
