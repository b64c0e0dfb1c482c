"""Section `runtime`: where and how the work is done; nothing in it changes a result."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from topicflow.configs.sections.base import Section


class RuntimeConfig(Section):
    """Where and how the work is done; nothing here changes a result or a key."""

    store: str = Field(
        default="store",
        description="Folder of the artifacts, or a URL: s3://bucket/prefix (gs://, az://). Credentials come from the "
        "environment alone.",
    )
    cache: str | None = Field(
        default=None,
        description="Folder on this machine for copies of artifacts of a store that has a URL; the user's folder for "
        "caches if none.",
    )
    runs: str = Field(default="runs", description="Folder of the runs.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto", description="Where the encoder runs; auto takes CUDA, then MPS, then the CPU."
    )
    n_threads: int | None = Field(
        default=None, ge=1, le=1024, description="Threads of a stage; all cores if none."
    )
    chunk_rows: int = Field(
        default=50_000, ge=1, le=10_000_000, description="Rows read and written at a time."
    )
    retries: int = Field(default=2, ge=0, le=10, description="Further tries of reading input that fails.")
    engine: Literal["threads", "dask", "ray"] = Field(
        default="threads",
        description="What works on chunks: threads of this process, or the workers of a Dask or Ray cluster.",
    )
    address: str | None = Field(
        default=None,
        description="Where the cluster's scheduler is (tcp://host:8786 for Dask, host:6379 for Ray); a cluster of this "
        "machine is started for the run if none.",
    )
    n_workers: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Worker processes of a cluster of this machine; one for each GPU, or for every four cores, "
        "if none.",
    )
