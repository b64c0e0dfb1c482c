"""The shape of the code: imports go one way, nothing heavy or pickled, and changed stages have a new version."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tasks.recipes import VERSIONS
from tests.record_stage_code import ROOT, recorded, shape, stage_code, stage_files

PACKAGES = ("configs", "tasks", "flows", "deployments")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

ALLOWED = {
    "configs": {"configs"},
    "tasks.core": {"tasks.core"},
    "tasks": {"configs", "tasks.core", "tasks"},
    "flows": {"configs", "tasks.core", "tasks", "flows"},
    "deployments": {"configs", "tasks.core", "tasks", "flows", "deployments"},
}
"""What each layer may import of ours: tasks.core <- tasks <- flows <- deployments, configs beside tasks.core."""

HEAVY = {
    "bertopic", "bm25s", "datasets", "gensim", "hdbscan", "openvino", "pandas", "plotly", "pynndescent",
    "sentence_transformers", "setfit", "sklearn", "torch", "transformers", "umap", "usearch",
}  # fmt: skip
PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def layer_of(module: str) -> str:
    return "tasks.core" if module.startswith("tasks.core") else module.partition(".")[0]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the modules that a tree imports, each `from tasks import x` as tasks.x too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports of ours are absolute"
            yield str(node.module)
            if node.module == "tasks":
                yield from (f"tasks.{alias.name}" for alias in node.names)


def at_module_level(tree: ast.Module) -> ast.Module:
    """Return the tree without function bodies and without what only type checkers see."""

    class Outside(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

        def visit_If(self, node: ast.If) -> ast.If | None:
            return None if "TYPE_CHECKING" in ast.unparse(node.test) else node

    return Outside().visit(tree)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_there_are_files() -> None:
    assert {"configs.load", "tasks.store", "tasks.core.knn", "flows.cli"} <= {
        module_of(path) for path in FILES
    }


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_go_one_way(path: Path) -> None:
    ours = {name for name in imported(parse(path)) if name.partition(".")[0] in (*PACKAGES, "tests")}
    layer = layer_of(module_of(path))
    assert {name for name in ours if layer_of(name) not in ALLOWED[layer] and name != "tasks"} == set()


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_heavy_libraries_are_imported_where_they_are_used(path: Path) -> None:
    found = {name.partition(".")[0] for name in imported(at_module_level(parse(path)))}
    assert found & HEAVY == set()
    if layer_of(module_of(path)) in {"configs", "tasks.core"}:
        assert found & {"prefect", "logging", "time"} == set()


@pytest.mark.parametrize(
    "module", ["flows.cli", "flows.plan", "configs.load", "tasks.retention", "tasks.runs"]
)
def test_what_answers_at_once_imports_nothing_heavy(module: str) -> None:
    code = (
        f"import sys, {module}; print(sorted({HEAVY | {'prefect', 'scipy', 'numba'}!r} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout == "[]\n"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_nothing_is_pickled(path: Path) -> None:
    tree = parse(path)
    assert {name.partition(".")[0] for name in imported(tree)} & PICKLES == set()
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert ast.unparse(node.value) == "False"
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in {"torch.load", "torch.save", "pd.read_pickle"}


def test_no_file_bears_the_name_of_a_library() -> None:
    ours = {"configs", "deployments", "flows", "tasks", "tests"}
    ours |= {
        "evaluate"
    }  # Hugging Face's comes with setfit; tasks/ is never on the path that it is imported from
    installed = (set(packages_distributions()) | sys.stdlib_module_names) - ours
    names = {path.stem for path in FILES if path.stem != "__init__" and path.parent.name != "core"}
    assert names & installed == set()


# --- versions ---


@pytest.mark.parametrize("stage", VERSIONS)
def test_changed_code_of_a_stage_has_a_new_version(stage: str) -> None:
    then = recorded().get(stage, {"version": None, "code": None})
    files = ", ".join(path.relative_to(ROOT).as_posix() for path in stage_files(stage))
    assert (then["code"], then["version"]) == (stage_code(stage), VERSIONS[stage]), (
        f"the code of stage {stage!r} is not the recorded one ({files}): where equal inputs and config now give "
        f"another artifact, bump recipes.VERSIONS[{stage!r}]; then, or where results are the same, record it with "
        "`make record-stages`"
    )


def test_the_record_has_no_stage_too_many() -> None:
    assert set(recorded()) == set(VERSIONS)


def test_a_stage_is_its_file_and_the_numerics_it_uses() -> None:
    files = [path.relative_to(ROOT / "tasks").as_posix() for path in stage_files("cluster")]
    assert files[0] == "cluster.py"
    assert {"core/clusters.py", "core/assign.py"} <= set(files)
    assert "core/coherence.py" not in files


def test_comments_and_docstrings_are_no_code_and_all_else_is(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tasks", tmp_path / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    before = stage_code("cluster", tmp_path)
    assert before == stage_code("cluster")
    core = tmp_path / "tasks" / "core" / "clusters.py"
    text = core.read_text()
    core.write_text(text.replace('"""Return', '"""Really return').replace("\n\n\n", "\n\n\n# a comment\n"))
    assert core.read_text() != text
    assert stage_code("cluster", tmp_path) == before
    core.write_text(text.replace("n_init=3", "n_init=4"))
    assert core.read_text() != text
    assert stage_code("cluster", tmp_path) != before
    assert stage_code("count", tmp_path) == stage_code("count")


def test_the_shape_of_code_has_neither_places_nor_empty_fields() -> None:
    first, second = 'def f(x):\n    """Say."""\n    return x', "def f(x): return x  # so"
    assert shape(ast.parse(first)) == shape(ast.parse(second))
    assert shape(ast.parse(first)) == (
        "Module(body=[FunctionDef(name='f',args=arguments(args=[arg(arg='x')]),"
        "body=[Return(value=Name(id='x',ctx=Load()))])])"
    )
