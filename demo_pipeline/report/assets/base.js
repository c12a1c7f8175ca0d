"use strict";
// All scripts of the page are one, in the order of page.py.
const data = JSON.parse(document.getElementById("data").textContent);
const texts = data.texts;
const PARTS = ["wait", "database wait", "processing", "publish", "retry", "other"];
const RARE_PARTS = new Set(["database wait", "retry"]);
const COLOURS = 10;

// Rows of page_data.py, by position.
const orders = data.orders.map(([id, traces, took, parts, fault, state, troubled, user]) => ({ id, traces, took, parts, fault, state, troubled: troubled === 1, user }));
const readSpan = ([name, service, role, kind, depth, start, took, wait, mark, spanId, events, shape, ...values]) => ({
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
  events: events.map(([at, event, ...pairs]) => ({
    at,
    name: texts[event],
    attributes: pairs.map(([key, value]) => [texts[key], texts[value]]),
  })),
  attributes: data.shapes[shape].map((key, place) => [texts[key], texts[values[place]]]),
});
const attributeOf = (span, key) => span.attributes.find(([name]) => name === key)?.[1] ?? "";
const typeOf = (span) => attributeOf(span, "cloudevents.event_type");

const byId = (id) => document.getElementById(id);

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

const counted = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

const threeDigits = (value) => (value < 9.995 ? value.toFixed(2) : value < 99.95 ? value.toFixed(1) : value.toFixed(0));

// As `human` in wording.py: 420 µs, 5.35 ms, 622 ms, 54.3 s, 2 min 5 s.
const human = (us) => {
  if (us === null) return "-";
  if (us <= 0) return "0 ms";
  if (us < 999.5) return `${Math.round(us)} µs`;
  if (us < 999_500) return `${threeDigits(us / 1000)} ms`;
  if (us < 99_950_000) return `${threeDigits(us / 1e6)} s`;
  const seconds = Math.round(us / 1e6);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60).toLocaleString("en")} h ${minutes % 60} min`;
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

const shareBar = (parts, className) => {
  const bar = make("span", { class: className, "aria-hidden": "true" });
  parts.forEach((part, place) => {
    if (part <= 0) return;
    const piece = make("span", { class: PARTS[place].split(" ")[0] });
    piece.style.flexGrow = part;
    bar.append(piece);
  });
  return bar;
};

// A service has one colour on the whole page.
const numbers = new Map();
for (const [, spans] of data.traces) {
  for (const [, service] of spans) if (!numbers.has(service)) numbers.set(service, numbers.size);
}
const colours = new Map([...numbers].map(([service, number]) => [texts[service], `s${number % COLOURS}`]));
const dot = (service) => make("span", { class: `dot ${colours.get(service)}`, "aria-hidden": "true" });

// One element of a group is in the order of Tab; the arrow keys move to the others.
const rove = (elements, chosen) => {
  for (const element of elements) element.tabIndex = element === chosen ? 0 : -1;
};
const STEPS = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };
const stepped = (key, at, length) => Math.min(Math.max(at + STEPS[key], 0), length - 1);
