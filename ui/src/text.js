// Small things about text: offsets, numbers for people, characters that turn text around.

// The server counts characters as Python does (code points), JavaScript in UTF-16 units.
export function unitsOf(text, offsets) {
  const wanted = [...new Set(offsets)].sort((a, b) => a - b);
  const found = new Map();
  let points = 0;
  let units = 0;
  let at = 0;
  while (at < wanted.length) {
    if (points === wanted[at]) {
      found.set(wanted[at], units);
      at += 1;
      continue;
    }
    if (units >= text.length) {
      found.set(wanted[at], text.length);
      at += 1;
      continue;
    }
    units += text.codePointAt(units) > 0xffff ? 2 : 1;
    points += 1;
  }
  return (offset) => found.get(offset);
}

// Characters that turn text around or hide it would let a document lie about what stands where.
const HIDDEN = /[\u202a-\u202e\u2066-\u2069\u200b\u2060\ufeff\u0000-\u0008\u000b\u000c\u000e-\u001f]/g;
export const plain = (text) => text.replace(HIDDEN, "\ufffd");

export function dollars(value) {
  if (value === null || value === undefined) return null;
  if (value === 0) return "$0";
  return value < 0.0001 ? "under $0.0001" : `$${value < 0.01 ? value.toFixed(4) : value.toFixed(2)}`;
}

const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
export const dateOf = (iso) => day.format(new Date(`${iso}T00:00:00Z`));

export const counted = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1e6) return `${Math.round(bytes / 1000)} KB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

export function when(iso) {
  if (!iso) return "";
  const then = new Date(iso);
  const days = Math.floor((new Date().setHours(0, 0, 0, 0) - new Date(iso).setHours(0, 0, 0, 0)) / 864e5);
  if (days <= 0) return then.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  if (days === 1) return "yesterday";
  return then.toLocaleDateString([], { day: "numeric", month: "short" });
}

export const fileName = (source) => plain(source.split(/[\\/]/).pop() || source);

export const pageText = (source, page) => `${/\.(?:pptx|ppt|odp)$/i.test(source) ? "slide" : "page"} ${page}`;

export function place(citation) {
  const name = fileName(citation.source);
  if (citation.page) return `${name} · ${pageText(citation.source, citation.page)}`;
  return citation.line ? `${name} · line ${citation.line}` : name;
}
