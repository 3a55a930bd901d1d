"""`personable evaluate`."""

from __future__ import annotations

import dataclasses
import gc
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from personable.cli.data import say_skipped, skipping_explained
from personable.cli.options import FormatOption, JsonOption, MaxBadOption
from personable.cli.progress import stages
from personable.cli.screen import print_json, say, working
from personable.errors import DataError

if TYPE_CHECKING:
    from rich.text import Text

    from personable.evaluation import ComparedMetric, Evaluation
    from personable.evaluation.fidelity.probes import ProbeOutcome
    from personable.evaluation.opening import Target

PARTS = ("perplexity", "ranking", "generation", "facts", "roles", "nli", "order")
"""As in evaluation.Part, which would import torch for --help."""


_PIPED_COLUMNS = 110
"""Where there is no terminal to fit into, as many as all columns of a table need."""


class Decoding(StrEnum):
    """How replies are chosen."""

    GREEDY = "greedy"
    OWN = "own"


def evaluate(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN] [OTHER]", help="`starter`, a run folder or a Hub id; with two of them, they are compared."
        ),
    ] = None,
    data: Annotated[str | None, typer.Option(help="Dialogues to measure on: a file, a folder or a Hub id.")] = None,
    metrics: Annotated[
        str | None, typer.Option(help=f"Parts to measure, with commas between: {', '.join(PARTS)}. All, if not given.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Measure on a seeded sample of so many dialogues.")] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Of samples, sampled replies, the order of candidates, and resampling.")
    ] = 0,
    decoding: Annotated[
        Decoding, typer.Option(help="greedy: always the likeliest token; own: the run's own sampling.")
    ] = Decoding.GREEDY,
    max_reply_tokens: Annotated[
        int | None, typer.Option(min=1, help="Cut replies here, and not where the run asks for.")
    ] = None,
    nli: Annotated[
        str | None, typer.Option(help="A sequence classifier (folder or Hub id) that judges replies against facts.")
    ] = None,
    training_data: Annotated[
        str | None, typer.Option(help="What the run learnt from: a baseline draws its replies from it.")
    ] = None,
    probes: Annotated[
        Path | None, typer.Option(help="YAML with questions and what answers must hold; exits with 1 on a failure.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Measure a server that speaks OpenAI's chat protocol.")] = None,
    model: Annotated[str | None, typer.Option(help="The name of the model on that server.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Replies computed at a time; changes speed and memory, no number.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where evaluation.json and .html go, in place of the run folder.")
    ] = None,
    format: FormatOption = None,
    detokenise: Annotated[
        bool | None,
        typer.Option(
            "--detokenise/--no-detokenise",
            help="Read data without the spaces a tokeniser put before punctuation; as the run learnt, if not given.",
        ),
    ] = None,
    max_bad: MaxBadOption = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an evaluation that tells more than this one will.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure a run on dialogues, with trivial baselines beside every score; with two runs, say which really differ.

    Writes evaluation.json and evaluation.html into the run folder (for the starter, a Hub id or a server: into
    evaluations/). With --probes, ask a character scripted questions.
    """
    parts = _parts(metrics)
    _check_usage(runs or [], data=data, url=url, model=model, probes=probes, decoding=decoding)
    with working("loading"):
        from personable.evaluation import NliClassifier, Part, Settings, compare, write_evaluation
        from personable.evaluation import evaluate as measure
        from personable.evaluation.comparison import same_tokens
        from personable.evaluation.fidelity.probes import read_probes, run_probes
        from personable.evaluation.opening import (
            ELSEWHERE,
            Target,
            check_kept,
            check_writable,
            decoding_of,
            folders_of,
            read_replies,
            read_subject,
        )

    targets = [Target(model, url)] if url and model else [Target(run) for run in runs or ()]
    _warn_of_namesake(targets)
    script = read_probes(probes) if probes else None
    subject, training_replies, classifier = None, None, None
    folders = folders_of(targets, out) if data else []
    if data:
        if detokenise is None:
            detokenise = _as_learnt(targets)
        with working(f"reading {data}"), skipping_explained():
            subject = read_subject(
                data,
                format=format,
                detokenise=detokenise,
                max_bad=max_bad,
                limit=limit,
                seed=seed,
                on_problem=say_skipped,
            )
        if training_data:
            with working(f"reading {training_data}"), skipping_explained():
                training_replies = read_replies(training_data, detokenise=detokenise)
        classifier = NliClassifier(nli) if nli else None
        for folder in () if overwrite else folders:
            check_kept(folder, parts, len(subject.dialogues))

    evaluations: list[Evaluation] = []
    outcomes: list[ProbeOutcome] = []
    between = out or ELSEWHERE / "comparison"
    if len(folders) == 2:
        check_writable(between)
    for place, target in enumerate(targets):
        with working(f"loading {target.spec}"):
            engine = target.open(batch_size=batch_size)
        with stages() as on_stage:
            if script:
                outcomes += run_probes(engine, script, on_stage("probes"))
            if subject:
                settings = Settings(
                    parts=frozenset(Part(part) for part in parts),
                    sampling=decoding_of(engine, own=decoding is Decoding.OWN, max_reply_tokens=max_reply_tokens),
                    seed=seed,
                    training_replies=training_replies,
                )
                evaluations.append(measure(engine, subject, settings, classifier=classifier, on_stage=on_stage))
        if subject and not evaluations[-1].report.scores:
            reasons = "; ".join(sorted(set(evaluations[-1].report.not_measured.values())))
            raise DataError(f"{target.spec}: nothing could be measured, so nothing was written: {reasons}.")
        if subject:
            say(f"written: {write_evaluation(evaluations[-1].report, folders[place])}")
        del engine  # two models at a time may not fit
        gc.collect()
    compared = compare(*evaluations) if len(evaluations) == 2 else None
    if compared is not None:
        if not same_tokens(*(each.report for each in evaluations)):
            say("perplexity per token is not compared, as the tokens differ: look at bits per byte")
        say(f"written: {_write_comparison(evaluations, compared, between)}")
    if as_json:
        print_json(_record(evaluations, compared, outcomes))
    else:
        _print_found(evaluations, compared, outcomes)
    if not all(outcome.passed for outcome in outcomes):
        raise typer.Exit(1)


def _check_usage(
    runs: list[str],
    *,
    data: str | None,
    url: str | None,
    model: str | None,
    probes: Path | None,
    decoding: Decoding,
) -> None:
    """Raises typer.BadParameter for what cannot be meant."""
    if url and (runs or not model):
        raise typer.BadParameter("expected --model beside it and no RUN", param_hint="--url")
    if model and not url:
        raise typer.BadParameter("expected --url beside it", param_hint="--model")
    if url and decoding is Decoding.OWN:
        raise typer.BadParameter(
            "expected greedy with --url: a server cannot be asked how it samples", param_hint="--decoding"
        )
    if not url and not runs:
        raise typer.BadParameter("expected a RUN, or --url with --model", param_hint="RUN")
    if len(runs) > 2:
        raise typer.BadParameter(f"expected one run, or two to compare, found {len(runs)}", param_hint="RUN")
    if not data and not probes:
        raise typer.BadParameter("expected dialogues to measure on, or --probes", param_hint="--data")


def _as_learnt(targets: list[Target]) -> bool:
    """Whether to read the data detokenised: as the first run that says so learnt it."""
    for target in targets:
        learnt = target.learnt_detokenised()
        if learnt is not None:
            if learnt:
                say(f"reading the data detokenised, as {target.spec} learnt it (as it stands: --no-detokenise)")
            return learnt
    return False


def _warn_of_namesake(targets: list[Target]) -> None:
    if any(target.spec == "starter" for target in targets) and Path("starter").is_dir():
        say("`starter` is the bundled model; the folder of that name here is ./starter", label="warning")


def _parts(metrics: str | None) -> tuple[str, ...]:
    if metrics is None:
        return PARTS
    wanted = tuple(part.strip() for part in metrics.split(","))
    for part in wanted:
        if part not in PARTS:
            raise typer.BadParameter(f"expected some of {', '.join(PARTS)}, found {part!r}", param_hint="--metrics")
    return wanted


def _record(evaluations: list[Evaluation], compared: list[ComparedMetric] | None, outcomes: list[ProbeOutcome]) -> Any:
    """What --json prints: an evaluation.json where that is all there is."""
    reports = [each.report.record() for each in evaluations]
    if len(reports) == 1 and not outcomes:
        return reports[0]
    found: dict[str, Any] = {}
    if reports:
        found["evaluations"] = reports
    if compared is not None:
        found["comparison"] = [each.record() for each in compared]
    if outcomes:
        found["probes"] = [dataclasses.asdict(outcome) for outcome in outcomes]
    return found


def _print_found(
    evaluations: list[Evaluation], compared: list[ComparedMetric] | None, outcomes: list[ProbeOutcome]
) -> None:
    from rich.console import Console
    from rich.text import Text

    from personable.evaluation.page.screen_table import comparison_table, score_table

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=_PIPED_COLUMNS)
    for each in evaluations:
        console.print(Text(f"\n{each.report.engine['name']}", style="bold"))
        console.print(score_table(each.report.record()))
    if compared is not None:
        names = [str(each.report.engine["name"]) for each in evaluations]
        console.print(comparison_table(compared, *names))
    for outcome in outcomes:
        console.print(_probe_line(outcome), soft_wrap=True)
    if outcomes:
        passed = sum(outcome.passed for outcome in outcomes)
        print(f"{passed} of {len(outcomes)} probes passed")


def _probe_line(outcome: ProbeOutcome) -> Text:
    from rich.text import Text

    mark, colour = ("passed", "green") if outcome.passed else ("FAILED", "bold red")
    times = f" {outcome.times_passed} of {outcome.times} times" if outcome.times > 1 else ""
    line = Text(f"{mark}{times}", style=colour)
    line.append(f"  {outcome.place}  {' / '.join(outcome.say)}", style="default")
    line.append(f"\n        {outcome.persona.name or 'it'} says: {outcome.reply or '(nothing)'}", style="dim")
    if outcome.why:
        line.append(f"\n        {outcome.why}", style="red")
    return line


def _write_comparison(evaluations: list[Evaluation], compared: list[ComparedMetric], folder: Path) -> Path:
    from personable.evaluation.page import write_comparison

    folder.mkdir(parents=True, exist_ok=True)
    first, second = (each.report.record() for each in evaluations)
    return write_comparison(first, second, compared, folder)
