"""The shape of the code: imports go one way, nothing heavy or pickled, and changed stages have a new version."""

import ast
import shutil
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.record_stage_code import STAGE_FILES, all_versions, recorded, shape, stage_code, stage_files
from tests.structure import (
    PACKAGES,
    ROOT,
    circles,
    folder_graph,
    folder_of,
    import_graph,
    imported,
    module_of,
    parse,
    source_files,
)

FILES = source_files()

LEVELS: tuple[tuple[str, ...], ...] = (
    ("deployments",),
    ("flows.commands", "flows.python"),
    ("flows.screen", "flows.search_server"),
    ("flows",),
    ("flows.work",),
    ("flows.running",),
    ("flows.planning",),
    ("tasks.publish", "tasks.results"),
    ("tasks.publish.known_topics",),
    ("tasks.discovery",),
    ("tasks.updates", "tasks.search", "tasks.tuning", "tasks.sweeps"),
    ("tasks.search.filters", "tasks.search.scoring"),
    ("tasks.naming", "tasks.edits", "tasks.given", "tasks.report"),
    ("tasks.tree", "tasks.periods", "tasks.shares"),
    ("tasks.topics",),
    ("tasks.duplicates", "tasks.classify"),
    ("tasks.requirements",),
    ("tasks.encoding",),
    ("tasks.encoding.api", "tasks.encoding.model_files", "tasks.encoding.tokens"),
    ("tasks.chats",),
    ("tasks.servers",),
    ("tasks.documents",),
    ("tasks.documents.formats",),
    ("tasks.doctor",),
    ("tasks.execution", "tasks.runs"),
    ("tasks.store",),
    ("tasks",),
    ("tasks.core.learning", "tasks.core.duplicates"),
    (
        "tasks.core.words",
        "tasks.core.clusters",
        "tasks.core.graphs",
        "tasks.core.layout",
        "tasks.core.statistics",
    ),
    ("tasks.core.vectors",),
    ("tasks.core.integers", "tasks.core.tiles"),
    ("tasks.core.registers",),
    ("tasks.core",),
    ("configs",),
    ("configs.flows",),
    ("configs.sections",),
    ("configs.fields",),
)
"""Every folder of the product, from the top down: a file imports from its own folder and from lower levels."""


@cache
def graph() -> dict[str, set[str]]:
    """Return for each module our modules that it imports; reading all files takes seconds."""
    return import_graph()


MOST_FILES = 20
"""Files of a folder; a fuller one is two families."""

HEAVY = {
    "bertopic", "bm25s", "datasets", "gensim", "hdbscan", "openvino", "pandas", "plotly", "pynndescent",
    "sentence_transformers", "setfit", "sklearn", "torch", "transformers", "umap", "usearch",
}  # fmt: skip
PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def at_module_level(tree: ast.Module) -> ast.Module:
    """Change a tree, and return it, without function bodies and without code for type checkers only."""

    class Outside(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

        def visit_If(self, node: ast.If) -> ast.If | None:
            return None if "TYPE_CHECKING" in ast.unparse(node.test) else node

    return Outside().visit(tree)


def level_of(module: str) -> int:
    """Return the level of a module's folder; fail for a file that belongs nowhere."""
    folder = folder_of(module)
    found = [level for level, folders in enumerate(LEVELS) if folder in folders]
    assert found, (
        f"{module}: its folder {folder!r} is in no level; put it where it belongs, or add the folder to LEVELS"
    )
    return found[0]


def test_there_are_files() -> None:
    known = {"configs.read", "tasks.store.artifact_store", "tasks.core.vectors.knn", "flows.commands.cli"}
    assert known <= {module_of(path) for path in FILES}


def test_imports_go_down() -> None:
    upward = [
        f"{module} imports {other}"
        for module, others in sorted(graph().items())
        for other in others
        if folder_of(other) != folder_of(module) and level_of(other) <= level_of(module)
    ]
    assert upward == []


def test_the_product_does_not_import_its_tests_or_a_folder_by_its_bare_name() -> None:
    """Ours are topicflow.tasks and so on."""
    bare = {*PACKAGES, "tests"}
    found = [
        f"{module_of(path)} imports {name}"
        for path in FILES
        for node in ast.walk(parse(path))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        if name.partition(".")[0] in bare
    ]
    assert found == []


def test_there_are_no_circles() -> None:
    assert circles(graph()) == []
    assert circles(folder_graph(graph())) == []


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"e"}}) == [["a", "b", "c"]]


def test_no_folder_is_too_full() -> None:
    sizes = Counter(path.parent for path in FILES if path.stem != "__init__")
    assert {folder: n for folder, n in sizes.items() if n > MOST_FILES} == {}


def test_heavy_libraries_are_imported_where_they_are_used() -> None:
    early = []
    for path in FILES:
        module = module_of(path)
        is_low = module.startswith(("configs.", "tasks.core."))
        avoided = HEAVY | {"prefect", "logging", "time"} if is_low else HEAVY
        tree = at_module_level(ast.parse(path.read_text(encoding="utf-8")))
        found = {name.partition(".")[0] for name in imported(tree)}
        early += [f"{module} imports {name}" for name in sorted(found & avoided)]
    assert early == []


@pytest.mark.parametrize(
    "module",
    [
        "topicflow.flows.commands.cli",
        "topicflow.flows.planning.plan",
        "topicflow.configs.read",
        "topicflow.tasks.runs.retention",
        "topicflow.tasks.runs.records",
    ],
)
def test_quick_commands_import_nothing_heavy(module: str) -> None:
    code = (
        f"import sys, {module}; print(sorted({HEAVY | {'prefect', 'scipy', 'numba'}!r} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout == "[]\n"


def test_nothing_is_pickled() -> None:
    found = [f"{module_of(path)}: {each}" for path in FILES for each in pickled(parse(path))]
    assert found == []


def pickled(tree: ast.Module) -> list[str]:
    """Return what in a tree reads or writes pickles."""
    found = [name for name in imported(tree) if name.partition(".")[0] in PICKLES]
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            found += [] if ast.unparse(node.value) == "False" else [ast.unparse(node)]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name = ast.unparse(node.func)
            found += [name] if name in {"torch.load", "torch.save", "pd.read_pickle"} else []
    return found


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import pickle", ["pickle"]),
        ("np.load(path, allow_pickle=True)", ["allow_pickle=True"]),
        ("np.load(path, allow_pickle=False)", []),
        ("torch.load(path)", ["torch.load"]),
    ],
)
def test_pickles_are_found(code: str, found: list[str]) -> None:
    assert pickled(ast.parse(code)) == found


# --- versions ---


VERSIONS = all_versions()


@pytest.mark.parametrize("stage", VERSIONS)
def test_changed_code_of_a_stage_has_a_new_version(stage: str) -> None:
    then = recorded().get(stage, {"version": None, "code": None})
    files = ", ".join(path.relative_to(ROOT).as_posix() for path in stage_files(stage))
    assert (then["code"], then["version"]) == (stage_code(stage), VERSIONS[stage]), (
        f"the code of stage {stage!r} is not the recorded one ({files}): where equal inputs and config now give "
        f"another artifact, bump recipes.VERSIONS[{stage!r}]; then, or where results are the same, record it with "
        "`make record-stages`"
    )


def test_every_stage_is_recorded_and_has_a_file() -> None:
    assert set(recorded()) == set(VERSIONS) == set(STAGE_FILES)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the product's code."""
    root = tmp_path_factory.mktemp("copy")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    return root


CHANGED = [  # a line of a family's file, and a stage that computes with it, directly or not
    ("tasks/core/clusters/clustering.py", "n_init=3", "n_init=4", "cluster"),
    ("tasks/core/words/tokens.py", "import numpy as np\n", "import numpy as np\n\nLATER = 1\n", "evaluate"),
    ("tasks/encoding/adapters.py", "import re\n", "import re\n\nLATER = 1\n", "embed"),
    (
        "tasks/tuning/example_files.py",
        "import polars as pl\n",
        "import polars as pl\n\nLATER = 1\n",
        "examples",
    ),
    (
        "tasks/classify/class_topics.py",
        "import numpy as np\n",
        "import numpy as np\n\nLATER = 1\n",
        "cluster",
    ),
    (
        "tasks/documents/timestamps.py",
        "import polars as pl\n",
        "import polars as pl\n\nLATER = 1\n",
        "new_documents",
    ),
    ("tasks/topics/fitted_sample.py", "import numpy as np\n", "import numpy as np\n\nLATER = 1\n", "assign"),
    ("tasks/report/page/map.js", "\n", "\n\n", "overview"),
]


@pytest.mark.parametrize(("file", "before", "after", "stage"), CHANGED, ids=lambda value: str(value)[:40])
def test_a_changed_line_anywhere_in_what_a_stage_computes_with_is_noticed(
    copy: Path, file: str, before: str, after: str, stage: str
) -> None:
    text = (copy / file).read_text()
    assert before in text
    try:
        (copy / file).write_text(text.replace(before, after, 1))
        assert stage_code(stage, copy) != recorded()[stage]["code"]
    finally:
        (copy / file).write_text(text)
    assert stage_code(stage, copy) == recorded()[stage]["code"]


def test_a_change_elsewhere_is_not_noticed(copy: Path) -> None:
    files = {path.relative_to(copy).as_posix() for path in stage_files("count", copy)}
    assert {"tasks/topics/count.py", "tasks/core/words/tokens.py"} <= files
    assert not any(file.startswith(("tasks/core/clusters", "tasks/store", "configs")) for file in files)


def test_comments_docstrings_and_places_of_imports_do_not_count_as_code(copy: Path) -> None:
    core = copy / "tasks/core/clusters/clustering.py"
    text = core.read_text()
    moved = text.replace(
        "from topicflow.tasks.core.clusters.hierarchy", "from topicflow.tasks.core.clusters.spanning"
    )
    assert moved != text
    core.write_text(text.replace('"""Return', '"""Really return').replace("\n\n\n", "\n\n\n# a comment\n"))
    assert core.read_text() != text
    assert stage_code("cluster", copy) == recorded()["cluster"]["code"]
    assert shape(ast.parse(moved)) == shape(ast.parse(text))  # a file may move; its content is hashed with it
    core.write_text(text)


def test_the_shape_of_code_has_neither_places_nor_empty_fields() -> None:
    first, second = 'def f(x):\n    """Say."""\n    return x', "def f(x): return x  # so"
    assert shape(ast.parse(first)) == shape(ast.parse(second))
    assert shape(ast.parse(first)) == (
        "Module(body=[FunctionDef(name='f',args=arguments(args=[arg(arg='x')]),"
        "body=[Return(value=Name(id='x',ctx=Load()))])])"
    )
