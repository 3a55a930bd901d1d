"""The command line: one command per verb, each a thin shell over the library function of the same name.

Results go to stdout, progress and messages to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
Nothing heavy is imported before a command needs it, so that `--help` is instant.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from personable import corpus
from personable.corpus import Format, Inspection
from personable.errors import BadRecord, DataError, PersonableError

if TYPE_CHECKING:
    from personable.demo import Demonstration

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data = typer.Typer(no_args_is_help=True, help="Look at dialogue files, convert them, cut them in two.")
app.add_typer(data, name="data")

DataPath = Annotated[str, typer.Argument(help="A file, a folder, or a Hub data set owner/name or owner/name:split.")]
FormatOption = Annotated[Format | None, typer.Option("--format", help="How it is written down; found when not given.")]
DetokeniseOption = Annotated[
    bool,
    typer.Option("--detokenise/--no-detokenise", help="Take out the spaces a tokeniser put before punctuation."),
]
MaxBadOption = Annotated[int, typer.Option(min=0, help="How many damaged records may be skipped.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def main() -> None:
    """Runs the command line and exits; a PersonableError becomes one message and exit code 1."""
    try:
        app()
    except PersonableError as error:
        say(str(error), label="error")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        _forget_stdout()
        sys.exit(1)


def _forget_stdout() -> None:
    """Whoever read the output has left; without this the interpreter would complain when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(message: str, *, label: str = "") -> None:
    """A message for people, on stderr; the label ("error", "warning") stands before it in colour."""
    from rich.console import Console
    from rich.text import Text

    colour = {"error": "bold red", "warning": "yellow"}.get(label, "bold")
    prefix = Text(f"{label}: ", style=colour) if label else Text()
    Console(stderr=True, highlight=False).print(prefix + Text(message), soft_wrap=True)


def print_json(value: object) -> None:
    """A result for programs, on stdout."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


@contextmanager
def working(message: str) -> Iterator[None]:
    """Shows on stderr that something goes on, on a terminal only."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(message):
        yield


def _print_version(asked: bool) -> None:
    if asked:
        try:
            print(f"personable {version('personable')}")
        except PackageNotFoundError:
            print("personable (run from source, not installed)")
        raise typer.Exit


@app.callback()
def personable(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Fine-tune DialoGPT on persona dialogues, measure it, talk with it."""


@data.command(epilog="Example: personable data inspect train_self_original.txt.xz --base starter")
def inspect(
    path: DataPath,
    format: FormatOption = None,
    base: Annotated[str | None, typer.Option(help="Also count tokens in the vocabulary of this base or run.")] = None,
    detokenise: DetokeniseOption = False,
    max_bad: MaxBadOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Print what a corpus holds: format, counts, lengths, duplicates, and every problem with file and line.

    Exits with 1 when there are more bad records than --max-bad.
    """
    with working(f"reading {path}"):
        count_tokens = _token_counter(base) if base else None
        found = corpus.inspect(path, format=format, detokenise=detokenise, count_tokens=count_tokens)
    if as_json:
        print_json(_inspection_record(found))
    else:
        _print_inspection(found)
    if (bad := len(found.problems)) > max_bad:
        raise DataError(
            f"{path}: expected at most {max_bad} bad records, found {bad}. "
            f"Next: mend them, or allow them with --max-bad {bad}"
        )


@data.command(epilog="Example: personable data convert valid_self_original.txt.xz valid.jsonl --no-detokenise")
def convert(
    path: DataPath,
    out: Annotated[Path, typer.Argument(help="The JSONL file to write.")],
    format: FormatOption = None,
    detokenise: DetokeniseOption = False,
    max_bad: MaxBadOption = 0,
) -> None:
    """Write a corpus as canonical JSONL, one dialogue a line."""
    with working(f"converting {path}"), _skipping_explained():
        dialogues = corpus.convert(
            path, out, format=format, detokenise=detokenise, max_bad=max_bad, on_problem=_say_skipped
        )
    print(f"{out}: {dialogues} dialogues")


@data.command(epilog="Example: personable data split dialogues.jsonl --train train.jsonl --validation valid.jsonl")
def split(
    path: DataPath,
    train: Annotated[Path, typer.Option(help="The JSONL file to write for training.")],
    validation: Annotated[Path, typer.Option(help="The JSONL file to write for validation.")],
    share: Annotated[float, typer.Option(help="The part for validation, between 0 and 1.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Another seed, another cut; the same seed, the same.")] = 0,
    format: FormatOption = None,
    detokenise: DetokeniseOption = False,
    max_bad: MaxBadOption = 0,
) -> None:
    """Cut a corpus in two files that share no conversation and no persona that replies."""
    if not 0 < share < 1:
        raise typer.BadParameter(f"{share} is not between 0 and 1", param_hint="--share")
    with working(f"splitting {path}"), _skipping_explained():
        parts = corpus.split(
            path,
            train,
            validation,
            validation_share=share,
            seed=seed,
            format=format,
            detokenise=detokenise,
            max_bad=max_bad,
            on_problem=_say_skipped,
        )
    print(f"{train}: {len(parts.train)} dialogues")
    print(f"{validation}: {len(parts.validation)} dialogues")
    if parts.left_out:
        say(
            f"left out {len(parts.left_out)} dialogues that share a conversation or a persona with both parts",
            label="warning",
        )


@data.command(epilog="Example: personable data show dialogues.jsonl --index 3 --base starter")
def show(
    path: DataPath,
    index: Annotated[int, typer.Option(min=0, help="Which dialogue, counted from 0.")] = 0,
    base: Annotated[str, typer.Option(help="Whose tokenizer and chat template lay it out.")] = "starter",
    context_tokens: Annotated[int, typer.Option(help="Positions there are; older turns go when they run out.")] = 1024,
    format: FormatOption = None,
    detokenise: DetokeniseOption = True,
    max_bad: MaxBadOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Print one dialogue as a model sees it, the tokens that are learnt in green."""
    from personable.base import load_tokenizer
    from personable.encoding import Budget, encode_dialogue
    from personable.encoding.show import shown

    with working(f"reading {path}"), _skipping_explained():
        dialogues = corpus.read_dialogues(path, format=format, detokenise=detokenise, max_bad=max_bad).dialogues
    if index >= len(dialogues):
        raise DataError(f"{path}: expected an index from 0 to {len(dialogues) - 1}, found {index}.")
    tokenizer = load_tokenizer(base)
    encoded = encode_dialogue(dialogues[index], tokenizer, Budget(context_tokens, min(128, context_tokens // 4)))
    if as_json:
        print_json(
            {
                "input_ids": encoded.input_ids,
                "learn_mask": encoded.learn_mask,
                "dropped_turns": encoded.dropped_turns,
                "cut_facts": encoded.cut_facts,
            }
        )
        return
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    console.print(shown(encoded, tokenizer, colour=console.is_terminal), soft_wrap=True)
    learnt = sum(encoded.learn_mask)
    say(f"{len(encoded.input_ids)} tokens, {learnt} of them learnt, {encoded.dropped_turns} turns dropped")


@app.command(epilog="Example: personable train recipes/dialogpt-medium.yaml --set training.learning_rate=1e-5")
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
    if done.first_perplexity is not None and done.best_perplexity is not None:
        print(f"validation reply perplexity {done.first_perplexity:.2f} before, {done.best_perplexity:.2f} after")
    print(f"{done.run}: finished in {done.seconds:.0f} s. Next: personable chat {done.run}")


@app.command(epilog="Example: personable demo")
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


@app.command(epilog="Example: personable chat runs/rita --fact 'i sail boats.' --fact 'i have a cat named tom.'")
def chat(
    run: Annotated[str, typer.Argument(help="`starter` (the bundled model), a run folder or a Hub id.")] = "starter",
    persona: Annotated[
        Path | None, typer.Option(help="YAML or JSON with name and facts, text with a fact a line, or dialogues.")
    ] = None,
    fact: Annotated[list[str] | None, typer.Option(help="A sentence about the persona; may be given often.")] = None,
    name: Annotated[str, typer.Option(help="What the screen calls the persona.")] = "",
    temperature: Annotated[float | None, typer.Option(help="Lower is more predictable, 0 is not random.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Draw from the likeliest tokens of this total.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Draw from this many of the likeliest tokens; 0 from all.")] = None,
    min_p: Annotated[float | None, typer.Option(help="Leave out tokens below this part of the likeliest.")] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="Above 1 avoids what was said before.")] = None,
    max_reply_tokens: Annotated[int | None, typer.Option(help="Cut replies here.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed and lines, the same replies.")] = None,
) -> None:
    """Talk with a run: on a terminal with commands such as /retry and /save, in a pipe a line out for each line in.

    Settings not given are the run's own. Without --persona and --fact, a persona of the bundled dialogues replies.
    """
    with working("starting"):  # importing torch takes seconds
        from personable.chat import chat as start_chat

    settings = {
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "max_reply_tokens": max_reply_tokens,
        "seed": seed,
    }
    if not start_chat(run, persona=persona, facts=fact or (), name=name, settings=settings):
        raise typer.Exit(1)


def _say_skipped(problem: BadRecord) -> None:
    say(f"skipped {problem}", label="warning")


@contextmanager
def _skipping_explained() -> Iterator[None]:
    """Adds what to do about a bad record to its error."""
    try:
        yield
    except BadRecord as problem:
        raise DataError(f"{problem}. Next: mend the record, or skip up to N bad ones with --max-bad N") from problem


def _token_counter(base: str) -> Callable[[str], int]:
    from personable.base import load_tokenizer

    tokenizer = load_tokenizer(base)
    return lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])


def _inspection_record(found: Inspection) -> dict[str, object]:
    record = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    for name, value in record.items():
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            record[name] = dataclasses.asdict(value)
    record["problems"] = [
        {"path": each.path, "line": each.line, "expected": each.expected, "found": each.found}
        for each in found.problems
    ]
    return record


_PROBLEMS_SHOWN = 20


def _print_inspection(found: Inspection) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in _inspection_rows(found):
        table.add_row(name, value)
    console = Console(highlight=False, markup=False)
    console.print(table)
    for problem in found.problems[:_PROBLEMS_SHOWN]:
        console.print(f"  {problem}", soft_wrap=True)
    if (more := len(found.problems) - _PROBLEMS_SHOWN) > 0:
        console.print(f"  and {more} more (--json lists all)")


def _inspection_rows(found: Inspection) -> Iterator[tuple[str, str]]:
    for field in dataclasses.fields(found):
        value = getattr(found, field.name)
        if value is None:
            continue
        name = field.name.replace("_", " ")
        if isinstance(value, corpus.Spread):
            yield name, f"{value.least:,} least, {value.median:,g} median, {value.most:,} most"
        elif isinstance(value, tuple):
            yield name, f"{len(value):,}"
        else:
            yield name, f"{value:,}" if isinstance(value, int) else str(value)
