// Middle: the conversation, and the box to ask.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Answer } from "./answer.jsx";
import { Divider } from "./divider.jsx";
import { Details, Summary } from "./details.jsx";
import {
  ask, decide, keep, openCitation, retry, set, setDraft, setTheme, state, stop,
} from "./store.js";
import { dateOf, plain } from "./text.js";
import { query } from "./api.js";

export function Chat() {
  const box = useRef(null);
  const atEnd = useRef(true);
  useLayoutEffect(() => {
    if (atEnd.current) box.current.scrollTop = box.current.scrollHeight;
  });
  useLayoutEffect(() => {
    atEnd.current = true;
  }, [state.thread]);
  const scrolled = () => {
    const { scrollTop, scrollHeight, clientHeight } = box.current;
    atEnd.current = scrollHeight - scrollTop - clientHeight < 48;
  };
  const isEmpty = !state.messages.length && !state.run && !state.failed;
  return (
    <main class="chat">
      <Divider name="list" label="Width of the list" sign={1} least={200} most={420} />
      <Head />
      <div class="scroll" ref={box} onScroll={scrolled} tabIndex={-1}>
        <div class="column">
          {isEmpty && !state.thread && <Welcome />}
          {state.messages.map((message, n) => <Message key={message.id ?? `local ${n}`} message={message} place={n} />)}
          {state.run && <Running run={state.run} />}
          {state.approval.length > 0 && <Approval key={JSON.stringify(state.approval)} calls={state.approval} />}
          {state.elsewhere && <p class="hint" role="status">This conversation is being answered in another tab; the answer will stand here.</p>}
          {state.failed && <Failed key={state.failed.run} failed={state.failed} />}
        </div>
      </div>
      <Trouble />
      <Composer />
      {state.source && <Divider name="source" label="Width of the source" sign={-1} least={320} most={1000} />}
    </main>
  );
}

function Head() {
  return (
    <header class="head">
      <h1><bdi>{state.thread ? plain(state.thread) : "New conversation"}</bdi></h1>
      <div class="tools">
        <Models />
        <label>
          <span class="unseen">Who checks the citations</span>
          <select value={state.verifier || state.server?.verifier} onChange={(event) => { keep("verifier", event.target.value); set({ verifier: event.target.value }); }}>
            {(state.server?.verifiers ?? []).map((name) => <option value={name}>{CHECKED[name] ?? name}</option>)}
          </select>
        </label>
        {state.thread && state.messages.length > 0 && (
          <details class="menu">
            <summary>Export</summary>
            <div>
              <a href={query("/api/export", { name: state.thread, as: "markdown" })} download>Markdown</a>
              <a href={query("/api/export", { name: state.thread, as: "json" })} download>JSON</a>
            </div>
          </details>
        )}
        <button type="button" class="quiet" aria-label="Light or dark" aria-keyshortcuts="T" title="Light or dark (T)" onClick={() => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark")}>◐</button>
        <button type="button" class="quiet" aria-label="Keys" aria-keyshortcuts="?" title="Keys (?)" onClick={() => set({ help: !state.help })}>?</button>
      </div>
    </header>
  );
}

const CHECKED = {
  words: "Checked by words",
  llama: "Checked by the model",
  guardrail: "Checked by the guardrail",
  own: "Checked by the server's own",
  none: "Not checked",
};

export function modelText(model) {
  const price = model.input === null ? "" : ` · $${model.input.toFixed(2)} in, $${model.output.toFixed(2)} out per million tokens`;
  return `${model.name}${price}${model.ends ? ` · ends ${dateOf(model.ends)}` : ""}`;
}

function Models() {
  const chosen = state.model || state.server?.model || "";
  if (!state.models.length) return null;
  return (
    <label>
      <span class="unseen">Model</span>
      <select
        class="model" value={chosen}
        onChange={(event) => { keep("model", event.target.value); set({ model: event.target.value }); }}
      >
        {state.models.map((model) => <option value={model.id} title={model.note ?? ""}>{modelText(model)}</option>)}
      </select>
    </label>
  );
}

function Welcome() {
  const has = state.server?.has_documents;
  const isEmpty = has && state.index && state.index.state !== "indexing" && !state.documents.length;
  return (
    <div class="welcome">
      <h2>{has ? "Ask your documents" : "Ask"}</h2>
      {isEmpty ? (
        <p>There are no documents yet. Drop files into this window; they can be asked while they are read.</p>
      ) : has ? (
        <p>Every sentence of an answer can be held against its source: a mark such as <span class="mark yes still">1</span> opens the place.</p>
      ) : (
        <p>This server has no documents. Start it with <code>llama-bedrock ui PATH</code> to ask yours.</p>
      )}
      {state.questions.length > 0 && (
        <ul class="questions">
          {state.questions.map((question) => (
            <li><button type="button" onClick={() => ask(question)}>{plain(question)}</button></li>
          ))}
        </ul>
      )}
    </div>
  );
}

function Message({ message, place }) {
  if (message.role === "user") return <Question message={message} />;
  if (message.role === "tool") return <ToolResult result={message} />;
  if (message.role !== "assistant") return null;
  return (
    <>
      {message.text && <Whole message={message} place={place} />}
      {message.calls?.map((call) => <ToolCall call={call} />)}
    </>
  );
}

function Question({ message }) {
  const isEdited = state.editing === message.id && message.id !== null;
  if (isEdited) return <Edit message={message} />;
  return (
    <div class="question">
      <p dir="auto">{plain(message.text)}</p>
      {message.id && !state.run && (
        <div class="actions">
          <button type="button" class="quiet" onClick={() => set({ editing: message.id })}>Edit</button>
          <button type="button" class="quiet" onClick={() => ask(message.text, message.id)}>Ask again</button>
        </div>
      )}
    </div>
  );
}

function Edit({ message }) {
  const [text, setText] = useState(message.text);
  const field = useRef(null);
  useEffect(() => field.current.focus(), []);
  const send = () => text.trim() && ask(text, message.id);
  return (
    <form class="edit" onSubmit={(event) => { event.preventDefault(); send(); }}>
      <textarea
        ref={field} aria-label="The question, to be edited" value={text} dir="auto"
        onInput={(event) => setText(event.target.value)}
        onKeyDown={(event) => { if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); send(); } }}
      />
      <p class="hint">What came after this question is replaced.</p>
      <div class="actions">
        <button type="submit" class="main">Ask</button>
        <button type="button" class="quiet" onClick={() => set({ editing: null })}>Leave it</button>
      </div>
    </form>
  );
}

function Whole({ message }) {
  const [open, setOpen] = useState(false);
  const current = state.source?.message?.id === message.id ? state.source.index : null;
  return (
    <article class="reply" aria-label="Answer">
      <Answer
        id={message.id ?? "local"} text={message.text} record={message.answer} streaming={false} current={current}
        onOpen={(index, button) => openCitation(message, index, button)} onReason={() => setOpen(true)}
      />
      <Summary message={message} isOpen={open} toggle={() => setOpen(!open)} />
      {open && <Details message={message} />}
    </article>
  );
}

function Running({ run }) {
  return (
    <>
      {run.question && <div class="question"><p dir="auto">{plain(run.question)}</p></div>}
      {run.steps.map((step) => (step.event === "tool_call" ? <ToolCall call={step} /> : <ToolResult result={step} />))}
      <article class="reply" aria-label="Answer, being written" aria-busy="true">
        {run.text ? (
          <Answer
            id="run" text={run.text} record={{ citations: run.citations }} streaming
            current={state.source?.message === run ? state.source.index : null}
            onOpen={(index, button) => openCitation(run, index, button)} onReason={() => {}}
          />
        ) : (
          <p class="waiting" role="status">
            {run.documents.length ? `Reading ${run.documents.length} passages` : state.server?.has_documents ? "Looking through the documents" : "Waiting for the model"}
            <span class="caret" aria-hidden="true" />
          </p>
        )}
      </article>
    </>
  );
}

function ToolCall({ call }) {
  return <p class="tool"><span aria-hidden="true">→ </span><code>{call.text}</code></p>;
}

function ToolResult({ result }) {
  const failed = result.status === "error";
  return (
    <details class="tool">
      <summary>{failed ? "▲ failed: " : "← "}<code>{plain(result.name ?? "tool")}</code></summary>
      <pre tabIndex={0}>{plain(result.text)}</pre>
    </details>
  );
}

// The only thing that asks: what will run, exactly, and who decides.
function Approval({ calls }) {
  const always = calls.every((call) => allowed.has(call.name));
  const first = useRef(null);
  const decideAll = (yes) => decide(calls, calls.map(() => yes));
  useEffect(() => {
    if (always) decideAll(true);
    else first.current?.focus();
  }, []);
  if (always) return null;
  return (
    <section class="approval" role="alertdialog" aria-label="A tool wants to run">
      <h2>{calls.length === 1 ? "This wants to run" : `${calls.length} calls want to run`}</h2>
      {calls.map((call) => <pre tabIndex={0}>{call.text}</pre>)}
      <div class="actions">
        <button type="button" class="main" ref={first} onClick={() => decideAll(true)}>Allow once</button>
        <button type="button" onClick={() => { calls.forEach((call) => allowed.add(call.name)); decideAll(true); }}>
          Always allow {calls.length === 1 ? "this tool" : "these tools"}
        </button>
        <button type="button" onClick={() => decideAll(false)}>No</button>
      </div>
      <p class="hint">“Always” lasts until this tab is closed.</p>
    </section>
  );
}
const allowed = new Set();

const REMEDIES = {
  rate_limit_exceeded: ["Bedrock asks to wait: too many requests.", null],
  insufficient_quota: ["The quota of this account is used up.", "Wait until it is renewed, or ask AWS for more in the Service Quotas console."],
  bedrock_credentials: ["AWS does not accept the credentials, or they have expired.", "Renew them (aws sso login, or new keys), then start the server again."],
  model_access_denied: ["This account may not call this model.", "Choose another model above, or request access in the Bedrock console."],
  model_not_found: ["Bedrock does not know this model here.", "Choose another model above."],
  context_length_exceeded: ["The conversation is longer than the model can read.", "Begin a new conversation, or choose a model with a longer context."],
  model_not_ready: ["The model is still being loaded.", null],
  service_unavailable: ["Bedrock is not available at the moment.", null],
  timeout: ["The model took too long.", "Ask again; a shorter question helps."],
  connection_error: ["Bedrock cannot be reached.", "Check the network of the server, then ask again."],
  offline: ["The server does not answer.", "The question is kept. It is asked again when you press the button."],
  broken_off: ["The server went away in the middle.", "The question is kept. Ask again when it is back."],
  key: ["The server does not take the key of this page.", "Open the address that it printed."],
};
const WAITS = new Set(["rate_limit_exceeded", "model_not_ready", "service_unavailable"]);
const MOST_TRIES = 4;

function Failed({ failed }) {
  const { error, question } = failed;
  const [line, remedy] = REMEDIES[error.code] ?? [error.message, error.hint ?? null];
  const retries = WAITS.has(error.code) && question && (failed.tries ?? 1) < MOST_TRIES;
  const [left, setLeft] = useState(retries ? Math.min(60, (error.retry_after ?? 2) * 2 ** ((failed.tries ?? 1) - 1)) : null);
  useEffect(() => {
    if (left === null) return undefined;
    if (left <= 0) {
      retry(failed);
      return undefined;
    }
    const timer = setTimeout(() => setLeft(left - 1), 1000);
    return () => clearTimeout(timer);
  }, [left]);
  return (
    <>
      {question && !failed.isBelow && <div class="question"><p dir="auto">{plain(question)}</p></div>}
      <section class="failed" role="alert">
        <p>
          <span class="sign no" aria-hidden="true">▲ </span>
          {plain(line)} {left !== null ? `Trying again in ${left} s.` : plain(remedy ?? "")}
        </p>
        {REMEDIES[error.code] && error.message && error.code !== "offline" && error.code !== "broken_off" && (
          <details><summary>What was said</summary><p>{plain([error.message, error.hint].filter(Boolean).join(" "))}</p></details>
        )}
        <div class="actions">
          {question && <button type="button" class="main" onClick={() => retry(failed, 0)}>{left === null ? "Ask again" : "Now"}</button>}
          {left !== null && <button type="button" class="quiet" onClick={() => setLeft(null)}>Stop waiting</button>}
          {question && left === null && <button type="button" class="quiet" onClick={() => { setDraft(question); set({ failed: null }); }}>Edit</button>}
        </div>
      </section>
    </>
  );
}

function Trouble() {
  if (!state.trouble) return null;
  const text = state.trouble === "key"
    ? "The server does not take the key of this page. Open the address that it printed."
    : "The server does not answer. What you write is kept; the page comes back by itself when it does.";
  return <p class="trouble" role="status">▲ {text}</p>;
}

function Composer() {
  const field = useRef(null);
  useLayoutEffect(() => {
    const area = field.current;
    area.style.height = "auto";
    area.style.height = `${Math.min(area.scrollHeight, innerHeight * 0.4)}px`;
  }, [state.draft]);
  useEffect(() => {
    if (matchMedia("(min-width: 720px)").matches) field.current.focus();
  }, [state.thread]);
  const send = () => {
    if (!state.draft.trim() || state.run) return;
    const question = state.draft;
    setDraft("");
    ask(question);
  };
  const key = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      send();
    } else if (event.key === "ArrowUp" && !state.draft && !state.run) {
      const last = state.messages.findLast((message) => message.role === "user" && message.id);
      if (last) {
        event.preventDefault();
        set({ editing: last.id });
      }
    }
  };
  return (
    <form class="composer" onSubmit={(event) => { event.preventDefault(); send(); }}>
      <textarea
        id="question" ref={field} rows={1} dir="auto" value={state.draft} aria-label="Your question" aria-keyshortcuts="/"
        placeholder={state.server?.has_documents ? "Ask your documents" : "Ask"}
        onInput={(event) => setDraft(event.target.value)} onKeyDown={key}
      />
      {state.run ? (
        <button type="button" class="main" onClick={stop} aria-keyshortcuts="S">Stop</button>
      ) : (
        <button type="submit" class="main" disabled={!state.draft.trim() || state.trouble === "key"}>Ask</button>
      )}
    </form>
  );
}
