"""Data sets of a hub on this machine, in the layouts that data sets really have."""

import pytest
from huggingface_hub import constants

from kvdistill.data import hub_files
from kvdistill.data.hub_files import CONVERTED, HubDataError, HubSplit, read_hub_split
from tests.hub_server import (
    make_commit,
    open_hub,
    write_archive,
    write_csv,
    write_lines,
    write_parquet,
)

ROWS = [{"question": "1 + 1?", "answer": "2"}, {"question": "Ein \u2028 Satz?", "answer": "ja"}]
SCRIPT = "import datasets\n"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with open_hub(tmp_path, monkeypatch, gated=("owner/gated",)) as server:
        (server.folder / "owner").mkdir()
        yield server


def ask(config=None, split="test", **more):
    return HubSplit(repo="owner/set", config=config, split=split, **more)


@pytest.mark.parametrize(
    ("path", "write", "source"),
    [
        ("main/test-00000-of-00001.parquet", write_parquet, ask("main")),
        ("data/test-00000-of-00001.parquet", write_parquet, ask()),
        ("test.jsonl", write_lines, ask("default")),
        ("law/test.csv", write_csv, ask("law")),
        ("test.json", write_lines, ask()),
        ("gpqa_main.csv", write_csv, ask("gpqa_main", "train", files=["{config}.csv"])),
        ("school_math.json", write_lines, ask(split="train")),
    ],
)
def test_rows_are_found_in_the_layouts_that_data_sets_have(hub, path, write, source):
    write(hub.folder / "owner/set" / path, ROWS)
    assert read_hub_split(source) == ROWS


def test_the_card_says_where_a_split_lies_before_any_layout_does(hub):
    folder = hub.folder / "owner/set"
    write_lines(folder / "rows/held_out.jsonl", ROWS)
    write_lines(folder / "test.jsonl", [{"question": "another"}])
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: main\n  data_files:\n"
        "  - {split: test, path: rows/held_*}\n---\n"
    )
    assert read_hub_split(ask("main")) == ROWS


def test_a_script_data_set_is_read_from_its_archive(hub):
    folder = hub.folder / "owner/set"
    write_archive(folder / "set_v1.zip", {"test/law.csv": ROWS, "test/art.csv": ROWS[:1]})
    (folder / "set.py").write_text(SCRIPT)
    source = ask("law", files=["set_v1.zip!*{split}/{config}.csv"])
    assert read_hub_split(source) == ROWS


def test_a_script_data_set_without_an_archive_is_read_from_the_hubs_own_conversion(hub):
    write_lines(hub.folder / "owner/set/set.py", [])
    write_parquet(hub.folder / "owner/set@refs_convert_parquet/law/test/0000.parquet", ROWS)
    assert read_hub_split(ask("law")) == ROWS
    assert any(CONVERTED in path for path in hub.paths)


def test_a_script_data_set_with_neither_is_called_one_with_what_it_has(hub):
    (hub.folder / "owner/set").mkdir()
    (hub.folder / "owner/set/set.py").write_text(SCRIPT)
    with pytest.raises(
        HubDataError, match=r"script data set \(set.py\), and no script is run. Its files"
    ):
        read_hub_split(ask("law"))


def test_rows_are_those_of_the_commit_that_is_asked_for(hub):
    folder = hub.folder / "owner/set"
    write_lines(folder / "test.jsonl", ROWS)
    commit = make_commit(folder)
    assert read_hub_split(ask(revision=commit)) == ROWS
    write_lines(folder / "test.jsonl", ROWS[:1])
    # The hub no longer has it; the cache holds it. A branch is asked once a process.
    hub_files.list_repository.cache_clear()
    assert read_hub_split(ask(revision=commit)) == ROWS
    assert read_hub_split(ask()) == ROWS[:1]


def test_what_was_fetched_is_read_again_without_a_hub(hub, monkeypatch):
    write_lines(hub.folder / "owner/set/test.jsonl", ROWS)
    assert read_hub_split(ask()) == ROWS
    hub.close()
    hub_files.list_repository.cache_clear()
    assert read_hub_split(ask()) == ROWS
    hub_files.list_repository.cache_clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert read_hub_split(ask()) == ROWS


def test_gated_absent_and_unreachable_data_sets_have_each_their_own_way_out(hub):
    write_lines(hub.folder / "owner/gated/test.jsonl", ROWS)
    gated = HubSplit(repo="owner/gated", config=None, split="test")
    with pytest.raises(HubDataError, match=r"GatedRepoError.*accept its terms .* HF_TOKEN"):
        read_hub_split(gated)
    with pytest.raises(HubDataError, match=r"RepositoryNotFoundError.*does not exist"):
        read_hub_split(ask())
    hub.close()
    hub_files.list_repository.cache_clear()
    with pytest.raises(HubDataError, match=r"ConnectError.*stage=fetch where there is a network"):
        read_hub_split(ask())


def test_a_broken_file_is_named_with_what_its_reader_says(hub):
    path = hub.folder / "owner/set/test.parquet"
    path.parent.mkdir()
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(HubDataError, match=r"test.parquet cannot be read: ArrowInvalid"):
        read_hub_split(ask())


def test_a_split_is_never_taken_for_another(hub):
    write_lines(hub.folder / "owner/set/test.jsonl", ROWS)
    for split in ("train", "validation"):
        with pytest.raises(HubDataError, match="no file of it is known"):
            read_hub_split(ask(split=split))
    listing = hub_files.Listing("owner/set", "", ("a/dev_extra.csv", "b/dev.csv"))
    assert hub_files.choose_files(ask("a", "dev"), listing) == []
