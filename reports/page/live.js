"use strict";
// Keeps the page of a run that goes on up to date.
(() => {
  const badge = document.getElementById("live");
  const say = (text) => { if (badge) badge.textContent = text; };
  const source = new EventSource("events");
  source.addEventListener("open", () => say("● live"));
  source.addEventListener("section", (e) => {
    const part = JSON.parse(e.data), at = document.querySelector('[data-part="' + CSS.escape(part.id) + '"]');
    if (!at) return;
    const open = [...at.querySelectorAll("details")].map((d) => d.open), focus = at.contains(document.activeElement) && document.activeElement.id;
    at.innerHTML = part.html; // rendered by the same templates as the page
    const now = [...at.querySelectorAll("details")];
    if (now.length === open.length) now.forEach((d, i) => { d.open = open[i]; });
    if (part.id === "timeline") document.dispatchEvent(new Event("squall:redrawn"));
    if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
  });
  source.addEventListener("end", () => { source.close(); say("ended"); });
  source.addEventListener("error", () => say(source.readyState === EventSource.CLOSED ? "the runner has gone" : "reconnecting"));
})();
