"""Section `runtime`: where and how a run computes; no key here changes a result."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from topicflow.configs.fields.base import IsPath, Section


class RuntimeConfig(Section):
    """Where and how a run computes; no setting here changes a result or the key of an artifact."""

    store: Annotated[str, IsPath()] = Field(
        default="store",
        description="Folder of the artifacts, or a URL: s3://bucket/prefix (gs://, az://). Credentials come only from "
        "the environment.",
    )
    cache: Annotated[str | None, IsPath()] = Field(
        default=None,
        description="Folder on this machine for copies of artifacts from a store with a URL. If not set: the user's "
        "cache folder.",
    )
    runs: Annotated[str, IsPath()] = Field(default="runs", description="Folder of the runs.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto", description="Device of the encoder; auto takes CUDA, then MPS, then the CPU."
    )
    n_threads: int | None = Field(
        default=None, ge=1, le=1024, description="Threads of a stage. If not set: all cores."
    )
    chunk_rows: int = Field(
        default=50_000, ge=1, le=10_000_000, description="Rows read and written at a time."
    )
    retries: int = Field(
        default=2, ge=0, le=10, description="Further attempts after reading the input failed."
    )
    engine: Literal["threads", "dask", "ray"] = Field(
        default="threads",
        description="Where chunks are computed: in threads of this process, or on the workers of a Dask or Ray "
        "cluster.",
    )
    address: str | None = Field(
        default=None,
        description="Address of the cluster's scheduler (tcp://host:8786 for Dask, host:6379 for Ray). If not set: "
        "the run starts a cluster on this machine.",
    )
    n_workers: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Worker processes of a cluster on this machine, or of a sweep. If not set: one for each GPU, or "
        "one for every four cores; a sweep has one for each core if there is memory.",
    )
