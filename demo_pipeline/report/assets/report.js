"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const texts = data.texts;
  const PARTS = ["wait", "processing", "publish", "retry", "other"];
  const CLASS_OF_ROLE = { process: "processing", send: "publish", retry: "attempt", dead_letter: "letter", saga: "saga", "saga.step": "step" };
  const PAGE = 200;
  const MOST_ROWS = 500;

  // Rows of page_data.py, by position.
  const orders = data.orders.map(([id, traces, took, parts, fault, deadLettered]) => ({ id, traces, took, parts, fault, deadLettered: deadLettered === 1 }));
  const readSpan = ([name, service, role, kind, depth, start, took, wait, mark, spanId, shape, ...values]) => ({
    name: texts[name],
    service: texts[service],
    role: texts[role],
    kind: texts[kind],
    depth,
    start,
    took,
    wait,
    mark: texts[mark],
    spanId,
    attributes: data.shapes[shape].map((key, place) => [texts[key], texts[values[place]]]),
  });

  const byId = (id) => document.getElementById(id);
  const list = byId("list");
  const detail = byId("detail");
  const search = byId("search");
  const sort = byId("sort");
  const more = byId("more");

  // Text becomes text nodes only: nothing from an event is parsed as markup.
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === true) element.setAttribute(name, "");
      else if (value !== false && value !== null) element.setAttribute(name, String(value));
    }
    element.append(...children.filter((child) => child !== null));
    return element;
  };

  const ms = (us) => {
    if (us === null) return "-";
    const value = us / 1000;
    if (value < 9.995) return value.toFixed(2);
    if (value < 99.95) return value.toFixed(1);
    return Math.round(value).toLocaleString("en");
  };

  const shareBar = (parts, className) => {
    const bar = make("span", { class: className, "aria-hidden": "true" });
    parts.forEach((part, place) => {
      if (part <= 0) return;
      const piece = make("span", { class: PARTS[place] });
      piece.style.flexGrow = part;
      bar.append(piece);
    });
    return bar;
  };

  // Whole percent that add up to 100, as in wording.py.
  const percents = (parts) => {
    const total = parts.reduce((sum, part) => sum + part, 0);
    if (total <= 0) return parts.map(() => 0);
    const whole = parts.map((part) => Math.floor((100 * part) / total));
    const rest = 100 - whole.reduce((sum, share) => sum + share, 0);
    const byRemainder = parts.map((_, place) => place).sort((a, b) => ((100 * parts[b]) % total) - ((100 * parts[a]) % total));
    for (const place of byRemainder.slice(0, rest)) whole[place] += 1;
    return whole;
  };

  // ---- list of orders

  const longest = orders.reduce((most, order) => Math.max(most, order.took ?? 0), 0) || 1;
  const compareIds = (a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
  const SORTS = {
    slowest: (a, b) => (b.took ?? -1) - (a.took ?? -1) || compareIds(a, b),
    fastest: (a, b) => (a.took ?? Infinity) - (b.took ?? Infinity) || compareIds(a, b),
    broken: (a, b) => Number(Boolean(b.fault)) - Number(Boolean(a.fault)) || SORTS.slowest(a, b),
    letters: (a, b) => Number(b.deadLettered) - Number(a.deadLettered) || SORTS.slowest(a, b),
    id: compareIds,
  };
  let found = [];
  let shown = 0;
  let chosen = null;

  const option = (order, place) => {
    const bar = shareBar(order.parts, "mini");
    bar.style.width = `${(100 * (order.took ?? 0)) / longest}%`;
    const element = make(
      "div",
      { role: "option", id: `option-${place}`, "aria-selected": String(order === chosen), title: order.id },
      make("span", { class: "id" }, order.id),
      order.fault || order.deadLettered ? make("span", { class: "flag" }, order.fault ? "broken" : "dead letter") : null,
      make("span", { class: "took" }, order.took === null ? "no trace" : `${ms(order.took)} ms`),
      bar,
    );
    element.addEventListener("click", () => choose(place));
    return element;
  };

  const showUpTo = (count) => {
    const until = Math.min(count, found.length);
    const added = document.createDocumentFragment();
    for (; shown < until; shown += 1) added.append(option(found[shown], shown));
    list.append(added);
    more.hidden = shown >= found.length;
    more.textContent = `Show more (${(found.length - shown).toLocaleString("en")} left)`;
  };

  const refresh = () => {
    const wanted = search.value.trim().toLowerCase();
    found = orders.filter((order) => order.id.toLowerCase().includes(wanted)).sort(SORTS[sort.value]);
    shown = 0;
    list.replaceChildren();
    list.scrollTop = 0;
    showUpTo(PAGE);
    byId("found").textContent = `${found.length.toLocaleString("en")} of ${orders.length.toLocaleString("en")} orders`;
    const place = Math.max(0, found.indexOf(chosen));
    if (found.length > 0) choose(place, false);
    else {
      list.removeAttribute("aria-activedescendant");
      chosen = null;
      detail.replaceChildren(make("p", { class: "quiet" }, "No order matches."));
    }
  };

  const choose = (place, scroll = true) => {
    if (place >= shown) showUpTo(place + PAGE);
    list.querySelector('[aria-selected="true"]')?.setAttribute("aria-selected", "false");
    const element = byId(`option-${place}`);
    element.setAttribute("aria-selected", "true");
    list.setAttribute("aria-activedescendant", element.id);
    if (scroll) element.scrollIntoView({ block: "nearest" });
    if (found[place] !== chosen || !detail.hasChildNodes()) {
      chosen = found[place];
      showOrder(chosen);
    }
  };

  list.addEventListener("keydown", (event) => {
    if (found.length === 0) return;
    const at = found.indexOf(chosen);
    const moves = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + 10, PageUp: at - 10, Home: 0, End: found.length - 1 };
    if (!(event.key in moves)) return;
    event.preventDefault();
    choose(Math.min(Math.max(moves[event.key], 0), found.length - 1));
  });
  search.addEventListener("input", refresh);
  sort.addEventListener("change", refresh);
  more.addEventListener("click", () => showUpTo(shown + PAGE));

  for (const button of document.querySelectorAll("button[data-trace]")) {
    const order = orders.find(({ traces }) => traces.some((number) => data.traces[number][0] === button.dataset.trace));
    if (order === undefined) continue;
    button.hidden = false;
    button.addEventListener("click", () => {
      search.value = "";
      refresh();
      choose(found.indexOf(order));
      detail.focus({ preventScroll: true });
      byId("orders").scrollIntoView();
    });
  }

  // ---- one order

  const copyButton = (text) => {
    const button = make("button", { type: "button", class: "copy", "aria-label": "Copy trace id" }, "Copy");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text.textContent);
        button.textContent = "Copied";
      } catch {
        // Some browsers deny local files the clipboard; a selection can still be copied.
        getSelection().selectAllChildren(text);
        button.textContent = "Selected";
      }
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
    return button;
  };

  const traceLine = (id) => {
    const code = make("code", {}, id);
    return make("p", { class: "trace" }, "Trace ", code, " ", copyButton(code));
  };

  // Rare signs are explained only if they occur.
  const legend = (spans) =>
    make(
      "ul",
      { class: "legend" },
      ...[
        ["wait", "wait in the broker"],
        ["processing", "processing"],
        ["publish", "send"],
        ["retry", "backoff", "retry"],
        ["attempt", "retry", "retry"],
        ["letter", "dead letter", "dead_letter"],
        ["saga", "saga", "saga"],
        ["step", "saga step", "saga.step"],
        ["other", "HTTP and other"],
      ]
        .filter(([, , role]) => role === undefined || spans.some((span) => span.role === role))
        .map(([name, meaning]) =>
          make("li", {}, make("span", { class: `key ${name}`, "aria-hidden": "true" }), ` ${meaning}`),
        ),
    );

  const breakdown = (order) => {
    const shares = percents(order.parts);
    const words = PARTS.map((name, place) => `${name} ${ms(order.parts[place])} ms (${shares[place]} %)`).filter(
      (_, place) => PARTS[place] !== "retry" || order.parts[place] > 0,
    );
    return make("div", { class: "breakdown" }, shareBar(order.parts, "share"), make("p", {}, `Critical path: ${words.join(", ")}`));
  };

  const attributeTable = (span) => {
    const facts = [
      ["service.name", span.service],
      ["span id", span.spanId],
      ["span kind", span.kind],
      ...span.attributes,
    ];
    return make(
      "dl",
      {},
      ...facts.flatMap(([key, value]) => [make("dt", {}, key), make("dd", {}, value)]),
    );
  };

  const bar = (span, axis) => {
    const track = make("span", { class: "track", "aria-hidden": "true" });
    const piece = (from, until, className) => {
      const left = Math.min(Math.max((from - axis.start) / axis.length, 0), 1);
      const right = Math.min(Math.max((until - axis.start) / axis.length, 0), 1);
      const element = make("span", { class: `piece ${className}` });
      element.style.left = `${100 * left}%`;
      element.style.width = `${100 * (right - left)}%`;
      track.append(element);
    };
    if (span.wait > 0) piece(span.start - span.wait, span.start, span.role === "retry" ? "retry" : "wait");
    piece(span.start, span.start + span.took, `own ${CLASS_OF_ROLE[span.role] ?? "other"}${span.mark === "error" ? " failed" : ""}`);
    return track;
  };

  const spanRow = (span, axis, number) => {
    const attributesId = `attributes-${number}`;
    const begins = ms(span.start - axis.start);
    const words = span.wait >= 0 ? `after waiting ${ms(span.wait)} ms` : "";
    const button = make(
      "button",
      {
        type: "button",
        "aria-expanded": "false",
        "aria-controls": attributesId,
        title: `starts at ${begins} ms ${words}, takes ${ms(span.took)} ms; open for its attributes`,
      },
      make("span", { class: "name" }, span.name),
      " ",
      make("span", { class: "service" }, span.service),
      span.mark ? make("span", { class: span.mark === "error" ? "flag" : "flag calm" }, span.mark) : null,
    );
    const first = make("div", { role: "rowheader", class: "label" }, button);
    first.style.setProperty("--depth", Math.min(span.depth, 16));
    const row = make(
      "div",
      { role: "row", class: "row" },
      first,
      make("div", { role: "cell", class: "timeline" }, bar(span, axis)),
      make("div", { role: "cell", class: "figure" }, span.wait >= 0 ? ms(span.wait) : ""),
      make("div", { role: "cell", class: "figure" }, ms(span.took)),
    );
    const attributes = make("div", { id: attributesId, class: "attributes", role: "row", hidden: true });
    button.addEventListener("click", () => {
      const open = attributes.hidden;
      // Created on first opening: most are never opened.
      if (open && !attributes.hasChildNodes()) {
        attributes.append(make("div", { role: "cell", "aria-colspan": "4" }, attributeTable(span)));
      }
      attributes.hidden = !open;
      button.setAttribute("aria-expanded", String(open));
    });
    return [row, attributes];
  };

  const waterfall = (spans) => {
    const first = Math.min(...spans.map((span) => span.start));
    const end = Math.max(...spans.map((span) => span.start + span.took));
    const waited = Math.min(...spans.map((span) => span.start - Math.max(span.wait, 0)));
    // A record that had waited for days before this trace would flatten everything else.
    const start = Math.max(waited, first - (end - first));
    const axis = { start, length: Math.max(end - start, 1) };
    const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => make("span", {}, share === 0 ? "0" : ms(share * axis.length)));
    const head = make(
      "div",
      { role: "row", class: "row head" },
      make("div", { role: "columnheader", class: "label" }, "Span, service"),
      make("div", { role: "columnheader", class: "timeline", "aria-label": "Timeline" }, make("span", { class: "ticks", "aria-hidden": "true" }, ...ticks)),
      make("div", { role: "columnheader", class: "figure" }, "Wait ms"),
      make("div", { role: "columnheader", class: "figure" }, "Took ms"),
    );
    const table = make("div", { role: "table", class: "waterfall", "aria-label": "Waterfall of the order's spans" }, head);
    const drawn = spans.slice(0, MOST_ROWS);
    table.append(...drawn.flatMap((span, number) => spanRow(span, axis, number)));
    if (spans.length <= MOST_ROWS) return table;
    const rest = (spans.length - MOST_ROWS).toLocaleString("en");
    return make("div", {}, table, make("p", { class: "quiet" }, `${rest} more spans are in traces.jsonl.`));
  };

  const showOrder = (order) => {
    const traces = order.traces.map((number) => data.traces[number]);
    const spans = traces.flatMap(([, rows]) => rows.slice(0, MOST_ROWS + 1).map(readSpan));
    detail.replaceChildren(
      make("h3", {}, "Order ", make("bdi", {}, order.id)),
      ...traces.map(([id]) => traceLine(id)),
    );
    if (order.fault) detail.append(make("p", { class: "verdict bad" }, "✗ ", order.fault));
    if (order.took !== null) detail.append(breakdown(order));
    if (spans.length > 0) detail.append(legend(spans), waterfall(spans));
  };

  const where = byId("where");
  where.append(...shareBar(where.dataset.parts.split(" ").map(Number), "share").childNodes);
  if (orders.length > 0) {
    byId("orders").hidden = false;
    refresh();
  }
})();
