"""The page of a report: one file that needs nothing else, in which hostile text stays text."""

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

import pytest

import campaign_book
from campaign_book import Planted, Shape, fill, finding
from nodeproof_bench.analysis.fleet import Judgement
from nodeproof_bench.campaign.assess import Assessment
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.report import document as report
from nodeproof_bench.campaign.report.html import MOST_ROWS, page
from nodeproof_bench.campaign.report.plots import axis, change_rows, heat_map, labels, strip

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'

#: Elements that HTML closes by itself.
VOID = {"meta", "br", "input", "path", "rect", "circle", "link", "img"}


class Page(HTMLParser):
    """What a browser would see of a page: elements, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements, self.attributes, self.text = Counter[str](), list[tuple[str, str, str]](), list[str]()
        self.open, self.ids, self.contents = list[str](), list[str](), dict[str, list[str]]()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        self.contents.setdefault(self.open[-1] if self.open else "", []).append(data)


def documented(book: Book, campaign_id: str) -> dict[str, Any]:
    nothing = Assessment(Judgement((), {}, 120, 0.4, {}), {})
    return report.write(book, book.campaign(campaign_id), nothing)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return a document in which every part of the page has something to show. Nobody changes it."""
    with campaign_book.book(tmp_path_factory.mktemp("full")) as book:
        return _full(book)


@pytest.fixture(scope="module")
def text(full: dict[str, Any]) -> str:
    """Return the page of that document."""
    return page(full)


def _full(book: Book) -> dict[str, Any]:
    triad = "memory.triad --node 0"
    fill(book, Planted(), Shape(id="aaaa0001", began=campaign_book.BEGAN - 86400, seed=3))
    planted = Planted(
        factors={"n03": {triad: 0.85}},
        hot={"n06": {"cpu.frequency": 0.8}},
        pair_factors={"n05": 1.5},
        facts={"n11": {"smbios.bios_version": "2.6.0"}},
        failed_checks={"n02": ("memory.dimms", "15 modules, expected 16")},
        without_result=["n08"],
        skipped={"n07": "down"},
    )
    id_ = fill(book, planted)
    book.set_findings(
        id_,
        [
            finding(id_, "n03", metric=triad, loss=0.15, state="confirmed"),
            finding(id_, "n05", metric="net.latency spinning 1 B", detector="pairs", loss=0.5),
            finding(id_, path="leaf1 - leaf2", metric="net.latency spinning 1 B", detector="pairs", loss=0.3),
        ],
    )
    return documented(book, id_)


def test_the_page_is_well_formed_and_its_contents_lead_somewhere(text: str) -> None:
    shown = Page(text)

    assert shown.open == []
    assert len(shown.ids) == len(set(shown.ids))
    targets = {value[1:] for _, name, value in shown.attributes if name == "href"}
    assert targets
    assert targets <= set(shown.ids)


def test_every_part_is_on_the_page(full: dict[str, Any], text: str) -> None:
    shown = Page(text)
    read = " ".join(" ".join(shown.text).split())

    for words in (
        "15 modules, expected 16",
        "n03: 15.0 % worse",
        "2.6.0",
        "leaf1 - leaf2",
        f"n06 {axis.MINUS}20",
        "Since last time",
    ):
        assert words in read, words
    assert shown.elements["svg"] >= len(full["metrics"]) + len(full["pairs"]) + 2


def test_nothing_is_loaded_from_anywhere(text: str) -> None:
    assert not re.search(r"https?://|//[a-z]|url\(|@import|src=", text)
    assert not {"link", "img", "iframe", "object", "base", "form"} & Page(text).elements.keys()


def test_its_own_policy_allows_just_the_style_and_script_in_it(text: str) -> None:
    shown = Page(text)
    (policy,) = [v for tag, name, v in shown.attributes if tag == "meta" and name == "content" and "default-src" in v]

    assert policy.startswith("default-src 'none'; ")
    for kind in ("style", "script"):
        digest = hashlib.sha256("".join(shown.contents[kind]).encode()).digest()
        assert f"{kind}-src 'sha256-{base64.b64encode(digest).decode()}'" in policy
    assert not [name for _, name, _ in shown.attributes if name == "style" or name.startswith("on")]


def test_hostile_text_in_every_place_stays_text(full: dict[str, Any], text: str) -> None:
    clean, evil = Page(text), Page(page(_with_evil(full)))

    assert evil.elements == clean.elements
    assert {(tag, name) for tag, name, _ in evil.attributes} == {(tag, name) for tag, name, _ in clean.attributes}
    assert any("<script>alert(1)" in words for words in evil.text)


#: Words that the page itself understands: those of the report's own making.
_OWN = {"verdict", "unit", "status", "state", "schema", "before", "now", "phase_kind", "detector", "kind"}


def _with_evil(value: Any, key: str = "") -> Any:
    """Return a document with hostile words behind each of its texts."""
    match value:
        case dict():
            return {k: _with_evil(v, k) for k, v in value.items()}
        case list():
            return [_with_evil(item, key) for item in value]
        case str() if value and key not in _OWN:
            return f"{value}{EVIL}"
    return value


def test_texts_that_reorder_or_forge_lines_are_made_plain(book: Book) -> None:
    id_ = fill(book)
    book.set_findings(id_, [finding(id_, "n03", text="slow\u202egnihton\u2066 \x07 \x1b[31m")])
    text = page(documented(book, id_))

    assert "slow?gnihton? ? ?[31m" in text
    assert not set(text) & {"\u202e", "\u2066", "\x07", "\x1b"}


def test_every_sortable_head_is_a_button_and_tells_its_order(text: str) -> None:
    shown = Page(text)
    sortable = [1 for tag, name, _ in shown.attributes if tag == "th" and name == "aria-sort"]

    assert len(sortable) == shown.elements["button"] == shown.elements["th"]


def test_a_verdict_is_a_sign_and_a_word_and_not_a_colour_alone(text: str) -> None:
    read = "".join(Page(text).text)

    for words in ("✕ bad", "? unknown", "✓ ok", "\N{EN DASH} skipped"):
        assert words in read


def test_a_campaign_without_any_result_has_a_page_too(book: Book) -> None:
    id_ = fill(book, Planted(without_result=campaign_book.names(Shape())))
    shown = Page(page(documented(book, id_)))

    assert shown.open == []
    assert "0 of 12 nodes are fit to work" in " ".join(" ".join(shown.text).split())


def test_of_ten_thousand_nodes_the_page_is_small_and_says_what_it_leaves_out(full: dict[str, Any]) -> None:
    large = page(_of_many(full, 10_000))

    assert len(large) < 10_000_000
    assert f"… and {10_000 - MOST_ROWS} more: see the JSON document." in large


def _of_many(document: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Return the document with many nodes, as it would be: distributions without single values."""
    node = document["nodes"][0]
    metrics = [{**m, "count": count, "values": []} for m in document["metrics"]] * 8
    return {
        **document,
        "nodes": [{**node, "node": f"n{n:05d}"} for n in range(count)],
        "metrics": metrics,
        "under_heat": [{**c, "values": []} for c in document["under_heat"]],
    }


def test_the_document_is_all_that_the_page_needs(full: dict[str, Any], text: str) -> None:
    assert page(json.loads(json.dumps(full))) == text


# drawings


@pytest.mark.parametrize(
    ("low", "high", "unit", "expected"),
    [
        (195e9, 212e9, "B/s", (["195", "200", "205", "210"], "GB/s")),
        (9.9e-6, 1.21e-5, "s", (["10", "11", "12"], "µs")),
        (0.0, 1.0, "1", (["0.0", "0.5", "1.0"], "")),
        (-12.0, 1.0, "%", ([f"{axis.MINUS}10", f"{axis.MINUS}5", "0"], "%")),
    ],
)
def test_an_axis_has_round_figures_with_the_unit_that_fits(
    low: float, high: float, unit: str, expected: tuple[list[str], str]
) -> None:
    ticks, name = axis.ticks(axis.axis(low, high, 0.0, 100.0), unit)

    assert ([tick.text for tick in ticks], name) == expected
    assert all(0 <= tick.x <= 100 for tick in ticks)


def test_an_axis_of_one_value_has_it_in_the_middle() -> None:
    assert axis.axis(5.0, 5.0, 0.0, 100.0).x(5.0) == 50.0
    assert axis.axis(0.0, 0.0, 0.0, 100.0).x(0.0) == 50.0


def test_names_lie_over_no_other_name_and_the_first_ones_win() -> None:
    wanted = [labels.Wanted(100.0 + n, 70.0, f"node{n:02d}: 12.0 % worse") for n in range(10)]
    found = labels.placed(wanted, (10.0, 20.0), 0.0, 360.0)

    assert [label.text for label in found] == ["node00: 12.0 % worse", "node01: 12.0 % worse"]
    assert len({label.y for label in found}) == 2


def test_a_node_far_off_is_at_the_edge_and_does_not_squeeze_the_others(full: dict[str, Any]) -> None:
    flops = next(m for m in full["metrics"] if m["metric"] == "cpu.flops")
    far = {"node": "n99", "value": flops["median"] / 100, "loss": 0.99, "state": "suspect", "detector": "class"}
    quantiles = {**flops["quantiles"], "0": far["value"]}
    drawn = strip.strip({**flops, "outliers": [far], "quantiles": quantiles})

    assert drawn.marks[0].is_off
    assert drawn.marks[0].x == min(mark.x for mark in drawn.marks) < 20
    assert max(x for x, _ in drawn.dots) - min(x for x, _ in drawn.dots) > 30


def test_every_node_is_a_dot_or_a_mark(full: dict[str, Any]) -> None:
    for metric in full["metrics"]:
        drawn = strip.strip(metric)
        assert len(drawn.dots) + len(drawn.marks) == metric["count"]


def test_of_many_nodes_columns_are_drawn(full: dict[str, Any]) -> None:
    flops = next(m for m in full["metrics"] if m["metric"] == "cpu.flops")
    values = [{"node": f"n{n}", "value": row["value"]} for n, row in enumerate(flops["values"] * 100)]
    drawn = strip.strip({**flops, "values": values})

    assert drawn.dots == ()
    assert 0 < len(drawn.columns) <= 11


def test_worse_is_to_the_left_whichever_way_is_better(full: dict[str, Any]) -> None:
    drawn = change_rows.change_rows(full["under_heat"], has_classes=False)
    changes = {c["metric"]: c for c in full["under_heat"]}

    assert drawn.rows[0].title == "cpu.frequency"
    assert drawn.rows[0].marks[0] < drawn.rows[0].middle
    assert changes["cpu.frequency"]["changed"][0]["loss"] > 0


def test_a_map_has_each_pair_twice_and_signs_the_worst(full: dict[str, Any]) -> None:
    metric = next(p for p in full["pairs"] if "latency" in p["metric"])
    drawn = heat_map.heat_map(metric)

    assert drawn is not None
    assert sum(path.count("z") for path in drawn.levels) == 2 * metric["count"]
    worse = sum(row["loss"] > 0.25 for row in metric["values"])
    assert worse > 0
    assert drawn.signs.count("M") == 2 * worse
    assert [name.text for name in drawn.names if name.is_suspect] == ["n05"]


def test_of_too_many_nodes_there_is_no_map(full: dict[str, Any]) -> None:
    metric = full["pairs"][0]

    assert heat_map.heat_map({**metric, "nodes": [f"n{n}" for n in range(129)]}) is None
