"""A study's report as a person meets it: in a browser, on a phone, in the dark, on paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from cutaway.draw import study_report

from .colours_seen import difference_seen
from .study_example import some_table
from .test_report_browser import CHROMIUM, QUIET, READ_COLOURS, contrast, opened

SCHEMES = ("light", "dark")
EFFECTS = ("worse", "better", "diverges", "none")

# What the page's variables are in this scheme, as #rrggbb.
READ_PALETTE = """names => names.map(name => getComputedStyle(document.documentElement)
    .getPropertyValue("--" + name).trim())"""

# Pictures that can be seen: how wide, and how high the letters of their smallest text are, in pixels.
READ_PICTURES = """() => [...document.querySelectorAll("svg")].filter(e => e.checkVisibility()).map(svg => {
  const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  const sizes = [...svg.querySelectorAll("text")].map(t => parseFloat(getComputedStyle(t).fontSize) * scale);
  return { label: svg.getAttribute("aria-label"), width: svg.getBoundingClientRect().width,
           letters: Math.min(...sizes) };
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "report.html"
    path.write_text(study_report(some_table()), encoding="utf-8")
    return path


def test_it_opens_without_a_complaint_and_asks_for_nothing_else(browser: Browser, file: Path) -> None:
    page = browser.new_page()
    told: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_load_state("networkidle")
    assert told == []
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
    page.close()


@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_is_never_wider_than_the_window(browser: Browser, file: Path, width: int) -> None:
    page = opened(browser, file, width)
    page.evaluate("() => document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    outside = page.evaluate(
        """() => [...document.querySelectorAll('main *')].filter(e => e.checkVisibility())
            .filter(e => !e.closest('.scroll, pre, svg') && e.getBoundingClientRect().right > innerWidth + 1)
            .map(e => e.tagName + '.' + e.className)"""
    )
    assert outside == []
    page.close()


@pytest.mark.parametrize("width", [400, 1280])
def test_every_picture_is_shown_once_and_can_be_read(browser: Browser, file: Path, width: int) -> None:
    page = opened(browser, file, width)
    page.evaluate("() => document.querySelectorAll('details').forEach(d => d.open = true)")
    pictures = page.evaluate(READ_PICTURES)
    page.close()
    assert len(pictures) == 1 + 5 * 3 + 3
    assert len({picture["label"] for picture in pictures}) == len(pictures)
    small = [p for p in pictures if p["letters"] < 7.5 or p["width"] < 280]
    assert small == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_text_stands_out_from_what_is_behind_it(browser: Browser, file: Path, scheme: str) -> None:
    page = opened(browser, file, color_scheme=scheme)
    page.evaluate("() => document.querySelectorAll('details').forEach(d => d.open = true)")
    texts = page.evaluate(READ_COLOURS)
    page.close()
    assert len(texts) > 300
    assert any(" text " in text["where"] for text in texts), "the numbers of figures are texts too"
    faint = [
        f"{text['where']} {contrast(text['ink'], text['back']):.2f}"
        for text in texts
        if contrast(text["ink"], text["back"]) < 4.5
    ]
    assert faint == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_verdicts_are_told_apart_in_the_pages_own_colours(browser: Browser, file: Path, scheme: str) -> None:
    page = opened(browser, file, color_scheme=scheme)
    colours = page.evaluate(READ_PALETTE, list(EFFECTS))
    (paper,) = page.evaluate(READ_PALETTE, ["page"])
    page.close()
    assert len(set(colours)) == 4
    for at, one in enumerate(colours):
        assert re.fullmatch("#[0-9a-f]{6}", one)
        assert difference_seen(one, paper) > 40
        for other in colours[:at]:
            # Shapes differ too; 2.3 can just be noticed.
            assert difference_seen(one, other) > 20, (one, other)


def test_light_and_dark_differ(browser: Browser, file: Path) -> None:
    palettes = []
    for scheme in SCHEMES:
        page = opened(browser, file, color_scheme=scheme)
        palettes.append(page.evaluate(READ_PALETTE, [*EFFECTS, "page"]))
        page.close()
    assert all(light != dark for light, dark in zip(*palettes, strict=True))


def test_on_paper_all_is_open_and_light(browser: Browser, file: Path) -> None:
    page = opened(browser, file, 720, color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    texts = page.evaluate(READ_COLOURS)
    assert min(texts[0]["back"]) > 250
    assert [t for t in texts if contrast(t["ink"], t["back"]) < 4.5] == []
    pictures = page.evaluate(READ_PICTURES)
    assert len(pictures) == 1 + 5 * 3 + 3, "those that are folded away on a screen too"
    assert any(picture["label"].endswith(", wide") for picture in pictures)
    # Nothing reaches over the edge of the sheet, where it would be cut off.
    wide = page.evaluate("() => document.documentElement.scrollWidth")
    assert wide <= 720
    page.close()


def test_it_prints_on_several_pages(browser: Browser, file: Path) -> None:
    page = opened(browser, file)
    paper = page.pdf(format="A4")
    page.close()
    assert paper.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) > 3


def test_the_links_at_the_top_lead_to_their_sections(browser: Browser, file: Path) -> None:
    page = opened(browser, file)
    links = page.locator("nav a").all()
    assert len(links) == 9
    for link in links:
        link.click()
        name = (link.get_attribute("href") or "").removeprefix("#")
        top = page.evaluate("name => document.getElementById(name).getBoundingClientRect().top", name)
        end = page.evaluate("() => scrollY + innerHeight >= document.documentElement.scrollHeight - 1")
        assert abs(top) < 50 or end
    page.close()
