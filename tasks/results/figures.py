"""Figures: the tables of a run -> plotly figures for a notebook: the map, the words of topics, topics over time."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import polars as pl

from topicflow.tasks.errors import DataError
from topicflow.tasks.report.over_time import topics_over_time
from topicflow.tasks.report.points import sample_rows
from topicflow.tasks.results.tables import read_table
from topicflow.tasks.results.vectors import times_of
from topicflow.tasks.runs.history import RunRecord, called

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

COLORS = (
    "#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e", "#9498a0",
)  # fmt: skip
"""Colours of topics, in turn; neighbours in the list differ for people who see few colours, too."""

GREY = "#c8ccd4"
MAX_POINTS = 50_000
"""Points on a map; a notebook keeps all of them in its file."""
HOVER_CHARACTERS = 300
LINE_CHARACTERS = 70
LABELS = 20
"""Topics whose names stand on the map."""
FONT = {"family": "sans-serif", "size": 12}


def map_figure(record: RunRecord, max_points: int = MAX_POINTS) -> Figure:
    """Return the map of a run: a point a document, coloured by topic, the largest topics by name.

    Parameters
    ----------
    record : dict
        The record of a topic model or an update.
    max_points : int
        Maximum number of points; a larger run shows that many, in proportion to its topics.

    Raises
    ------
    ConfigError
        If the run has no map.
    """
    import plotly.graph_objects as go

    columns = ["topic", "topic_name", "text", "x", "y"]
    documents = read_table(record, "documents").select(columns).collect()
    rows = sample_rows(documents["topic"].to_numpy(), max_points)
    figure, sizes = go.Figure(), dict(documents.group_by("topic").len().iter_rows())
    largest = sorted((topic for topic in sizes if topic >= 0), key=lambda topic: (-sizes[topic], topic))
    color_of = dict(zip(largest, cycle(COLORS), strict=False)) | {-1: GREY}
    for (topic,), part in sorted(documents[rows].group_by("topic"), key=lambda item: int(str(item[0][0]))):
        figure.add_trace(
            go.Scattergl(
                x=part["x"].to_list(),
                y=part["y"].to_list(),
                name=_short(part["topic_name"][0]),
                text=[_wrapped(text) for text in part["text"].to_list()],
                hovertemplate="%{text}<extra>%{fullData.name}</extra>",
                mode="markers",
                marker={"size": 4 if len(rows) < 5_000 else 3, "color": color_of[topic], "opacity": 0.8},
            )
        )
    middles = documents.group_by("topic", "topic_name").agg(pl.col("x", "y").median())
    for topic, name, x, y in middles.iter_rows():
        if topic in largest[:LABELS]:
            figure.add_annotation(x=x, y=y, text=f"<b>{_short(name, 30)}</b>", showarrow=False)
    shown = "" if len(rows) == documents.height else f", {len(rows):,} shown"
    return _laid_out(figure, f"{called(record)}: {documents.height:,} documents{shown}", 600, axes=False)


def words_figure(
    record: RunRecord, topics: Sequence[int] | None = None, n_topics: int = 8, n_words: int = 6
) -> Figure:
    """Return bars of the weights of topics' keywords.

    Parameters
    ----------
    record : dict
        The record of a topic model or an update.
    topics : sequence of int, optional
        The topics to show; the `n_topics` largest if None.
    n_topics, n_words : int
        Number of topics, and of keywords of each topic.

    Raises
    ------
    DataError
        If there are no topics, or not those that are asked for.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    rows = _chosen(record, topics, n_topics)
    n_columns = min(4, rows.height)
    titles = [_short(f"{row['topic']}: {row['name']}", 28) for row in rows.iter_rows(named=True)]
    n_rows = -(-rows.height // n_columns)
    figure = make_subplots(n_rows, n_columns, subplot_titles=titles, horizontal_spacing=0.12)
    for place, (row, color) in enumerate(zip(rows.iter_rows(named=True), cycle(COLORS), strict=False)):
        words, weights = row["keywords"][:n_words][::-1], row["weights"][:n_words][::-1]
        bar = go.Bar(x=weights, y=words, orientation="h", marker={"color": color}, showlegend=False)
        figure.add_trace(bar, row=place // n_columns + 1, col=place % n_columns + 1)
    return _laid_out(figure, f"{called(record)}: keywords", 90 + 190 * n_rows)


def time_figure(record: RunRecord, topics: Sequence[int] | None = None, n_topics: int = 8) -> Figure:
    """Return a line a topic: its documents in each step of time, as in the report.

    Parameters
    ----------
    record : dict
        The record of a topic model or an update with `load.timestamp_column`.
    topics : sequence of int, optional
        The topics to show; the `n_topics` largest if None.
    n_topics : int
        Number of topics.

    Raises
    ------
    DataError
        If the run has no times, or fewer than two different ones.
    """
    import plotly.graph_objects as go

    found = counts_over_time(record, topics, n_topics)
    figure = go.Figure()
    for (name,), part in found.group_by("topic_name", maintain_order=True):
        figure.add_trace(
            go.Scatter(x=part["time"].to_list(), y=part["n"].to_list(), name=_short(str(name)), mode="lines")
        )
    figure.update_layout(colorway=list(COLORS))
    figure.update_yaxes(title_text="documents", rangemode="tozero")
    return _laid_out(figure, f"{called(record)}: topics over time", 420)


def counts_over_time(
    record: RunRecord, topics: Sequence[int] | None = None, n_topics: int = 8
) -> pl.DataFrame:
    """Return one row a topic and step: topic, topic_name, time, and the number n of its documents."""
    rows = _chosen(record, topics, n_topics)
    times = times_of(record)
    if times is None:
        msg = (
            f"{called(record)}: its documents have no times; set load.timestamp_column (time=) and run again"
        )
        raise DataError(msg)
    documents = read_table(record, "documents").select("doc_id", "topic").collect()
    dated = documents.join(times, on="doc_id", how="left", maintain_order="left")
    numbers = {topic: place for place, topic in enumerate(rows["topic"])}
    places = dated["topic"].replace_strict(numbers, default=-1, return_dtype=pl.Int32).to_numpy()
    found = topics_over_time(dated["timestamp"], places, rows["size"].to_list(), rows.height)
    if found is None:
        msg = f"{called(record)}: fewer than two different times; there is nothing to show over time"
        raise DataError(msg)
    counts = dict(zip(found["topics"], found["counts"], strict=True))
    lines = [
        _line(row["topic"], row["name"], found["starts"], counts[place])
        for place, row in enumerate(rows.iter_rows(named=True))
    ]
    return pl.concat(lines)


def _line(topic: int, name: str, starts: Sequence[str], counts: Sequence[int]) -> pl.DataFrame:
    times = pl.Series("time", starts).str.to_datetime("%Y-%m-%dT%H:%M:%S", strict=False)
    return pl.DataFrame(
        {"topic": [topic] * len(counts), "topic_name": [name] * len(counts), "time": times, "n": counts}
    )


def _chosen(record: RunRecord, topics: Sequence[int] | None, n_topics: int) -> pl.DataFrame:
    """Return the rows of the topics that are asked for, or of the largest ones."""
    table = read_table(record, "topics").collect()
    if topics is not None:
        missing = sorted(set(topics) - set(table["topic"]))
        if missing:
            msg = f"{called(record)}: no topic {missing[0]}; `topics` lists all {table.height:,}"
            raise DataError(msg)
        order = {topic: place for place, topic in enumerate(topics)}
        chosen = table.filter(pl.col("topic").is_in(list(topics)))
        return chosen.sort(pl.col("topic").replace_strict(order, return_dtype=pl.Int64))
    if table.is_empty():
        msg = f"{called(record)}: the run found no topics"
        raise DataError(msg)
    return table.sort("size", descending=True, maintain_order=True).head(n_topics)


def _laid_out(figure: Any, title: str, height: int, *, axes: bool = True) -> Figure:  # noqa: ANN401  (plotly has no types)
    figure.update_layout(
        title={"text": title, "font": {"size": 15}}, height=height, font=FONT, template="plotly_white",
        margin={"l": 40, "r": 20, "t": 60, "b": 30}, legend={"itemsizing": "constant"},
    )  # fmt: skip
    if not axes:
        figure.update_xaxes(visible=False)
        figure.update_yaxes(visible=False, scaleanchor="x")
    made: Figure = figure
    return made


def _short(name: str, width: int = 40) -> str:
    return _escaped(name if len(name) <= width else f"{name[: width - 1]}…")


def _wrapped(text: str) -> str:
    """Return the beginning of a text on several lines; plotly shows some HTML, which a text must not be."""
    cut = text if len(text) <= HOVER_CHARACTERS else f"{text[:HOVER_CHARACTERS]}…"
    return "<br>".join(_escaped(line) for line in textwrap.wrap(cut, LINE_CHARACTERS))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
