"""No code from text, and no shell, anywhere in the project."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = [ROOT / "launch.py", *sorted((ROOT / "src").rglob("*.py"))]
BARRED = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "pickle.load",
    "pickle.loads", "marshal.loads", "yaml.unsafe_load", "yaml.full_load", "tempfile.mktemp",
    "subprocess.getoutput", "subprocess.getstatusoutput", "runpy.run_path", "runpy.run_module",
    "torch.load", "np.load", "joblib.load", "cloudpickle.load", "cloudpickle.loads",
}  # fmt: skip
SAFE_LOADERS = {"TaskLoader", "_TaskFileLoader", "RecipeLoader"}
"""They construct plain values alone, as yaml.SafeLoader does."""


def find_barred_calls(text: str) -> Iterator[str]:
    """What is barred of a module's calls, by name."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        given = {word.arg: ast.unparse(word.value) for word in node.keywords}
        if name in BARRED:
            yield name
        if name == "yaml.load" and given.get("Loader") not in SAFE_LOADERS:
            yield name
        if given.get("shell", "False") != "False":
            yield f"{name} by a shell"


@pytest.mark.integration
def test_nothing_is_run_from_text() -> None:
    calls_by_file = {
        path.name: list(find_barred_calls(path.read_text(encoding="utf-8"))) for path in CODE
    }
    assert {name: calls for name, calls in calls_by_file.items() if calls} == {}


def test_what_is_barred_is_found() -> None:
    text = "eval('1')\nos.system('x')\nsubprocess.run('x', shell=True)\nyaml.load(x, Loader=L)\n"
    assert len(list(find_barred_calls(text))) == 4
    assert list(find_barred_calls("model.eval()\nsubprocess.run(['x'])\nre.compile('x')\n")) == []


def test_loaders_of_yaml_are_safe_ones() -> None:
    from kvdistill.plan.frozen_recipe import RecipeLoader
    from kvdistill.plan.task_files import TaskLoader

    for loader in (TaskLoader, RecipeLoader):
        names = {base.__name__ for base in loader.__mro__}
        assert "SafeConstructor" in names
        assert not names & {"FullConstructor", "UnsafeConstructor", "Constructor"}
