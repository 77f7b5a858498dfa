// Three states, each with a sign, a word and a reason; and the statements of an answer.

export const SIGNS = { yes: "●", open: "○", no: "▲" };
export const WORDS = { yes: "Supported", open: "Not decided", no: "Not supported" };

export const stateOf = (supported) => (supported === true ? "yes" : supported === null ? "open" : "no");

const BY = { words: "words", llama: "the judge", guardrail: "the guardrail" };

export function reasonOf(citation) {
  const by = BY[citation.verified_by] ?? citation.verified_by;
  if (citation.supported === true) {
    if (citation.verified_by === "words") return citation.reason || "found in the document by its words";
    return `judged by ${by}${citation.reason ? `: ${citation.reason}` : ""}`;
  }
  if (citation.reason) return citation.reason;
  return citation.supported === null ? "words do not decide" : "the document does not say it";
}

// The parts of an answer to be underlined: each cited span once with its best verdict, then statements
// that cite nothing. Offsets count code points.
export function partsOf(record, streaming) {
  const spans = new Map();
  (record?.citations ?? []).forEach((citation, index) => {
    const key = citation.span.join("-");
    const known = spans.get(key) ?? { span: citation.span, citations: [], state: "no" };
    known.citations.push(index);
    known.state = best(known.state, stateOf(citation.supported), known.citations.length === 1);
    spans.set(key, known);
  });
  const parts = [...spans.values()];
  if (streaming || record?.no_answer) return parts;
  for (const span of record?.statements ?? []) {
    if (!parts.some((part) => part.citations.length && part.span[0] < span[1] && span[0] < part.span[1]))
      parts.push({ span, citations: [], state: "no" });
  }
  return parts.sort((a, b) => a.span[0] - b.span[0]);
}

const RANK = { yes: 2, open: 1, no: 0 };
const best = (a, b, isFirst) => (isFirst || RANK[b] > RANK[a] ? b : a);

// How many statements there are, and how many of each state.
export function counts(record) {
  const parts = partsOf(record, false);
  const found = { yes: 0, open: 0, no: 0, all: 0 };
  for (const span of record.statements ?? []) {
    const own = parts.filter((part) => part.span[0] < span[1] && span[0] < part.span[1]);
    const state = own.map((part) => part.state).reduce((a, b) => best(a, b, false), own[0]?.state ?? "no");
    found[state] += 1;
    found.all += 1;
  }
  return found;
}
