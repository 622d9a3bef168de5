"""What a report says of a run, without a browser; see test_report_page for the page in one."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

from mergekit_cycleqd.errors import JournalError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.report import write_report
from mergekit_cycleqd.report.curves import POINTS, curves, spaced
from mergekit_cycleqd.report.libraries import ReportError
from mergekit_cycleqd.report.masks import _picture
from mergekit_cycleqd.report.overview_figure import draw_overview
from mergekit_cycleqd.report.page import script_json
from mergekit_cycleqd.report.panels import panels
from mergekit_cycleqd.report.tables import write_csv
from mergekit_cycleqd.report.time_spent import by_part, by_worker, pace
from mergekit_cycleqd.run_folder.comparison import comparison
from mergekit_cycleqd.run_folder.example_masks import Pictures
from mergekit_cycleqd.run_folder.journal_reading import FILE
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.search.cycleqd import CycleQD
from tests.support.recipes import RecipeMaker
from tests.support.report_pages import Page
from tests.support.runs import main_ok
from tests.support.scored_runs import EVIL, SAMPLES, write_run

Made = tuple[Path, CycleQD]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made") / "run"
    return folder, write_run(folder, children=120)


@pytest.fixture(scope="module")
def page(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Page:
    (file,) = write_report(made[0], tmp_path_factory.mktemp("page"), ["html"])
    return Page(file)


def indices(search: CycleQD) -> dict[str, list[int]]:
    return {task: [elite.index for elite in search.elites(task)] for task in search.tasks}


def test_the_navigation_leads_to_every_section(page: Page) -> None:
    listed = re.search(r"<nav.*?</nav>", page.text, flags=re.DOTALL)
    assert listed is not None
    links = re.findall(r'href="#([a-z]+)"', listed[0])
    assert links == re.findall(r'<section id="([a-z]+)"', page.text)
    assert {"result", "curves", "similarity", "failures"} <= set(links)


def test_the_page_holds_the_elites_and_all_their_ancestors(made: Made, page: Page) -> None:
    assert page.data["elites"] == indices(made[1])
    candidates = page.data["candidates"]
    for _, parents, scores in candidates.values():
        assert len(scores) == 3
        assert all(str(parent) in candidates for parent in parents)
    assert all(not candidates[str(expert)][1] for expert in range(3))


def test_the_recipe_of_every_elite_is_in_the_page_and_gives_back_its_genome(
    made: Made, page: Page
) -> None:
    elites = {e.index: e for task in made[1].tasks for e in made[1].elites(task)}
    recipes = page.unpacked("recipes")
    assert json.loads(recipes).keys() == {str(index) for index in elites}
    for index, text in json.loads(recipes).items():
        assert Genome.from_mergekit(yaml.safe_load(text)) == elites[int(index)].genome


def test_each_cell_of_a_picture_names_its_best_elite(made: Made, page: Page) -> None:
    figure = page.data["figures"]["archive-1-0"]["data"][0]
    archive = made[1].archives["db"]
    shown = {
        (column, row): index
        for row, line in enumerate(figure["customdata"])
        for column, index in enumerate(line)
        if index is not None
    }
    assert shown == {archive.cell_of(elite): elite.index for elite in archive.elites}
    for (column, row), index in shown.items():
        assert figure["z"][row][column] == page.data["candidates"][str(index)][2][1]
    assert len(figure["x"]) == 11 and figure["x"][0] == 0 and figure["x"][-1] == 1


@pytest.mark.parametrize(("experts", "pictures"), [(2, 1), (4, 3), (5, 6)])
def test_an_archive_is_shown_along_every_pair_of_axes_or_as_a_strip(
    experts: int, pictures: int, tmp_path: Path
) -> None:
    search = write_run(tmp_path, experts, 40, bins=6)
    for archive in search.archives.values():
        shown = panels(archive)
        assert len(shown) == pictures
        if experts == 2:
            assert shown[0].up is None
            continue
        for panel, (x, y) in zip(shown, combinations(range(experts - 1), 2), strict=True):
            assert panel.up is not None
            assert (panel.across.task, panel.up.task) == (archive.axes[x], archive.axes[y])
            best: dict[tuple[int, int], float] = {}
            for elite in archive.elites:
                cell = archive.cell_of(elite)
                quality = elite.scores[archive.task]
                best[cell[x], cell[y]] = max(best.get((cell[x], cell[y]), 0.0), quality)
            assert best == {c: e.scores[archive.task] for c, e in panel.best.items()}


def test_curves_start_at_the_experts_and_end_at_the_archives(made: Made) -> None:
    folder, search = made
    found = curves(RunView.read(folder))
    assert found is not None
    assert found.children[0] == 0 and found.children[-1] == 120
    for task, archive in search.archives.items():
        assert found.qd_score[task][-1] == archive.qd_score
        assert found.coverage[task][-1] == archive.coverage
        assert found.best[task][-1] == archive.elites[0].scores[task]
        assert found.coverage[task] == sorted(found.coverage[task])
        assert found.best[task][0] < found.best[task][-1]


@pytest.mark.parametrize("last", [0, 1, 498, 499, 500, 12345])
def test_long_curves_are_thinned_evenly_to_500_points(last: int) -> None:
    points = spaced(last)
    assert points[0] == 0 and points[-1] == last
    assert len(points) == min(last + 1, POINTS) == len(set(points))
    steps = {b - a for a, b in pairwise(points)}
    assert not steps or max(steps) - min(steps) <= 1


def test_scores_have_wilson_intervals_and_sample_counts(made: Made, page: Page) -> None:
    table = comparison(RunView.read(made[0]))
    assert table.keys() == {"search", "holdout"}
    names = [row.model for row in table["holdout"].rows]
    assert names[:2] == ["base", "expert: coding"] and names[-1] == "aggregate"
    for row in (*table["search"].rows, *table["holdout"].rows):
        for score in row.scores.values():
            assert score.samples == SAMPLES and score.interval is not None
            low, high = score.interval
            share = score.value
            for bound in (low, high):  # what defines the interval, but for clipping
                if 1e-9 < bound < 1 - 1e-9:
                    z = abs(bound - share) / (bound * (1 - bound) / SAMPLES) ** 0.5
                    assert z == pytest.approx(1.96, abs=1e-3)
    shown = table["holdout"].rows[1].scores["coding"].interval
    assert shown is not None
    assert f"<small>[{shown[0]:.3f}, {shown[1]:.3f}]</small>" in page.text
    assert "coding (n=200)" in page.text


def test_a_metric_that_is_no_share_of_the_samples_has_no_interval(tmp_path: Path) -> None:
    write_run(tmp_path, 2, 10, spoilt="db")
    for row in comparison(RunView.read(tmp_path))["search"].rows:
        assert row.scores["coding"].interval is not None
        assert row.scores["db"].interval is None and row.scores["db"].samples == SAMPLES


def test_sample_counts_without_an_end_come_from_the_summary(
    make_recipe: RecipeMaker, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    main_ok([str(make_recipe()), "--out", str(run)])
    files = write_report(run)
    page = Page(files[0])
    summary = (run / "summary.md").read_text()
    (line,) = [line for line in summary.splitlines() if line.startswith("| aggregate |")]
    for split, first in (("search", 2), ("holdout", 6)):
        scores = comparison(RunView.read(run))[split].rows[-1].scores
        assert [f"{s.value:.3f}" for s in scores.values()] == line.split(" | ")[
            first - 1 : first + 2
        ]
        assert f"red ({split}, n={scores['red'].samples})" in summary
        assert f"red (n={scores['red'].samples})" in page.text
    assert "12 of 12" in page.text and "finished searching" in page.text
    suffixes = {file.suffix for file in files}
    assert suffixes == {".html", ".png", ".svg", ".csv", ".parquet"}
    assert all(file.parent == run / "report" and file.stat().st_size for file in files)


def test_time_is_told_by_part_and_by_worker(made: Made) -> None:
    run = RunView.read(made[0])
    parts = {spent.name: spent for spent in by_part(run)}
    assert parts["experts"].evaluations == 3
    assert parts["children"].evaluations == 120 and parts["children"].failed == 2
    assert parts["compared models, holdout samples"].mean == 2.5
    workers = {spent.name: spent.evaluations for spent in by_worker(run)}
    assert workers["gpu-0"] + workers["gpu-1"] == 123
    assert sum(s.seconds for s in parts.values()) == pytest.approx(
        sum(e.seconds for e in run.evaluations)
    )
    ends, means = pace(run, points=7)
    assert ends[-1] == 120 and len(ends) == len(means) == 7
    assert all(1 < mean < 1.7 for mean in means)


def test_a_run_in_progress_is_read_without_its_lock_and_left_as_it_is(tmp_path: Path) -> None:
    run = tmp_path / "run"
    search = write_run(run, children=100, stop_after=30)
    journal = run / FILE
    with journal.open("ab") as stream:
        stream.write(b'{"kind":"candidate","index":')
    before = journal.read_bytes()
    with FileLock(run / ".lock"):
        (file,) = write_report(run, None, ["html"])
    assert journal.read_bytes() == before
    assert {path.name for path in run.iterdir()} <= {FILE, ".lock", "report"}
    page = Page(file)
    assert "30 of 100" in page.text and "in progress" in page.text
    assert page.data["elites"] == indices(search)


@pytest.mark.parametrize("left", ["first byte", "half", "all but its end", "zeros"])
def test_a_last_line_that_is_half_written_is_left_out_of_the_report(
    left: str, made: Made, tmp_path: Path
) -> None:
    *lines, last = (made[0] / FILE).read_bytes().splitlines(keepends=True)[:40]
    torn = {
        "first byte": last[:1],
        "half": last[: len(last) // 2],
        "all but its end": last[:-1],
        "zeros": last[:20] + bytes(len(last) - 21) + b"\n",
    }[left]
    whole = tmp_path / "whole"
    whole.mkdir()
    (whole / FILE).write_bytes(b"".join(lines))
    (tmp_path / FILE).write_bytes(b"".join([*lines, torn]))
    shown, expected = (Page(write_report(run, None, ["html"])[0]) for run in (tmp_path, whole))
    assert "in progress" in shown.text
    assert shown.data == expected.data
    (tmp_path / FILE).write_bytes(b"".join([*lines[:20], last[:-9] + b"\n", *lines[20:]]))
    with pytest.raises(JournalError, match="line 21 is damaged"):
        write_report(tmp_path, None, ["html"])


@pytest.mark.parametrize("lines", [1, 3, 4, 5])
def test_a_run_whose_experts_are_not_all_evaluated_has_a_report_too(
    lines: int, made: Made, tmp_path: Path
) -> None:
    content = (made[0] / FILE).read_bytes().splitlines(keepends=True)[:lines]
    (tmp_path / FILE).write_bytes(b"".join(content))
    files = write_report(tmp_path)
    page = Page(files[0])
    assert "when all experts were evaluated" in page.text
    assert ("expert: db" in page.text) == (lines > 1)
    assert not [file for file in files if file.suffix == ".png"]


def test_a_run_that_went_on_with_more_children_is_shown_whole(tmp_path: Path) -> None:
    search = write_run(tmp_path, children=80, planned=20)
    page = Page(write_report(tmp_path, None, ["html"])[0])
    assert "80 of 80" in page.text
    assert page.data["elites"] == indices(search)


def test_a_damaged_journal_is_named_with_its_line(made: Made, tmp_path: Path) -> None:
    content = (made[0] / FILE).read_bytes()
    lines = content.splitlines(keepends=True)
    lines[7] = lines[7].replace(b"gpu", b"GPU")
    (tmp_path / FILE).write_bytes(b"".join(lines))
    with pytest.raises(JournalError, match="line 8 is damaged"):
        write_report(tmp_path)
    with pytest.raises(JournalError, match="needs a run"):
        write_report(tmp_path / "nowhere")
    assert not (tmp_path / "report").exists() and not (tmp_path / "nowhere").exists()


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))

    def of(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.found if name == tag)


def test_what_a_run_says_is_text_and_never_markup(page: Page) -> None:
    assert EVIL not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp;" in page.text
    assert [each.get("id") for each in Elements(page.text).of("script")] == [
        "data",
        "recipes",
        "plotly",
        None,
    ]


def test_no_string_of_the_data_ends_its_script_element() -> None:
    text = script_json({"name": EVIL})
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"name": EVIL}


def test_the_page_fetches_nothing_and_describes_its_pictures(page: Page) -> None:
    elements = Elements(page.text)
    for _, attributes in elements.found:
        for key in ("src", "href"):
            assert re.match(r"#|data:", attributes.get(key) or "#")
        if attributes.get("role") == "img":
            assert attributes["aria-label"]
    parts = [f"#{each['id']}" for each in elements.of("section")]
    linked = [each["href"] for each in elements.of("a")]
    assert linked == [part for part in parts if part in linked] and "#similarity" in linked
    (policy,) = (each["content"] for each in elements.of("meta") if "http-equiv" in each)
    assert policy is not None and policy.startswith("default-src 'none'")
    assert "unsafe-inline" not in policy.split(";")[1] and policy.count("'sha256-") == 2
    drawn = [each["id"] for each in elements.of("div") if each.get("class") == "plot"]
    assert drawn == list(page.data["figures"])


def test_the_figures_are_what_plotly_accepts(page: Page) -> None:
    from plotly.graph_objects import Figure

    for figure in page.data["figures"].values():
        Figure(figure)


def test_tables_say_the_same_as_csv_and_as_parquet(made: Made, tmp_path: Path) -> None:
    from pyarrow import parquet

    folder, search = made
    write_report(folder, tmp_path, ["csv", "parquet"])
    names = {"comparison", "elites", "curves", "evaluations", "time"}
    assert {file.stem for file in tmp_path.iterdir()} == names
    for name in names:
        with (tmp_path / f"{name}.csv").open(newline="") as stream:
            flat = list(csv.DictReader(stream))
        rows: list[dict[str, Any]] = parquet.read_table(tmp_path / f"{name}.parquet").to_pylist()
        assert flat == [
            {key: "" if value is None else str(value) for key, value in row.items()} for row in rows
        ]
    elites = parquet.read_table(tmp_path / "elites.parquet").to_pylist()
    assert [row["index"] for row in elites if row["archive"] == "os"] == indices(search)["os"]
    errors = parquet.read_table(tmp_path / "evaluations.parquet").column("error").to_pylist()
    assert errors.count(EVIL) == 2


@pytest.mark.slow
@pytest.mark.costly
def test_still_pictures_come_again_byte_for_byte(made: Made, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_report(made[0], tmp_path / name, ["png", "svg"])
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    stems = ["archive-coding", "archive-db", "archive-os", "curves", "overview", "time"]
    assert files == [f"{stem}.{kind}" for stem in stems for kind in ("png", "svg")]
    for file in files:
        content = (tmp_path / "one" / file).read_bytes()
        assert content.startswith(b"\x89PNG" if file.endswith("png") else b"<?xml")
        assert content == (tmp_path / "two" / file).read_bytes()


def test_the_overview_shows_experts_and_best_merge_on_pages_of_either_colour(
    made: Made, tmp_path: Path
) -> None:
    folder, search = made
    view = RunView.read(folder)
    (light,) = draw_overview(view, tmp_path / "light", ["svg"])
    (dark,) = draw_overview(view, tmp_path / "dark", ["svg"], dark=True)
    for file, ink in ((light, "#1f2328"), (dark, "#e6edf3")):
        text = file.read_text()
        words = re.findall(r"<text[^>]*>(.*?)</text>", text)
        for task in search.tasks:
            assert f"expert {task}" in words and task in words
        assert words.count("best merge") == 2 and "Scores on holdout samples" in words
        assert f"fill: {ink}" in text
    best = search.best_all_round().genome
    scores = view.scores(best, "holdout")
    assert scores and all(f">{value:.3f}<" in light.read_text() for value in scores.values())


def test_a_missing_library_is_said_in_one_line_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(
        ReportError, match=r"needs plotly.*pip install 'mergekit-cycleqd\[report\]'"
    ):
        write_report(tmp_path)
    write_run(tmp_path, children=5)
    assert write_report(tmp_path, None, ["csv"])


def test_no_cell_of_a_table_is_a_formula(tmp_path: Path) -> None:
    rows = [{"worker": text, "seconds": -1.5} for text in ("=cmd|' /C calc'!A0", "+1", " @x", "a=")]
    write_csv(rows, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as stream:
        found = [(row["worker"], row["seconds"]) for row in csv.DictReader(stream)]
    assert [text for text, _ in found] == ["'=cmd|' /C calc'!A0", "'+1", "' @x", "a="]
    assert {number for _, number in found} == {"-1.5"}


def test_settings_of_the_working_directory_change_no_figure(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = {
        file.name: file.read_bytes() for file in write_report(made[0], tmp_path / "a", ["svg"])
    }
    matplotlib = pytest.importorskip("matplotlib")
    with matplotlib.rc_context({"font.size": 50, "text.usetex": True}):  # as a matplotlibrc there
        files = write_report(made[0], tmp_path / "b", ["svg"])
    assert {file.name: file.read_bytes() for file in files} == plain


def test_pictures_are_those_beside_their_index_alone(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"no picture")
    (tmp_path / "pictures").mkdir()
    for name in ("../secret.png", str(tmp_path / "secret.png"), "a/b.png", ".png", 5, None):
        sample = {"task": "red", "sample": 0, "image": name, "truth": "a.png", "found": {}}
        content = {"version": 1, "models": {}, "samples": [sample]}
        (tmp_path / "pictures" / "index.json").write_text(json.dumps(content))
        assert Pictures.read(tmp_path) is None, name
    (tmp_path / "pictures" / "a.png").symlink_to(tmp_path / "secret.png")
    assert "img" not in _picture(tmp_path / "pictures" / "a.png", "")
    assert "img" not in _picture(tmp_path / "secret.png", ""), "it is none"
