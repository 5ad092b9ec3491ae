"use strict";
// Adds filter and sorting to a page that is complete without them.
(() => {
  const table = document.querySelector("table[data-list]"), box = document.getElementById("filter");
  if (!table || !box) return;
  const body = table.tBodies[0], rows = [...body.rows];
  const words = { failed: "fail", passed: "pass", green: "pass", unclear: "inconclusive" };
  // s:fail verdict, w:fault window of what is not met, f:latency fault, @smoke tag, -word not; anything else: text.
  const wants = (row, term) => {
    const not = term.startsWith("-") && term.length > 1;
    const [, key, value] = /^-?(?:([swf]):|(@))?(.*)$/.exec(term).filter((_, i) => i !== 2);
    const tag = /^-?@/.test(term);
    const has = (name, v) => (row.dataset[name] || "").split(" ").some((x) => x.startsWith(v));
    const yes = tag ? has("tags", value) : key === "s" ? has("s", words[value] || value) : key === "w" ? has("w", value)
      : key === "f" ? (row.dataset.f || "").includes(value) : row.textContent.toLowerCase().includes(value);
    return yes !== not;
  };
  const input = document.createElement("input");
  input.type = "search"; input.id = "q"; input.placeholder = "s:failed w:fault f:latency @smoke -word";
  input.setAttribute("aria-label", "Filter scenarios");
  const shown = document.createElement("output");
  shown.setAttribute("aria-live", "polite");
  const help = document.createElement("p");
  help.className = "soft"; help.id = "q-help";
  help.textContent = "s: verdict, w: phase in which something was not met, f: kind of fault, @ tag, - all but; any other word is looked for in the row. / brings you here.";
  input.setAttribute("aria-describedby", help.id);
  box.append(input, shown, help);
  const filter = () => {
    const terms = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let n = 0;
    rows.forEach((r) => { r.hidden = !terms.every((t) => wants(r, t)); n += r.hidden ? 0 : 1; });
    shown.textContent = terms.length ? n + " of " + rows.length : "";
    history.replaceState(null, "", terms.length ? "#q=" + encodeURIComponent(input.value) : location.pathname + location.search);
  };
  input.addEventListener("input", filter);
  addEventListener("keydown", (e) => { if (e.key === "/" && e.target !== input) { e.preventDefault(); input.focus(); } });

  [...table.tHead.rows[0].cells].forEach((th, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...th.childNodes);
    th.append(button);
    button.addEventListener("click", () => {
      const down = th.getAttribute("aria-sort") === "ascending";
      [...table.tHead.rows[0].cells].forEach((c) => c.removeAttribute("aria-sort"));
      th.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (r) => r.cells[i].dataset.sort ?? r.cells[i].textContent.trim();
      const order = (a, b) => { const x = key(a), y = key(b), n = x - y; return Number.isNaN(n) ? x.localeCompare(y) : n; };
      rows.sort((a, b) => down ? order(b, a) : order(a, b));
      body.append(...rows);
    });
  });
  const q = /^#q=(.*)$/.exec(location.hash);
  if (q) { input.value = decodeURIComponent(q[1]); filter(); }
})();
