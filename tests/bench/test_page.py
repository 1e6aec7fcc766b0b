"""bench --report: whole, self-contained, with the figures of the report; and as a browser shows it."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from edgetrain.bench.curves import line_chart
from edgetrain.bench.page import page, save_page
from edgetrain.bench.report import BenchReport

MakeReport = Callable[..., BenchReport]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
VOID = {"meta", "wbr"}


class Reader(HTMLParser):
    """Checks that elements are closed in their order, and collects what the page says."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.names: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.figures: list[tuple[float, str]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += [(name, value or "") for name, value in attributes]
        if tag == "data":
            self.figures.append((float(dict(attributes)["value"] or ""), ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attributes]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.open and self.open[-1] == "data":
            self.figures[-1] = (self.figures[-1][0], data)


def read(text: str) -> Reader:
    assert text.startswith("<!doctype html>")
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def test_whole_and_self_contained(made_up_report: MakeReport) -> None:
    text = page(made_up_report(others_cores=1.3))
    found = read(text)
    assert not found.names & {"script", "link", "img", "iframe", "object", "embed", "base", "form", "a"}
    assert not {name for name, _ in found.attributes if name in ("src", "href", "srcset", "action")}
    assert not {name for name, _ in found.attributes if name.startswith("on")}
    assert not re.search(r"url\(|@import|https?:|//", text)
    said = " ".join("".join(found.texts).split())
    assert '<script>alert(1)</script> on di"gits' in said
    assert "edgetrain bench 'a <b>.pte' --profile" in said
    assert "A <fast> CPU & more" in said
    assert "Other programs kept 1.3 of 2 cores busy" in said
    assert "2026-02-03 04:05 UTC" in said
    assert "name sgd, lr 0.01" in said


def test_figures_are_those_of_the_report(made_up_report: MakeReport) -> None:
    report = made_up_report()
    found = read(page(report))
    expected: list[float | None] = []
    for m in report.results:
        expected += [m.step_ms.median, m.step_ms.p95, m.ratio_to_torch, m.samples_per_s]
    for m in report.results:
        sizes = (m.peak_rss_bytes, m.baseline_rss_bytes, m.arena_bytes, m.program_bytes)
        expected += [None if size is None else size / 2**20 for size in sizes]
    for m in report.results:
        expected += [m.max_loss_rel_error, m.max_gradient_rel_error]
    for m in report.results:
        assert m.profile is not None
        for o in m.profile.operators:
            expected += [o.ms, 100 * o.share, o.calls]
    assert [exact for exact, _ in found.figures] == [value for value in expected if value is not None]
    for exact, shown in found.figures:
        decimals = len(shown.partition(".")[2]) if "e" not in shown else 0
        allowed = 0.51 * 10**-decimals if "e" not in shown else 0.06 * exact
        assert float(shown) == pytest.approx(exact, abs=allowed)


def test_without_what_is_not_known(made_up_report: MakeReport) -> None:
    report = made_up_report(1, profiled=False)
    alone = report.model_copy(
        update={
            "command_line": None,
            "measured_at": None,
            "results": [
                report.results[1].model_copy(
                    update={"ratio_to_torch": None, "max_loss_rel_error": None, "losses": [2.5]}
                )
            ],
        }
    )
    found = read(page(alone))
    assert "pre" not in found.names
    assert "Operators" not in found.texts
    assert "relative difference from torch, batch 1, 1 thread" not in found.texts
    assert not re.search("nan|inf|None", page(alone))


def test_charts_have_gaps_where_there_is_no_value() -> None:
    chart = line_chart({"native": [1e-7, 0.0, 1e-6, 1e-5, float("nan")]}, log=True, label="x")
    runs = re.findall(r'points="([^"]*)"', chart)
    assert [len(run.split()) for run in runs] == [1, 2]
    assert chart.count("<circle") == 1
    assert re.findall(r">(1e-\d)<", chart) == ["1e-7", "1e-6", "1e-5"]
    assert "<polyline" not in line_chart({"native": []}, label="x")


# What a browser computes; a script of its own is put into a copy of the page.
_PROBE = """<script>
const rights = [...document.querySelectorAll("table")].map(table => {
  const columns = {};
  for (const row of table.tBodies[0].rows)
    [...row.querySelectorAll(".number")].filter(c => c.offsetWidth).forEach((cell, i) => {
      const range = document.createRange(); range.selectNodeContents(cell);
      (columns[i] ??= new Set()).add(Math.round(range.getBoundingClientRect().right));
    });
  return Object.values(columns).map(set => set.size);
});
const small = [...document.querySelectorAll("svg text")].map(t => t.getBoundingClientRect().height);
parent.document.documentElement.dataset.found = JSON.stringify({
  inner: innerWidth, width: document.documentElement.scrollWidth, rights: rights.flat(),
  text: Math.min(...small), background: getComputedStyle(document.body).backgroundColor,
  colour: getComputedStyle(document.body).color, loaded: performance.getEntriesByType("resource").length,
  bars: [...document.querySelectorAll(".fill")].slice(0, 4).map(b => b.offsetWidth),
});
</script>"""


def _browser() -> str | None:
    named = os.environ.get("EDGETRAIN_BROWSER")
    return named or next((path for name in BROWSERS if (path := shutil.which(name))), None)


@pytest.mark.skipif(_browser() is None, reason="needs Chromium, or EDGETRAIN_BROWSER")
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (400, True)])
def test_in_a_browser(made_up_report: MakeReport, tmp_path: Path, width: int, dark: bool) -> None:
    save_page(tmp_path / "report.html", made_up_report(6))
    text = (tmp_path / "report.html").read_text()
    # In a frame, since a browser's window can't be as narrow as a phone.
    probed = html.escape(text.replace("</main>", f"</main>{_PROBE}"))
    frame = f'<iframe srcdoc="{probed}" style="border:0;width:{width}px;height:900px"></iframe>'
    (tmp_path / "probe.html").write_text(f"<!doctype html>{frame}")
    found = _look(tmp_path / "probe.html", dark)
    assert found["inner"] == found["width"] == width  # nothing sticks out
    assert set(found["rights"]) == {1}  # figures of a column end at one place
    assert found["loaded"] == 0
    assert found["text"] >= 11  # pixels, of letters in charts
    torch, executorch, native, stock = found["bars"]
    assert stock > torch >= executorch >= native > 0
    light = [sum(map(int, re.findall(r"\d+", found[name])[:3])) for name in ("background", "colour")]
    assert (light[0] < 150 and light[1] > 600) if dark else (light[0] > 600 and light[1] < 150)


def _look(path: Path, dark: bool) -> dict[str, Any]:
    browser = _browser()
    assert browser is not None
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--dump-dom"]
    flags += [f"--user-data-dir={path.parent / 'profile'}", "--window-size=1400,900"]
    flags += ["--blink-settings=preferredColorScheme=0"] if dark else []
    done = subprocess.run([browser, *flags, path.as_uri()], capture_output=True, text=True, timeout=120)
    match = re.search(r'data-found="([^"]*)"', done.stdout)
    assert match, done.stderr[-2000:]
    return dict(json.loads(html.unescape(match[1])))
