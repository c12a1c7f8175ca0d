// One order: its state, where its time went, and its spans in one of two views.
const detail = byId("detail");
let view = "waterfall";

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

const breakdown = (order) => {
  const shares = percents(order.parts);
  const words = PARTS.map((name, place) => `${name} ${human(order.parts[place])} (${shares[place]} %)`).filter(
    (_, place) => !RARE_PARTS.has(PARTS[place]) || order.parts[place] > 0,
  );
  return make("div", { class: "breakdown" }, shareBar(order.parts, "share"), make("p", {}, `Critical path: ${words.join(", ")}`));
};

const badges = (order) => [
  order.state === "completed" ? null : make("span", { class: order.troubled ? "flag" : "flag calm" }, order.state),
  order.fault ? make("span", { class: "flag" }, "broken trace") : null,
];

const VIEWS = { waterfall: ["Waterfall", waterfall], sequence: ["Sequence", sequence] };

const views = (spans) => {
  const box = make("div", {});
  const buttons = Object.entries(VIEWS).map(([name, [title]]) => {
    const button = make("button", { type: "button", "data-view": name }, title);
    button.addEventListener("click", () => show(name));
    return button;
  });
  const show = (name) => {
    view = name;
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.view === name));
    box.replaceChildren(VIEWS[name][1](spans));
  };
  show(view);
  return make("div", {}, make("div", { class: "views", role: "group", "aria-label": "View" }, ...buttons), box);
};

const showOrder = (order) => {
  const traces = order.traces.map((number) => data.traces[number]);
  const spans = traces.flatMap(([, rows]) => rows.map(readSpan));
  detail.replaceChildren(
    make("h3", {}, "Order ", make("bdi", {}, order.id), ` ${order.took === null ? "" : human(order.took)} `, ...badges(order)),
    ...traces.map(([id]) => traceLine(id)),
  );
  if (order.user) detail.append(make("p", { class: "trace" }, "User ", make("bdi", {}, order.user)));
  if (order.fault) detail.append(make("p", { class: "verdict bad" }, "✗ ", order.fault));
  if (order.took !== null) detail.append(breakdown(order));
  if (spans.length > 0) detail.append(views(spans));
};
