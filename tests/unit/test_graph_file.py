"""Graph files: a written file is sound; a changed one is refused, or searched without harm."""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.indexes import unit_vectors
from topicflow.tasks.core.graphs.graph_file import GraphShape, check_graph_file
from topicflow.tasks.core.graphs.hnsw import Graph
from topicflow.tasks.core.vectors.nearest import Parts

N, DIM, M = 400, 16, 8
SHAPE = GraphShape(N, DIM, "int8", M)
NODES = 8 + N * DIM + 64 + 40 + 2 * N
HEAD, GRAPH, LEVELS = 8 + N * DIM, 8 + N * DIM + 64, 8 + N * DIM + 104


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a graph."""
    made = tmp_path_factory.mktemp("graph") / "graph.usearch"
    Graph.build(Parts([unit_vectors(N, DIM)]), "int8", M, 64, 0, 1).save(made)
    return made


@pytest.mark.parametrize("codes", ["int8", "float16", "float32"])
@pytest.mark.parametrize("n", [1, 2, 3000])
def test_what_was_written_is_sound(tmp_path: Path, codes: str, n: int) -> None:
    graph = Graph.build(Parts([unit_vectors(n, DIM)]), codes, 16, 32, 0, 2)
    graph.save(tmp_path / "graph.usearch")
    check_graph_file(tmp_path / "graph.usearch", GraphShape(n, DIM, codes, 16))


def changed(path: Path, tmp_path: Path, at: int, values: bytes) -> Path:
    content = bytearray(path.read_bytes())
    content[at : at + len(values)] = values
    (tmp_path / "changed.usearch").write_bytes(content)
    return tmp_path / "changed.usearch"


@pytest.mark.parametrize(
    ("at", "values", "said"),
    [
        (0, b"\x91", "it is not a graph of 400 vectors of 16 bytes"),
        (HEAD, b"x", "it is not a graph of 400 vectors of 16 bytes"),
        (HEAD + 9, b"\x1b", "it was written by usearch 2.27"),
        (HEAD + 13, b"c", "it is not a graph of 400 vectors of int8"),
        (HEAD + 14, bytes([11]), "it is not a graph of 400 vectors of int8"),
        (HEAD + 25, b"\x01", "it is not a graph of 400 vectors of int8"),
        (HEAD + 41, b"\x01", "it is not a graph of 400 vectors of int8"),
        (GRAPH, b"\xff", "its nodes have 8 neighbours, expected 8"),
        (GRAPH + 8, b"\x09", "its nodes have 9 neighbours, expected 8"),
        (GRAPH + 24, b"\x07", "its levels are impossible"),
        (GRAPH + 32, b"\xff\xff\xff\xff", "its levels are impossible"),
        (LEVELS, b"\xff\xff", "its levels are impossible"),
        (NODES, b"\x90\x01", "node 0 of 400 has impossible neighbours"),
        (NODES + 7, b"\x01", "node 0 of 400 has impossible neighbours"),
        (NODES + 8, b"\x05", "node 0 of 400 has impossible neighbours"),
        (NODES + 10, b"\x11", "node 0 of 400 has impossible neighbours"),
        (NODES + 14, b"\x90\x01\x00\x00", "node 0 of 400 has impossible neighbours"),
        (NODES + 14, b"\xff\xff\xff\xff", "node 0 of 400 has impossible neighbours"),
    ],
)
def test_what_leads_out_of_a_graph_is_named(
    path: Path, tmp_path: Path, at: int, values: bytes, said: str
) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011  (the message is compared)
        check_graph_file(changed(path, tmp_path, at, values), SHAPE)
    assert str(raised.value) == said


def test_other_sizes_are_refused(path: Path, tmp_path: Path) -> None:
    content = path.read_bytes()
    for wrong in (b"", content[:-1], content + b"\0", content[: NODES + 100]):
        (tmp_path / "wrong.usearch").write_bytes(wrong)
        with pytest.raises(ValueError, match=r"bytes, too few|impossible neighbours|empty"):
            check_graph_file(tmp_path / "wrong.usearch", SHAPE)


SEARCH = """
import sys
from pathlib import Path
import numpy as np
from topicflow.tasks.core.graphs.graph_file import GraphShape, check_graph_file
from topicflow.tasks.core.graphs.hnsw import Graph
folder, n_neighbors = Path(sys.argv[1]), int(sys.argv[2])
vectors, n_searched = np.load(folder / "vectors.npy"), 0
n, dim = vectors.shape
for path in sorted(folder.glob("*.usearch")):
    try:
        check_graph_file(path, GraphShape(n, dim, "int8", n_neighbors))
        graph = Graph(dim, "int8", 100.0, n_neighbors).read(path)
    except ValueError:
        continue
    n_searched += 1
    rows = graph.candidates(vectors, 30, 64)
    assert rows.min() >= -1 and rows.max() < n
print(n_searched)
"""
"""It imports nothing of the tests: a process of its own need not find their folder."""


def test_accepted_graphs_are_searched_without_harm(path: Path, tmp_path: Path) -> None:
    content, rng = path.read_bytes(), random.Random(0)
    for number in range(600):
        mutated = bytearray(content)
        start = rng.choice([HEAD, GRAPH, LEVELS, NODES, NODES])
        for _ in range(rng.choice([1, 1, 2, 8])):
            at = rng.randrange(start, len(content) if start == NODES else NODES)
            mutated[at] = rng.choice([mutated[at] ^ (1 << rng.randrange(8)), 0, 255, rng.randrange(256)])
        (tmp_path / f"{number:03d}.usearch").write_bytes(mutated)
    np.save(tmp_path / "vectors.npy", unit_vectors(N, DIM))
    done = subprocess.run(
        [sys.executable, "-c", SEARCH, str(tmp_path), str(M)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert 10 < int(done.stdout) < 590
