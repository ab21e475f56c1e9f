"use strict";
// The report's only script. Everything from the data enters the page as text (textContent), never as markup.

const data = JSON.parse(document.getElementById("data").textContent);
const rows = data.rows;
const byId = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en");
let visible = [];
let current = -1;
let showDiff = true;

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function fill(target, ...children) {
  target.replaceChildren(...children);
  return target;
}

// --- summary and findings ---

function tiles() {
  fill(byId("tiles"), ...data.tiles.map(([label, value]) => {
    const tile = element("div", "tile");
    tile.append(element("b", "", value), element("span", "", label));
    return tile;
  }));
  const head = element("tr");
  head.append(...data.table.head.map((name) => element("th", "", name)));
  const body = data.table.rows.map((cells) => {
    const line = element("tr");
    line.append(...cells.map((cell) => element("td", "", cell)));
    return line;
  });
  fill(byId("sources"), head, ...body);
  fill(byId("notes"), ...data.notes.map((note) => element("li", "", note)));
}

function codes() {
  const boxes = data.findings.map((found) => {
    const box = element("details", "code");
    const line = element("summary");
    line.append(element("b", found.severity, found.code), " " + found.title + " ",
      element("span", "times", found.severity + ", " + (found.count === 1 ? "once" : number(found.count) + " times")));
    const places = element("ul");
    for (const [place, message] of found.places) places.append(element("li", "", place + ": " + message));
    const more = found.count - found.places.length;
    if (more > 0) places.append(element("li", "times", "and " + number(more) + " more"));
    box.append(line, element("p", "", found.hint), places);
    const show = element("button", "", "Show these rows");
    show.type = "button";
    show.onclick = () => {
      byId("by-code").value = found.code;
      filter();
      byId("pairs").scrollIntoView();
    };
    if (rows.some((row) => hasCode(row, found.code))) box.append(show);
    return box;
  });
  fill(byId("codes"), ...(boxes.length ? boxes : [element("p", "empty", "Nothing found.")]));
}

// --- verdicts to check ---

function audit() {
  const audit = data.audit;
  if (!audit) return;
  byId("audit").hidden = false;
  document.querySelector('a[href="#audit"]').hidden = false;
  byId("audited").textContent = (audit.rows === 1 ? "One verdict" : number(audit.rows) + " verdicts") + " of audit.jsonl, spread over the rules that made them. " +
    (audit.checked ? "Checked by a person: " + number(audit.checked) + ", of these right: " + number(audit.agreed) + "."
      : "None is checked yet: fill in “right” in the file (true where you would judge the same) and make this page again.") +
    (audit.unread ? " Lines that cannot be read: " + number(audit.unread) + "." : "");
  fill(byId("verdicts"), ...audit.groups.map((group) => {
    const box = element("details", "code");
    const line = element("summary");
    line.append(element("b", group.outcome, group.outcome), " " + group.rule + " ",
      element("span", "times", number(group.of) + (group.rows.length < group.of ? ", the first " + number(group.rows.length) + " are shown" : "")));
    const table = element("table");
    const head = element("tr");
    head.append(...["Question", "Reference", "Answer found", "End of the response", "Right?"].map((name) => element("th", "", name)));
    table.append(head, ...group.rows.map((row) => {
      const cells = [row.question, row.reference, row.extracted === null ? "–" : row.extracted, row.response,
        row.right === null ? "" : row.right ? "yes" : "no"];
      const made = element("tr");
      made.append(...cells.map((cell) => element("td", "", cell)));
      return made;
    }));
    const scroll = element("div", "scroll verdicts");
    scroll.append(table);
    box.append(line, scroll);
    return box;
  }));
}

// --- filters ---

const hasCode = (row, code) => row.hits.some(([found]) => found === code);
const sizes = (row) => [row.answers[0].text.length, row.answers[row.answers.length - 1].text.length];
const two = (row) => row.answers.length > 1;
const GAPS = [
  ["Any length gap", () => true],
  ["First answer 2× longer", (a, b) => a >= 2 * b],
  ["First answer longer", (a, b) => a > b],
  ["Within 10 %", (a, b) => Math.abs(a - b) <= 0.1 * Math.max(a, b)],
  ["Last answer longer", (a, b) => b > a],
  ["Last answer 2× longer", (a, b) => b >= 2 * a],
];
if (rows.length && rows.every((row) => row.answers[0].side !== "candidate")) {
  for (const gap of GAPS) gap[0] = gap[0].replace("First answer", "Chosen").replace("Last answer", "Rejected");
}

function option(value, label) {
  const made = element("option", "", label);
  made.value = value;
  return made;
}

function selects() {
  const present = new Map();
  for (const row of rows) for (const code of new Set(row.hits.map((hit) => hit[0]))) present.set(code, (present.get(code) || 0) + 1);
  fill(byId("by-code"), option("", "Any findings"), option("any", "With a finding"), option("none", "Without findings"),
    ...[...present].sort().map(([code, count]) => option(code, code + " (" + number(count) + ")")));
  fill(byId("by-source"), option("", "All sources"), ...data.sources.map((name, place) => option(String(place), name)));
  fill(byId("by-gap"), ...GAPS.map(([label], place) => option(String(place), label)));
  byId("by-source").hidden = data.sources.length < 2;
  byId("by-gap").hidden = !rows.some(two);
}

function textOf(row) {
  if (row.folded === undefined) {
    const parts = [...row.prompt.map((turn) => turn.text), ...row.answers.map((answer) => answer.text),
      ...row.images.map((image) => image.name), row.origin.map((pair) => pair.join(" ")).join(" "), data.sources[row.source] + ":" + row.line];
    row.folded = parts.join("\n").toLowerCase();
  }
  return row.folded;
}

function filter() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const code = byId("by-code").value;
  const source = byId("by-source").value;
  const gap = GAPS[Number(byId("by-gap").value) || 0][1];
  const anyGap = gap === GAPS[0][1];
  const before = visible[current];
  visible = rows.filter((row) =>
    (source === "" || row.source === Number(source)) &&
    (code === "" || (code === "any" ? row.hits.length > 0 : code === "none" ? row.hits.length === 0 : hasCode(row, code))) &&
    (anyGap || (two(row) && gap(...sizes(row)))) &&
    words.every((word) => textOf(row).includes(word)));
  list();
  select(Math.max(0, visible.indexOf(before)), false);
}

// --- the list and the chosen row ---

function list() {
  const items = visible.map((row, place) => {
    const button = element("button");
    button.type = "button";
    button.dataset.place = place;
    const where = element("span", "where");
    where.append(element("span", "", (data.sources.length > 1 ? data.sources[row.source] + ":" : "line ") + row.line));
    if (row.hits.length) {
      const worst = row.hits.some((hit) => hit[1] === "error") ? "error" : "warning";
      where.append(element("span", "mark " + worst, [...new Set(row.hits.map((hit) => hit[0]))].join(" ")));
    }
    button.append(where, element("span", "words", row.brief));
    const item = element("li");
    item.append(button);
    return item;
  });
  fill(byId("list"), ...(items.length ? items : [element("li", "empty", "No row fits the filters.")]));
  const all = data.total > rows.length ? " sampled of " + number(data.total) : "";
  byId("count").textContent = number(visible.length) + " of " + number(rows.length) + " rows" + all;
}

function select(place, focus) {
  const buttons = byId("list").getElementsByTagName("button");
  if (buttons[current]) buttons[current].removeAttribute("aria-current");
  current = visible.length ? Math.min(Math.max(place, 0), visible.length - 1) : -1;
  byId("detail").hidden = current < 0;
  if (current < 0) return;
  const button = buttons[current];
  button.setAttribute("aria-current", "true");
  const box = byId("list");
  const bounds = button.getBoundingClientRect();
  const frame = box.getBoundingClientRect();
  if (bounds.top < frame.top || bounds.bottom > frame.bottom) {
    box.scrollTop += bounds.top - frame.top - box.clientHeight / 2;
  }
  detail(visible[current]);
  byId("previous").disabled = current === 0;
  byId("next").disabled = current === visible.length - 1;
  if (focus) history.replaceState(null, "", "#row=" + (rows.indexOf(visible[current]) + 1));
}

function detail(row) {
  byId("place").textContent = data.sources[row.source] + ":" + row.line;
  byId("place").title = data.paths[row.source];
  fill(byId("hits"), ...row.hits.map(([code, severity, message]) => {
    const line = element("p");
    line.append(element("b", severity, code), " " + message);
    return line;
  }));
  fill(byId("images"), ...row.images.map(picture));
  fill(byId("prompt"), ...row.prompt.map((turn) => {
    const box = element("div", "turn");
    box.append(element("h3", "", turn.role), text(turn.text, turn.cut));
    return box;
  }));
  answers(row);
  origin(row);
}

function picture(image) {
  const box = element("figure");
  if (image.thumb !== null) {
    const shown = element("img");
    shown.src = data.thumbs[image.thumb];
    shown.alt = image.name;
    box.append(shown);
  }
  box.append(element("figcaption", "", image.note ? image.name + " (" + image.note + ")" : image.name));
  return box;
}

function text(content, cut) {
  const box = element("div", "text", content);
  if (cut) box.append(element("span", "cut", " … " + number(cut) + " more characters"));
  return box;
}

function answers(row) {
  const compare = showDiff && row.answers.length === 2 && row.answers[0].side === "chosen";
  const marks = compare ? difference(row.answers[0].text, row.answers[1].text) : null;
  fill(byId("answers"), ...row.answers.map((answer, place) => {
    const box = element("div", "answer " + answer.side);
    const title = element("h3");
    title.append(element("b", "", answer.label), " · " + number(answer.text.length + answer.cut) + " characters, " +
      number((answer.text.match(/\S+/g) || []).length) + " words");
    box.append(title);
    if (answer.verdict) {
      const said = element("h3");
      said.append(element("b", answer.verdict.outcome, answer.verdict.outcome), " " + answer.verdict.told);
      box.append(said);
    }
    const body = text(answer.text, answer.cut);
    if (marks) {
      const pieces = marks[place].map(([kind, piece]) =>
        kind === "same" ? document.createTextNode(piece) : element(kind === "shared" ? "span" : "mark", kind, piece));
      const rest = body.querySelector(".cut");
      fill(body, ...pieces);
      if (rest) body.append(rest);
    }
    box.append(body);
    return box;
  }));
}

function origin(row) {
  const table = element("dl");
  for (const [name, value] of row.origin) table.append(element("dt", "", name), element("dd", "", value));
  fill(byId("origin"), ...(row.origin.length ? [table] : []));
}

// --- word differences ---

const WORDS = /\s+|[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]|[\p{L}\p{N}_]+|[^\s]/gu;
const MOST_CELLS = 4e6;

function difference(first, second) {
  const a = first.match(WORDS) || [];
  const b = second.match(WORDS) || [];
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const midA = a.slice(start, a.length - end);
  const midB = b.slice(start, b.length - end);
  const [keptA, keptB] = common(midA, midB);
  drop(midA, midB, keptA, keptB);
  const join = (words, middle, kept) => [
    ["shared", words.slice(0, start).join("")],
    ...runs(middle, kept),
    ["same", words.slice(words.length - end).join("")],
  ].filter((piece) => piece[1]);
  return [join(a, midA, keptA), join(b, midB, keptB)];
}

function common(a, b) {
  const keptA = new Uint8Array(a.length);
  const keptB = new Uint8Array(b.length);
  if (a.length * b.length > MOST_CELLS) return [keptA, keptB];
  const wide = b.length + 1;
  const best = new Uint16Array((a.length + 1) * wide);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const down = best[(i + 1) * wide + j];
      const right = best[i * wide + j + 1];
      best[i * wide + j] = a[i] === b[j] ? best[(i + 1) * wide + j + 1] + 1 : Math.max(down, right);
    }
  }
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    if (a[i] === b[j]) { keptA[i++] = 1; keptB[j++] = 1; }
    else if (best[(i + 1) * wide + j] >= best[i * wide + j + 1]) i++;
    else j++;
  }
  return [keptA, keptB];
}

// A comma or an article that two rewritten stretches happen to share is no agreement: what is shorter than the changes on
// both sides of it counts as changed, until nothing more does.
function drop(a, b, keptA, keptB) {
  const size = (words, from, to) => words.slice(from, to).join("").length;
  for (let again = true; again;) {
    again = false;
    for (let i = 0, j = 0; i < a.length || j < b.length;) {
      const [startA, startB] = [i, j];
      while (i < a.length && !keptA[i]) i++;
      while (j < b.length && !keptB[j]) j++;
      const before = Math.max(size(a, startA, i), size(b, startB, j));
      const [sameA, sameB] = [i, j];
      while (i < a.length && j < b.length && keptA[i] && keptB[j]) { i++; j++; }
      let [nextA, nextB] = [i, j];
      while (nextA < a.length && !keptA[nextA]) nextA++;
      while (nextB < b.length && !keptB[nextB]) nextB++;
      const after = Math.max(size(a, i, nextA), size(b, j, nextB));
      const same = size(a, sameA, i);
      if (same && same <= before && same <= after) {
        keptA.fill(0, sameA, i);
        keptB.fill(0, sameB, j);
        again = true;
      }
    }
  }
}

function runs(words, kept) {
  const pieces = [];
  words.forEach((word, place) => {
    const kind = kept[place] ? "same" : "changed";
    const last = pieces[pieces.length - 1];
    if (last && last[0] === kind) last[1] += word;
    else pieces.push([kind, word]);
  });
  return pieces;
}

// --- keys and buttons ---

function theme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}

const KEYS = {
  j: () => select(current + 1, true), ArrowDown: () => select(current + 1, true),
  k: () => select(current - 1, true), ArrowUp: () => select(current - 1, true),
  "/": () => { byId("pairs").scrollIntoView(); byId("search").focus({ preventScroll: true }); },
  d: () => { showDiff = !showDiff; if (current >= 0) detail(visible[current]); },
  t: theme,
  "?": () => byId("help").showModal(),
};

document.addEventListener("keydown", (event) => {
  const typing = ["INPUT", "SELECT"].includes(event.target.tagName);
  if (event.key === "Escape" && event.target === byId("search")) {
    byId("search").value = "";
    byId("search").blur();
    filter();
  } else if (event.key === "Enter" && event.target === byId("search")) {
    byId("search").blur();
  } else if (!typing && !byId("help").open && !event.ctrlKey && !event.metaKey && !event.altKey && KEYS[event.key]) {
    event.preventDefault();
    KEYS[event.key]();
  }
});

byId("list").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) select(Number(button.dataset.place), true);
});
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("search").addEventListener("input", filter);
for (const id of ["by-code", "by-source", "by-gap"]) byId(id).addEventListener("change", filter);
byId("previous").onclick = () => select(current - 1, true);
byId("next").onclick = () => select(current + 1, true);
byId("theme").onclick = theme;
byId("keys").onclick = KEYS["?"];

tiles();
codes();
audit();
selects();
filter();
const asked = /^#row=(\d+)$/.exec(location.hash);
if (asked) {
  select(Number(asked[1]) - 1, false);
  history.scrollRestoration = "manual";
  byId("pairs").scrollIntoView({ behavior: "instant" });
}
document.documentElement.dataset.ready = "true";
