"""The report as a person meets it: in a browser, on a phone, in the dark, on paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from cutaway.draw import report_run
from cutaway.store import Run

CHROMIUM = "/usr/bin/chromium"
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# Every visible text with its size, its colour and what lies behind it, each as [r, g, b].
READ_COLOURS = """() => {
  const parse = text => {
    const found = text.match(/^rgba?\\(([^)]*)\\)$/);
    if (!found) throw new Error("no colour this test knows: " + text);
    const [r, g, b, a = 1] = found[1].split(/[\\s,\\/]+/).map(Number);
    return [r, g, b, Math.min(a, 1)];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
  const behind = element => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const back = behind(element);
    const ink = over(parse(element instanceof SVGElement ? style.fill : style.color), back);
    const where = element.closest("section, header, footer").id + " " + element.tagName + " " +
      element.classList + ": " + walker.currentNode.textContent.trim().slice(0, 40);
    texts.push({ where, ink, back });
  }
  return texts;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report_run(trained), encoding="utf-8")
    return path


def opened(browser: Browser, file: Path, width: int = 1100, **context: Any) -> Page:
    page = browser.new_page(viewport={"width": width, "height": 800}, **context)
    page.goto(file.as_uri())
    return page


def contrast(one: list[float], other: list[float]) -> float:
    """The contrast ratio of two colours, 1 to 21: Web Content Accessibility Guidelines 2.1."""

    def luminance(colour: list[float]) -> float:
        linear = [c / 3294.6 if c <= 10.31 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_that_of_the_guidelines() -> None:
    assert contrast([255, 255, 255], [0, 0, 0]) == pytest.approx(21)
    assert contrast([119, 119, 119], [255, 255, 255]) == pytest.approx(4.48, abs=0.01)


def test_it_opens_without_a_complaint_and_asks_for_nothing_else(browser: Browser, file: Path) -> None:
    page = browser.new_page()
    told: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("requestfailed", lambda request: told.append(request.url))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_load_state("networkidle")
    assert told == []
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
    broken = page.evaluate("() => [...document.images].filter(i => !i.complete || !i.naturalWidth).length")
    assert broken == 0
    assert page.evaluate("() => document.images.length") >= 40
    page.close()


@pytest.mark.parametrize("width", [390, 1100])
def test_the_page_is_never_wider_than_the_window(browser: Browser, file: Path, width: int) -> None:
    page = opened(browser, file, width)
    page.evaluate("() => document.querySelectorAll('details').forEach(d => d.open = true)")
    wide, window = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert window == width
    assert wide <= window
    # What is too wide for a phone scrolls by itself; nothing else may reach over the edge.
    outside = page.evaluate(
        """() => [...document.querySelectorAll('main *')]
            .filter(e => !e.closest('.scroll, pre, svg') && e.getBoundingClientRect().right > innerWidth + 1)
            .map(e => e.tagName + '.' + e.className)"""
    )
    assert outside == []
    page.close()


@pytest.mark.parametrize("width", [390, 1100])
def test_pictures_have_a_size_that_can_be_seen(browser: Browser, file: Path, width: int) -> None:
    page = opened(browser, file, width)
    sizes = page.evaluate(
        """() => [...document.querySelectorAll('svg, .mistakes img')].filter(e => e.checkVisibility())
            .map(e => [e.getBoundingClientRect().width, e.getBoundingClientRect().height])"""
    )
    assert len(sizes) >= 40
    assert all(w >= 60 and h >= 20 for w, h in sizes)
    page.close()


def test_light_and_dark_differ(browser: Browser, file: Path) -> None:
    backs = {}
    for scheme in ("light", "dark"):
        page = opened(browser, file, color_scheme=scheme)
        texts = page.evaluate(READ_COLOURS)
        backs[scheme] = texts[0]["back"]
        page.close()
    assert min(backs["light"]) > 230
    assert max(backs["dark"]) < 50


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(browser: Browser, file: Path, scheme: str) -> None:
    page = opened(browser, file, color_scheme=scheme)
    # A net may take every image of a class for another: the strongest shades must be readable too.
    page.evaluate(
        """() => document.querySelectorAll('.confusion td[class]')
            .forEach(cell => cell.style.setProperty('--shade', '100%'))"""
    )
    texts = page.evaluate(READ_COLOURS)
    page.close()
    assert len(texts) > 300
    assert any(" text " in text["where"] for text in texts), "the numbers of units are texts too"
    faint = [
        f"{text['where']} {contrast(text['ink'], text['back']):.2f}"
        for text in texts
        if contrast(text["ink"], text["back"]) < 4.5
    ]
    assert faint == []


# For each picture in a section that opens and closes: is it seen, and inside its section's own room?
SEEN = """() => [...document.querySelectorAll('details figure')].map(figure => {
  const inner = figure.getBoundingClientRect(), outer = figure.closest('details').getBoundingClientRect();
  return figure.checkVisibility() && inner.height > 20 && inner.bottom <= outer.bottom + 1;
})"""


def test_on_paper_all_is_open_and_light(browser: Browser, file: Path) -> None:
    page = opened(browser, file, color_scheme="dark")
    assert page.evaluate(SEEN) == [True] * 7 + [False] * 63  # only the first one is open on a screen
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(SEEN) == [True] * 70
    texts = page.evaluate(READ_COLOURS)
    assert min(texts[0]["back"]) > 250
    assert [t for t in texts if contrast(t["ink"], t["back"]) < 4.5] == []
    page.close()


def test_it_prints_on_several_pages(browser: Browser, file: Path) -> None:
    page = opened(browser, file)
    paper = page.pdf(format="A4")
    page.close()
    assert paper.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) > 3


def test_the_links_at_the_top_lead_to_their_sections(browser: Browser, file: Path) -> None:
    page = opened(browser, file)
    for link in page.locator("nav a").all():
        link.click()
        name = (link.get_attribute("href") or "").removeprefix("#")
        top = page.evaluate("name => document.getElementById(name).getBoundingClientRect().top", name)
        end = page.evaluate("() => scrollY + innerHeight >= document.documentElement.scrollHeight - 1")
        assert abs(top) < 50 or end
    page.close()
