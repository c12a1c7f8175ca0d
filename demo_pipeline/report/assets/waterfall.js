// The spans of an order as a tree beside bars on one time axis.
const MOST_ROWS = 500;
const KIND_OF_ROLE = { process: "work", send: "sent", retry: "again", dead_letter: "letter", saga: "whole", "saga.step": "step" };

const KINDS = [
  ["waited", "wait in the broker"],
  ["turn", "wait for the database, drawn first", "database"],
  ["work", "processing"],
  ["sent", "send"],
  ["pause", "backoff", "retry"],
  ["again", "retry", "retry"],
  ["letter", "dead letter", "dead_letter"],
  ["whole", "saga", "saga"],
  ["step", "saga step", "saga.step"],
  ["else", "HTTP and other"],
];

// Rare kinds are explained only if they occur.
const legends = (spans) => {
  const services = [...new Set(spans.map((span) => span.service))];
  const kinds = KINDS.filter(([, , role]) => role === undefined || spans.some((span) => (role === "database" ? databaseWait(span) > 0 : span.role === role)));
  return make(
    "div",
    { class: "legends" },
    make("ul", { class: "legend", "aria-label": "Services by colour" }, ...services.map((service) => make("li", {}, dot(service), " ", service))),
    make(
      "ul",
      { class: "legend", "aria-label": "Kinds of bars" },
      ...kinds.map(([name, meaning]) => make("li", {}, make("span", { class: `key ${name}`, "aria-hidden": "true" }), ` ${meaning}`)),
    ),
  );
};

const axisOf = (spans) => {
  const first = Math.min(...spans.map((span) => span.start));
  const end = Math.max(...spans.map((span) => span.start + span.took));
  const waited = Math.min(...spans.map((span) => span.start - Math.max(span.wait, 0)));
  // A record that had waited for days before this trace would flatten everything else.
  const start = Math.max(waited, first - (end - first));
  return { start, length: Math.max(end - start, 1) };
};

// In µs; part of the time that the span takes.
const databaseWait = (span) => 1e6 * (Number(attributeOf(span, "pipeline.resource.wait.database")) || 0);

const barOf = (span, axis) => {
  const track = make("span", { class: `track ${colours.get(span.service)}`, "aria-hidden": "true" });
  const piece = (from, until, className) => {
    const left = Math.min(Math.max((from - axis.start) / axis.length, 0), 1);
    const right = Math.min(Math.max((until - axis.start) / axis.length, 0), 1);
    const element = make("span", { class: `piece ${className}` });
    element.style.left = `${100 * left}%`;
    element.style.width = `${100 * (right - left)}%`;
    track.append(element);
  };
  if (span.wait > 0) piece(span.start - span.wait, span.start, span.role === "retry" ? "pause" : "waited");
  piece(span.start, span.start + span.took, `own ${KIND_OF_ROLE[span.role] ?? "else"}${span.mark === "error" ? " failed" : ""}`);
  const turn = Math.min(databaseWait(span), span.took);
  if (turn > 0) piece(span.start, span.start + turn, "turn");
  return track;
};

// "process" and its type say more than the topic, which comes last.
const labelOf = (span) => {
  const type = typeOf(span);
  const topic = attributeOf(span, "messaging.destination.name");
  const words = type && span.name.endsWith(` ${topic}`) ? [span.name.slice(0, -topic.length), make("b", {}, type)] : [span.name];
  return [
    dot(span.service),
    make("span", { class: "name" }, ...words),
    make("span", { class: "service" }, type ? ` ${span.service} · ${topic}` : ` ${span.service}`),
    span.mark ? make("span", { class: span.mark === "error" ? "flag" : "flag calm" }, span.mark) : null,
  ];
};

const spanRow = (span, axis, number, below) => {
  const detailId = `span-detail-${number}`;
  const open = make("button", { type: "button", class: "open", "aria-expanded": "false", "aria-controls": detailId, tabindex: -1 }, ...labelOf(span));
  open.title = `starts at ${human(span.start - axis.start)}${span.wait >= 0 ? ` after waiting ${human(span.wait)}` : ""}, takes ${human(span.took)}`;
  const fold = below > 0 ? make("button", { type: "button", class: "fold", "aria-expanded": "true", tabindex: -1, "aria-label": `${counted(below, "span")} below` }) : null;
  const label = make("div", { role: "gridcell", class: "label" }, fold, open);
  label.style.setProperty("--depth", Math.min(span.depth, 16));
  const row = make(
    "div",
    { role: "row", class: span.mark === "error" ? "row bad" : "row", "aria-level": span.depth + 1, "aria-expanded": below > 0 ? "true" : null },
    label,
    make("div", { role: "gridcell", class: "timeline" }, barOf(span, axis)),
    make("div", { role: "gridcell", class: "figure" }, span.wait >= 0 ? human(span.wait) : ""),
    make("div", { role: "gridcell", class: "figure" }, human(span.took)),
  );
  const detail = make("div", { id: detailId, class: "attributes", role: "row", hidden: true });
  return { span, row, open, fold, detail, below, folded: false, shown: true };
};

const showDetail = (entry, open) => {
  // Created on first opening: most are never opened.
  if (open && !entry.detail.hasChildNodes()) entry.detail.append(make("div", { role: "gridcell", "aria-colspan": "4" }, spanDetail(entry.span)));
  entry.detail.hidden = !open;
  entry.open.setAttribute("aria-expanded", String(open));
};

const arrange = (entries) => {
  let hiddenUntil = 0;
  entries.forEach((entry, place) => {
    entry.shown = place >= hiddenUntil;
    entry.row.hidden = !entry.shown;
    if (!entry.shown) entry.detail.hidden = true;
    else if (entry.open.getAttribute("aria-expanded") === "true") entry.detail.hidden = false;
    if (entry.shown && entry.folded) hiddenUntil = place + 1 + entry.below;
  });
};

const setFolded = (entry, folded) => {
  if (entry.fold === null) return;
  entry.folded = folded;
  entry.fold.setAttribute("aria-expanded", String(!folded));
  entry.row.setAttribute("aria-expanded", String(!folded));
};

const parentOf = (entries, place) => {
  for (let before = place - 1; before >= 0; before -= 1) if (entries[before].span.depth < entries[place].span.depth) return before;
  return place;
};

const onKeys = (grid, entries) => {
  const goTo = (entry) => {
    rove(entries.map(({ open }) => open), entry.open);
    entry.open.focus();
  };
  grid.addEventListener("keydown", (event) => {
    const place = entries.findIndex(({ open }) => open === event.target);
    if (place < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const entry = entries[place];
    if (event.key in STEPS) {
      const visible = entries.filter(({ shown }) => shown);
      goTo(visible[stepped(event.key, visible.indexOf(entry), visible.length)]);
    } else if (event.key === "ArrowRight" && entry.fold !== null) {
      if (!entry.folded) goTo(entries[place + 1]);
      setFolded(entry, false);
    } else if (event.key === "ArrowLeft") {
      if (entry.fold !== null && !entry.folded) setFolded(entry, true);
      else goTo(entries[parentOf(entries, place)]);
    } else return;
    event.preventDefault();
    arrange(entries);
  });
  grid.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    const entry = entries.find(({ open, fold }) => button !== null && (button === open || button === fold));
    if (entry === undefined) return;
    rove(entries.map(({ open }) => open), entry.open);
    if (button === entry.open) showDetail(entry, entry.detail.hidden);
    else setFolded(entry, !entry.folded);
    arrange(entries);
  });
};

const waterfall = (spans) => {
  const axis = axisOf(spans);
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => make("span", {}, share === 0 ? "0" : human(share * axis.length)));
  const head = make(
    "div",
    { role: "row", class: "row head" },
    make("div", { role: "columnheader", class: "label" }, "Span"),
    make("div", { role: "columnheader", class: "timeline" }, make("span", { class: "unseen" }, "Time"), make("span", { class: "ticks", "aria-hidden": "true" }, ...ticks)),
    make("div", { role: "columnheader", class: "figure" }, "Wait"),
    make("div", { role: "columnheader", class: "figure" }, "Took"),
  );
  const drawn = spans.slice(0, MOST_ROWS);
  const entries = drawn.map((span, number) => {
    let after = number + 1;
    while (after < drawn.length && drawn[after].depth > span.depth) after += 1;
    return spanRow(span, axis, number, after - number - 1);
  });
  const grid = make(
    "div",
    { role: "treegrid", class: "waterfall", "aria-label": "Spans: arrow keys move, left and right fold and unfold, Enter opens" },
    head,
    ...entries.flatMap(({ row, detail }) => [row, detail]),
  );
  rove(entries.map(({ open }) => open), entries[0].open);
  onKeys(grid, entries);
  const foldAll = make("button", { type: "button", class: "copy" }, "Fold all");
  foldAll.addEventListener("click", () => {
    const folded = foldAll.textContent === "Fold all";
    for (const entry of entries) setFolded(entry, folded);
    foldAll.textContent = folded ? "Unfold all" : "Fold all";
    rove(entries.map(({ open }) => open), entries[0].open);
    arrange(entries);
  });
  const rest = spans.length - MOST_ROWS;
  return make("div", {}, legends(spans), foldAll, grid, rest > 0 ? make("p", { class: "quiet" }, `${counted(rest, "more span")} in traces.jsonl.`) : null);
};
