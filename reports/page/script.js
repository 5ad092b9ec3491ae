"use strict";
// Adds to a page that is complete without it: a cursor and zoom for the
// timeline, links that open what they point into, and a print with all open but tables
// that repeat a picture.
(() => {
  const $ = (id) => document.getElementById(id);

  const reveal = () => {
    const target = location.hash.length > 1 && $(decodeURIComponent(location.hash.slice(1)));
    for (let e = target; e; e = e.parentElement) if (e.tagName === "DETAILS") e.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  addEventListener("beforeprint", () => document.querySelectorAll("details:not(.spare)").forEach((d) => { if (!d.open) { d.open = true; d.dataset.shut = ""; } }));
  addEventListener("afterprint", () => document.querySelectorAll("details[data-shut]").forEach((d) => { d.open = false; delete d.dataset.shut; }));

  const kept = { from: null, to: null, at: null }; // survives a redrawn timeline

  const timeline = () => {
    const box = $("timeline-box"), svg = $("timeline-picture"), source = $("timeline-data");
    if (!box || !svg || !source) return;
    const data = JSON.parse(source.textContent);
    const ns = "http://www.w3.org/2000/svg";
    const whole = data.to - data.from, width = data.right - data.left;
    let from = kept.from ?? data.from, to = kept.to ?? data.to, at = kept.at;
    const zoomed = () => to - from < whole - 1e-9;
    const x = (t) => data.left + width * (t - from) / (to - from);
    const t = (px) => from + (to - from) * (px - data.left) / width;
    const time = (px) => data.from + whole * (px - data.left) / width; // of an element as it was drawn

    // What stands in time, with the places it was drawn at.
    const parts = [];
    svg.querySelectorAll("[data-timed] > *").forEach((e) => {
      const num = (name) => parseFloat(e.getAttribute(name));
      if (e.tagName === "rect") { const a = num("x"), b = a + num("width"); parts.push(() => { const w = x(time(b)) - x(time(a)); e.setAttribute("x", x(time(a))); e.setAttribute("width", Math.max(1, w)); }); }
      else if (e.tagName === "line") { const a = num("x1"); parts.push(() => { e.setAttribute("x1", x(time(a))); e.setAttribute("x2", x(time(a))); }); }
      else if (e.tagName === "circle") { const a = num("cx"); parts.push(() => e.setAttribute("cx", x(time(a)))); }
      else if (e.tagName === "text") { const a = num("x"); parts.push(() => e.setAttribute("x", x(time(a)))); }
      else if (e.tagName === "path") {
        const d = e.getAttribute("d"), mark = /l/.test(d); // marks keep their shape, lines are stretched
        parts.push(() => { let n = 0; e.setAttribute("d", d.replace(/([ML])(-?[\d.]+) /g, (m, c, px) => mark && n++ ? m : c + x(time(+px)).toFixed(1) + " ")); });
      }
    });

    const add = (name, attrs, parent, text) => {
      const e = document.createElementNS(ns, name);
      for (const k in attrs) e.setAttribute(k, attrs[k]);
      if (text) e.textContent = text;
      return parent.appendChild(e);
    };
    const axis = $("axis");
    const drawAxis = () => {
      axis.replaceChildren();
      const raw = (to - from) / 10, base = 10 ** Math.floor(Math.log10(raw)), step = [1, 2, 5, 10].map((m) => m * base).find((s) => s >= raw - 1e-9);
      for (let s = Math.ceil(from / step) * step; s <= to + 1e-9; s += step) {
        add("line", { x1: x(s), x2: x(s), y1: data.axis, y2: data.axis + 5, stroke: "currentColor", "stroke-opacity": .5 }, axis);
        add("text", { x: x(s), y: data.axis + 18, "text-anchor": x(s) > data.right - 14 ? "end" : "middle", "font-size": 11, "fill-opacity": .75 }, axis, +s.toFixed(3) + " s");
      }
    };

    const line = add("line", { y1: 0, y2: data.axis, stroke: "currentColor", "stroke-width": 1, visibility: "hidden", id: "cursor" }, svg);
    const band = add("rect", { y: 0, height: data.axis, fill: "currentColor", "fill-opacity": .12, visibility: "hidden" }, svg);

    document.querySelectorAll(".bar").forEach((b) => b.remove());
    const bar = document.createElement("div");
    bar.className = "bar";
    const button = (text, act, label) => {
      const b = bar.appendChild(document.createElement("button"));
      b.type = "button"; b.textContent = text;
      if (label) b.setAttribute("aria-label", label);
      b.addEventListener("click", act);
      return b;
    };
    const spans = [{ name: "whole run", from: data.from, to: data.to }, ...data.spans].map((s) => {
      const b = button(s.name, () => zoom(Math.max(s.from, data.from), Math.min(s.to, data.to)), "Show " + s.name);
      return () => b.setAttribute("aria-pressed", Math.abs(from - Math.max(s.from, data.from)) < 1e-6 && Math.abs(to - Math.min(s.to, data.to)) < 1e-6);
    });
    button("+", () => closer(.5), "Zoom in");
    button("−", () => closer(2), "Zoom out");
    const hint = bar.appendChild(document.createElement("span"));
    hint.className = "soft";
    hint.textContent = "Point or use the arrow keys to read values; drag, or + and −, to zoom; Esc shows the whole run.";
    const out = bar.appendChild(document.createElement("output"));
    out.setAttribute("aria-live", "polite");
    out.id = "readout";
    box.before(bar);

    const read = () => {
      out.replaceChildren();
      if (at === null) return;
      const say = (name, value) => {
        const s = out.appendChild(document.createElement("span"));
        s.append(name + " ", Object.assign(document.createElement("b"), { textContent: value }));
      };
      say("at", at.toFixed(whole > 600 ? 0 : 1) + " s");
      const phase = data.spans.find((s) => at >= s.from && at < s.to);
      if (phase) say("in", phase.name);
      const row = data.rows.find((r) => at >= r[0] && at < r[0] + data.step);
      if (row) data.names.forEach((n, i) => say(n, row[i + 1]));
      for (const lane of data.states) {
        let word = "";
        for (let i = 0; i < lane.at.length; i += 2) if (lane.at[i] <= at) word = lane.at[i + 1];
        if (word) say(lane.name, word);
      }
    };
    const point = (when) => {
      at = kept.at = when === null ? null : Math.min(Math.max(when, from), to);
      line.setAttribute("visibility", at === null ? "hidden" : "visible");
      if (at !== null) { line.setAttribute("x1", x(at)); line.setAttribute("x2", x(at)); }
      read();
    };
    const zoom = (a, b) => {
      const least = Math.min(whole, Math.max(data.step / 4, .1));
      if (b - a < least) { const mid = (a + b) / 2; a = mid - least / 2; b = mid + least / 2; }
      from = Math.max(data.from, a); to = Math.min(data.to, b);
      if (to - from >= whole - 1e-9) { from = data.from; to = data.to; }
      kept.from = zoomed() ? from : null; kept.to = zoomed() ? to : null;
      parts.forEach((place) => place());
      drawAxis();
      spans.forEach((s) => s());
      svg.dataset.from = from.toFixed(3); svg.dataset.to = to.toFixed(3);
      point(at);
    };
    const closer = (by) => {
      const mid = at ?? (from + to) / 2, left = (mid - from) * by, right = (to - mid) * by;
      zoom(mid - left, mid + right);
    };

    // The picture may be scaled; its own coordinates count.
    const place = (e) => { const r = svg.getBoundingClientRect(); return (e.clientX - r.left) * svg.viewBox.baseVal.width / r.width; };
    let drag = null;
    svg.addEventListener("pointerdown", (e) => { const px = place(e); if (px >= data.left && e.button === 0) { drag = px; e.preventDefault(); box.focus({ preventScroll: true }); } });
    svg.addEventListener("pointermove", (e) => {
      const px = Math.min(place(e), data.right);
      if (px < data.left) return;
      point(t(px));
      if (drag === null) return;
      band.setAttribute("visibility", "visible");
      band.setAttribute("x", Math.min(drag, px)); band.setAttribute("width", Math.abs(px - drag));
    });
    addEventListener("pointerup", (e) => {
      if (drag === null) return;
      const px = Math.min(Math.max(place(e), data.left), data.right), was = drag;
      drag = null;
      band.setAttribute("visibility", "hidden");
      if (Math.abs(px - was) > 4) zoom(t(Math.min(px, was)), t(Math.max(px, was)));
    });
    svg.addEventListener("dblclick", () => zoom(data.from, data.to));
    box.addEventListener("keydown", (e) => {
      if (e.ctrlKey || e.metaKey || e.altKey) return;
      const step = Math.max((to - from) / 200, Math.min(data.step, (to - from) / 20)) * (e.shiftKey ? 5 : 1);
      const acts = {
        ArrowLeft: () => point((at ?? to) - step), ArrowRight: () => point((at ?? from) + step),
        Home: () => point(from), End: () => point(to),
        "+": () => closer(.5), "=": () => closer(.5), "-": () => closer(2), "0": () => zoom(data.from, data.to),
        Escape: () => { zoom(data.from, data.to); point(null); },
      };
      if (acts[e.key]) { e.preventDefault(); acts[e.key](); }
    });
    $("timeline-picture").style.touchAction = "pan-y";
    zoom(from, to);
  };

  const start = () => { timeline(); reveal(); };
  start();
  document.addEventListener("squall:redrawn", timeline);
})();
