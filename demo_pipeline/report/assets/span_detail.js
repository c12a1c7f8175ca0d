// Everything about one span: its attributes, its exceptions, its other events and its log lines.
const pairs = (entries) =>
  make("dl", {}, ...entries.flatMap(([key, value]) => [make("dt", {}, key), make("dd", {}, value)]));

const logLine = (event, span) => {
  const [[level, text]] = event.attributes;
  const bad = level === "ERROR" || level === "CRITICAL";
  return make("li", { class: bad ? "event bad" : "event" }, make("p", {}, make("b", {}, level), ` ${text}`, make("span", { class: "quiet" }, ` ${human(event.at - span.start)} after the start`)));
};

const eventBox = (event, span) => {
  if (event.name === "log") return logLine(event, span);
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
