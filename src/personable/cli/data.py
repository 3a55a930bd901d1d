"""`personable data`: look at dialogue files, convert them, cut them in two."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from personable import corpus
from personable.cli.doctor import doctor
from personable.cli.options import DataPath, DetokeniseOption, FormatOption, JsonOption, MaxBadOption
from personable.cli.screen import print_json, say, working
from personable.corpus import Inspection
from personable.errors import BadRecord, DataError

data = typer.Typer(no_args_is_help=True, help="Look at dialogue files, convert them, cut them in two.")
data.command(epilog="Example: personable data doctor train.jsonl --other valid.jsonl --fix clean.jsonl")(doctor)


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
    with working(f"converting {path}"), skipping_explained():
        dialogues = corpus.convert(
            path, out, format=format, detokenise=detokenise, max_bad=max_bad, on_problem=say_skipped
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
    with working(f"splitting {path}"), skipping_explained():
        parts = corpus.split(
            path,
            train,
            validation,
            validation_share=share,
            seed=seed,
            format=format,
            detokenise=detokenise,
            max_bad=max_bad,
            on_problem=say_skipped,
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

    with working(f"reading {path}"), skipping_explained():
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


def say_skipped(problem: BadRecord) -> None:
    say(f"skipped {problem}", label="warning")


@contextmanager
def skipping_explained() -> Iterator[None]:
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
