// Right: the document at the place of a citation. Where the place is not sure, nothing is marked.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { get, query } from "./api.js";
import { fragmentOf, unwrapMarkers, withMarkers } from "./markdown.js";
import { PdfPage } from "./pdf.jsx";
import { closeSource, state, step, verify } from "./store.js";
import { fileName, pageText, plain, unitsOf } from "./text.js";
import { reasonOf, SIGNS, stateOf, WORDS } from "./verdicts.js";

// `opened` is what the page was drawn with: `state.source` may be gone already when the text comes and draws this pane again.
export function Source({ opened }) {
  const { source, citation, index, message } = opened;
  // What is shown stays with its citation until the text of the next one is there.
  const [{ file, shownFor }, setFile] = useState({ file: null, shownFor: null });
  const [trouble, setTrouble] = useState(null);
  const [asText, setAsText] = useState(false);
  const [said, setSaid] = useState({ unsure: "", saidFor: undefined });
  const pane = useRef(null);
  useEffect(() => {
    const controller = new AbortController();
    const wanted = { source, document: citation?.document_id, at: citation?.offsets?.[0], page: citation?.page };
    get("/api/documents/text", wanted, controller.signal).then(
      (found) => { setFile({ file: found, shownFor: citation }); setTrouble(null); },
      (error) => error.name === "AbortError" || setTrouble(error),
    );
    return () => controller.abort();
  }, [source, citation]);
  useEffect(() => pane.current?.focus({ preventScroll: true }), [source, index]);
  const Pane = state.phone ? "main" : "aside";
  const all = message?.answer?.citations ?? message?.citations ?? [];
  const isPdf = file ? file.format === "pdf" : /\.pdf$/i.test(source);
  const tell = (unsure) => setSaid({ unsure, saidFor: isPdf && !asText ? citation : shownFor });
  const isThere = trouble !== null || said.saidFor === citation;
  const canBeRead = file && (isPdf || file.format === "markdown");
  const shown = isPdf && !asText ? (
    <PdfPage source={source} parts={file && shownFor === citation ? file.parts : null} citation={citation} tell={tell} />
  ) : !file ? null : file.format === "markdown" && !asText ? (
    <Reading file={file} citation={shownFor} tell={tell} fallback={() => setAsText(true)} />
  ) : (
    <Lines file={file} citation={shownFor} tell={tell} />
  );
  return (
    <Pane class="source" aria-label={`Source: ${fileName(source)}`} ref={pane} tabIndex={-1} aria-busy={!isThere}>
      <header>
        <h2 aria-level={state.phone ? 1 : undefined}><bdi>{fileName(source)}</bdi></h2>
        {all.length > 0 && index !== null && (
          <div class="walk">
            <button type="button" class="quiet" onClick={() => step(-1)} aria-label="Previous citation" aria-keyshortcuts="[">‹</button>
            <span>[{citation.number}] {index + 1} of {all.length}</span>
            <button type="button" class="quiet" onClick={() => step(1)} aria-label="Next citation" aria-keyshortcuts="]">›</button>
          </div>
        )}
        {canBeRead && <button type="button" class="quiet" aria-pressed={asText} onClick={() => setAsText(!asText)}>As text</button>}
        <a class="quiet" href={query("/api/documents/file", { source })} download aria-label={`Download ${fileName(source)}`}>↓</a>
        <button type="button" class="quiet" onClick={closeSource} aria-label="Close the source">✕</button>
      </header>
      {citation && <Verdict citation={citation} message={message} />}
      {trouble ? (
        <Unread source={source} citation={citation} trouble={trouble} />
      ) : (
        <>
          {isThere && said.unsure && <p class="note unsure" role="status">○ {said.unsure}</p>}
          {shown ?? <div class="body" />}
        </>
      )}
    </Pane>
  );
}

// No text came: a scan still has pages to look at, whatever else was cited has its quote.
function Unread({ source, citation, trouble }) {
  const isScan = trouble.code === "unreadable_document" && /\.pdf$/i.test(source);
  const said = <p class="note unsure" role="status">▲ {plain(trouble.message)}</p>;
  if (isScan) return <>{said}<PdfPage source={source} parts={[]} citation={null} tell={() => {}} /></>;
  return <>{said}<div class="body text">{citation?.quote && <blockquote dir="auto">{plain(citation.quote)}</blockquote>}</div></>;
}

function Verdict({ citation, message }) {
  const [busy, setBusy] = useState(false);
  const verdict = stateOf(citation.supported);
  const judge = async () => {
    setBusy(true);
    try {
      await verify(message.id, "llama");
    } catch {
      // the line under the answer says it when asked there
    }
    setBusy(false);
  };
  return (
    <div class={`verdict ${verdict}`}>
      <span class={`sign ${verdict}`}>{SIGNS[verdict]} {WORDS[verdict]}</span>
      <span>{plain(reasonOf(citation))}{citation.page ? ` · ${pageText(citation.source, citation.page)}` : citation.line ? ` · line ${citation.line}` : ""}</span>
      {verdict === "open" && message?.id && <button type="button" class="quiet" disabled={busy} onClick={judge}>{busy ? "The judge reads …" : "Ask the judge"}</button>}
    </div>
  );
}

// Where the quote stands in a part, in UTF-16 units of its text; null if that is not sure.
export function spanIn(part, citation) {
  if (!citation?.quote || !citation.offsets || part.id !== citation.document_id) return null;
  const [from, to] = citation.offsets.map((offset) => offset - part.start);
  if (from >= 0) {
    const units = unitsOf(part.text, [from, to]);
    if (part.text.slice(units(from), units(to)) === citation.quote) return [units(from), units(to)];
  }
  const first = part.text.indexOf(citation.quote);
  const isOnly = first >= 0 && part.text.indexOf(citation.quote, first + 1) < 0;
  return isOnly ? [first, first + citation.quote.length] : null;
}

const UNSURE = "The place is not sure, so nothing is marked.";
const unsureOf = (citation, isFound) => {
  if (!citation || isFound) return "";
  return citation.quote ? `${UNSURE} The document may have changed since.` : "The document has no words of this statement to mark.";
};

function useMark(body, deps) {
  useLayoutEffect(() => {
    const mark = body.current?.querySelector("mark");
    mark?.scrollIntoView({ block: "center" });
  }, deps);
}

function Reading({ file, citation, tell, fallback }) {
  const body = useRef(null);
  useLayoutEffect(() => {
    let isFound = false;
    const parts = file.parts.map((part) => {
      const span = spanIn(part, citation);
      const fragment = fragmentOf(withMarkers(part.text, span ? [span] : []), state.phone ? 1 : 2);
      unwrapMarkers(fragment, () => document.createElement("mark"));
      if (span) {
        const said = [...fragment.querySelectorAll("mark")].map((mark) => mark.textContent).join("");
        isFound = letters(said) === letters(part.text.slice(...span).replace(/\]\([^)\s]*\)/g, "]"));
        if (!isFound) return null;
      }
      const section = document.createElement("section");
      section.append(fragment);
      return section;
    });
    if (parts.includes(null)) {
      fallback(); // the words are there, but their form hides where: as text they can be marked
      return;
    }
    body.current.replaceChildren(...parts);
    tell(unsureOf(citation, isFound));
    (body.current.querySelector("mark") ?? body.current).scrollIntoView({ block: "center" });
  }, [file, citation]);
  return <div class="body reading" ref={body} tabIndex={0} role="region" aria-label="Document" />;
}

const letters = (text) => text.replace(/[^\p{L}\p{N}]/gu, "");

// The text as it was read, with its lines counted where the file has lines: each character stands for itself.
function Lines({ file, citation, tell }) {
  const body = useRef(null);
  const spans = file.parts.map((part) => spanIn(part, citation));
  useEffect(() => tell(unsureOf(citation, spans.some(Boolean))), [file, citation]);
  useMark(body, [file, citation]);
  const hasLines = file.parts.some((part) => part.line !== null) && file.parts.length === 1;
  return (
    <div class={`body text ${file.format === "code" ? "code" : ""}`} ref={body} tabIndex={0} role="region" aria-label="Document">
      {file.first > 0 && <p class="hint">Part {file.first + 1} of {file.total} and on.</p>}
      {file.parts.map((part, n) => (
        <section>
          {file.total > 1 && <h3>{titleOf(part, file, n)}</h3>}
          {part.start > 0 && <p class="hint">… {part.start.toLocaleString("en")} characters before</p>}
          {linesOf(part, spans[n]).map((line) => (
            <div class="line" dir="auto">
              {hasLines && <span class="number" aria-hidden="true">{line.number}</span>}
              <span class="words">{line.pieces.map(([text, marked]) => (marked ? <mark>{text}</mark> : text))}{"\n"}</span>
            </div>
          ))}
        </section>
      ))}
      {file.first + file.parts.length < file.total && <p class="hint">… {file.total - file.first - file.parts.length} more parts</p>}
    </div>
  );
}

function titleOf(part, file, n) {
  if (part.page) return pageText(file.source, part.page).replace(/^./, (first) => first.toUpperCase());
  if (part.row) return [part.heading && plain(part.heading), `row ${part.row}`].filter(Boolean).join(" · ");
  return part.title ? plain(part.title) : part.line ? `Line ${part.line}` : `Part ${file.first + n + 1}`;
}

function linesOf(part, span) {
  let at = 0;
  return plain(part.text).split("\n").map((line, n) => {
    const [from, to] = span ? [span[0] - at, span[1] - at].map((value) => Math.min(line.length, Math.max(0, value))) : [0, 0];
    at += line.length + 1;
    const pieces = [[line.slice(0, from), false], [line.slice(from, to), true], [line.slice(to), false]].filter(([text]) => text);
    return { number: (part.line ?? 1) + n, pieces };
  });
}
