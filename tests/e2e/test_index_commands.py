"""The index's commands as a newcomer types them: index, search, similar, outliers, show; a changed file."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.commands import Outcome, write_config
from tests.indexes import documents_table
from topicflow.tasks.search.index import SearchIndex

Topicflow = Callable[..., Outcome]
TABLE = documents_table(80).drop("vector")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """A folder with documents and a config, in which the commands follow each other."""
    made = tmp_path_factory.mktemp("index")
    TABLE.write_csv(made / "documents.csv")
    stages = f'[embed]\nmodel = "{tiny}"\nprecision = "float32"'
    write_config(made, f'path = "{made / "documents.csv"}"\nid_column = "id"', stages)
    return made


@pytest.fixture(autouse=True)
def _in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


CUT = (
    "note: 66 of 80 documents are longer than the 16 tokens that the encoder reads; the rest of them is not in the "
    "vectors. To use all of the text, set load.split to find passages."
)


def good(outcome: Outcome) -> str:
    assert (outcome.code, outcome.errors) == (0, [])
    return outcome.out


def test_index(topicflow: Topicflow) -> None:
    assert topicflow("search", "red").errors == [
        (
            "error: runs: no published run of build_index; make one with `topicflow index CONFIG`, or name another "
            "folder with --runs"
        )
    ]
    made = topicflow("index", "config.toml")
    assert (made.code, made.errors) == (0, [CUT])
    said = made.out
    assert "trial: build_index" in said
    assert "n_documents" in said
    assert said.splitlines()[-1] == 'now: topicflow search "some words" --index trial'
    again = topicflow("index", "config.toml", "--json").record
    assert [(stage["stage"], stage["state"]) for stage in again["stages"]] == [
        ("load", "cached"), ("embed", "cached"), ("index", "cached"),
    ]  # fmt: skip
    assert again["metrics"]["n_documents"] == 80
    shown = good(topicflow("show"))
    assert "target_recall" in shown
    assert "indexes/" in shown


def test_search(topicflow: Topicflow) -> None:
    lines = good(topicflow("search", "horse n17", "--mode", "bm25", "-k", "3")).splitlines()
    assert len(lines) == 3
    assert lines[0].split("  ")[1:] == ["d17", TABLE["text"][17]]
    found = topicflow(
        "search", "red tea", "--where", "kind = 'odd' and bucket < 40", "-k", "5", "--json"
    ).record
    assert len(found) == 5
    assert all(hit["fields"]["kind"] == "odd" and hit["fields"]["bucket"] < 40 for hit in found)
    assert found[0].keys() == {
        "doc_id", "text", "score", "similarity", "topic", "topic_name", "fields", "ranks", "highlight",
    }  # fmt: skip
    assert (found[0]["ranks"], found[0]["highlight"]) == (None, None)
    all_there_are = good(topicflow("search", "red", "--index", "trial", "--mode", "dense", "-k", "500"))
    assert all_there_are.splitlines()[-1] == "80 of the 80 documents; no others match"
    assert good(topicflow("search", "red", "--where", "bucket = 79 and kind = 'even'")) == (
        "no document that --where keeps was found\n"
    )


def test_similar_and_outliers(topicflow: Topicflow) -> None:
    near = topicflow("similar", "d5", "-k", "4", "--json").record
    index = SearchIndex.open("runs/trial")
    assert [hit["doc_id"] for hit in near] == [hit.doc_id for hit in index.similar("d5", 4)]
    assert len(good(topicflow("similar", "d5", "-k", "4")).splitlines()) == 4
    lines = good(topicflow("outliers", "-k", "2")).splitlines()
    assert [line.startswith(" ") for line in lines] == [False, True, True, True] * 2
    far = topicflow("outliers", "-k", "2", "--json").record
    assert lines[0].split("  ")[1] == far[0]["hit"]["doc_id"]
    assert len(far[0]["neighbors"]) == 3


def test_new_outliers(topicflow: Topicflow, folder: Path) -> None:
    rows = {
        "id": ["n1", "n2"],
        "text": [TABLE["text"][5], "quartz granite"],
        "bucket": [0, 0],
        "kind": ["odd", "odd"],
    }
    pl.DataFrame(rows).write_csv(folder / "new.csv")
    found = topicflow("outliers", "--of", "new.csv", "--json").record
    assert {each["doc_id"]: each["n_copies"] for each in found}.keys() == {"n1", "n2"}
    assert next(each["n_copies"] for each in found if each["doc_id"] == "n1") >= 1  # d5 has its text
    assert found[0]["score"] >= found[1]["score"]
    lines = good(topicflow("outliers", "--of", "new.csv", "-k", "1")).splitlines()
    assert [line.startswith(" ") for line in lines] == [False, True, True, True, False]
    assert lines[-1] == "1 of 2 new documents; -o FILE writes the scores of all"
    said = good(topicflow("outliers", "--of", "new.csv", "-o", "scores.csv"))
    assert said == "wrote scores.csv: 2 documents\n"
    assert pl.read_csv(folder / "scores.csv")["doc_id"].to_list() == ["n1", "n2"]


def test_recommend(topicflow: Topicflow, folder: Path) -> None:
    found = topicflow(
        "recommend", "--liked", "d1,d2", "--liked", "d3", "--disliked", "d9", "-k", "5", "--json"
    ).record
    assert len(found) == 5
    assert {"d1", "d2", "d3", "d9"}.isdisjoint(each["doc_id"] for each in found)
    assert {each["because"] for each in found} <= {"d1", "d2", "d3"}
    lines = good(topicflow("recommend", "--liked", "d1", "-k", "2", "--where", "kind = 'odd'")).splitlines()
    assert [line.split("  ")[1] in {f"d{row}" for row in range(1, 80, 2)} for line in lines] == [True, True]
    (folder / "likes.csv").write_text("user,item\nann,d1\nann,d2\nbob,d7\neve,nobody\n")
    written = topicflow("recommend", "--likes", "likes.csv", "-k", "4", "-o", "found.csv")
    assert (written.code, written.errors) == (0, ["warning: 1 of 4 ids are not in the index: 'nobody'"])
    assert written.out.splitlines() == [
        "wrote found.csv: 8 recommendations for 2 users",
        "note: 1 users have no recommendation: the index has nothing that they like",
    ]
    assert pl.read_csv(folder / "found.csv")["user"].to_list() == ["ann"] * 4 + ["bob"] * 4
    alone = good(topicflow("recommend", "--likes", "likes.csv", "--user", "bob", "-k", "3"))
    assert len(alone.splitlines()) == 3


def test_pages_groups_and_ids(topicflow: Topicflow, folder: Path) -> None:
    def ids(*arguments: str) -> list[str]:
        return [hit["doc_id"] for hit in topicflow(*arguments, "--json").record]

    best = ids("search", "red tea", "-k", "12")
    assert ids("search", "red tea", "-k", "4", "--offset", "8") == best[8:]
    assert set(ids("search", "red tea", "--id", best[3], "--id", best[1])) == {best[1], best[3]}
    (folder / "ids.txt").write_text("\n".join([best[5], "", best[2], "nobody"]) + "\n")
    assert ids("search", "red tea", "--mode", "dense", "--ids-from", "ids.txt", "-k", "1") in (
        [best[2]],
        [best[5]],
    )
    assert ids("similar", "d5", "--ids-from", "ids.txt", "--id", "d5", "-k", "1", "--offset", "2") == []
    kinds = topicflow("search", "red tea", "--group-by", "kind", "--json").record
    assert sorted(hit["fields"]["kind"] for hit in kinds) == ["even", "odd"]
    near = topicflow("similar", "d5", "-k", "9", "--json").record
    least = near[2]["score"]
    expected = [hit["doc_id"] for hit in near if hit["score"] >= least]
    assert ids("similar", "d5", "-k", "9", "--min-score", str(least)) == expected
    nothing = good(topicflow("search", "red", "--min-score", "9"))
    assert nothing == "no document that --min-score keeps was found\n"
    assert good(topicflow("similar", "d5", "--id", "nobody", "--where", "bucket > 1")) == (
        "no other document that --where and --ids keep was found\n"
    )


def test_explanations_and_highlights(topicflow: Topicflow) -> None:
    lines = good(topicflow("search", "horse n17", "-k", "2", "--explain", "--highlight")).splitlines()
    assert len(lines) == 4
    assert "[n17]" in lines[0]
    assert re.fullmatch(r" {7}dense \d+ \(-?\d\.\d{3}\), bm25 1 \(\d+\.\d{3}\)", lines[1])
    words = good(
        topicflow("search", "horse n17", "-k", "1", "--dense-weight", "0", "--fusion-k", "1", "--explain")
    )
    assert words.splitlines()[0].startswith("1.000  d17  ")  # 2 · 1 / (1 + 1): the words alone
    shown = topicflow(
        "search", "horse n17", "-k", "1", "--mode", "bm25", "--explain", "--highlight", "--json"
    )
    (hit,) = shown.record
    assert hit["ranks"] == {"bm25": {"rank": 1, "score": hit["score"]}}
    assert (hit["highlight"]["sentence"], hit["highlight"]["words"][-1]) == (TABLE["text"][17], "n17")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["search", "a", "--dense-weight", "2"],
            "error: search: dense_weight=2, expected a number from 0 to 1",
        ),
        (
            ["search", "a", "--topics", "--explain"],
            "error: --topics finds topics and takes no --explain, which is for documents",
        ),
        (["search", "a", "--offset", "-1"], "error: search: offset=-1, expected 0 or more"),
        (
            ["search", "a", "--group-by", "knd"],
            "error: group_by: column 1: no column 'knd'; did you mean 'kind'?",
        ),
        (
            ["search", "a", "--ids-from", "none.txt"],
            "error: --ids-from none.txt cannot be read (No such file",
        ),
        (
            ["search", "a", "--topics", "--where", "bucket = 1"],
            "error: --topics finds topics and takes no --where",
        ),
        (["outliers", "-o", "x.csv"], "error: outliers: --output and --force need --of FILE"),
        (["recommend"], "error: recommend: set --liked ID,ID or --likes FILE, and not both"),
        (
            ["recommend", "--liked", "nobody"],
            "error: recommend: none of the 1 liked documents is in the index",
        ),
        (["outliers", "-k", "0"], "error: outliers: k=0, expected 1 or more"),
        (["search", " "], "error: search: the query is empty; give some words"),
        (["search", "a", "-k", "0"], "error: search: k=0, expected 1 or more"),
        (["search", "a", "--mode", "best"], "error: --mode best: expected one of auto, dense, bm25, hybrid"),
        (
            ["search", "a", "--where", "kind = 'odd' and"],
            "error: filter: column 17: expected a column, found the end: kind = 'odd' and⟨here⟩",
        ),
        (
            ["search", "a", "--topics"],
            "error: search: the index has no topics; set index.topics to a topic model's",
        ),
        (["similar", "nobody"], "error: index: no document 'nobody'; ids are like 'd0'"),
        (["search", "a", "--index", "nothing"], "error: runs: no run nothing; the newest is trial/"),
    ],
)
def test_typing_errors(topicflow: Topicflow, arguments: list[str], said: str) -> None:
    outcome = topicflow(*arguments)
    assert outcome.code == 2
    assert len(outcome.errors) == 1
    assert outcome.errors[0].startswith(said)


def test_a_long_query_is_reported(topicflow: Topicflow) -> None:
    outcome = topicflow("search", "red " * 30)
    assert outcome.code == 0
    assert outcome.errors == [
        "warning: the query is longer than the 16 tokens that the encoder reads; its end counts only for BM25"
    ]


def test_a_changed_file_is_reported_and_indexed(topicflow: Topicflow, folder: Path) -> None:
    path = folder / "documents.csv"
    path.write_bytes(path.read_bytes())  # another time of change, the same documents
    assert good(topicflow("search", "red", "-k", "1"))
    more = TABLE[:2].with_columns(id=pl.Series(["x1", "x2"]), text=pl.Series(["zebra one", "zebra two"]))
    pl.concat([TABLE[1:], more]).write_csv(path)
    outcome = topicflow("search", "zebra", "--mode", "bm25")
    assert outcome.out == "no document was found\n"
    assert outcome.errors == [
        f"warning: {path} has changed since this index was built; `topicflow index CONFIG` adds the changes"
    ]
    record = topicflow("index", "config.toml", "--json").record
    assert (record["metrics"]["added"], record["metrics"]["removed"], record["n_documents"]) == (2, 1, 81)
    found = topicflow("search", "zebra", "--mode", "bm25", "--json").record
    assert [hit["doc_id"] for hit in found] == ["x1", "x2"]
    assert topicflow("similar", "d0").code == 2


def test_an_index_is_not_a_topic_model(topicflow: Topicflow) -> None:
    outcome = topicflow("run", "config.toml")
    assert outcome.code == 2
    assert "contains runs of build_index" in outcome.errors[0]
    record = json.loads(Path("runs/trial/latest/run.json").read_text())
    assert record["flow"] == "build_index"
