// Markdown to DOM: no HTML of the text's own, whatever is left is sanitised, places are kept by markers.
import DOMPurify from "dompurify";
import MarkdownIt from "markdown-it";
import { plain } from "./text.js";

const markdown = new MarkdownIt({ html: false, linkify: false, breaks: false });
// A picture would be fetched from elsewhere: its text stands for it.
markdown.renderer.rules.image = (tokens, index) =>
  markdown.utils.escapeHtml(`[picture: ${tokens[index].content || "without a text"}]`);
// The policy of the page forbids style attributes.
for (const rule of ["th_open", "td_open"]) {
  markdown.renderer.rules[rule] = (tokens, index, options, env, self) => {
    const align = /text-align:(\w+)/.exec(tokens[index].attrGet("style") ?? "")?.[1];
    tokens[index].attrs = align ? [["class", `to-${align}`]] : null;
    return self.renderToken(tokens, index, options);
  };
}

const ALLOWED = {
  ALLOWED_TAGS: "p br hr h1 h2 h3 h4 h5 h6 ul ol li blockquote pre code em strong s table thead tbody tr th td a".split(" "),
  ALLOWED_ATTR: ["href", "class", "start"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
  RETURN_DOM_FRAGMENT: true,
};

// Markers of places are characters that no text has: begin n, end n.
const BEGIN = 0xf0000;
const END = 0xf8000;
const MARKERS = /[\u{f0000}-\u{ffffd}]/gu;
const LINE_START = /^[ \t]*(?:(?:#{1,6}|[-*+]|\d{1,9}[.)]|>)[ \t]+|\|[ \t]*|(?:```|~~~)[^\n]*\n)*/;

const ROW_END = /^[ \t]*\|.*?([ \t]*\|[ \t]*)$/;

export const begin = (n) => String.fromCodePoint(BEGIN + n);
export const end = (n) => String.fromCodePoint(END + n);

// The text with a marker at both ends of each place; a marker does not stand before what makes a line a
// heading, an item or a row, nor after the end of a row, where it would be one cell more. Places are [start, end] in UTF-16 units; they may nest or follow one another.
export function withMarkers(text, places) {
  const safe = plain(text).replace(MARKERS, (found) => "\ufffd".repeat(found.length));
  const inserts = [];
  places.forEach(([from, to], n) => {
    let start = from;
    if (start === 0 || safe[start - 1] === "\n") start += LINE_START.exec(safe.slice(start, to))[0].length;
    const line = safe.slice(safe.lastIndexOf("\n", to - 1) + 1, to);
    const stop = Math.max(start, to - (ROW_END.exec(line)?.[1].length ?? 0));
    inserts.push([Math.min(start, stop), 1, begin(n), n]);
    inserts.push([stop, 0, end(n), -n]);
  });
  inserts.sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[3] - b[3]);
  let done = 0;
  let out = "";
  for (const [at, , marker] of inserts) {
    out += safe.slice(done, at) + marker;
    done = at;
  }
  return out + safe.slice(done);
}

// `level` is that of the heading above: those of the text lie below it, and none is left out on the way.
export function fragmentOf(text, level = 1) {
  const fragment = DOMPurify.sanitize(markdown.render(text), ALLOWED);
  for (const link of fragment.querySelectorAll("a")) {
    link.rel = "noopener noreferrer nofollow";
    link.target = "_blank";
    link.title = link.getAttribute("href") ?? "";
  }
  for (const block of fragment.querySelectorAll("p, li, h1, h2, h3, h4, h5, h6, td, th, blockquote")) block.dir = "auto";
  for (const heading of fragment.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    level = Math.min(Number(heading.localName[1]) + 1, level + 1);
    heading.setAttribute("role", "heading");
    heading.setAttribute("aria-level", level);
  }
  for (const wide of fragment.querySelectorAll("pre, table")) {
    const box = document.createElement("div");
    box.className = "wide";
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", wide.localName === "pre" ? "Code" : "Table");
    wide.replaceWith(box);
    box.append(wide);
  }
  return fragment;
}

// Takes the markers out of a fragment and wraps the text between them: `wrap(n)` makes the element round a
// piece of text of place n, or null for none. Returns the numbers of the places that were found whole.
export function unwrapMarkers(fragment, wrap) {
  const walker = document.createTreeWalker(fragment, NodeFilter.SHOW_TEXT);
  const nodes = [];
  while (walker.nextNode()) nodes.push(walker.currentNode);
  const open = [];
  const found = new Set();
  for (const node of nodes) {
    const pieces = node.data.split(/([\u{f0000}-\u{ffffd}])/u);
    if (pieces.length === 1 && !open.length) continue;
    const parts = document.createDocumentFragment();
    for (const piece of pieces) {
      const code = piece.codePointAt(0);
      if (code >= END) {
        const n = code - END;
        if (open.includes(n)) found.add(n);
        open.splice(open.indexOf(n), open.includes(n) ? 1 : 0);
      } else if (code >= BEGIN) open.push(code - BEGIN);
      else if (piece) parts.append(wrapped(piece, open, wrap));
    }
    node.replaceWith(parts);
  }
  return found;
}

function wrapped(text, open, wrap) {
  let inner = document.createTextNode(text);
  for (const n of [...open].reverse()) {
    const outer = wrap(n, text);
    if (!outer) continue;
    if (!outer.hasAttribute("data-own")) outer.append(inner);
    inner = outer;
  }
  return inner;
}

const ITEM = /^(?:([-*+])|\d{1,9}([.)]))[ \t]/;
const RULE = /^(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const INTERRUPTS = /^(?:#{1,6}[ \t]|>|```|~~~)/;
const HEAD_END = /^\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;
const CODE_LINES = 40;

// Where a text can be cut into pieces that stay as they are whatever is written after them: [{ at, into, head }].
// `into` is null for a block; "item", "row" or "code" for what goes on the list, the table or the code before it, and
// `head` is what must stand before such a piece for it to be read as one.
export function cuts(text) {
  const found = [{ at: 0, into: null, head: "" }];
  const cut = (into = null, head = "") => at && found.push({ at, into, head });
  let code = null; // what is open: { mark, head, lines, isFlush }
  let list = null; // its marker
  let table = null; // { head, rows }
  let before = "";
  let at = 0;
  for (const line of text.split("\n")) {
    const fence = /^ {0,3}(```+|~~~+)/.exec(line)?.[1];
    const isFlush = /^\S/.test(line);
    if (code && !code.isFlush && isFlush && list) code = null; // what is not indented ends the item, and its code
    let isOver = false;
    if (code) {
      code.lines += 1;
      isOver = fence?.startsWith(code.mark) && line.trim() === fence;
      if (!isOver && code.isFlush && code.lines % CODE_LINES === 0) cut("code", code.head);
      if (isOver) code = null;
    } else if (isFlush) {
      const interrupts = INTERRUPTS.test(line) || RULE.test(line);
      const [item, bullet, sign] = (!interrupts && ITEM.exec(line)) || [];
      const marker = bullet ?? sign;
      const blank = before.trim() === "";
      const isRow = table && !item && !interrupts;
      if (isRow) table.rows += 1;
      if (list && item) cut(list === marker ? "item" : null);
      else if (isRow && table.rows > 1) cut("row", table.head);
      else if (blank || ((list || table) && interrupts) || (table && item)) cut();
      // A number other than 1 within a paragraph begins no list.
      if (item && (list || blank || bullet || table || line.startsWith("1"))) list = marker;
      else if (blank || interrupts) list = null;
      if (!isRow) table = !list && before.startsWith("|") && HEAD_END.test(line) ? { head: `${before}\n${line}\n`, rows: 0 } : null;
    } else if (!line.trim()) table = null;
    if (fence && !code && !isOver) code = { mark: fence, head: `${line}\n`, lines: 0, isFlush };
    before = isOver ? "" : line;
    at += line.length + 1;
  }
  return found;
}
