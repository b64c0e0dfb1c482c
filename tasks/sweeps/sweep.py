"""Sweep: a corpus and a grid of settings -> the figures of each setting, as one table."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import polars as pl

from topicflow.configs.flows.sweep import SweepConfig
from topicflow.configs.sections.embed import EmbedConfig, ImagesEmbed, PrecomputedEmbed
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.errors import StageError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.progress import duration, track
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.log import LOG
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.sweeps import recipes
from topicflow.tasks.sweeps.fit import Corpus
from topicflow.tasks.sweeps.processes import n_processes_for, outcomes, threads_of
from topicflow.tasks.sweeps.settings import Grid, Setting, grid_of, without_misfits
from topicflow.tasks.sweeps.units import units_of
from topicflow.tasks.sweeps.worker import Outcome, common_of
from topicflow.tasks.topics import recipes as topics

FIGURES = (
    "n_topics", "outlier_share", "largest_topic_share", "median_topic_size", "dbcv", "npmi", "c_v", "diversity",
    "stability", "agreement", "entropy", "trustworthiness", "nmi", "ari",
)  # fmt: skip
"""The figures of a setting in the table, in this order; those that no setting has are left out."""


@dataclass
class Results:
    """What became of the settings: the key of each result, and why the others have none."""

    keys: dict[int, str] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)

    def add(self, number: int, outcome: Outcome) -> None:
        """Add the outcome of a setting."""
        if "key" in outcome:
            self.keys[number] = str(outcome["key"])
        else:
            self.refused[number] = str(outcome["refused"])


def encoder_key(context: Context, settings: Sequence[Setting], encoding: EmbedConfig) -> str:
    """Return the key of the encoder of words; only settings whose keywords are embedded need it."""
    needed = any(setting.config.label.representation != "ctfidf" for setting in settings)
    if not needed or isinstance(encoding, PrecomputedEmbed | ImagesEmbed):
        return "precomputed"
    return find_encoder(encoding, context.runtime.device, context.store).key


@stage("sweep")
def sweep(
    context: Context,
    documents: ArtifactRef,
    embeddings: ArtifactRef,
    counts: ArtifactRef,
    config: SweepConfig,
) -> ArtifactRef:
    """Return the table of a sweep, computing the settings that the store lacks."""
    grid, store = without_misfits(grid_of(config), documents.rows), context.store
    encoder = encoder_key(context, grid.settings, config.embed)
    results = fit_all(context, Corpus(documents, embeddings, counts, encoder), grid, config.sweep.seeds)
    skipped = [(each.values, each.reason) for each in grid.skipped]
    skipped += [
        (each.values, results.refused[each.number])
        for each in grid.settings
        if each.number in results.refused
    ]
    done = [each for each in grid.settings if each.number in results.keys]
    if not done:
        msg = f"sweep: none of {len(skipped)} settings can be computed; the first: {skipped[0][1]}"
        raise StageError(msg)
    values = [dict(each.values) for each in done]
    recipe = recipes.sweep(config.sweep, results.keys, values, [reason for _, reason in skipped])
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        refs = {number: _result(results.keys[number]) for number in (each.number for each in done)}
        writer.save_table("settings", settings_table(store, done, refs))
        writer.save_json(
            "skipped", [{"values": dict(values), "reason": reason} for values, reason in skipped]
        )
        writer.save_json("stages", {number: store.meta(ref)["stages"] for number, ref in refs.items()})
        writer.rows = len(done)
        beside = [pair for ref in refs.values() for pair in ([ref.kind, ref.key], *store.meta(ref)["beside"])]
        writer.meta = {
            "n_skipped": len(skipped),
            "beside": [list(each) for each in dict.fromkeys(map(tuple, beside))],
        }
    return store.committed(recipe, writer)


def _result(key: str) -> ArtifactRef:
    return ArtifactRef("settings", key, "setting")


def settings_table(
    store: ArtifactStore, settings: Sequence[Setting], refs: Mapping[int, ArtifactRef]
) -> pl.DataFrame:
    """Return one row a setting: its number, the varied keys, its figures."""
    figures = [store.json(refs[setting.number], "figures") for setting in settings]
    keys = list(dict.fromkeys(key for setting in settings for key in setting.values))
    columns = [pl.Series("setting", [setting.number for setting in settings], dtype=pl.Int32)]
    columns += [_column(key, [setting.values.get(key) for setting in settings]) for key in keys]
    for name in FIGURES:
        found = [each.get(name) for each in figures]
        if any(value is not None for value in found):
            columns.append(pl.Series(name, found, dtype=pl.Int64 if name == "n_topics" else pl.Float64))
    return pl.DataFrame(columns)


def _column(key: str, values: Sequence[Any]) -> pl.Series:
    """Return the values of a key: numbers if all are numbers, otherwise text; null for a setting without the key."""
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, bool) for value in known):
        return pl.Series(key, values, dtype=pl.Boolean)
    if all(isinstance(value, int) and not isinstance(value, bool) for value in known):
        return pl.Series(key, values, dtype=pl.Int64)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return pl.Series(key, values, dtype=pl.Float64)
    return pl.Series(key, [None if value is None else str(value) for value in values], dtype=pl.String)


def fit_all(context: Context, corpus: Corpus, grid: Grid, seeds: int) -> Results:
    """Return the results of all settings; those that are in the store are not fitted again."""
    store, results, waiting = context.store, Results(), []
    for setting in grid.settings:
        recipe = recipes.setting(setting.config, corpus.keys, context.seed, seeds)
        if store.find(recipe, claim=False):
            results.keys[setting.number] = recipe.key
        else:
            waiting.append(setting)
    if results.keys:
        LOG.info("sweep      %d of %d settings are there", len(results.keys), len(grid.settings))
    for number, outcome in _fitted(context, corpus, waiting, seeds):
        results.add(number, outcome)
    results.keys = dict(sorted(results.keys.items()))
    return results


def _fitted(
    context: Context, corpus: Corpus, settings: Sequence[Setting], seeds: int
) -> Iterator[tuple[int, Outcome]]:
    """Yield the outcome of each setting as it is done, and print a line about it."""
    made = {each.number: topics.fit(each.config, corpus.keys, context.seed) for each in settings}
    units = units_of(settings, made)
    n_processes = n_processes_for(context, corpus.embeddings, len(units))
    shared = {name: asdict(getattr(corpus, name)) for name in ("documents", "embeddings", "counts")}
    common = common_of(
        context, {**shared, "encoder": corpus.encoder}, seeds, threads_of(context, n_processes)
    )
    configs = {each.number: each.config.model_dump(mode="json", exclude_none=True) for each in settings}
    by_number = {each.number: each for each in settings}
    clock = Clock(len(settings))
    if settings:
        where = f"{n_processes} processes" if context.runtime.engine == "threads" else context.runtime.engine
        LOG.info("sweep      %d settings to compute; %s", len(settings), where)
    with track("sweep", max(1, len(settings)), unit="settings", lines=False) as progress:
        for unit, found in outcomes(context, common, units, configs, n_processes):
            for number in unit.numbers:
                progress.advance(1)
                outcome = found[str(number)]
                LOG.info("%s", clock.line(by_number[number], _summary(context.store, outcome)))
                yield number, outcome


def _summary(store: ArtifactStore, outcome: Outcome) -> str:
    """Return a setting's main figures in a few words, or why it is skipped."""
    if "refused" in outcome:
        return f"skipped: {outcome['refused']}"
    figures = store.json(_result(outcome["key"]), "figures")
    return f"{figures['n_topics']:,} topics, {figures['outlier_share']:.1%} outliers"


class Clock:
    """Counts the settings that are done and estimates the time that is left."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.started = total, 0, time.monotonic()

    def line(self, setting: Setting, what: str) -> str:
        """Return the line of a setting that is done."""
        self.done += 1
        left_s = (time.monotonic() - self.started) / self.done * (self.total - self.done)
        left = f"about {duration(left_s)} left" if self.done < self.total else "the last one"
        return f"sweep      {self.done} of {self.total}  {setting}: {what}; {left}"
