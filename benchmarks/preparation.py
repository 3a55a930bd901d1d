"""How fast a large corpus becomes training data, and in how much memory: reading, splitting, encoding, one pass.

    python benchmarks/preparation.py                          # 2,000,000 dialogues: about half an hour on 2 cores
    python benchmarks/preparation.py --quick --json a.json    # 20,000 of them

Dialogues of 4 to 6 turns and personas of 4 facts, from a small word list and a seed, are written to a temporary folder
as canonical JSONL. Two processes then do what `personable train` does first (`read_parts` with a recipe, one dialogue
in 200 held out, text as it stands, the starter's tokenizer, all cores): the first prepares, plans the rows of an epoch
and reads every window once; the second finds what was kept.

Memory is the largest sum, over the process and its children, of PSS as Linux gives it, looked at once a second; shared
pages are counted once. `own` are the pages that cannot be given back, `mapped` those of files, which the system takes
back when something else needs the room.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from personable.corpus import write_dialogues
from personable.dialogue import Dialogue, Persona, Speaker, Turn
from personable.provenance import hardware, versions

Found = TypeVar("Found")

SECONDS_BETWEEN_LOOKS = 1.0
WORDS = re.findall(
    r"\w+",
    "i you we they my your the a and but so really never always often once today yesterday work live love like "
    "hate have had make made go went see saw dog cat bees house garden city sea mountain music guitar piano book "
    "school teacher doctor farm car bike train coffee tea bread cheese summer winter friend sister brother mother "
    "father child happy tired old young red blue green little big two three about with for in on at to from "
    "because when what how ",
)


def main() -> None:
    """Parses the command line, measures, and prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dialogues", type=int, default=2_000_000)
    parser.add_argument("--quick", action="store_true", help="20,000 dialogues")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="for the corpus and what is kept; a temporary one by default")
    parser.add_argument("--corpus", type=Path, help="one that an earlier call wrote into its folder, to save minutes")
    parser.add_argument("--json", type=Path, help="also write the result there")
    parser.add_argument("--prepare", type=Path, help=argparse.SUPPRESS)  # what is measured, in a process of its own
    parser.add_argument("--again", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.prepare:
        print(json.dumps(prepare(given.prepare, given.dialogues, again=given.again)))
        return
    dialogues = 20_000 if given.quick else given.dialogues
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="preparation-") as folder:
        result = measure(Path(folder), dialogues, given.seed, given.corpus)
    text = json.dumps(result, indent=2)
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")
    print(text)


def measure(folder: Path, count: int, seed: int, corpus: Path | None) -> dict[str, Any]:
    """Has a corpus prepared twice; generates it in the folder first where none is given."""
    if corpus is None:
        corpus = folder / "corpus.jsonl"
        tell(f"writing {count:,} dialogues")
        write_dialogues(generated(count, seed), corpus)
    first, second = (measured(corpus, count, folder / "cache", again=again) for again in (False, True))
    return {
        "dialogues": count,
        "seed": seed,
        "first": first,
        "second": second,
        "corpus_mb": megabytes(corpus),
        "kept_mb": megabytes(folder / "cache"),
        "free_disk_mb": round(shutil.disk_usage(folder).free / 1e6),
        "hardware": hardware(),
        "versions": versions(),
    }


def generated(count: int, seed: int) -> Iterator[Dialogue]:
    """Dialogues of random words, one at a time."""
    draw = random.Random(seed)

    def sentence(least: int, most: int) -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(least, most))) + draw.choice(".?!")

    for number in range(count):
        facts = tuple(f"i {sentence(4, 7)}" for _ in range(4))
        turns = tuple(
            Turn(Speaker.PERSONA if place % 2 else Speaker.PARTNER, sentence(5, 14))
            for place in range(draw.randint(4, 6))
        )
        yield Dialogue(Persona(facts), turns, conversation=f"talk {number}")


def measured(corpus: Path, count: int, cache: Path, *, again: bool) -> dict[str, Any]:
    """What a process that prepares says of itself, and the memory it and its children took."""
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    command = [sys.executable, __file__, "--prepare", str(corpus), "--dialogues", str(count)]
    command += ["--again"] if again else []
    largest = {"total": 0, "own": 0, "mapped": 0}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            now = memory_kb(process.pid)
            largest = {name: max(largest[name], now[name]) for name in largest}
            time.sleep(SECONDS_BETWEEN_LOOKS)
        said = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(f"preparing failed with {process.returncode}")
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return {**found, "largest_pss_mb": {name: round(size / 1024) for name, size in largest.items()}}


def memory_kb(process: int) -> dict[str, int]:
    """PSS of a process and all its descendants, now."""
    found = {"total": 0, "own": 0, "mapped": 0}
    waiting = [process]
    while waiting:
        one = Path(f"/proc/{waiting.pop()}")
        try:
            for task in (one / "task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
            fields = dict(line.split(":") for line in (one / "smaps_rollup").read_text().splitlines()[1:])
        except OSError:  # it has ended
            continue
        sizes = {name: int(value.split()[0]) for name, value in fields.items()}
        found["total"] += sizes["Pss"]
        found["own"] += sizes["Pss_Anon"] + sizes["Pss_Shmem"]
        found["mapped"] += sizes["Pss_File"]
    return found


def prepare(corpus: Path, count: int, *, again: bool) -> dict[str, Any]:
    """Prepares a corpus as training does, plans the rows of an epoch, reads every window; how long each took.

    again: ends once the prepared corpus is found.
    """
    from personable.base import load_tokenizer
    from personable.encoding import Budget
    from personable.training.layout import Layout
    from personable.training.parts import read_parts
    from personable.training.recipe import make_recipe
    from personable.training.rows import plan_rows

    stages = Stages()
    stages.listen()
    layout = Layout(load_tokenizer("starter"), Budget(1024))
    recipe = make_recipe({"data": {"train": str(corpus), "validation_share": 0.005, "detokenise": False}})
    parts = stages.timed("all", count, lambda: read_parts(recipe, layout, seed=0))
    train = parts.train
    if again:
        return {"stages": stages.found, "windows": len(train)}
    plan = stages.timed("rows planned", len(train), lambda: plan_rows(train.lengths, 1024, packed=True))

    def read_every_window() -> int:
        return sum(len(train.encoded(place).input_ids) for place in range(len(train)))

    tokens = stages.timed("windows read", len(train), read_every_window)
    return {
        "stages": stages.found,
        "train_dialogues": train.dialogues,
        "validation_dialogues": parts.validation.dialogues,
        "windows": len(train),
        "tokens": tokens,
        "rows": len(plan),
        "rows_filled": round(plan.fill(1024), 4),
    }


class Stages(logging.Handler):
    """How long each stage took: those that are timed here, and what the package logs of its own."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.found: dict[str, dict[str, float]] = {}

    def listen(self) -> None:
        """Hears what is logged from now on."""
        logger = logging.getLogger("personable.training")
        logger.setLevel(logging.INFO)
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps the figures of lines such as "2000000 dialogues encoded in 300.0 s, 2 at once"; shows every line."""
        said = record.getMessage()
        tell(said)
        if figures := re.match(r"(\d+) dialogues (read|detokenised|compared|encoded) in ([\d.]+) s", said):
            self.keep(figures[2], int(figures[1]), float(figures[3]))

    def keep(self, stage: str, dialogues: int, seconds: float) -> None:
        """Adds to what is known of a stage: its parts are handled one after another."""
        sums = self.found.setdefault(stage, {"dialogues": 0, "seconds": 0.0})
        sums["dialogues"] += dialogues
        sums["seconds"] = round(sums["seconds"] + seconds, 1)
        sums["per_second"] = round(sums["dialogues"] / max(sums["seconds"], 0.1))

    def timed(self, stage: str, dialogues: int, work: Callable[[], Found]) -> Found:
        """What `work` returns."""
        started = time.monotonic()
        found = work()
        self.keep(stage, dialogues, time.monotonic() - started)
        return found


def megabytes(path: Path) -> int:
    """Of a file or of all files in a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return round(sum(file.stat().st_size for file in files) / 1e6)


def tell(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
