"""Details of any shape, made readable."""

from __future__ import annotations

from personable.evaluation.page.outline import Grid, Items, Pairs, Talk, Text, outline


def test_details_take_the_shape_that_fits_them() -> None:
    counts = {"hobby": {"asked": 80, "share": 72.5}, "family": {"asked": 60, "share": 51.66667}}
    assert outline(counts) == Grid(
        ("", "Asked", "Share"),
        (
            (Text("hobby"), Text("80", number=True), Text("72.5", number=True)),
            (Text("family"), Text("60", number=True), Text("51.67", number=True)),
        ),
    )
    assert outline([{"a": 1, "b": None}, {"a": -2.5}]) == Grid(
        ("A", "B"), ((Text("1", number=True), Text("–")), (Text("−2.5", number=True), Text("–")))
    )
    long = [{"question": "?" * 60}, {"question": "!"}]
    assert outline(long) == Items((Pairs((("Question", Text("?" * 60)),)), Pairs((("Question", Text("!")),))), ())
    assert outline([{"speaker": "partner", "text": "hi"}]) == Talk((("partner", "hi"),))
    assert outline(["x"] * 7) == Items((Text("x"),) * 5, (Text("x"),) * 2)
    assert outline([1, 2, 3]) == Text("1, 2, 3")
    assert outline({"peak_bytes": 2_000_000, "wait_seconds": 61, "seed": 20261122, "on": True, "rows": []}) == Pairs(
        (
            ("Peak", Text("2 MB", number=True)),
            ("Wait", Text("1 min 1 s", number=True)),
            ("Seed", Text("20261122", number=True)),
            ("On", Text("yes")),
            ("Rows", Text("none")),
        )
    )
