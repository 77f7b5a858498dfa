// An answer as it is written: blocks of Markdown that are made once, marks that open the source.
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { cuts, fragmentOf, unwrapMarkers, withMarkers } from "./markdown.js";
import { place, unitsOf } from "./text.js";
import { partsOf, reasonOf, SIGNS, stateOf, WORDS } from "./verdicts.js";

export function Answer({ id, text, record, streaming, current, onOpen, onReason }) {
  const host = useRef(null);
  usePaint(host, text, record, streaming);
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

// Half of the time is the page's: a paragraph of hundreds of marks, which is drawn anew with each word, takes more
// than a frame, and what came meanwhile is drawn with the next words.
function usePaint(host, text, record, streaming) {
  const last = useRef({ until: 0, timer: null });
  useLayoutEffect(() => {
    const begun = performance.now();
    clearTimeout(last.current.timer);
    const draw = () => {
      const before = performance.now();
      if (host.current) paint(host.current, text, record, streaming);
      const after = performance.now();
      last.current.until = after - before > 8 ? after + 2 * (after - before) : 0;
    };
    const wait = streaming ? last.current.until - begun : 0;
    if (wait > 0) last.current.timer = setTimeout(draw, wait);
    else draw();
  });
  useEffect(() => () => clearTimeout(last.current.timer), []);
}

// Draws what has changed since the last time only: of a long answer that is its last item, row or paragraph.
export function paint(host, text, record, streaming) {
  const places = placesOf(text, record, streaming);
  const pieces = cuts(text);
  const painted = (host.painted ??= []);
  for (const gone of painted.splice(pieces.length)) for (const node of gone.nodes) node.remove();
  const owned = placesByPiece(places, pieces);
  let block = null; // the last one so far: what goes on a list or a table lies in it
  let isNew = false;
  pieces.forEach(({ at, into, head }, n) => {
    const stop = pieces[n + 1]?.at ?? text.length;
    const own = owned[n];
    const key = `${into}${text.slice(at, stop)}\0${own.map((one) => one.key).join()}`;
    const known = painted[n];
    const isSame = known?.key === key && !(into && isNew);
    if (!isSame) {
      for (const node of known?.nodes ?? []) node.remove();
      const make = (first) => made(first + text.slice(at, stop), own, at, stop, record, first.length);
      painted[n] = { key, ...((into && goingOn(make(head), into, block, painted[n - 1])) || ownBlock(host, make(""), block)) };
    }
    if (painted[n].block !== block) {
      block = painted[n].block;
      isNew = !isSame;
    }
  });
}

function placesByPiece(places, pieces) {
  const owned = pieces.map(() => []);
  for (const place of places) {
    let [n, above] = [0, pieces.length]; // the last piece that begins before the end of the place
    while (above - n > 1) {
      const middle = (n + above) >> 1;
      if (pieces[middle].at < place.span[1]) n = middle;
      else above = middle;
    }
    for (; n >= 0 && (pieces[n + 1]?.at ?? Infinity) > place.span[0]; n -= 1) owned[n].push(place);
  }
  return owned;
}

const PARTS = { item: ["ul, ol", ":scope > li"], row: [".wide", "tr"], code: [".wide", "code"] };

// Puts the parts of a list, a table or code into that which ends the block before; null if there is none.
function goingOn(fragment, into, block, { tail }) {
  const [kind, parts] = PARTS[into];
  if (!tail || !block.lastElementChild.matches(kind) || fragment.children.length !== 1 || !fragment.firstElementChild.matches(kind)) return null;
  const nodes = [...fragment.firstElementChild.querySelectorAll(parts)].slice(into === "row" ? 1 : 0);
  if (!nodes.length) return null;
  tail.after(...nodes);
  return { block, nodes, tail: nodes.at(-1) };
}

function ownBlock(host, fragment, before) {
  const block = document.createElement("div");
  block.className = "block";
  block.append(fragment);
  if (before) before.after(block);
  else host.prepend(block);
  const last = block.lastElementChild;
  const tail = last?.matches("ul, ol") ? last.lastElementChild : last?.querySelector(":scope > pre > code, :scope > table > tbody > tr:last-child");
  return { block, nodes: [block], tail };
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
  const partOf = new Map(parts.flatMap((part, n) => part.citations.map((index) => [index, n])));
  citations.forEach((citation, index) => {
    if (!citation.mark) return;
    const key = citation.mark.join("-");
    const mark = marks.get(key) ?? { kind: "mark", n: partOf.get(index), span: citation.mark.map(units), indexes: [], key };
    mark.indexes.push(index);
    mark.key += `m${index}${citation.supported}${citation.reason}`;
    marks.set(key, mark);
  });
  return [...places, ...marks.values()];
}

// `before` characters of the text are no part of the answer.
function made(text, places, start, stop, record, before) {
  const spans = places.map(({ span }) => [Math.max(span[0], start), Math.min(span[1], stop)].map((at) => at - start + before));
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
