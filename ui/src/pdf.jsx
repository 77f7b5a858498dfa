// A page of a PDF, drawn by pdf.js, which is loaded when the first one is opened.
import { useEffect, useRef, useState } from "preact/hooks";
import { query } from "./api.js";

let library = null;
async function pdfjs() {
  library ??= import("/static/pdf.js").then(
    (found) => {
      found.GlobalWorkerOptions.workerSrc = "/static/pdf.worker.js";
      return found;
    },
    (error) => {
      library = null; // the server may be back for the next page
      throw error;
    },
  );
  return library;
}

// `parts` is the text of the document, null until it is there: a long one is read while its page is seen.
export function PdfPage({ source, parts, citation, tell }) {
  const [pdf, setPdf] = useState(null);
  const [page, setPage] = useState(citation?.page ?? 1);
  const [trouble, setTrouble] = useState("");
  const sheet = useRef(null);
  const failed = (error) => {
    setTrouble(error.message);
    tell("");
  };
  const [drawn, setDrawn] = useState(null);
  useEffect(() => setPage(citation?.page ?? 1), [citation]);
  useEffect(() => {
    let task = null;
    let isGone = false;
    pdfjs().then(async ({ getDocument }) => {
      if (isGone) return;
      const url = query("/api/documents/file", { source });
      task = getDocument({ url, disableAutoFetch: true, isEvalSupported: false, enableXfa: false, wasmUrl: "/static/", cMapUrl: "/static/cmaps/" });
      setPdf(await task.promise);
    }).catch((error) => isGone || failed(error));
    return () => {
      isGone = true;
      task?.destroy();
    };
  }, [source]);
  useEffect(() => {
    if (!pdf) return undefined;
    const work = { isGone: false };
    draw(pdf, page, sheet.current, work).then(
      (layer) => {
        if (work.isGone || !layer) return;
        setDrawn({ layer, page, citation });
        if (!citation) sheet.current.scrollIntoView({ block: "center" });
      },
      (error) => work.isGone || failed(error),
    );
    return () => {
      work.isGone = true;
      work.render?.cancel();
    };
  }, [pdf, page, citation]);
  useEffect(() => {
    if (drawn?.citation !== citation || drawn.page !== page || drawn.layer.querySelector("mark")) return;
    const text = parts?.find((part) => part.page === page && part.id === citation?.document_id);
    const unsure = citation?.page === page ? markIn(drawn.layer, citation, text) : "";
    if (unsure && !parts) return; // the text may tell which of several places it is
    tell(unsure);
    (drawn.layer.querySelector("mark") ?? sheet.current).scrollIntoView({ block: "center" });
  }, [drawn, page, citation, parts]);
  const turn = (by) => setPage(Math.min(pdf.numPages, Math.max(1, page + by)));
  return (
    <div class="body pdf" tabIndex={0} role="region" aria-label={`Page ${page}`}>
      {trouble && <p class="note">▲ The page cannot be shown: {trouble}. “As text” shows its words.</p>}
      <div class="sheet" ref={sheet} />
      {pdf && pdf.numPages > 1 && (
        <div class="turn">
          <button type="button" class="quiet" onClick={() => turn(-1)} disabled={page === 1} aria-label="Previous page">‹</button>
          <label>Page <input type="number" min={1} max={pdf.numPages} value={page} onChange={(event) => setPage(Math.min(pdf.numPages, Math.max(1, Number(event.target.value) || 1)))} /> of {pdf.numPages}</label>
          <button type="button" class="quiet" onClick={() => turn(1)} disabled={page === pdf.numPages} aria-label="Next page">›</button>
        </div>
      )}
    </div>
  );
}

async function draw(pdf, number, sheet, work) {
  const { TextLayer } = await pdfjs();
  const page = await pdf.getPage(number);
  if (work.isGone) return null;
  const width = Math.max(200, sheet.clientWidth);
  const scale = width / page.getViewport({ scale: 1 }).width;
  const viewport = page.getViewport({ scale });
  const dense = Math.min(devicePixelRatio || 1, 3);
  const canvas = document.createElement("canvas");
  canvas.width = Math.floor(viewport.width * dense);
  canvas.height = Math.floor(viewport.height * dense);
  canvas.setAttribute("aria-hidden", "true");
  const layer = document.createElement("div");
  layer.className = "layer";
  layer.style.setProperty("--total-scale-factor", scale);
  layer.style.setProperty("--scale-round-x", "1px");
  layer.style.setProperty("--scale-round-y", "1px");
  sheet.style.setProperty("aspect-ratio", `${viewport.width} / ${viewport.height}`);
  work.render = page.render({ canvas, viewport, transform: dense === 1 ? null : [dense, 0, 0, dense, 0, 0] });
  await work.render.promise;
  if (work.isGone) return null;
  await new TextLayer({ textContentSource: page.streamTextContent(), container: layer, viewport }).render();
  if (work.isGone) return null;
  sheet.replaceChildren(canvas, layer);
  return layer;
}

const WORD = /[\p{L}\p{N}]/u;

// The letters of a text with the place of each: spaces, hyphens and ligatures differ between two readers of a PDF.
function lettersOf(text) {
  const found = { text: "", at: [] };
  let at = 0;
  for (const character of text) {
    for (const letter of character.normalize("NFKC").toLowerCase()) {
      if (!WORD.test(letter)) continue;
      found.text += letter;
      for (let n = 0; n < letter.length; n += 1) found.at.push([at, at + character.length]);
    }
    at += character.length;
  }
  return found;
}

function placesOf(text, wanted) {
  const found = [];
  for (let at = text.indexOf(wanted); at >= 0 && wanted; at = text.indexOf(wanted, at + 1)) found.push(at);
  return found;
}

// Marks the quote on the page; returns why nothing is marked, or "".
function markIn(layer, citation, part) {
  if (!citation.quote) return "The document has no words of this statement to mark.";
  const nodes = [];
  const walker = document.createTreeWalker(layer, NodeFilter.SHOW_TEXT);
  let whole = "";
  while (walker.nextNode()) {
    nodes.push([whole.length, walker.currentNode]);
    whole += walker.currentNode.data;
  }
  const printed = lettersOf(whole);
  const wanted = lettersOf(citation.quote).text;
  if (!printed.text) return "This page is a picture without text, so nothing can be marked.";
  const places = placesOf(printed.text, wanted);
  let chosen = places.length === 1 ? 0 : -1;
  if (places.length > 1 && part && citation.offsets) {
    // Of several equal places, the one of the same order as in the text that was read.
    const read = placesOf(lettersOf(part.text).text, wanted);
    const before = lettersOf([...part.text].slice(0, citation.offsets[0] - part.start).join("")).text.length;
    if (read.length === places.length) chosen = read.indexOf(before);
  }
  if (chosen < 0) return "The place on this page is not sure, so nothing is marked. “As text” shows it.";
  const from = printed.at[places[chosen]][0];
  let to = printed.at[places[chosen] + wanted.length - 1][1];
  for (const sign of /[^\p{L}\p{N}\s]*$/u.exec(citation.quote.trimEnd())[0]) if (whole[to] === sign) to += 1;
  const marks = [];
  for (const [start, node] of nodes) {
    const first = Math.max(0, from - start);
    const last = Math.min(node.data.length, to - start);
    if (first >= last) continue;
    const range = document.createRange();
    range.setStart(node, first);
    range.setEnd(node, last);
    marks.push(document.createElement("mark"));
    range.surroundContents(marks.at(-1));
  }
  const canvas = layer.parentElement.querySelector("canvas");
  const hidden = marks.filter((mark) => !hasInk(canvas, mark));
  for (const mark of hidden) mark.replaceWith(...mark.childNodes);
  if (hidden.length < marks.length) return "";
  return "The page shows no words at this place: they are hidden in the file, so nothing is marked. “As text” shows them.";
}

// Text may be in a file and not be seen: without a colour, behind a picture, cut off. Where a page is of one colour,
// no words are. (Of a scanned page the text is never drawn either, but its picture is.)
function hasInk(canvas, mark) {
  const [all, own] = [canvas.getBoundingClientRect(), mark.getBoundingClientRect()];
  const dense = canvas.width / all.width;
  const [left, top] = [Math.max(all.left, own.left), Math.max(all.top, own.top)];
  const [width, height] = [Math.min(all.right, own.right) - left, Math.min(all.bottom, own.bottom) - top];
  if (width * dense < 1 || height * dense < 1) return false;
  const { data } = canvas.getContext("2d").getImageData((left - all.left) * dense, (top - all.top) * dense, width * dense, height * dense);
  for (let n = 4; n < data.length; n += 1) if (Math.abs(data[n] - data[n % 4]) > FAINT) return true;
  return false;
}

const FAINT = 10; // of 255: nobody reads what differs so little
