"""The report's folder: one page, the library it draws with, and every chart as SVG, PDF and CSV."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.io.json import to_json_plotly
from plotly.offline import get_plotlyjs

from equiload.envs import DataError
from equiload.envs.errors import printable
from equiload.envs.footprints import in_order
from equiload.experiments.report import (
    episodes,
    interactive,
    knobs,
    overview,
    scenarios,
    studies,
)
from equiload.experiments.report.charts import Chart, Scale, Section
from equiload.experiments.report.contents import Contents, read_contents
from equiload.experiments.report.headline import headline_table, regional_table, sentences
from equiload.experiments.report.printed import write_column
from equiload.experiments.report.summary import rows_of, setting_labels, summarise
from equiload.experiments.running.files import inert, saving, versions, write_text
from equiload.experiments.running.jobs import PATIENCE, held, refuse_foreign

#: How the page's title begins: what has it was written here.
_TITLE = b"<title>equiload: "


def write_report(
    root: Path, folder: Path | None = None, *, running: bool = False, raw: bool = False
) -> Path:
    """Write a report on every run in or below ``root``; return the page's path.

    Parameters
    ----------
    root
        Folder of one run, or of many.
    folder
        Where the report goes. Default: ``report`` within ``root``.
    running
        Report also on what is not done: the run reports on itself.
    raw
        Leave texts in CSV files as they are, also those that spreadsheets take for formulas.

    Raises
    ------
    DataError
        Where there is nothing to report on, or the folder cannot be written.
    """
    folder = root / "report" if folder is None else folder
    values = _values(read_contents(root, running=running))
    page = folder / "index.html"
    with saving(folder), held(folder, wait=PATIENCE):
        refuse_foreign(page, ours=page.is_file() and _TITLE in page.read_bytes()[:1000])
        for section in values["sections"]:
            for chart in section.charts:
                _write_files(folder / "figures", _slug(section, chart), chart, raw=raw)
        write_text(folder / "plotly.min.js", get_plotlyjs())
        write_text(page, _render(values))  # last: a page has all that it names
    return page


def _values(contents: Contents) -> dict[str, Any]:
    """What the page's template is filled with."""
    values: dict[str, Any] = {"headline": None, "regional": None}
    sections = [
        scenarios.changes_by_region(contents.of("scenarios")),
        *_of_runs(contents, values),
        *_of_studies(contents),
    ]  # which add to the values
    return values | {
        "contents": contents,
        "comparisons": scenarios.comparisons(contents.of("scenarios")),
        "versions": versions(),
        "title": printable(contents.root.resolve().name),
        "sections": [section for section in sections if section.charts],
        "settings": setting_labels(contents.runs) if contents.runs else [],
        "written": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def _of_runs(contents: Contents, values: dict[str, Any]) -> Iterator[Section]:
    if not contents.runs:
        return
    rows = rows_of(contents.runs)
    rows = knobs.with_savings(rows)
    summary = summarise(rows)
    units = {k: u for run in contents.runs for k, u in run.results.instance.footprints.items()}
    footprints = {kind: units[kind] for kind in in_order(tuple(units))}
    values["headline"] = headline_table(summary, footprints)
    kinds = list(footprints)
    values["sentences"] = [*sentences(summary, footprints), *knobs.findings(summary, kinds)]
    values["with_knobs"] = bool(rows["knobs"].any())
    values["could_not_act"] = dict.fromkeys(s for run in contents.runs for s in run.left_out)
    yield overview.peak_to_average(summary, footprints)
    yield overview.objective(summary, footprints)
    yield knobs.savings(rows, summary, kinds)
    yield overview.profiles(rows)
    if len({str(run.results.instance.equity_weight) for run in contents.runs}) > 1:
        yield overview.pareto(summary, footprints)
    values["shown"] = None
    for run in contents.runs:  # the first that has a history: its episodes stand for the others'
        try:
            played = run.episodes()
        except DataError as error:
            contents.left_out.append(str(error))
            continue
        if played.histories:
            values["shown"] = run
            yield from _of_episodes(played, values)
            break


def _of_episodes(played: episodes.RunEpisodes, values: dict[str, Any]) -> Iterator[Section]:
    values["regional"] = regional_table(played)
    yield episodes.footprints_over_time(played)
    if played.instance.location is not None:
        yield episodes.world_map(played)
    yield episodes.where_the_load_went(played)
    yield knobs.where_energy_came_from(played)
    yield knobs.levels_over_time(played)
    if any(history.slack is not None for history in played.histories):
        yield episodes.slack_over_time(played)


def _of_studies(contents: Contents) -> Iterator[Section]:
    yield studies.consistency_robustness(contents.of("robustness"))
    yield studies.kept_gain(contents.of("robustness"))
    yield studies.gap_by_error(contents.of("predictions"))
    if contents.curves:
        yield studies.learning_curves(contents.curves)


def _write_files(folder: Path, slug: str, chart: Chart, *, raw: bool) -> None:
    frame = chart.frame() if raw else chart.frame().map(inert).rename(columns=inert)
    write_text(folder / f"{slug}.csv", frame.to_csv(index=False, float_format="%.6g"))
    write_column(chart, folder / slug)


def _render(values: dict[str, Any]) -> str:
    here = files(__package__)
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (here / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["json_text"] = partial(json.dumps, indent=2, ensure_ascii=False)
    template = environment.get_template("page.html")
    return template.render(
        **values,
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
    # No word holds the hyphen: "a 1" is not the second "a".
    return "_".join(filter(None, (section.key, words))) + (f"-{place}" if place else "")
