"""Which jobs still matter once one of them failed."""

from pathlib import Path

import pytest


class Process:
    """Stands for a job's process; ends when told."""

    def __init__(self) -> None:
        self.ended = False

    def terminate(self) -> None:
        self.ended = True


def make_queue(tmp_path: Path, **needs: list[str]):
    from kvdistill.cluster.local import JobQueue
    from kvdistill.plan.graph import Node

    kinds = {name: "run" if name.startswith("run") else "model" for name in needs}
    nodes = [
        Node(kinds[name], name, {}, {need: need for need in read}) for name, read in needs.items()
    ]
    return JobQueue(nodes, {name: tmp_path / name for name in needs})


def test_what_only_failed_jobs_would_have_read_is_given_up(tmp_path: Path) -> None:
    queue = make_queue(tmp_path, split=[], check=["split"], teacher=["split"], fit=["teacher"],
                 run=["check", "fit"])  # fmt: skip
    queue.failed = {"check": "leaks", "run": "not started"}
    queue.waiting = [node for node in queue.waiting if node.name == "fit"]
    queue.running = {"teacher": Process()}
    queue.abandon_needless()
    assert queue.waiting == []
    assert queue.running["teacher"].ended
    assert queue.abandoned == {"teacher"}


def test_what_another_run_reads_goes_on(tmp_path: Path) -> None:
    queue = make_queue(tmp_path, check=[], teacher=[], run=["check", "teacher"], run_b=["teacher"])
    queue.failed = {"check": "leaks", "run": "not started"}
    queue.waiting = [node for node in queue.waiting if node.name == "run_b"]
    queue.running = {"teacher": Process()}
    queue.abandon_needless()
    assert [node.name for node in queue.waiting] == ["run_b"]
    assert not queue.running["teacher"].ended


def test_what_was_asked_for_its_own_sake_goes_on(tmp_path: Path) -> None:
    queue = make_queue(tmp_path, one=[], check_one=["one"], two=[], check_two=["two"])
    queue.failed = {"one": "empty", "check_one": "not started"}
    queue.waiting = [node for node in queue.waiting if node.name.endswith("two")]
    queue.abandon_needless()
    assert [node.name for node in queue.waiting] == ["two", "check_two"]


def test_nothing_is_given_up_before_a_failure(tmp_path: Path) -> None:
    queue = make_queue(tmp_path, teacher=[], run=["teacher"])
    queue.abandon_needless()
    assert len(queue.waiting) == 2


def test_where_no_bars_are_drawn_each_job_that_ends_is_a_line(tmp_path: Path) -> None:
    from kvdistill.cluster.local import describe_end

    queue = make_queue(tmp_path, teacher=[], fit=["teacher"], run=["fit"])
    queue.failed, queue.abandoned = {"run": "the loss is NaN"}, {"fit"}
    queue.waiting, queue.running = queue.waiting[2:], {"other": Process()}
    ends = [describe_end(queue, name).split(" ", 1)[1] for name in ("teacher", "fit", "run")]
    assert ends == ["teacher: done, 2 left", "fit: given up, 2 left",
                    "run: failed: the loss is NaN, 2 left"]  # fmt: skip


def test_where_no_bars_are_drawn_what_runs_is_a_line_now_and_then(tmp_path: Path) -> None:
    from kvdistill.cluster.local import describe_running
    from kvdistill.status import StatusWriter

    queue = make_queue(tmp_path, teacher=[], fit=[], run=["fit"])
    queue.running = {"teacher": Process(), "fit": Process()}
    StatusWriter(queue.folders["teacher"]).write_progress(3, 40)
    with StatusWriter(queue.folders["fit"]).show_phase("reading") as report:
        report(8, 8)
        line = describe_running(queue).split(" ", 1)[1]
    assert line == "teacher: 3/40; fit: reading 8/8"


def test_with_nothing_to_do_no_bar_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from kvdistill.cluster.local import run_jobs
    from kvdistill.config.schema import LocalCluster

    assert run_jobs([], {}, LocalCluster(name="local", max_parallel=1, threads=1)) == {}
    assert capsys.readouterr().err == ""


def test_a_training_that_failed_is_the_reason_of_its_run(tmp_path: Path) -> None:
    from kvdistill.cli.common import describe_failures
    from kvdistill.cluster.local import JobQueue
    from kvdistill.plan.graph import Node
    from kvdistill.status import StatusWriter, read_status

    folder = tmp_path / "run"
    folder.mkdir()
    training = Node("training", "run.training", {}, {})
    run = Node("evaluation", "run", {}, {"training": "run.training"})
    queue = JobQueue([training, run], {"run.training": folder, "run": folder})
    StatusWriter(folder).write("failed", error="the loss is NaN")
    queue.waiting.remove(training)
    queue.failed = {"run.training": "the loss is NaN"}
    queue.start(slots=1)
    assert queue.waiting == []
    assert describe_failures(queue.failed) == ["run.training: the loss is NaN"]
    assert "run" in queue.failed
    assert read_status(folder)["error"] == "the loss is NaN"
