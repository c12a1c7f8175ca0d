// Who sent what to which service, in the order of time, as a list with one column per service.
const OUTSIDE = "outside";
const DEAD = "dead letters";

const messagesOf = (spans) => {
  const above = [];
  const messages = [];
  for (const span of spans) {
    above.length = span.depth;
    const cause = above[span.depth - 1];
    above.push(span);
    if (span.role === "process" && cause?.role === "send") {
      messages.push({ from: cause.service, to: span.service, what: typeOf(span) || span.name, at: span.start, wait: span.wait, bad: span.mark === "error" });
    } else if (span.kind === "SERVER") {
      const from = cause?.kind === "CLIENT" ? cause.service : null;
      messages.push({ from, to: span.service, what: span.name, at: span.start, wait: -1, bad: span.mark === "error" });
    } else if (span.role === "dead_letter") {
      messages.push({ from: span.service, to: DEAD, what: typeOf(span) || "dead letter", at: span.start, wait: -1, bad: true });
    }
  }
  return messages.sort((a, b) => a.at - b.at);
};

const sequence = (spans) => {
  const messages = messagesOf(spans).slice(0, MOST_ROWS);
  const lanes = [...new Set([OUTSIDE, ...messages.flatMap(({ from, to }) => [from ?? OUTSIDE, to])])].sort((a, b) => (a === DEAD) - (b === DEAD));
  const start = Math.min(...spans.map((span) => span.start));
  const placed = (element, lane, until = lane) => {
    element.style.gridColumn = `${Math.min(lane, until) + 2} / ${Math.max(lane, until) + 3}`;
    return element;
  };
  const head = make("div", { class: "message lanes", "aria-hidden": "true" }, ...lanes.map((lane, place) => placed(make("span", {}, colours.has(lane) ? dot(lane) : null, lane), place)));
  const rows = messages.map(({ from, to, what, at, wait, bad }) => {
    const left = lanes.indexOf(from ?? OUTSIDE);
    const right = lanes.indexOf(to);
    const way = left === right ? "self" : left < right ? "right" : "left";
    const arrow = make("span", { class: `arrow ${way} ${colours.get(from ?? to)}`, "aria-hidden": "true" });
    arrow.style.setProperty("--lanes", Math.abs(right - left) + 1);
    const caption = make("span", { class: bad ? "what bad" : "what" }, make("span", { class: "unseen" }, `${lanes[left]} to ${lanes[right]}: `), make("b", {}, what), wait >= 0 ? ` waited ${human(wait)}` : null);
    return make("li", { class: "message" }, make("span", { class: "at" }, human(at - start)), placed(caption, left, right), placed(arrow, left, right));
  });
  const box = make("div", { class: "scroll sequence", role: "group", tabindex: 0, "aria-label": "Messages in the order of time" }, head, make("ol", {}, ...rows));
  box.style.setProperty("--count", lanes.length);
  return box;
};
