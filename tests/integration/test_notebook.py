"""The notebook of docs, in a real kernel."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.commands import PrefectServer

NOTEBOOK = Path(__file__).parents[2] / "docs" / "first_run.ipynb"


@pytest.fixture
def _in_the_kernel(prefect_server: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in prefect_server.environment.items():
        monkeypatch.setenv(name, value)
    return None


@pytest.mark.slow
@pytest.mark.usefixtures("_in_the_kernel")
def test_the_notebook_runs_and_shows_only_its_results(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "commit the notebook without outputs"
    notebook.cells.append(nbformat.v4.new_code_cell("tf.run('nowhere.csv')"))
    client = NotebookClient(
        notebook, timeout=300, allow_errors=True, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    *cells, wrong = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in cells:
        kinds = {(output.output_type, output.get("name")) for output in cell.outputs}
        assert kinds <= {("execute_result", None), ("display_data", None), ("stream", "stdout")}, cell
    data = [_data(cell) for cell in cells]
    assert "<table>" in data[0]["text/html"]
    figures = [each for each in data if "application/vnd.plotly.v1+json" in each]
    assert len(figures) == 2
    assert {trace["type"] for trace in figures[0]["application/vnd.plotly.v1+json"]["data"]} == {"scattergl"}
    states = [each["text/plain"] for each in data if "state" in each.get("text/plain", "")]
    assert ("computed" in states[-2], "computed" in states[-1], "cached" in states[-1]) == (False, True, True)
    (said,) = [output.text for cell in cells for output in cell.outputs if output.output_type == "stream"]
    assert said == "run: unknown key 'cluster.min_cluster_sze'; did you mean 'min_cluster_size'?\n"
    (error,) = wrong.outputs
    assert error.traceback == [f"DataError: {error.evalue}"]


def _data(cell: Any) -> dict[str, Any]:
    return {kind: value for output in cell.outputs for kind, value in output.get("data", {}).items()}
