// An answer as it is written: blocks of Markdown that are made once, marks that open the source.
import { useLayoutEffect, useRef } from "preact/hooks";
import { cuts, fragmentOf, unwrapMarkers, withMarkers } from "./markdown.js";
import { place, unitsOf } from "./text.js";
import { partsOf, reasonOf, SIGNS, stateOf, WORDS } from "./verdicts.js";

export function Answer({ id, text, record, streaming, current, onOpen, onReason }) {
  const host = useRef(null);
  useLayoutEffect(() => paint(host.current, text, record, streaming));
  useLayoutEffect(() => {
    for (const button of host.current.querySelectorAll("[data-citation]"))
      button.setAttribute("aria-pressed", String(Number(button.dataset.citation) === current));
  });
  const light = (event, on) => {
    const part = event.target.closest?.("[data-part]")?.dataset.part;
    if (part === undefined || !event.target.closest("button")) return;
    // Not host.current: the focus also goes out of an answer that is being taken away.
    for (const piece of event.currentTarget.querySelectorAll(`[data-part="${part}"]`)) piece.classList.toggle("lit", on);
  };
  const press = (event) => {
    const button = event.target.closest("button");
    if (button?.dataset.citation) onOpen(Number(button.dataset.citation), button);
    else if (button?.dataset.reason !== undefined) onReason();
  };
  return (
    <div
      class={`answer${streaming ? " streaming" : ""}`}
      data-answer={id}
      ref={host}
      onClick={press}
      onMouseOver={(event) => light(event, true)}
      onMouseOut={(event) => light(event, false)}
      onFocusIn={(event) => light(event, true)}
      onFocusOut={(event) => light(event, false)}
    />
  );
}

function paint(host, text, record, streaming) {
  const places = placesOf(text, record, streaming);
  const starts = cuts(text);
  starts.forEach((start, n) => {
    const stop = starts[n + 1] ?? text.length;
    const own = places.filter(({ span }) => span[0] < stop && span[1] > start);
    const key = `${text.slice(start, stop)}\0${own.map((one) => one.key).join()}`;
    let block = host.children[n];
    if (block?.paintedFor === key) return;
    if (!block) host.append((block = document.createElement("div")));
    block.className = "block";
    block.paintedFor = key;
    block.replaceChildren(made(text.slice(start, stop), own, start, stop, record));
  });
  while (host.children.length > starts.length) host.lastChild.remove();
}

// The places in an answer that are drawn: parts with their verdicts, and the marks in them.
function placesOf(text, record, streaming) {
  const citations = record?.citations ?? [];
  const parts = partsOf(record, streaming);
  const units = unitsOf(text, [...parts.flatMap((p) => p.span), ...citations.flatMap((c) => c.mark ?? [])]);
  const places = parts.map((part, n) => ({
    kind: "part",
    n,
    state: part.state,
    cites: part.citations.length > 0,
    span: part.span.map(units),
    key: `p${n}${part.state}${part.span}`,
  }));
  const marks = new Map();
  citations.forEach((citation, index) => {
    if (!citation.mark) return;
    const key = citation.mark.join("-");
    const n = parts.findIndex((part) => part.citations.includes(index));
    const mark = marks.get(key) ?? { kind: "mark", n, span: citation.mark.map(units), indexes: [], key };
    mark.indexes.push(index);
    mark.key += `m${index}${citation.supported}${citation.reason}`;
    marks.set(key, mark);
  });
  return [...places, ...marks.values()];
}

function made(text, places, start, stop, record) {
  const spans = places.map(({ span }) => [Math.max(span[0], start) - start, Math.min(span[1], stop) - start]);
  const fragment = fragmentOf(withMarkers(text, spans));
  const done = new Set();
  unwrapMarkers(fragment, (n) => {
    const one = places[n];
    if (one.kind === "part") {
      const piece = document.createElement("span");
      piece.className = `part ${one.state}`;
      piece.dataset.part = one.n;
      return piece;
    }
    const group = document.createElement("span");
    group.setAttribute("data-own", "");
    if (!done.has(n)) group.append(...one.indexes.map((index) => markOf(record.citations[index], index, one.n)));
    done.add(n);
    return group;
  });
  for (const one of places) {
    if (one.kind !== "part" || one.cites) continue;
    const pieces = fragment.querySelectorAll(`[data-part="${one.n}"]`);
    if (pieces.length && one.span[1] <= stop) pieces[pieces.length - 1].after(signOf(one));
  }
  return fragment;
}

function markOf(citation, index, part) {
  const state = stateOf(citation.supported);
  const button = document.createElement("button");
  button.type = "button";
  button.className = `mark ${state}`;
  button.dataset.citation = index;
  button.dataset.part = part;
  button.textContent = state === "yes" ? `${citation.number}` : `${SIGNS[state]}${citation.number}`;
  button.title = `${SIGNS[state]} ${WORDS[state]}: ${reasonOf(citation)}\n${place(citation)}`;
  button.setAttribute("aria-label", `Source ${citation.number}, ${place(citation)}. ${WORDS[state]}: ${reasonOf(citation)}`);
  return button;
}

function signOf(part) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "mark no";
  button.dataset.reason = "";
  button.dataset.part = part.n;
  button.textContent = SIGNS.no;
  button.title = "▲ Not supported: it cites no source";
  button.setAttribute("aria-label", "Not supported: this statement cites no source. Show all statements");
  return button;
}
