"""The page of a report in a real browser, opened from disk."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.report import write_report
from tests.support.costly import costly
from tests.support.report_pages import Page
from tests.support.scored_runs import TASKS, write_run

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


def missing(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
@costly
def browser() -> Iterator[Any]:
    program = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if program is None:
        missing("needs Chromium: apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        missing("needs playwright: pip install playwright")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=[2, 3, 4, 5], ids="K={}".format)
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Page:
    folder = tmp_path_factory.mktemp("run")
    write_run(folder, request.param, 120, bins=8)
    return Page(write_report(folder, None, ["html"])[0])


class Window:
    """A window with the page, and all that its console and its network saw."""

    def __init__(self, browser: Any, page: Page, *, width: int = 1280, scheme: str = "light"):
        size = {"width": width, "height": 900}
        self.context = browser.new_context(viewport=size, color_scheme=scheme)
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.tab = self.context.new_page()
        self.seen: list[str] = []
        self.tab.on("console", lambda message: self.seen.append(message.text))
        self.tab.on("pageerror", lambda error: self.seen.append(str(error)))
        self.tab.on("request", self._request)
        self.url = page.file.as_uri()
        self.tab.goto(self.url)

    def _request(self, request: Any) -> None:
        if request.url != self.url and not request.url.startswith(("data:", "blob:")):
            self.seen.append(request.url)

    def draw_all(self) -> int:
        plots = self.tab.locator("main .plot")
        for i in range(plots.count()):
            plots.nth(i).scroll_into_view_if_needed()
            self.tab.locator("main .plot[data-drawn] .main-svg").nth(i).wait_for(state="attached")
        return int(plots.count())

    def cell(self, index: int, plot: str = "archive-0-0") -> tuple[float, float]:
        """Where in the window the middle of an elite's cell is."""
        self.tab.locator(f"#{plot}").scroll_into_view_if_needed()
        self.tab.locator(f"#{plot}[data-drawn]").wait_for()
        x, y = self.tab.evaluate(
            """([plot, index]) => {
              const place = document.getElementById(plot), { xaxis, yaxis } = place._fullLayout;
              const trace = place.data[0];
              const row = trace.customdata.findIndex((line) => line.includes(index));
              const column = trace.customdata[row].indexOf(index);
              const middle = (edges, i) => (edges[i] + edges[i + 1]) / 2;
              const corner = place.getBoundingClientRect();
              return [corner.x + xaxis._offset + xaxis.l2p(middle(trace.x, column)),
                      corner.y + yaxis._offset + yaxis.l2p(middle(trace.y, row))];
            }""",
            [plot, index],
        )
        return x, y


def an_elite(page: Page) -> int:
    """A child that its first archive's first picture shows."""
    shown = page.data["figures"]["archive-0-0"]["data"][0]["customdata"]
    return max(index for row in shown for index in row if index is not None)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_draws_everything_from_disk_without_an_error_or_a_request(
    browser: Any, page: Page, width: int, scheme: str
) -> None:
    window = Window(browser, page, width=width, scheme=scheme)
    assert window.draw_all() == len(page.data["figures"])
    assert window.seen == []
    assert window.tab.evaluate("document.documentElement.scrollWidth") == width
    assert window.tab.locator("#trouble").is_hidden()
    window.context.close()


def test_a_click_on_an_elite_opens_its_panel_and_its_recipe_can_be_copied(
    browser: Any, page: Page
) -> None:
    window, index = Window(browser, page), an_elite(page)
    window.tab.mouse.click(*window.cell(index))
    panel = window.tab.get_by_role("dialog", name=f"Candidate {index}")
    panel.wait_for()
    _, parents, scores = page.data["candidates"][str(index)]
    for task, score in zip(page.data["tasks"], scores, strict=True):
        assert panel.get_by_role("row", name=f"{task} {score:.4f}").is_visible()
    for parent in parents:
        assert panel.get_by_role("button", name=f"candidate {parent}", exact=True).count()
    panel.get_by_role("button", name="Copy recipe").click()
    panel.get_by_text("copied").wait_for()
    copied = window.tab.evaluate("navigator.clipboard.readText()")
    assert copied == json.loads(page.unpacked("recipes"))[str(index)]
    panel.locator(".plot .main-svg").first.wait_for()
    assert window.seen == []
    window.context.close()


def test_hovering_shows_number_scores_and_parents(browser: Any, page: Page) -> None:
    window, index = Window(browser, page), an_elite(page)
    x, y = window.cell(index)
    window.tab.mouse.move(x - 3, y - 3)
    window.tab.mouse.move(x, y)
    label = window.tab.locator("#archive-0-0 .hovertext")
    label.wait_for()
    _, parents, scores = page.data["candidates"][str(index)]
    text = label.text_content()
    assert f"candidate {index}" in text and f"coding {scores[0]:.3f}" in text
    assert " and ".join(map(str, parents)) in text
    window.context.close()


def test_the_panel_is_reached_and_left_by_keyboard_alone(browser: Any, page: Page) -> None:
    window = Window(browser, page)
    keyboard = window.tab.keyboard
    focused = "document.activeElement.textContent"
    for _ in range(60):
        keyboard.press("Tab")
        if "List of the" in window.tab.evaluate(focused):
            break
    keyboard.press("Enter")
    while not window.tab.evaluate(focused).isdecimal():
        keyboard.press("Tab")
    best = page.data["elites"]["coding"][0]
    assert window.tab.evaluate(focused) == str(best)
    keyboard.press("Enter")
    panel = window.tab.get_by_role("dialog", name=f"Candidate {best}")
    panel.wait_for()
    assert window.tab.evaluate("document.activeElement.closest('dialog') !== null")
    keyboard.press("Escape")
    panel.wait_for(state="hidden")
    assert window.tab.evaluate(focused) == str(best)
    window.context.close()


def test_the_lineage_of_an_elite_opens_down_to_the_experts(browser: Any, page: Page) -> None:
    window = Window(browser, page)
    window.tab.mouse.click(*window.cell(an_elite(page)))
    closed = window.tab.locator("dialog details:not([open]) > summary")
    window.tab.locator("dialog details").first.wait_for()
    while closed.count():
        closed.last.click(position={"x": 4, "y": 10})
    assert window.tab.locator("dialog details").last.get_by_text("expert of").count()
    sentence = window.tab.get_by_text("back to the experts of").text_content()
    assert any(task in sentence for task in TASKS)
    window.context.close()


def test_pictures_follow_when_the_system_turns_dark(browser: Any, page: Page) -> None:
    window = Window(browser, page)
    window.cell(an_elite(page))
    colour = "document.getElementById('archive-0-0')._fullLayout.font.color"
    assert window.tab.evaluate(colour) == "#1c1e21"
    window.tab.emulate_media(color_scheme="dark")
    window.tab.wait_for_timeout(500)
    assert window.tab.evaluate(colour) == "#e7e9ec"
    assert window.seen == []
    window.context.close()


def test_a_report_of_10_000_children_and_2_000_elites_is_under_10_mb(
    browser: Any, tmp_path: Path
) -> None:
    search = write_run(tmp_path, 3, 10_000, bins=32, noise=0.18)
    assert sum(len(search.elites(task)) for task in search.tasks) >= 2000
    page = Page(write_report(tmp_path, None, ["html"])[0])
    assert page.file.stat().st_size < 10_000_000
    window = Window(browser, page)
    window.tab.mouse.click(*window.cell(an_elite(page)))
    window.tab.get_by_role("button", name="Copy recipe").wait_for()
    assert window.seen == []
    window.context.close()


def test_a_model_of_the_front_opens_its_panel_with_the_command_that_merges_it(
    browser: Any, page: Page
) -> None:
    window = Window(browser, page)
    chosen = window.tab.locator("#result button[data-candidate]").first
    index = int(chosen.get_attribute("data-candidate"))
    chosen.click()
    panel = window.tab.get_by_role("dialog", name=f"Candidate {index}")
    panel.get_by_role("button", name="Copy command").click()
    panel.get_by_text("copied").wait_for()
    program, command, recipe, out = shlex.split(
        window.tab.evaluate("navigator.clipboard.readText()")
    )
    assert (program, command, out) == ("mergekit-cycleqd", "merge", "my-model")
    folder, task, name = recipe.rsplit("/", 2)
    assert folder == f"{page.file.parent.parent}/elites" and name == f"{index:06d}.yaml"
    assert index in page.data["elites"][task]
    assert window.seen == []
    window.context.close()


def test_on_a_narrow_screen_the_last_column_of_a_table_can_be_reached(
    browser: Any, page: Page
) -> None:
    window = Window(browser, page, width=400)
    for table in window.tab.locator("main .scroll").all():
        table.scroll_into_view_if_needed()
        seen = table.evaluate(
            """(place) => {
              place.scrollLeft = place.scrollWidth;
              const [row] = place.querySelectorAll("tbody tr");
              if (!row || row.cells.length < 2) return true;
              const [first, last] = [row.cells[0], row.cells[row.cells.length - 1]];
              const [left, right] = [first, last].map((cell) => cell.getBoundingClientRect());
              return right.right <= innerWidth && left.right <= right.right - 30;
            }"""
        )
        assert seen, table.get_attribute("aria-label")
    window.context.close()
