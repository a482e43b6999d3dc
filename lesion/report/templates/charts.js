"use strict";
// Draws every figure in the page's own colours, fitted to the width that there is, and again when either changes.
(() => {
  const LABELS = 64, NAMES = 116, GAP = 22, NARROWEST = 225;
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const scheme = () => token("--paper");
  const theme = () => {
    const ink = token("--ink"), faint = token("--line");
    const axis = { labelColor: ink, titleColor: ink, gridColor: faint, domainColor: faint, tickColor: faint,
      labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" };
    return { font: "system-ui, sans-serif", background: "transparent", axis, text: { color: ink, fontSize: 12 }, view: { stroke: null },
      title: { color: ink, fontSize: 13, anchor: "start", subtitleColor: ink, subtitleFontSize: 12 }, header: { labelColor: ink, labelFontSize: 13 },
      legend: { labelColor: ink, labelFontSize: 12 }, aria: false };
  };

  // Columns and widths of a specification; what kind it is stands under usermeta.lesion.
  const fitPanels = (spec, width) => {
    const count = Math.max(1, Math.min(spec.columns || 1, Math.floor((width - LABELS + GAP) / (NARROWEST + GAP))));
    spec.columns = count;
    spec.spec.width = Math.max(140, Math.floor((width - LABELS - GAP * (count - 1)) / count) - 4);
  };
  const fit = (spec, width) => {
    const kind = spec.usermeta && spec.usermeta.lesion && spec.usermeta.lesion.kind;
    if (kind === "single") { spec.width = width; spec.autosize = { type: "fit-x", contains: "padding" }; }
    else if (kind === "panels") fitPanels(spec, width);
    else if (kind === "stack") spec.vconcat.forEach((part) => fitPanels(part, width));
    else if (kind === "cells") {
      const count = width < 700 || spec.concat.length < 2 ? 1 : 2;
      spec.columns = count;
      spec.concat.forEach((part) => { part.width = Math.max(140, Math.floor((width - 30 * (count - 1)) / count) - NAMES); });
    }
    else if (kind === "forest") spec.vconcat.forEach((part) => { part.width = Math.max(140, width - 190); });
    else if (kind === "maps") {
      const count = width < 640 ? 1 : 2;
      spec.columns = count;
      spec.concat.forEach((part) => { part.width = Math.min(460, Math.floor((width - GAP * (count - 1)) / count) - 44); });
    }
    return spec;
  };

  // Where a figure cannot be drawn, its picture stands in.
  const showPicture = (place) => {
    const kept = place.parentElement.querySelector("noscript");
    place.innerHTML = kept ? kept.textContent : "";
  };

  // The figure's words stand on its frame and its numbers in a table: its shapes say nothing to a screen reader.
  const silence = (place) => place.querySelectorAll("svg, svg *").forEach((part) => {
    ["role", "aria-label", "aria-roledescription"].forEach((name) => part.removeAttribute(name));
  });

  const draw = () => document.querySelectorAll(".chart").forEach((place) => {
    const source = document.getElementById(place.id.replace("chart-", "spec-"));
    const width = place.clientWidth;
    if (!source || !width || place.dataset.drawn === String(width) && place.dataset.scheme === scheme()) return;
    if (typeof vegaEmbed === "undefined") return showPicture(place);
    const spec = fit(JSON.parse(source.textContent), width);
    spec.config = theme();
    vegaEmbed(place, spec, { actions: false, renderer: "svg", logLevel: 1, tooltip: { theme: "custom" } })
      .then(() => { silence(place); place.dataset.drawn = String(width); place.dataset.scheme = scheme(); })
      .catch((error) => { console.error(error); showPicture(place); });
  });

  let waiting = 0, last = document.documentElement.clientWidth;
  const later = () => { clearTimeout(waiting); waiting = setTimeout(draw, 120); };
  window.addEventListener("resize", () => {
    const now = document.documentElement.clientWidth;
    if (now !== last) { last = now; later(); }
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", later);
  // A figure in a folded passage is drawn when it unfolds.
  document.addEventListener("toggle", () => { draw(); window.dispatchEvent(new Event("resize")); }, true);
  // A link to a folded passage unfolds it and all around it.
  const unfold = () => {
    const goal = document.getElementById(location.hash.slice(1));
    for (let at = goal; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    if (goal) goal.scrollIntoView();
  };
  window.addEventListener("hashchange", unfold);
  unfold();
  draw();
})();
