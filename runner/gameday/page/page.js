// The live page: a reader of the record like any other. It knows nothing but
// what /day and the lines of /events say.
"use strict";
const $ = (id) => document.getElementById(id);
const S = 1e9;
let day, acts = false, pace = 1, last = 0, lastAt = 0, ended = null, step = null;
const watches = new Map(), faults = new Map(), steps = new Map();

const clock = (ns) => { const s = Math.max(0, Math.floor(ns / S)); return Math.floor(s / 60) + ":" + String(s % 60).padStart(2, "0"); };
const now = () => ended ? last : last + (performance.now() - lastAt) * 1e6 * pace;
const el = (tag, text, cls) => { const e = document.createElement(tag); if (text !== undefined) e.textContent = text; if (cls) e.className = cls; return e; };

async function post(path, body) {
  const res = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  if (!res.ok) throw new Error((await res.text()).trim() || res.statusText);
  return res.json();
}

async function open(token) {
  await post("/login", { token });
  await begin();
}

async function begin() {
  const res = await fetch("/day");
  if (!res.ok) throw new Error("a token is needed");
  const d = await res.json();
  day = d.day; acts = d.acts; pace = day.pace || 1;
  $("login").hidden = true; $("main").hidden = false;
  $("name").textContent = "Game day " + day.name + (day.dry ? " — rehearsal" : day.replay ? " — replay" : "");
  $("title").textContent = day.title || "";
  document.title = day.name + " · game day";
  $("acts").hidden = $("note").hidden = !acts;
  $("author").value = localStorage.getItem("author") || "";
  $("heal").textContent = day.heal || "squall heal";
  for (const s of day.spec.steps) { const li = el("li", s.id + (s.says ? ": " + s.says : "") + " (" + s.does + ")"); steps.set(s.id, { ...s, li }); $("steps").append(li); }
  for (const [role, who] of Object.entries(day.spec.roles || {})) $("people").append(el("li", role + ": " + who));
  for (const c of day.spec.contacts || []) $("people").append(el("li", c.Name + ": " + c.Reach + (c.For ? " (" + c.For + ")" : "")));
  $("people-section").hidden = !$("people").children.length;
  buttons();
  const events = new EventSource("/events");
  events.onmessage = (e) => { try { entry(JSON.parse(e.data)); } catch (x) { console.error(x); } };
  events.onopen = () => { if (!ended) state("goes on", "good"); };
  events.onerror = () => { if (!ended) state("no connection", "bad"); };
  events.addEventListener("end", () => events.close());
}

function state(text, cls) { $("state").textContent = text; $("state").className = "badge " + cls; }

function line(t, kind, by, text, cls) {
  const li = el("li", undefined, kind);
  li.append(el("span", clock(t), "t"), el("span", kind, "dim"), el("span", by || ""), el("span", text, cls));
  $("timeline").prepend(li);
}

// brief cuts off the reason of a fault that failed: the fault's own line says it.
function brief(text) {
  for (const f of faults.values()) if (f.error && text.endsWith(f.error)) text = text.slice(0, -f.error.length).replace(/: $/, "");
  return text;
}

function entry(e) {
  last = e.t; lastAt = performance.now();
  const d = e.data;
  switch (e.type) {
  case "phase": if (d.event === "start" && d.name === "baseline") { $("now-title").textContent = "Steady state"; $("now-says").textContent = "Is everything as it should be? Nothing is injected before."; line(e.t, "phase", "", "steady state is measured"); } break;
  case "step": onStep(e.t, d); break;
  case "fault": onFault(e.t, d); break;
  case "watch": onWatch(e.t, d); break;
  case "mark": onMark(e.t, d); break;
  case "note": line(e.t, d.author === "squall" ? "squall" : "note", d.author, d.text, d.level === "error" ? "bad" : ""); break;
  case "end": onEnd(e.t, d); break;
  }
}

function onStep(t, d) {
  const s = steps.get(d.id);
  if (!s) return;
  line(t, "step", "", d.id + " " + d.state + (d.state === "begun" ? ": " + d.does : "") + (d.error || d.text ? ": " + brief(d.error || d.text) : ""), d.error ? "bad" : "");
  if (d.state === "begun") { step = { ...s, from: t }; s.li.className = "on"; show(); return; }
  s.li.className = "over"; s.li.append(d.error ? " ✗" : " ✓"); step = null;
  $("now-title").textContent = d.error ? "Healing" : "Between two steps"; $("now-says").textContent = d.error || ""; buttons();
}

function show() {
  $("now-title").textContent = step.id + " (" + step.does + ")";
  $("now-says").textContent = step.says || "";
  const all = [...steps.keys()], after = all[all.indexOf(step.id) + 1];
  $("next").textContent = after ? "next: " + after : "this is the last step";
  const p = (day.spec.playbooks || []).find((b) => b.id === step.playbook);
  $("playbook-section").hidden = !p;
  if (p) {
    $("playbook-title").textContent = "Playbook: " + p.title;
    $("escalate").textContent = p.escalate ? "Escalate: " + p.escalate : "";
    $("playbook").replaceChildren(...p.steps.map((text, i) => {
      const li = el("li", text + " ");
      if (acts) { const b = el("button", "done"); b.onclick = () => say({ what: "did", n: i + 1 }); li.append(b); }
      return li;
    }));
  }
  buttons();
}

function buttons() {
  const fault = step && (step.does === "fault" || step.does === "ramp");
  for (const b of document.querySelectorAll("#acts button")) {
    const w = b.dataset.what;
    b.disabled = !!ended || w === "go" && !(step && step.does === "wait") || ["detected", "acknowledged", "mitigated"].includes(w) && !fault;
  }
}

function onFault(t, d) {
  if (d.state !== "intent") line(t, "fault", "", d.id + " " + d.state + (d.error ? ": " + d.error : ""), d.error ? "bad" : "");
  const f = faults.get(d.id) || {};
  faults.set(d.id, { ...f, ...d, receipt: d.receipt || f.receipt });
  const cls = { injected: "warn", biting: "bad", gone: "good", failed: "bad" };
  $("faults").tBodies[0].replaceChildren(...[...faults.values()].map((x) => {
    const tr = el("tr");
    tr.append(el("td", x.id), el("td", x.kind + " " + (x.detail || "") + " on " + x.on), el("td", x.state, cls[x.state] || ""), el("td", receipt(x.receipt)));
    return tr;
  }));
}

function receipt(r) {
  if (!r || !r.unit) return "none yet";
  return r.hits + " " + (r.hits === 1 ? r.unit.replace(/(?<=ss)es$|s$/, "") : r.unit);
}

function onWatch(t, d) {
  let w = watches.get(d.id);
  if (!w) {
    const tr = el("tr");
    w = { points: [], tr, cells: [el("td", (d.group === "signal" ? "signal " : "") + d.id), el("td"), el("td"), el("td")] };
    tr.append(...w.cells); watches.set(d.id, w);
    $("watches").tBodies[0].replaceChildren(...[...watches.values()].map((x) => x.tr));
  }
  w.cells[1].textContent = (d.measured || "no data").split(" (")[0]; w.cells[1].title = d.measured;
  w.cells[1].className = d.state === "crossed" ? "bad" : d.state === "kept" ? "good" : "warn";
  w.cells[2].textContent = d.bound;
  const v = parseFloat(d.measured);
  if (!Number.isNaN(v)) w.points.push([t, v]);
  while (w.points.length && w.points[0][0] < t - 120 * S) w.points.shift();
  w.cells[3].replaceChildren(spark(w.points, d.bound));
}

function spark(points, bound) {
  const ns = "http://www.w3.org/2000/svg", svg = document.createElementNS(ns, "svg");
  svg.setAttribute("viewBox", "0 0 120 20"); svg.setAttribute("role", "img"); svg.setAttribute("aria-label", "course of the last two minutes");
  if (points.length < 2) return svg;
  const limit = parseFloat((bound.match(/[\d.]+/) || [])[0]);
  const vs = points.map((p) => p[1]).concat(Number.isNaN(limit) ? [] : [limit]);
  const lo = Math.min(...vs), hi = Math.max(...vs), end = points[points.length - 1][0];
  const x = (t) => 120 - (end - t) / S, y = (v) => hi === lo ? 10 : 18 - (v - lo) / (hi - lo) * 16;
  const path = (pts, stroke, dash) => { const p = document.createElementNS(ns, "polyline"); p.setAttribute("points", pts.map((q) => q.join(",")).join(" ")); p.setAttribute("fill", "none"); p.setAttribute("stroke", stroke); if (dash) p.setAttribute("stroke-dasharray", dash); svg.append(p); };
  if (!Number.isNaN(limit)) path([[0, y(limit)], [120, y(limit)]], "currentColor", "2 3");
  path(points.map(([t, v]) => [x(t).toFixed(1), y(v).toFixed(1)]), "currentColor");
  return svg;
}

function onMark(t, d) {
  const text = { go: "go on", signal: "signal " + d.on + " seen: " + d.text, did: "did step " + d.n + ": " + d.text, approved: "approved the plan", action: "to do: " + d.text }[d.what];
  line(t, "mark", d.author || "squall", text || d.what + (d.text ? ": " + d.text : ""));
  if (d.what === "did") { const li = $("playbook").children[d.n - 1]; if (li) { li.className = "did"; li.querySelector("button")?.remove(); } }
}

function onEnd(t, d) {
  ended = d;
  const dirty = d.dirty && d.dirty.length;
  state(dirty ? "NOT HEALED" : d.reason, dirty || d.reason === "error" ? "bad" : d.reason === "done" ? "good" : "warn");
  line(t, "end", "", d.reason + (d.error ? ": " + brief(d.error) : ""), dirty ? "bad" : "");
  $("now-title").textContent = dirty ? "Not healed: run the command below" : "The day is over: " + d.reason;
  $("now-says").textContent = dirty ? d.dirty.join("; ") : d.error || "";
  $("countdown").textContent = "";
  $("watched").textContent = "at the end"; // nobody measures any more, so nothing is good or bad now
  for (const w of watches.values()) w.cells[1].className = "dim";
  buttons();
  report(dirty);
}

// report shows the report once it is written: in place of this page, because the
// runner ends then; but not of what still has to be done.
async function report(dirty) {
  for (let i = 0; i < 40; i++) {
    const res = await fetch("/files/report.html", { method: "HEAD" }).catch(() => ({}));
    if (res.ok && !dirty && !day.replay) { location.replace("/files/report.html"); return; }
    if (res.ok) break;
    await new Promise((r) => setTimeout(r, 250));
  }
  const a = el("a", "report"); a.href = "/files/report.html";
  $("next").replaceChildren(...(day.replay ? [a] : ["The report is in " + day.dir]));
}

async function say(c) {
  const author = $("author").value.trim();
  if (!author) { $("answer").textContent = "Who are you? Put your name in."; $("author").focus(); return; }
  localStorage.setItem("author", author);
  $("answer").textContent = "";
  try { await post("/command", { ...c, author }); } catch (x) { $("answer").textContent = x.message; }
}

for (const b of document.querySelectorAll("#acts button")) b.onclick = () => say({ what: b.dataset.what });
$("note").onsubmit = (e) => {
  e.preventDefault();
  say({ what: e.submitter.dataset.kind, text: $("note-text").value });
  $("note-text").value = "";
};
$("login").onsubmit = (e) => { e.preventDefault(); open($("token").value).catch((x) => { $("wrong").textContent = x.message; }); };
setInterval(() => {
  $("clock").textContent = clock(now());
  if (!step) { $("countdown").textContent = ""; return; }
  $("countdown").textContent = step.longest ? clock(step.from + step.longest * S - now()) + " left" : "for " + clock(now() - step.from);
}, 250);

const token = location.hash.slice(1);
if (token) history.replaceState(null, "", location.pathname);
(token ? open(token) : begin()).catch(() => { $("login").hidden = false; state("a token is needed", "warn"); });
