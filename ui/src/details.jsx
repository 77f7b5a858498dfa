// The sentence under an answer, and what it opens: statements, passages, timings, the prompt.
import { useEffect, useState } from "preact/hooks";
import { get } from "./api.js";
import { openCitation, state, verify } from "./store.js";
import { counted, dateOf, dollars, place, plain } from "./text.js";
import { counts, partsOf, reasonOf, SIGNS, stateOf, WORDS } from "./verdicts.js";

export function Summary({ message, isOpen, toggle }) {
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState("");
  const [copied, setCopied] = useState(false);
  const record = message.answer;
  const open = record ? counts(record).open : 0;
  const judge = async () => {
    setBusy(true);
    setTrouble("");
    try {
      await verify(message.id, "llama");
    } catch (error) {
      setTrouble(error.message);
    }
    setBusy(false);
  };
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(message.text);
    } catch {
      setTrouble("The browser lets only a page of this machine or of https copy: mark the text and copy it yourself.");
      return;
    }
    setCopied(true);
    setTimeout(() => setCopied(false), 2000);
  };
  return (
    <footer class="under">
      {message.stop_reason === "interrupted" && <p class="note">○ Stopped. What was written is kept.</p>}
      {message.stop_reason === "length" && <p class="note">▲ Cut at the most tokens of an answer: ask for the rest, or for less at once.</p>}
      {(message.stop_reason === "guardrail" || record?.guardrail_action === "INTERVENED") && <p class="note">▲ A guardrail of this account stopped or changed the answer.</p>}
      {record?.no_answer && <NoAnswer record={record} />}
      <p class="facts">{sentence(message)}</p>
      {trouble && <p class="note" role="alert">▲ {plain(trouble)}</p>}
      <div class="actions">
        {open > 0 && message.id && <button type="button" class="quiet" disabled={busy} onClick={judge}>{busy ? "The judge reads …" : "Ask the judge"}</button>}
        <button type="button" class="quiet" onClick={copy}>{copied ? "Copied" : "Copy"}</button>
        {(record || message.id) && <button type="button" class="quiet" aria-expanded={isOpen} onClick={toggle}>Details</button>}
      </div>
    </footer>
  );
}

function NoAnswer({ record }) {
  const sources = [...new Set(record.documents.map((one) => place(one)))];
  return (
    <p class="note">
      {sources.length ? `Looked at: ${sources.slice(0, 6).join(", ")}${sources.length > 6 ? " …" : ""}. ` : "Nothing was found for these words. "}
      Other words, or the name a document uses, may find it.
    </p>
  );
}

// "5 of 6 statements are supported · 3 sources · 412 + 96 tokens · $0.0004 · 1.2 s · Llama 3.3 70B (ends …)"
function sentence(message) {
  const record = message.answer;
  const said = [];
  if (record && !record.no_answer) {
    const found = counts(record);
    if (found.all) said.push(`${found.yes ? `${SIGNS.yes} ` : ""}${found.yes} of ${counted(found.all, "statement")} supported`);
    if (found.open) said.push(`${SIGNS.open} ${found.open} not decided`);
    if (found.no) said.push(`${SIGNS.no} ${found.no} not supported`);
    const sources = new Set(record.citations.map((citation) => citation.source)).size;
    if (sources) said.push(counted(sources, "source"));
  }
  const usage = record?.usage ?? message.usage;
  if (usage) said.push(`${usage.input_tokens.toLocaleString("en")} + ${usage.output_tokens.toLocaleString("en")} tokens`);
  const cost = dollars(usage?.total_cost);
  if (cost) said.push(cost);
  const seconds = record?.timings?.total ?? message.seconds;
  if (seconds) said.push(`${seconds.toFixed(1)} s`);
  const model = state.models.find((one) => one.id === record?.model || one.id.includes(record?.model ?? "\0"));
  if (record?.model) said.push(`${model?.name ?? record.model}${model?.ends ? ` (ends ${dateOf(model.ends)})` : ""}`);
  return said.join(" · ");
}

export function Details({ message }) {
  const record = message.answer;
  return (
    <div class="details">
      {record && !record.no_answer && <Statements message={message} record={record} />}
      {record && <Passages record={record} />}
      {record?.timings && (
        <section>
          <h2>Time</h2>
          <p class="facts">{Object.entries(record.timings).map(([step, seconds]) => `${step.replace("_", " ")} ${seconds.toFixed(2)} s`).join(" · ")}</p>
        </section>
      )}
      {message.id && <Prompt id={message.id} />}
    </div>
  );
}

function Statements({ message, record }) {
  const points = [...message.text];
  return (
    <section>
      <h2>Statements</h2>
      <ul class="statements">
        {partsOf(record, false).map((part) => {
          const index = part.citations.find((n) => stateOf(record.citations[n].supported) === part.state);
          const citation = record.citations[index];
          const text = points.slice(...part.span).join("").replace(/\s*\[[\d,\s–-]+\]/g, "").trim();
          return (
            <li class={part.state}>
              <span class={`sign ${part.state}`}>{SIGNS[part.state]} {WORDS[part.state]}</span>
              <span dir="auto">{plain(text)}</span>
              <span class="hint">{citation ? reasonOf(citation) : "it cites no source"}</span>
              {citation && <button type="button" class="quiet" onClick={(event) => openCitation(message, index, null)}>{place(citation)}</button>}
            </li>
          );
        })}
      </ul>
    </section>
  );
}

function Passages({ record }) {
  const line = (one) => `${place(one)}${one.heading ? ` · ${plain(one.heading)}` : ""}${one.score === null ? "" : ` · score ${one.score}`}`;
  return (
    <section>
      <h2>Passages that the model read</h2>
      {record.documents.length ? (
        <ol class="passages">{record.documents.map((one) => <li value={one.number}><bdi>{line(one)}</bdi></li>)}</ol>
      ) : (
        <p class="hint">None.</p>
      )}
      {record.left_out.length > 0 && (
        <>
          <h2>Found, but left out</h2>
          <ul class="passages">{record.left_out.map((one) => <li><bdi>{line(one)}</bdi>{one.reason && ` · ${one.reason}`}</li>)}</ul>
        </>
      )}
    </section>
  );
}

const CONTROL = /(<\|[a-z_0-9]+\|>|< \|[a-z_0-9]+\|>|\[\/?INST\]|<<\/?SYS>>)/;

function Prompt({ id }) {
  const [shown, setShown] = useState(null);
  const [trouble, setTrouble] = useState("");
  useEffect(() => {
    get("/api/prompt", { message: id }).then(setShown, (error) => setTrouble(error.message));
  }, [id]);
  return (
    <section>
      <h2>The prompt, as it was sent</h2>
      {trouble && <p class="hint">{trouble}</p>}
      {shown && (
        <pre class="prompt" tabIndex={0} aria-label="Prompt">
          {shown.prompt.split(CONTROL).map((piece, n) =>
            n % 2 ? <span class={piece.startsWith("< |") ? "defused" : "control"} title={piece.startsWith("< |") ? "stood in a text, and was made harmless" : "control token"}>{piece}</span> : plain(piece),
          )}
        </pre>
      )}
    </section>
  );
}
