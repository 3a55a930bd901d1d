"""`personable train` and `personable demo`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from personable.cli.screen import is_main, say, working

if TYPE_CHECKING:
    from personable.demo import Demonstration


def train(
    recipe: Annotated[Path, typer.Argument(help="A YAML file, see recipes/.")],
    base: Annotated[
        str | None, typer.Option(help="`starter`, a model folder, a .gguf file or a Hub id, in place of the recipe's.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="The folder to write, in place of the recipe's.")] = None,
    data_train: Annotated[
        list[str] | None, typer.Option("--data", help="Training dialogues, in place of the recipe's; may be repeated.")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE, such as training.learning_rate=1e-4; may be repeated.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in the same folder.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the settings that would be used and leave.")
    ] = False,
) -> None:
    """Fine-tune a base on persona dialogues and write a run folder."""
    from personable.training.recipe import parse_changes, read_recipe

    flags = {"base": base, "run": run, "data.train": tuple(data_train) if data_train else None}
    wanted = parse_changes(changes or []) | {key: value for key, value in flags.items() if value is not None}
    if data_train and "data.validation" not in wanted:
        wanted["data.validation"] = ()  # the recipe's belongs to the recipe's own training data
    settings = read_recipe(recipe, changes=wanted)
    if dry_run:
        import yaml

        print(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False), end="")
        return
    with working("loading"):
        from personable.training import train as run_training
    done = run_training(settings, resume=resume, overwrite=overwrite)
    if not is_main():
        return
    if done.first_perplexity is not None and done.best_perplexity is not None:
        print(f"validation reply perplexity {done.first_perplexity:.2f} before, {done.best_perplexity:.2f} after")
    print(f"{done.run}: finished in {done.seconds:.0f} s. Next: personable chat {done.run}")


def demo(
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE of recipes/demo.yaml, such as base=starter.")
    ] = None,
    no_chat: Annotated[bool, typer.Option("--no-chat", help="Leave without a chat, also on a terminal.")] = False,
) -> None:
    """Fine-tune on bundled dialogues, compare before and after, then talk."""
    from personable.training.recipe import parse_changes, read_recipe

    with working("loading"):
        from personable.demo import demo as demonstrate
        from personable.demo import demo_recipe
    settings = read_recipe(demo_recipe(), changes=parse_changes(changes or []))
    _print_demonstration(demonstrate(settings, tell=say))
    run = str(settings.run)
    if sys.stdin.isatty() and sys.stdout.isatty() and not no_chat:
        from personable.chat import chat as start_chat

        start_chat(run)
    else:
        print(f"\nNext: personable chat {run}")


def _print_demonstration(found: Demonstration) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console(highlight=False, markup=False)
    console.print(Text("\nBefore and after", style="bold"))
    for exchange in found.exchanges:
        console.print(Text(f"\nYou to {exchange.persona}: {exchange.question}", style="cyan"))
        for label, reply in (("before", exchange.before), ("after ", exchange.after)):
            console.print(Padding(Text(f"{label}  {reply}", style="dim" if label == "before" else ""), (0, 0, 0, 2)))
    trained = found.trained
    if trained.first_perplexity is not None and trained.best_perplexity is not None:
        console.print(
            f"\nreply perplexity on bundled dialogues it did not learn from: {trained.first_perplexity:.2f} before, "
            f"{trained.best_perplexity:.2f} after (lower is better)",
            soft_wrap=True,
        )
    console.print(f"loss curve: {trained.run / 'loss.png'}")
    console.print(f"the run:    {trained.run} ({trained.seconds:.0f} s of training)")
