"""The report in a real browser: it renders, filters, walks, asks for nothing and runs nothing of the data."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from prefdata.mixtures import load
from prefdata.report import Limits, write_report
from tests.support.browser import Browser, programs

pytestmark = pytest.mark.skipif(
    programs() is None, reason="no Chromium here: apt-get install chromium chromium-driver"
)

EVIL = "</script><script>window.owned=1</script><img src='http://evil.invalid/x' onerror='window.owned=1'>"
DOWN, UP, ESCAPE = "\ue015", "\ue013", "\ue00c"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as running:
        yield running


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    Image.new("RGB", (200, 100), "teal").save(folder / "a.png")
    meta = {"model": "some-model", "verdicts": {"rejected": {"outcome": "wrong", "rule": "number"}}}
    rows = [
        {
            "image": "a.png",
            "question": "How many cats?",
            "chosen": "I see two cats.",
            "rejected": "I see one dog.",
        },
        {"question": EVIL, "chosen": EVIL + " yes", "rejected": EVIL, "meta": {"model": EVIL}},
        {"question": "2+2?", "chosen": "It is 4", "rejected": "It is " + "5" * 40, "meta": meta},
        {"image": "gone.png", "question": "Where?", "chosen": "Here at last", "rejected": "Nowhere"},
        {
            "question": "What is on the table? " + "Look closely. " * 200,
            "chosen": "On it stands a green cup, and a spoon lies beside the plate with bread.",
            "rejected": "On it lies the open book, and a spoon lies beside the plate with meat.",
        },
    ]
    (folder / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    verdict = {"outcome": "wrong", "rule": "number", "extracted": "5"}
    audit = {"question": EVIL, "answer": "4", "response": EVIL, "verdict": verdict, "right": None}
    (folder / "audit.jsonl").write_text(json.dumps(audit) + "\n")
    write_report(folder / "r.html", load(folder / "p.jsonl").sources)
    return folder / "r.html"


@pytest.fixture
def opened(browser: Browser, page: Path) -> Browser:
    browser.requests(), browser.complaints()
    browser.open(page)
    browser.run("location.hash = ''; document.documentElement.dataset.theme = ''")
    browser.wait("document.documentElement.dataset.ready")
    return browser


def shown(browser: Browser) -> str:
    return str(browser.run("return document.getElementById('place').textContent"))


def pick(browser: Browser, name: str, value: str) -> list[str]:
    """The listed lines after a filter."""
    browser.run(
        "const f = document.getElementById(arguments[0]); f.value = arguments[1];"
        "f.dispatchEvent(new Event(f.tagName === 'INPUT' ? 'input' : 'change'))",
        name,
        value,
    )
    found: list[str] = browser.run(
        "return [...document.querySelectorAll('#list .where > :first-child')].map(e => e.textContent)"
    )
    return found


def test_it_asks_for_nothing_and_complains_of_nothing(opened: Browser, page: Path) -> None:
    assert opened.requests() == [page.resolve().as_uri()]
    assert opened.complaints() == []


def test_data_stays_text(opened: Browser) -> None:
    opened.press("j")
    assert shown(opened) == "p.jsonl:2"
    assert opened.run("return document.querySelector('#prompt .text').textContent") == EVIL
    assert opened.run("return window.owned") is None
    assert opened.run("return document.scripts.length") == 2
    # Even markup that got in somehow could not run: the policy knows no script but the page's own.
    opened.run(
        "const s = document.createElement('div'); s.innerHTML = '<img src=x onerror=\"window.owned=2\">';"
        "document.body.append(s); const t = document.createElement('script'); t.textContent = 'window.owned=3';"
        "document.body.append(t)"
    )
    time.sleep(0.2)
    assert opened.run("return window.owned") is None


def test_keys_walk_through_the_rows(opened: Browser) -> None:
    assert shown(opened) == "p.jsonl:1"
    for key, line in (("j", 2), (DOWN, 3), ("k", 2), (UP, 1), ("k", 1)):
        opened.press(key)
        assert shown(opened) == f"p.jsonl:{line}"
    opened.press("/")
    opened.type("some-model")
    assert opened.run("return document.querySelectorAll('#list button').length") == 1
    assert shown(opened) == "p.jsonl:3"
    opened.press(ESCAPE)
    assert opened.run("return document.querySelectorAll('#list button').length") == 5


def test_filters(opened: Browser) -> None:
    assert pick(opened, "by-code", "PD401") == ["line 4"]
    assert pick(opened, "by-code", "") == [f"line {n}" for n in range(1, 6)]
    assert pick(opened, "by-gap", "5") == ["line 3"]
    assert pick(opened, "by-gap", "0") != []
    assert pick(opened, "search", "CATS two") == ["line 1"]
    assert pick(opened, "search", "no such thing") == []
    pick(opened, "search", "")


def test_the_difference_is_marked_and_the_common_start_grey(opened: Browser) -> None:
    texts = (
        "return [...document.querySelectorAll('.answer')].map("
        "answer => [...answer.querySelectorAll(arguments[0])].map(piece => piece.textContent))"
    )
    assert opened.run(texts, ".shared") == [["I see "], ["I see "]]
    assert opened.run(texts, "mark") == [["two cats"], ["one dog"]]
    opened.press("d")
    assert opened.run(texts, "mark") == [[], []]
    opened.press("d")


def test_words_shared_by_chance_between_changes_are_no_agreement(opened: Browser) -> None:
    for _ in range(4):
        opened.press("j")
    assert shown(opened) == "p.jsonl:5"
    marked = "return [...document.querySelectorAll('.answer mark')].map(piece => piece.textContent)"
    assert opened.run(marked) == ["stands a green cup", "bread", "lies the open book", "meat"]
    heights = "const t = document.querySelector('.turn .text'); return [t.clientHeight, t.scrollHeight, innerHeight]"
    seen, whole, window = opened.run(heights)
    assert seen < whole
    assert seen < window / 2


def test_everything_can_be_read(opened: Browser) -> None:
    """Contrast of 4.5 and more, as WCAG asks of text, also of the greyed common start; nothing wider than a phone."""
    contrast = (
        "const value = c => c.match(/[\\d.]+/g).slice(0, 3).map(v => (v /= 255) <= 0.04045 ? v / 12.92 :"
        " ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);"
        "const ground = e => { const c = getComputedStyle(e).backgroundColor;"
        " return c === 'rgba(0, 0, 0, 0)' ? ground(e.parentElement) : c; };"
        "return [...document.querySelectorAll(arguments[0])].map(e => {"
        " const [a, b] = [value(getComputedStyle(e).color), value(ground(e))].sort((x, y) => y - x);"
        " return (a + 0.05) / (b + 0.05); })"
    )
    texts = (
        ".shared, mark, #list .where span, #origin dt, .answer h3, #count, .code b, .times, th, .tile span"
    )
    for dark in (False, True):
        opened.dark(dark)
        ratios = opened.run(contrast, texts)
        assert len(ratios) > 20
        assert min(ratios) >= 4.5
    opened.dark(False)
    opened.phone()
    assert opened.run("return document.documentElement.scrollWidth <= innerWidth")
    opened.command("Emulation.clearDeviceMetricsOverride")


def test_image_verdict_and_missing_image(opened: Browser) -> None:
    assert opened.run(
        "const i = document.querySelector('#images img'); return [i.naturalWidth, i.naturalHeight]"
    ) == [200, 100]
    opened.run("location.hash = '#row=3'; location.reload()")
    opened.wait(
        "document.documentElement.dataset.ready && document.getElementById('place').textContent === 'p.jsonl:3'"
    )
    assert "wrong by rule number" in opened.run(
        "return document.querySelector('.answer.rejected').textContent"
    )
    opened.press("j")
    assert "PD401" in opened.run("return document.getElementById('hits').textContent")
    assert "no such image" in opened.run("return document.getElementById('images').textContent")


def test_dark_and_light(opened: Browser) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    light = opened.run(ground)
    opened.dark()
    dark = opened.run(ground)
    opened.dark(False)
    assert light != dark
    opened.press("t")
    assert opened.run(ground) == dark


def test_two_thousand_pairs_open_in_two_seconds(browser: Browser, tmp_path: Path) -> None:
    for number in range(40):
        Image.effect_noise((640, 480), 60 + number).save(tmp_path / f"{number}.jpg")
    words = [f"word{number}" for number in range(15)]
    rows = [
        {
            "image": f"{number % 40}.jpg", "question": f"What is in picture {number}?",
            "chosen": " ".join(words[(number + i) % 15] for i in range(150)),
            "rejected": " ".join(words[(number + i * 2) % 15] for i in range(150)),
        }
        for number in range(2500)
    ]  # fmt: skip
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_report(tmp_path / "r.html", load(tmp_path / "p.jsonl").sources, limits=Limits(rows=2000))
    seconds = []
    for _ in range(3):  # the best counts: a busy machine makes single tries slow, never fast
        browser.open(tmp_path / "r.html")
        browser.wait("document.documentElement.dataset.ready")
        seconds.append(
            browser.run("return performance.timing.loadEventEnd - performance.timing.navigationStart") / 1000
        )
    assert browser.run("return document.querySelectorAll('#list button').length") == 2000
    assert min(seconds) < 2
    for row in (1500, 20):
        browser.open(tmp_path / "r.html", f"#row={row}")
        browser.run("location.reload()")
        browser.wait("document.documentElement.dataset.ready && document.querySelector('[aria-current]')")
        inside = (
            "const b = document.querySelector('[aria-current]').getBoundingClientRect(),"
            "l = document.getElementById('list').getBoundingClientRect();"
            "return b.top >= l.top - 1 && b.bottom <= l.bottom + 1"
        )
        assert browser.run(inside)


def test_verdicts_to_check_are_shown_as_text(opened: Browser) -> None:
    opened.run("document.querySelector('#verdicts details').open = true")
    cells = "return [...document.querySelectorAll('#verdicts td')].map(e => e.textContent)"
    assert opened.run(cells) == [EVIL, "4", "5", EVIL, ""]
    assert "One verdict of audit.jsonl" in opened.run("return document.getElementById('audited').textContent")
    assert opened.run("return window.owned") is None
