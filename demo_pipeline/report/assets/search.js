// What an order can be found by, as `field:value`, or without a field.
const FIELDS = {
  "messaging.message.id": "event",
  "cloudevents.event_type": "type",
  "messaging.destination.name": "topic",
  "error.type": "error",
  "user.id": "user",
  "enduser.id": "user",
};
const TROUBLED = "troubled";

const wantedOfShape = data.shapes.map((keys) => keys.flatMap((key, place) => (texts[key] in FIELDS ? [[FIELDS[texts[key]], place]] : [])));
const VALUES_FROM = 12;

const describe = (order) => {
  const fields = {};
  const add = (field, value) => (fields[field] ??= new Set()).add(value);
  for (const number of order.traces) {
    const [traceId, spans] = data.traces[number];
    add("trace", traceId);
    for (const row of spans) {
      add("service", texts[row[1]]);
      for (const [field, place] of wantedOfShape[row[VALUES_FROM - 1]]) add(field, texts[row[VALUES_FROM + place]]);
    }
  }
  add("order", order.id);
  add("state", order.state);
  if (order.fault) add("state", "broken trace");
  if (order.user) add("user", order.user);
  return Object.fromEntries(Object.entries(fields).map(([field, values]) => [field, [...values].join("\n").toLowerCase()]));
};

let index = null;
const indexed = () => {
  index ??= orders.map((order) => {
    const fields = describe(order);
    return { order, fields, all: Object.values(fields).join("\n") };
  });
  return index;
};

// Orders that have all words of a query.
const searched = (query, state) => {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const ofState = (order) => state === "" || (state === TROUBLED ? order.troubled : order.state === state);
  if (words.length === 0) return orders.filter(ofState);
  const tests = words.map((word) => {
    const [, field, value] = /^(order|trace|event|type|topic|state|service|user|error):(.*)$/.exec(word) ?? [];
    return field === undefined ? ({ all }) => all.includes(word) : ({ fields }) => (fields[field] ?? "").includes(value);
  });
  return indexed()
    .filter((entry) => ofState(entry.order) && tests.every((test) => test(entry)))
    .map(({ order }) => order);
};
