"""The command line: arguments -> a plan, a run, or a look at past ones; `flows.commands` holds the commands.

Nothing heavy is imported before it is needed: `--help` and `plan` answer in under a second.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from topicflow.flows.commands.options import new_app
from topicflow.flows.running.modules import trust_no_folder
from topicflow.tasks.errors import ConfigError, PipelineError
from topicflow.tasks.execution.reporting import is_away

if TYPE_CHECKING:
    import typer

OF_TOPICS = ("run", "plan", "runs", "show", "compare", "explore")
"""The commands in `topics`. They are the most frequent, and start in less time without those of the other modules."""


def main() -> None:
    """Run the command line; exit 0 on success, 1 on a failed run, 2 on a bad config or argument."""
    trust_no_folder()
    try:
        _main()
    except SystemExit as end:
        if is_away():  # Prefect would try for minutes to reach its server
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(int(end.code or 0))
        raise


def _main() -> None:
    try:
        _app(sys.argv[1:])()
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    except BrokenPipeError:  # `topicflow runs | head`
        sys.stderr.close()
    except (MemoryError, ImportError, OSError, RuntimeError) as error:
        _end_without_memory(error)


def _end_without_memory(error: Exception) -> None:
    """Print one line if memory ran out, and exit with 1; raise any other error."""
    from topicflow.tasks.execution.memory import memory_failure, out_of_memory

    if (refused := memory_failure(error)) is None:
        raise error
    print(f"error: {out_of_memory(' '.join(sys.argv[1:2]) or 'topicflow', refused)}", file=sys.stderr)
    sys.exit(1)


def _app(words: Sequence[str]) -> typer.Typer:
    """Return the command line for these words: with all commands, or with those of topic models."""
    if not words or words[0] not in OF_TOPICS:
        from topicflow.flows.commands.every_command import app

        return app
    from topicflow.flows.commands import topics

    few = new_app()
    few.add_typer(topics.app)
    return few


if __name__ == "__main__":
    main()
