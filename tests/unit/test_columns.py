"""A missing column: one message for all stages, with the nearest name."""

import pytest

from topicflow.tasks.documents.columns import require_column
from topicflow.tasks.errors import DataError


@pytest.mark.parametrize(
    ("name", "columns", "key", "said"),
    [
        (
            "txt",
            ["text", "id"],
            "load.text_column",
            "load: a.csv: no column 'txt' (load.text_column); there are: 'text', 'id'; did you mean 'text'?",
        ),
        ("zzz", ["text"], None, "load: a.csv: no column 'zzz'; there are: 'text'"),
        ("a", [], None, "load: a.csv: no column 'a'; there are: none"),
    ],
)
def test_a_missing_column_is_one_line(name: str, columns: list[str], key: str | None, said: str) -> None:
    with pytest.raises(DataError) as raised:
        require_column("load: a.csv", name, columns, key)
    assert str(raised.value) == said


def test_a_column_that_is_there_is_fine() -> None:
    require_column("load", "a", iter(["b", "a"]))
