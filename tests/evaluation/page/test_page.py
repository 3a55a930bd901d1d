"""evaluation.html: whole, self-contained, well-formed, readable, and no place for hostile text."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from personable.evaluation import page as page_module
from personable.evaluation.bootstrap import Difference
from personable.evaluation.comparison import ComparedMetric
from personable.evaluation.page.headline import highlights
from personable.evaluation.page.html import reading_notes, subject_lines, write_comparison, write_page
from personable.evaluation.page.plots import LEFT, RIGHT, baseline_panels, chance_panels
from personable.evaluation.page.score_rows import score_rows
from personable.evaluation.report import read_record
from tests.evaluation.page.sample_report import METRICS, SCORES, sample_comparison, sample_report

VOID = {"meta", "br", "line", "circle", "link", "img", "input", "hr"}
CELLS = {"th", "td"}
BLOCKS = CELLS | {"li", "p", "summary", "dt", "dd", "h1", "h2", "h3"}


class Page(HTMLParser):
    """What a browser would see; fails where tags do not match."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.cells: list[list[str]] = []
        self.feed(file.read_text("utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in BLOCKS:
            self.text += "\n"
        if tag == "tr":
            self.cells.append([])
        if tag in CELLS:
            self.cells[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.text += data
        if CELLS & set(self.open):
            self.cells[-1][-1] += data.strip("\n")

    def attributes(self, name: str) -> list[str]:
        """Every value of an attribute."""
        return [attrs[name] or "" for _, attrs in self.tags if name in attrs]

    def row(self, heading: str) -> list[str]:
        """The cells of the first row that begins so."""
        return next(cells for cells in self.cells if cells and cells[0].startswith(heading))


@pytest.fixture
def record(tmp_path):
    """The content of an evaluation.json, as read back."""
    return read_record(sample_report().write(tmp_path))


def test_the_page_stands_alone_and_is_well_formed(record, tmp_path) -> None:
    file = write_page(record, tmp_path)
    page = Page(file)
    assert file == tmp_path / "evaluation.html"
    assert {path.name for path in tmp_path.iterdir()} == {"evaluation.json", "evaluation.html"}
    assert {"script", "link", "img", "iframe"}.isdisjoint(tag for tag, _ in page.tags)
    assert page.attributes("src") == []
    assert "url(" not in file.read_text("utf-8")
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in page.attributes("href")} <= set(ids), "links stay on the page"
    assert {each for value in page.attributes("aria-labelledby") for each in value.split()} <= set(ids)
    assert page.tags[0] == ("html", {"lang": "en"})


def test_the_score_stands_beside_the_trivial_systems(record, tmp_path) -> None:
    page = Page(write_page(record, tmp_path))
    headings = page.row("Metric")
    assert headings[4:9] == ["constant string", "echo", "fact copy", "random reply", "human"]
    assert page.row("ParlAI F1")[1:] == [
        "16.1", "15.7–16.4", "↑higher is better",
        "21.2† better than this engine’s whole interval", "13.9", "12.6", "11.4", "100.0",
        "3,907 replies",
    ]  # fmt: skip
    assert page.row("Reply perplexity")[1:5] == ["18.42", "17.91–18.96", "↓lower is better", "–none"]
    assert page.row("Words per reply")[3] == "≈best near the human replies"
    assert page.row("Fact recall without")[3] == "neither high nor low is good by itself"
    assert page.row("Persona copied")[4] == "0.00", "who never speaks of himself is no better for copying nothing"


def test_every_table_names_its_columns_and_rows(record, tmp_path) -> None:
    page = Page(write_page(record, tmp_path, sample_comparison()))
    headers = [attrs for tag, attrs in page.tags if tag == "th"]
    assert headers
    assert all(attrs.get("scope") in ("col", "row", "rowgroup") for attrs in headers)
    assert {len(cells) for cells in page.cells if len(cells) > 8} == {len(page.row("Metric"))}


def test_what_is_said_before_the_numbers(record, tmp_path) -> None:
    page = Page(write_page(record, tmp_path))
    for said in (
        "runs/rita",
        "3,907 replies in 500 dialogues of valid_self_original.txt.xz, split validation, "
        "a sample of 500 of 1,000 dialogues, text as it stands in the file",
        "greedy decoding, seed 0, 22 November 2026, 12:00 UTC",
        "† better than this engine’s whole interval.",
        "likeliest token each time and ignores the run’s own temperature and repetition penalty (--decoding own",
        "by mean log-probability unless they say “by sum”.",
        "as in the ConvAI2 contest, whose word perplexity is not reproduced here.",
        "Orders of facts tried",
        "Hits@5, by sum",
        "A trivial system does better: constant string, 21.2\N{NO-BREAK SPACE}%.",
        "no NLI classifier was given (--nli)",
        "lower case, punctuation to spaces, without a, an, the",
        "any number; higher is better",  # the range of the C score
        "1.42 GB",
        "4 min 17 s",
        "17,867,008",
    ):
        assert said in page.text, said


def test_samples_by_kind_with_what_was_said_before(record, tmp_path) -> None:
    text = " ".join(Page(write_page(record, tmp_path)).text.split())
    assert text.index("Drawn at random") < text.index("Worst by ParlAI F1") < text.index("Says nothing")
    assert "3 earlier turns partner: hi , how are you doing ?" in text
    assert "the engine’s reply · F1 57.1 i like to hunt deer . what is your favorite ? what the data replies" in text
    assert "the engine’s reply · empty (nothing)" in text
    assert "i like to remodel homes . · i like to go hunting ." in text


HOSTILE = "</title></style><script>alert(1)</script>\" onload='x' <b>&amp; {{ 7*7 }} \u202e‮ é 漢字 \U0001f600"


def poisoned(value):
    """A copy with every text replaced, but for words that have a meaning of their own."""
    if isinstance(value, dict):
        return {
            HOSTILE + key if key in ("constant string", "by_kind", "hobby") else key: each
            if key in ("better", "speaker")
            else poisoned(each)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [poisoned(each) for each in value]
    return HOSTILE if isinstance(value, str) else value


def test_hostile_text_does_not_break_out(record, tmp_path) -> None:
    clean, foul = Page(write_page(record, tmp_path)), poisoned(record)
    page = Page(write_page(foul, tmp_path, sample_comparison(), compared_with=HOSTILE))
    assert {tag for tag, _ in page.tags} <= {tag for tag, _ in clean.tags} | {"strong"}
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert HOSTILE in page.text, "it is shown as it is"
    assert "alert(1)" not in " ".join(page.attributes("style") + page.attributes("class") + page.attributes("id"))
    compared = Page(write_comparison(foul, foul, sample_comparison(), tmp_path))
    assert "script" not in {tag for tag, _ in compared.tags}
    assert HOSTILE in compared.text


@pytest.mark.parametrize("kept", [set(), {"f1"}, {"perplexity"}, {"hits_1", "role_swaps"}, set(METRICS)])
def test_any_part_of_the_metrics_will_do(kept, tmp_path) -> None:
    record = read_record(sample_report(without=frozenset(METRICS) - kept).write(tmp_path))
    page = Page(write_page(record, tmp_path))
    assert ("Reply perplexity" in page.text) == ("perplexity" in kept)
    assert ("No score has a value." in page.text) == (not kept)


def test_a_record_with_next_to_nothing_in_it(tmp_path) -> None:
    page = Page(write_page({"format": 1, "engine": {"name": "starter"}}, tmp_path))
    assert "starter" in page.text
    assert "No score has a value." in page.text


def test_null_is_no_number(record, tmp_path) -> None:
    record["scores"]["f1"]["value"] = None
    record["scores"]["bleu4"]["interval"] = [None, 2.0]
    record["baselines"]["echo of the partner"]["scores"]["distinct_2"]["value"] = None
    record["engine"]["parameters"] = record["peak_memory_bytes"] = None
    record["seconds"]["total"] = None
    page = Page(write_page(record, tmp_path))
    assert "ParlAI F1 nothing was counted" in " ".join(page.text.split())
    assert page.row("BLEU-4")[1:3] == ["1.19", "–"]
    assert page.row("Distinct-2")[5] == "–none"
    assert "None" not in page.text
    assert "nan" not in page.text.split()


def test_a_page_is_whole_or_as_it_was(record, tmp_path, monkeypatch) -> None:
    before = write_page(record, tmp_path).read_bytes()

    def full(self, content):
        with self.open("wb") as file:
            file.write(content[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write_page(record | {"seed": 1}, tmp_path)
    assert (tmp_path / "evaluation.html").read_bytes() == before


def test_a_comparison_says_what_is_real_and_which_way_is_better(record, tmp_path) -> None:
    other = record | {"engine": {"name": "runs/big"}}
    page = Page(write_comparison(record, other, sample_comparison(), tmp_path))
    assert page.row("Reply perplexity")[2:] == ["18.42", "19.52", "+1.10", "+1.00 to +1.21", "A is better"]
    assert page.row("Hits@1")[-1] == "A is better"
    assert page.row("Distinct-2")[2:] == ["8.0", "10.5", "+2.4", "+2.1 to +2.8", "B is better"]
    assert page.row("ParlAI F1")[-1] == "no real difference"
    assert page.row("Replies with a question")[-1] == "they differ"
    assert page.row("Bits per byte")[-2:] == ["–", "unknown: no interval"]
    assert "Of 7 metrics, runs/big is better on 2 and runs/rita on 2" in page.text


def test_a_page_may_hold_a_comparison(record, tmp_path) -> None:
    page = Page(write_page(record, tmp_path, sample_comparison(), compared_with="starter"))
    assert "A is runs/rita, B is starter." in page.text
    assert "#comparison" in page.attributes("href")


def test_a_lower_perplexity_is_the_better_one() -> None:
    perplexity = ComparedMetric(METRICS["perplexity"], SCORES["perplexity"], SCORES["perplexity"], Difference(0, None))
    better = [
        dataclasses.replace(perplexity, difference=Difference(change, bounds)).better
        for change, bounds in ((-2.0, (-3.0, -1.0)), (2.0, (1.0, 3.0)), (2.0, (-1.0, 5.0)), (2.0, None))
    ]
    assert better == ["second", "first", "", ""]


def luminance(colour: str) -> float:
    """WCAG 2's relative luminance of #rrggbb."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_stands_out_in_both_themes(theme) -> None:
    css = (Path(page_module.__file__).with_name("page.css")).read_text("utf-8")
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", css.split(":root {")[1 + theme].split("}")[0]))
    pairs = [(text, ground) for text in ("ink", "quiet", "own", "warn") for ground in ("ground", "raised", "faint")]
    pairs += [("ink", "said-partner"), ("ink", "said-persona"), ("on-reply", "said-reply")]
    for text, ground in pairs:
        bright, dim = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 4.5, (text, ground)


def test_plots_put_values_where_the_axis_says(record) -> None:
    rows = score_rows(record)
    panels = {panel.key: panel for panel in baseline_panels(rows)}
    assert list(panels) == ["f1", "bleu4", "distinct_2", "persona_copy", "question_rate", "mean_words", "fact_recall"]
    names = [mark.name for mark in panels["f1"].marks]
    assert names == ["this engine", "constant string", "echo", "fact copy", "random reply"], "not human against human"
    assert [mark.name for mark in panels["mean_words"].marks][:2] == ["this engine", "human"]
    f1 = panels["f1"]
    ticks = {float(written): x for x, written in f1.ticks}
    at_zero, at_twenty = ticks[0.0], ticks[20.0]
    own = f1.marks[0]
    assert own.x == pytest.approx(at_zero + (at_twenty - at_zero) * 16.132 / 20, abs=0.2)
    assert own.low is not None
    assert own.high is not None
    assert own.low < own.x < own.high
    for panel in panels.values():
        for mark in panel.marks:
            assert LEFT <= mark.x <= RIGHT
            assert mark.low is not None
            assert mark.high is not None
            assert LEFT <= mark.low <= mark.high <= RIGHT
    assert f1.description.startswith("this engine: 16.1\N{NO-BREAK SPACE}%, interval 15.7–16.4; constant string: 21.2")


def test_chance_is_what_was_counted(record) -> None:
    panels = {panel.key: panel for panel in chance_panels(score_rows(record))}
    assert list(panels) == ["perplexity", "hits_1", "mrr"]
    assert [(mark.name, mark.written) for mark in panels["hits_1"].marks] == [
        ("this engine", "41.3\N{NO-BREAK SPACE}%"),
        ("chance", "5.0\N{NO-BREAK SPACE}%"),
        ("persona word overlap", "20.4\N{NO-BREAK SPACE}%"),
    ]
    assert panels["mrr"].marks[1].written == "0.180"
    assert [(mark.name, mark.written) for mark in panels["perplexity"].marks] == [
        ("this engine", "18.42"),
        ("token frequency", "263.82"),
        ("chance", "50,257"),
    ]
    one, hundred = (x for x, written in panels["perplexity"].ticks if written in ("1", "100"))
    ten = (one + hundred) / 2
    assert ten < panels["perplexity"].marks[0].x < hundred, "18.42 on a logarithmic axis"


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"name": "a.txt", "split": "a.txt", "detokenised": True}, "a.txt, detokenised text"),
        ({"name": "org/set:test", "split": "test"}, "org/set:test"),
        ({"name": "a", "limit": 9, "dialogues": 5, "dialogues_in_file": 5}, "5 dialogues of a"),
        ({"name": "a", "limit": 9, "dialogues": 9}, "9 dialogues of a, a sample"),
    ],
)
def test_the_data_in_a_line(data, line) -> None:
    assert subject_lines({"data": data})[0] == line


def test_what_to_know_fits_what_was_measured(record) -> None:
    record["engine"]["kind"] = "url"
    record["scores"] = {"f1": record["scores"]["f1"]}
    greedy, likeness = reading_notes(record)
    assert greedy == "Greedy decoding takes the likeliest token each time.", "a server is not asked how it samples"
    assert likeness.startswith("F1 and BLEU")
    record["decoding"]["method"] = "sampling"
    assert reading_notes(record) == [likeness]


def test_recall_is_read_beside_guessing(record) -> None:
    rows = score_rows(record)
    recall = next(each for each in highlights(rows) if each.name == "Fact recall")
    assert recall.verdict == "With its persona out of sight: 6.5\N{NO-BREAK SPACE}%."
    marks = next(panel.marks for panel in baseline_panels(rows) if panel.key == "fact_recall")
    assert [(mark.name, mark.written) for mark in marks] == [
        ("this engine", "61.5\N{NO-BREAK SPACE}%"),
        ("without persona", "6.5\N{NO-BREAK SPACE}%"),
    ]
