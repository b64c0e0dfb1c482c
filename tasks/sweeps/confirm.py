"""Confirm: the table of a sweep -> the setting that is recommended, and how often it wins on draws of the documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl

from topicflow.configs.flows.sweep import SweepConfig
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.tasks.core.clusters.quality import agreement
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.log import LOG
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.sweeps import recipes
from topicflow.tasks.sweeps.draw import drawn_rows
from topicflow.tasks.sweeps.figures import (
    WEIGHTS,
    Scale,
    eligible,
    front_of,
    judged_figures,
    key_effects,
    ranked,
    scale_of,
    shared_bits,
)
from topicflow.tasks.sweeps.fit import Corpus
from topicflow.tasks.sweeps.processes import n_processes_for, outcomes, threads_of
from topicflow.tasks.sweeps.recommend import Finalist, choose, score_of_draw, sentence
from topicflow.tasks.sweeps.settings import Setting, grid_of
from topicflow.tasks.sweeps.sweep import encoder_key
from topicflow.tasks.sweeps.units import Unit
from topicflow.tasks.sweeps.worker import common_of


@stage("confirm")
def confirm(
    context: Context,
    documents: ArtifactRef,
    embeddings: ArtifactRef,
    counts: ArtifactRef,
    swept: ArtifactRef,
    config: SweepConfig,
) -> ArtifactRef:
    """Return the recommendation of a sweep, fitting its best settings on draws that the store lacks."""
    store, grid = context.store, grid_of(config)
    table = store.table(swept, "settings").collect()
    judged = judged_figures(table)
    scale, fits = scale_of(judged), eligible(table)
    scores, front = scale.scores(judged), front_of(judged, fits)
    best = [int(table["setting"][int(place)]) for place in ranked(scores, front)[: config.sweep.finalists]]
    n_draws = config.sweep.draws if len(best) > 1 else 0
    corpus = Corpus(documents, embeddings, counts, encoder_key(context, grid.settings, config.embed))
    by_number = {each.number: each for each in grid.settings}
    drawn = _fit_draws(context, corpus, [by_number[number] for number in best], n_draws)
    stages = store.json(swept, "stages")
    labels = {number: ArtifactRef(stage="cluster", **stages[str(number)]["cluster"]) for number in best}
    recipe = recipes.confirm(
        {number: [ref.key if ref else "" for ref in drawn[number]] for number in best},
        {number: ref.key for number, ref in labels.items()},
        {"bounds": {name: list(each) for name, each in scale.bounds.items()}, "weights": dict(WEIGHTS)},
    )
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        by_setting = dict(zip(table["setting"].to_list(), scores.tolist(), strict=True))
        figures = {
            number: [
                _steadied(store, ref, labels[number], draw + 1) for draw, ref in enumerate(drawn[number])
            ]
            for number in best
        }
        finalists = _finalists(figures, by_setting, scale)
        writer.save_json("recommendation", _recommendation(finalists, by_number))
        extra = {"score": scores, "pareto": front, "eligible": fits}
        writer.save_table(
            "scores", table.select("setting").with_columns(**{k: pl.Series(v) for k, v in extra.items()})
        )
        keys = [name for name in table.columns if "." in name]
        named = ["n_topics", *judged.columns, "score"]
        scored = pl.concat([table.select("setting", *keys, "n_topics"), judged], how="horizontal")
        writer.save_table("effects", key_effects(scored.with_columns(score=pl.Series(scores)), keys, named))
        writer.rows = len(best)
        writer.meta = {"beside": [[ref.kind, ref.key] for refs in drawn.values() for ref in refs if ref]}
    return store.committed(recipe, writer)


def _recommendation(finalists: Sequence[Finalist], by_number: Mapping[int, Setting]) -> dict[str, Any]:
    """Return the choice with the sections of its config, and the finalists; no choice if no setting has two topics."""
    if not finalists:
        return {"chosen": None, "finalists": [], "sentence": "no setting has two topics; none is recommended"}
    chosen = choose(finalists)
    setting = by_number[chosen["setting"]]
    sections = ("neighbors", "reduce", "cluster", "label")
    return {
        "chosen": {
            **chosen,
            "values": {key: "unset" if value is None else value for key, value in setting.values.items()},
            "sections": {
                name: getattr(setting.config, name).model_dump(mode="json", exclude_none=True)
                for name in sections
            },
        },
        "finalists": [{**asdict(each), "mean": round(each.mean, 6)} for each in finalists],
        "sentence": sentence(chosen, str(setting)),
    }


def _fit_draws(
    context: Context, corpus: Corpus, settings: Sequence[Setting], n_draws: int
) -> dict[int, list[ArtifactRef | None]]:
    """Return the figures of each setting on each draw, None if the setting does not fit it."""
    store = context.store
    found: dict[tuple[int, int], ArtifactRef | None] = {}
    for setting in settings:
        for draw in range(1, n_draws + 1):
            recipe = recipes.drawn(setting.config, corpus.keys, context.seed + draw, draw)
            if ref := store.find(recipe, claim=False):
                found[setting.number, draw] = ref
    waiting = [
        Unit(tuple(numbers), "", f"draw-{draw}", draw)
        for draw in range(1, n_draws + 1)
        if (numbers := [each.number for each in settings if (each.number, draw) not in found])
    ]
    if waiting:
        LOG.info("confirm    the best %d settings on %d draws of the documents", len(settings), len(waiting))
    n_processes = n_processes_for(context, corpus.embeddings, 2 * len(waiting))
    shared = {name: asdict(getattr(corpus, name)) for name in ("documents", "embeddings", "counts")}
    common = common_of(context, {**shared, "encoder": corpus.encoder}, 1, threads_of(context, n_processes))
    configs = {each.number: each.config.model_dump(mode="json", exclude_none=True) for each in settings}
    for unit, made in outcomes(context, common, waiting, configs, n_processes):
        assert unit.draw is not None
        for number in unit.numbers:
            key = made[str(number)].get("key")
            found[number, unit.draw] = None if key is None else ArtifactRef("draws", key, "draw")
        LOG.info("confirm    draw %d of %d", unit.draw, n_draws)
        _discard_made(store, [found[number, unit.draw] for number in unit.numbers])
    return {
        each.number: [found.get((each.number, draw)) for draw in range(1, n_draws + 1)] for each in settings
    }


def _discard_made(store: ArtifactStore, drawn: Sequence[ArtifactRef | None]) -> None:
    """Delete what was fitted on a draw; its labels and figures are kept."""
    made = {tuple(each) for ref in drawn if ref is not None for each in store.meta(ref)["made"]}
    for kind, key in sorted(made):
        store.discard(kind, key)


def _steadied(
    store: ArtifactStore, drawn: ArtifactRef | None, labels: ArtifactRef, draw: int
) -> dict[str, float | None]:
    """Return a draw's figures with its agreement with the labels of all documents, and the bits that both share.

    Empty without a fit.
    """
    if drawn is None:
        return {}
    figures: dict[str, float | None] = store.json(drawn, "figures")
    everything, own = np.asarray(store.array(labels, "labels")), np.asarray(store.array(drawn, "labels"))
    before = everything[drawn_rows(len(everything), draw)]
    ari = agreement(own, before)["ari"]
    return {
        **figures,
        "agreement": 1.0 if np.isnan(ari) else round(ari, 9),
        "detail": round(shared_bits(own, before), 9),
    }


def _finalists(
    figures: Mapping[int, Sequence[Mapping[str, float | None]]], scores: Mapping[int, float], scale: Scale
) -> list[Finalist]:
    """Return the finalists with the score of each draw.

    Steadiness is there the agreement with the topics of all documents, and detail the bits that both share. The scale
    is the sweep's; that of these two, which are other measures here, is over the finalists' own draws.
    """
    bounds = dict(scale.bounds)
    for name, measured in (("steadiness", "agreement"), ("detail", "detail")):
        values = [float(each[measured] or 0.0) for draws in figures.values() for each in draws if each]
        bounds.pop(name, None)
        if values:
            bounds[name] = (min(values), max(values))
    own = Scale(bounds)
    return [
        Finalist(number, scores[number], tuple(draws), tuple(score_of_draw(own, each) for each in draws))
        for number, draws in figures.items()
    ]


def shown_neighbors(store: ArtifactStore, confirmed: ArtifactRef, config: SweepConfig) -> NeighborsConfig:
    """Return the section `neighbors` of the recommended setting, whose graph the map needs; otherwise the config's."""
    chosen = store.json(confirmed, "recommendation")["chosen"]
    return config.neighbors if chosen is None else NeighborsConfig(**chosen["sections"]["neighbors"])
