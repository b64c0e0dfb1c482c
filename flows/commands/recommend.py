"""Commands of likes: recommend."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from topicflow.flows.commands.grouped import grouped
from topicflow.flows.commands.options import Force, print_json
from topicflow.flows.commands.search import IndexOptions, Where
from topicflow.tasks.errors import ConfigError

if TYPE_CHECKING:
    from topicflow.tasks.discovery.likes_file import Likes
    from topicflow.tasks.discovery.recommend import Recommendation, Recommender

app = typer.Typer()


@dataclass(frozen=True)
class Liking:
    """Who likes what; see `grouped`."""

    liked: Annotated[
        list[str] | None,
        typer.Option("--liked", metavar="ID,ID", help="Ids of documents that a person likes; repeatable."),
    ] = None
    disliked: Annotated[
        list[str] | None,
        typer.Option("--disliked", metavar="ID,ID", help="Ids of documents that the person dislikes."),
    ] = None
    likes: Annotated[
        Path | None,
        typer.Option(
            "--likes", metavar="FILE", help="CSV or Parquet with the columns user, item and weight."
        ),
    ] = None
    user: Annotated[
        str | None, typer.Option("--user", metavar="USER", help="A user of --likes; all users if none.")
    ] = None

    def read(self) -> dict[str, Likes]:
        """Return the likes of each user; of one without a name if --liked is set."""
        from topicflow.tasks.discovery.likes_file import Likes, read_likes

        if (self.liked is None) == (self.likes is None):
            msg = "recommend: set --liked ID,ID or --likes FILE, and not both"
            raise ConfigError(msg)
        if self.likes is None:
            if self.user is not None:
                msg = "--user is a user of the file that --likes names; set --likes, or leave --user out"
                raise ConfigError(msg)
            return {"": Likes(dict.fromkeys(_ids(self.liked), 1.0), _ids(self.disliked))}
        if self.disliked is not None:
            msg = "--disliked belongs to --liked; in the file of --likes a dislike has a weight below 0"
            raise ConfigError(msg)
        found = read_likes(self.likes)
        if self.user is None:
            return found
        if self.user not in found:
            msg = f"--user {self.user}: {self.likes} has no such user; there are {len(found):,}, such as {_some(found)}"
            raise ConfigError(msg)
        return {self.user: found[self.user]}


@app.command()
@grouped
def recommend(
    liking: Liking,
    options: IndexOptions,
    where: Where = None,
    diversity: Annotated[
        float,
        typer.Option(
            "--diversity", min=0.0, max=1.0, help="0: the most similar documents; 1: the most varied."
        ),
    ] = 0.0,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="A file that ends in .csv, .xlsx or .parquet."),
    ] = None,
    force: Force = False,
) -> None:
    """Recommend documents that are like the ones that a person likes, from each of the person's interests."""
    users = liking.read()
    if len(users) != 1 and output is None:
        msg = f"recommend: {liking.likes} has {len(users):,} users; name one with --user, or a file with --output"
        raise ConfigError(msg)
    from topicflow.tasks.discovery.recommend import Recommender, recommendations_table

    recommender = Recommender(options.open(), where, diversity)
    _warn_unknown(recommender, users)
    found = {
        user: _of_user(recommender, own, options.k, alone=len(users) == 1) for user, own in users.items()
    }
    if output is not None:
        from topicflow.tasks.results.export import write_table

        n_rows, _ = write_table(recommendations_table(found).lazy(), output, force=force)
        n_without = sum(not own for own in found.values())
        print(f"wrote {output}: {n_rows:,} recommendations for {len(found) - n_without:,} users")
        if n_without:
            print(f"note: {n_without:,} users have no recommendation: the index has nothing that they like")
        return
    (own,) = found.values()
    if options.as_json:
        print_json([{**asdict(each.hit), "interest": each.interest, "because": each.because} for each in own])
        return
    from topicflow.flows.screen.discovery import print_recommendations

    print_recommendations(own, options.k)


def _of_user(recommender: Recommender, likes: Likes, k: int, *, alone: bool) -> list[Recommendation]:
    """Return the recommendations of a user; none if the index has nothing that one of several users likes."""
    if not alone and not recommender.known(likes.liked):
        return []
    return recommender.recommend(recommender.profile(likes.liked, likes.disliked), k)


def _warn_unknown(recommender: Recommender, users: dict[str, Likes]) -> None:
    ids = {each for own in users.values() for each in (*own.liked, *own.disliked)}
    unknown = sorted(ids - set(recommender.known(ids)))
    if 0 < len(unknown) < len(ids):  # if all are unknown, the error says so
        print(
            f"warning: {len(unknown):,} of {len(ids):,} ids are not in the index: {_some(unknown)}",
            file=sys.stderr,
        )


def _ids(given: Sequence[str] | None) -> list[str]:
    """Return the ids of an option, which may be repeated and may have several, between commas."""
    return [each.strip() for text in given or () for each in text.split(",") if each.strip()]


def _some(names: object) -> str:
    listed = [repr(each) for each in list(names)[:3]]  # type: ignore[call-overload]
    return ", ".join(listed)
