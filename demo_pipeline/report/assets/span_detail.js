// Everything about one span: its attributes, its exceptions and its other events.
const pairs = (entries) =>
  make("dl", {}, ...entries.flatMap(([key, value]) => [make("dt", {}, key), make("dd", {}, value)]));

const eventBox = (event, span) => {
  const failed = event.name === "exception";
  const about = Object.fromEntries(event.attributes);
  const rest = event.attributes.filter(([key]) => !failed || (key !== "exception.type" && key !== "exception.message"));
  const title = failed ? `${about["exception.type"] ?? "exception"}: ${about["exception.message"] ?? ""}` : event.name;
  return make(
    "li",
    { class: failed ? "event bad" : "event" },
    make("p", {}, make("b", {}, title), make("span", { class: "quiet" }, ` ${human(event.at - span.start)} after the start`)),
    rest.length > 0 ? pairs(rest) : null,
  );
};

const spanDetail = (span) => {
  const events = span.events.length > 0 ? make("ul", { class: "events" }, ...span.events.map((event) => eventBox(event, span))) : null;
  const facts = [["service.name", span.service], ["span id", span.spanId], ["span kind", span.kind], ...span.attributes];
  return make("div", { class: "facts" }, events, pairs(facts));
};
