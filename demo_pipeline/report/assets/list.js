// The list of orders: search, filter, sort, selection, and links to one order.
const PAGE = 50;
const PAUSE_MS = 120;
const list = byId("list");
const search = byId("search");
const state = byId("state");
const sort = byId("sort");
const more = byId("more");

const longest = orders.reduce((most, order) => Math.max(most, order.took ?? 0), 0) || 1;
const compareIds = (a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
const SORTS = {
  troubled: (a, b) => Number(b.troubled) - Number(a.troubled) || SORTS.slowest(a, b),
  slowest: (a, b) => (b.took ?? -1) - (a.took ?? -1) || compareIds(a, b),
  fastest: (a, b) => (a.took ?? Infinity) - (b.took ?? Infinity) || compareIds(a, b),
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
    { role: "option", id: `option-${place}`, "aria-selected": "false", tabindex: -1, class: order.troubled ? "bad" : null, title: order.id },
    make("span", { class: "id" }, order.id),
    make("span", { class: "flags" }, ...badges(order)),
    make("span", { class: "took" }, order.took === null ? "no trace" : human(order.took)),
    bar,
  );
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

const choose = (place, { focus = false, scroll = true } = {}) => {
  if (place >= shown) showUpTo(place + PAGE);
  const before = list.querySelector('[aria-selected="true"]');
  before?.setAttribute("aria-selected", "false");
  before?.setAttribute("tabindex", "-1");
  const element = byId(`option-${place}`);
  element.setAttribute("aria-selected", "true");
  element.tabIndex = 0;
  if (focus) element.focus({ preventScroll: true });
  if (scroll) element.scrollIntoView({ block: "nearest" });
  if (found[place] !== chosen || !detail.hasChildNodes()) {
    chosen = found[place];
    showOrder(chosen);
  }
};

const refresh = () => {
  found = searched(search.value, state.value).sort(SORTS[sort.value]);
  shown = 0;
  list.replaceChildren();
  list.scrollTop = 0;
  showUpTo(PAGE);
  byId("found").textContent = `${found.length.toLocaleString("en")} of ${counted(orders.length, "order")}`;
  if (found.length > 0) {
    choose(Math.max(0, found.indexOf(chosen)), { scroll: false });
    return;
  }
  chosen = null;
  detail.replaceChildren(make("p", { class: "quiet" }, "No order matches."));
};

// The address names what is shown, so that it can be sent to a colleague.
const link = (order) => {
  const parts = new URLSearchParams();
  if (order) parts.set("order", order.id);
  else if (state.value) parts.set("state", state.value);
  if (search.value.trim()) parts.set("search", search.value.trim());
  const named = parts.toString();
  history.replaceState(null, "", named ? `#${named}` : location.pathname + location.search);
};

const select = (order) => {
  if (!found.includes(order)) {
    search.value = state.value = "";
    refresh();
  }
  choose(found.indexOf(order));
};

const follow = () => {
  const parts = new URLSearchParams(location.hash.slice(1));
  const order = orders.find(({ id }) => id === parts.get("order"));
  if (parts.has("search")) search.value = parts.get("search");
  if (parts.has("state")) state.value = parts.get("state");
  if (parts.has("search") || parts.has("state")) refresh();
  if (order) select(order);
  if (order || parts.has("search") || parts.has("state")) byId("orders").scrollIntoView();
};

list.addEventListener("click", (event) => {
  const element = event.target.closest('[role="option"]');
  if (element === null) return;
  choose([...list.children].indexOf(element), { focus: true });
  link(chosen);
});
list.addEventListener("keydown", (event) => {
  if (!(event.key in STEPS) || found.length === 0) return;
  event.preventDefault();
  choose(stepped(event.key, found.indexOf(chosen), found.length), { focus: true });
  link(chosen);
});

let waiting = 0;
const searchNow = () => {
  clearTimeout(waiting);
  waiting = 0;
  refresh();
  link(null);
};
search.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(searchNow, PAUSE_MS);
});
search.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" && event.key !== "ArrowDown") return;
  event.preventDefault();
  if (waiting) searchNow();
  list.querySelector('[tabindex="0"]')?.focus();
});
for (const control of [state, sort]) control.addEventListener("change", searchNow);
more.addEventListener("click", () => showUpTo(shown + PAGE));
window.addEventListener("hashchange", follow);
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
  event.preventDefault();
  search.focus();
  search.select();
});

for (const button of document.querySelectorAll("button[data-trace]")) {
  const order = orders.find(({ traces }) => traces.some((number) => data.traces[number][0] === button.dataset.trace));
  if (order === undefined) continue;
  button.hidden = false;
  button.addEventListener("click", () => {
    select(order);
    link(order);
    detail.focus({ preventScroll: true });
    byId("orders").scrollIntoView();
  });
}

const where = byId("where");
where.append(...shareBar(where.dataset.parts.split(" ").map(Number), "share").childNodes);
if (orders.length > 0) {
  byId("orders").hidden = false;
  refresh();
  follow();
  // The first keystroke must not wait for it.
  (window.requestIdleCallback ?? setTimeout)(indexed);
}
