"""The report's folder: one page, the library it draws with, and every chart as SVG, PDF and CSV."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.io.json import to_json_plotly

from equiload.envs import DataError
from equiload.envs.footprints import in_order
from equiload.experiments.report import episodes, interactive, overview, studies
from equiload.experiments.report.charts import Chart, Scale, Section
from equiload.experiments.report.found import Found, Run, find
from equiload.experiments.report.headline import headline_table, sentences
from equiload.experiments.report.printed import write_column
from equiload.experiments.report.regions import regional_table
from equiload.experiments.report.summary import rows_of, setting_labels, summarise
from equiload.experiments.results.history import read_history
from equiload.experiments.running.files import json_text, versions, write_text


def write_report(root: Path, folder: Path | None = None) -> Path:
    """Write a report on every run in or below ``root``; return the page's path.

    Parameters
    ----------
    root
        Folder of one run, or of many.
    folder
        Where the report goes. Default: ``report`` within ``root``.

    Raises
    ------
    DataError
        Where there is nothing to report on, or the folder cannot be written.
    """
    folder = root / "report" if folder is None else folder
    found = find(root)
    content = _content(found)
    try:
        for section in content["sections"]:
            for chart in section.charts:
                _write_files(folder / "figures", _slug(section, chart), chart)
        write_text(folder / "plotly.min.js", interactive.library())
        write_text(folder / "index.html", _render(content))  # last: a page has all that it names
    except OSError as error:
        raise DataError(f"{folder} cannot be written ({error.strerror or error})") from None
    return folder / "index.html"


def _content(found: Found) -> dict[str, Any]:
    content: dict[str, Any] = {"found": found, "versions": versions()}
    content |= {"headline": None, "regional": None}
    sections = [*_of_runs(found, content), *_of_studies(found)]
    content["sections"] = [section for section in sections if section.charts]
    content["settings"] = setting_labels(found.runs) if found.runs else []
    content["written"] = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return content


def _of_runs(found: Found, content: dict[str, Any]) -> Iterator[Section]:
    if not found.runs:
        return
    rows = rows_of(found.runs)
    summary = summarise(rows)
    units = {k: u for run in found.runs for k, u in run.results["instance"]["footprints"].items()}
    footprints = {kind: units[kind] for kind in in_order(tuple(units))}
    content["headline"] = headline_table(summary, footprints)
    content["sentences"] = list(sentences(summary, footprints))
    content["could_not_act"] = list(
        dict.fromkeys(sentence for run in found.runs for sentence in run.left_out)
    )
    yield overview.peak_to_average(summary, footprints)
    yield overview.objective(summary, footprints)
    yield overview.profiles(rows)
    if len({str(run.results["instance"]["equity_weight"]) for run in found.runs}) > 1:
        yield overview.pareto(summary, footprints)
    shown = _shown_run(found)
    content["shown"] = shown
    if shown is not None:
        yield from _of_episodes(shown, content)


def _of_episodes(run: Run, content: dict[str, Any]) -> Iterator[Section]:
    histories = list(read_history(run.folder / "history.parquet"))
    told = episodes.Episodes(histories, run.results["instance"])
    content["regional"] = regional_table(told)
    yield episodes.footprints_over_time(told)
    if run.results["instance"].get("location") is not None:
        yield episodes.world_map(told)
    yield episodes.where_the_load_went(told)
    if any(history.slack is not None for history in histories):
        yield episodes.slack_over_time(told)


def _of_studies(found: Found) -> Iterator[Section]:
    yield studies.consistency_robustness(found.of("robustness"))
    yield studies.gap_by_error(found.of("predictions"))
    if found.curves:
        yield studies.learning_curves(found.curves)


def _shown_run(found: Found) -> Run | None:
    """Return the first run that has a history: its episodes stand for the others'."""
    for run in found.runs:
        path = run.folder / "history.parquet"
        try:
            if path.is_file() and next(read_history(path), None) is not None:
                return run
        except DataError as error:
            found.left_out.append(str(error))
    return None


def _write_files(folder: Path, slug: str, chart: Chart) -> None:
    write_text(folder / f"{slug}.csv", chart.frame().to_csv(index=False, float_format="%.6g"))
    write_column(chart, folder / slug)


def _render(content: dict[str, Any]) -> str:
    here = files(__package__)
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (here / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"json_text": json_text}
    template = environment.get_template("page.html")
    return template.render(
        **content,
        slug=_slug,
        scales=lambda chart: [entry for entry in chart.legend() if isinstance(entry, Scale)],
        marks=lambda chart: [entry for entry in chart.legend() if not isinstance(entry, Scale)],
        drawing=lambda panel: _script(interactive.figure(panel)),
        coastline=lambda: _script(interactive.coastline()),
        style=Markup((here / "page.css").read_text(encoding="utf-8")),  # noqa: S704 - our own files
        script=Markup((here / "page.js").read_text(encoding="utf-8")),  # noqa: S704
    )


def _script(content: Any) -> Markup:
    """JSON that can stand in a ``<script>``, whatever the names in it."""
    text = to_json_plotly(content)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - escaped just now


def _slug(section: Section, chart: Chart) -> str:
    place = section.charts.index(chart)
    words = re.sub(r"[^A-Za-z0-9]+", "_", chart.variant).strip("_")[:60].lower()
    return "_".join(part for part in (section.key, words, str(place) if place else "") if part)
