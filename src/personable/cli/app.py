"""The command line: one command per verb, each a thin shell over the library function of the same name.

Results go to stdout, progress and messages to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted,
143 terminated.
Nothing heavy is imported before a command needs it, so that `--help` is instant.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from personable.cli.card import card
from personable.cli.chat import chat
from personable.cli.data import data
from personable.cli.evaluate import evaluate
from personable.cli.export import export
from personable.cli.publish import publish
from personable.cli.screen import complain, forget_stdout, is_main, say
from personable.cli.train import demo, train
from personable.errors import Interrupted, PersonableError


class _Commands(TyperGroup):
    """Commands that a signal may end: typer would make 130 of every one."""

    def invoke(self, context: Any) -> Any:
        try:
            return super().invoke(context)
        except Interrupted as interruption:
            if is_main():
                say(str(interruption), label="stopped")
            raise typer.Exit(128 + interruption.signum) from interruption


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data, name="data")
for _command, _example in (
    (train, "personable train recipes/dialogpt-medium.yaml --set training.learning_rate=1e-5"),
    (demo, "personable demo"),
    (evaluate, "personable evaluate runs/rita --data valid_self_original.txt.xz"),
    (chat, "personable chat runs/rita --fact 'i sail boats.' --fact 'i have a cat named tom.'"),
    (card, "personable card runs/rita"),
    (export, "personable export runs/rita --to gguf --quantization q8_0"),
    (publish, "personable publish runs/rita ada/rita --dry-run"),
):
    app.command(epilog=f"Example: {_example}")(_command)


def main() -> None:
    """Runs the command line and exits; a PersonableError becomes one message and exit code 1."""
    try:
        app()
    except PersonableError as error:
        complain(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        say("interrupted", label="error")
        sys.exit(130)
    except BrokenPipeError:
        forget_stdout()
        sys.exit(1)


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
    """Fine-tune DialoGPT on persona dialogues, measure it, talk with it, publish it."""
