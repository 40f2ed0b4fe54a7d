"use strict";
(() => {
  const coastline = JSON.parse(document.getElementById("coastline").textContent);
  const coarse = matchMedia("(pointer: coarse)").matches;

  function draw(panel) {
    const plot = panel.querySelector(".plot");
    if (plot.dataset.drawn) return;
    plot.dataset.drawn = "yes";
    const { data, layout, map } = JSON.parse(panel.querySelector("script").textContent);
    if (coarse) layout.dragmode = false; // a finger scrolls the page
    Plotly.newPlot(plot, map ? [coastline, ...data] : data, layout, {
      displayModeBar: false,
      responsive: true,
    });
  }

  /** Draw the panels of the charts that are shown, a few at a time, so that the page stays quick. */
  function drawShown() {
    const waiting = [...document.querySelectorAll(".chart:not([hidden]) .panel")].filter(
      (panel) => !panel.querySelector(".plot").dataset.drawn
    );
    waiting.slice(0, 3).forEach(draw);
    if (waiting.length > 3) setTimeout(drawShown, 0);
  }

  for (const select of document.querySelectorAll("select[data-section]")) {
    select.addEventListener("change", () => {
      for (const option of select.options) {
        document.getElementById("chart-" + option.value).hidden = !option.selected;
      }
      drawShown();
    });
  }

  function sort(table, heading) {
    const place = [...heading.parentNode.children].indexOf(heading);
    const up = heading.getAttribute("aria-sort") !== "ascending";
    for (const other of heading.parentNode.children) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = (row) => row.children[place].dataset.value;
    const body = table.tBodies[0];
    [...body.rows]
      .sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        const order = x - y || x.localeCompare(y, undefined, { numeric: true });
        return (Number.isNaN(x - y) ? x.localeCompare(y, undefined, { numeric: true }) : order) *
          (up ? 1 : -1);
      })
      .forEach((row) => body.append(row));
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    for (const heading of table.tHead.rows[0].cells) {
      heading.firstElementChild.addEventListener("click", () => sort(table, heading));
    }
  }

  drawShown();
})();
