// Left: the documents with what could not be read of them, and the conversations.
import { useRef, useState } from "preact/hooks";
import { addFiles, deleteDocument, forgetThread, openDocument, openThread, set, state } from "./store.js";
import { counted, plain, size, when } from "./text.js";

export function Sidebar() {
  const [filter, setFilter] = useState("");
  const Pane = state.phone ? "main" : "aside";
  const fits = (name) => name.toLowerCase().includes(filter.toLowerCase());
  return (
    <Pane class="sidebar" aria-label="Documents and conversations">
      <div class="find">
        <input
          id="find" type="search" placeholder="Find" aria-label="Find documents and conversations" aria-keyshortcuts="Control+K Meta+K"
          value={filter} onInput={(event) => setFilter(event.target.value)}
        />
      </div>
      {state.server?.has_documents !== false && <Documents fits={fits} />}
      <Threads fits={fits} />
      {state.server?.tools.length > 0 && <Tools />}
    </Pane>
  );
}

function Documents({ fits }) {
  const chooser = useRef(null);
  const shown = state.documents.filter((one) => fits(one.name));
  return (
    <section aria-labelledby="documents-title">
      <header>
        <h2 id="documents-title" aria-level={state.phone ? 1 : undefined}>Documents</h2>
        {state.server?.uploads && (
          <>
            <button type="button" class="quiet" onClick={() => chooser.current.click()}>Add</button>
            <input
              ref={chooser} type="file" multiple hidden aria-label="Files to add" tabIndex={-1}
              onChange={(event) => { addFiles([...event.target.files]); event.target.value = ""; }}
            />
          </>
        )}
      </header>
      <IndexLine />
      <Problems />
      {!state.documents.length && state.server?.uploads && state.index?.state !== "indexing" && (
        <p class="hint">No documents yet. Drop files here, or press Add.</p>
      )}
      <ul class="list documents">
        {shown.slice(0, 300).map((one) => <Entry key={one.source} document={one} />)}
      </ul>
      {shown.length > 300 && <p class="hint">{counted(shown.length - 300, "more file")}: Find narrows the list.</p>}
    </section>
  );
}

function IndexLine() {
  const index = state.index;
  if (state.uploading) return <p class="hint" role="status">Uploading {counted(state.uploading, "file")} …</p>;
  if (!index) return null;
  if (index.state === "failed") return <p class="hint warn" role="status">▲ {plain(index.error ?? "")}</p>;
  if (index.state === "indexing" || index.state === "new") {
    const share = index.total ? index.done / index.total : null;
    return (
      <div class="hint" role="status">
        {index.step || "Looking at the files"}{index.total ? ` · ${index.done.toLocaleString("en")} of ${index.total.toLocaleString("en")}` : " …"}
        <progress aria-label="Indexing" value={share ?? undefined} max={1} />
      </div>
    );
  }
  return <p class="hint" role="status">{counted(index.files, "file")} · {counted(index.passages, "passage")}</p>;
}

function Problems() {
  const unread = state.documents.filter((one) => one.problems.length);
  const all = [
    ...state.refused.map((one) => `${one.name ? `${one.name}: ` : ""}${one.reason}`),
    ...unread.flatMap((one) => one.problems.map((reason) => `${one.name}: ${reason}`)),
    ...state.problems,
  ];
  if (!all.length) return null;
  return (
    <details class="problems" open={state.refused.length > 0}>
      <summary>▲ {all.length === 1 ? "1 file was not read whole" : `${all.length} files were not read whole`}</summary>
      <ul>{all.map((text) => <li><bdi>{plain(text)}</bdi></li>)}</ul>
      {state.refused.length > 0 && <button type="button" class="quiet" onClick={() => set({ refused: [] })}>Clear what was not taken</button>}
    </details>
  );
}

function Entry({ document }) {
  const [sure, setSure] = useState(false);
  const isOpen = state.source?.source === document.source;
  if (sure) {
    return (
      <li class="sure">
        <span>Delete <bdi>{plain(document.name)}</bdi> from the folder?</span>
        <button type="button" onClick={() => deleteDocument(document.source, document.name)}>Delete</button>
        <button type="button" onClick={() => setSure(false)}>Keep</button>
      </li>
    );
  }
  return (
    <li class={isOpen ? "open" : ""}>
      <button type="button" class="entry" onClick={() => openDocument(document.source)} title={`${plain(document.name)}, ${size(document.size)}`} aria-current={isOpen ? "true" : undefined}>
        <bdi>{plain(document.name)}</bdi>
        {document.problems.length > 0 && <span class="sign no" title={document.problems.join("\n")}>▲<span class="unseen"> not read whole</span></span>}
      </button>
      {state.server?.uploads && (
        <button type="button" class="quiet drop" onClick={() => setSure(true)} aria-label={`Delete ${plain(document.name)}`}>✕</button>
      )}
    </li>
  );
}

function Threads({ fits }) {
  return (
    <section aria-labelledby="threads-title">
      <header>
        <h2 id="threads-title" aria-level={state.phone && state.server?.has_documents === false ? 1 : undefined}>Conversations</h2>
        <button type="button" class="quiet" onClick={() => openThread(null)} aria-keyshortcuts="N">New</button>
      </header>
      {!state.threads.length && <p class="hint">Kept here and in <code>llama-bedrock {state.server?.tools.length ? "agent" : "chat"}</code>.</p>}
      <ul class="list">
        {state.threads.filter((one) => fits(one.name)).slice(0, 200).map((one) => <Thread key={one.name} thread={one} />)}
      </ul>
    </section>
  );
}

function Thread({ thread }) {
  const [sure, setSure] = useState(false);
  const isOpen = state.thread === thread.name;
  if (sure) {
    return (
      <li class="sure">
        <span>Forget this conversation?</span>
        <button type="button" onClick={() => forgetThread(thread.name)}>Forget</button>
        <button type="button" onClick={() => setSure(false)}>Keep</button>
      </li>
    );
  }
  return (
    <li class={isOpen ? "open" : ""}>
      <button type="button" class="entry" onClick={() => openThread(thread.name)} aria-current={isOpen ? "true" : undefined} title={plain(thread.name)}>
        <bdi>{plain(thread.name)}</bdi>
        <span class="when">{when(thread.updated)}</span>
      </button>
      <button type="button" class="quiet drop" onClick={() => setSure(true)} aria-label={`Forget ${plain(thread.name)}`}>✕</button>
    </li>
  );
}

function Tools() {
  const own = state.server.tools.filter((tool) => !tool.server);
  const servers = [...new Set(state.server.tools.map((tool) => tool.server).filter(Boolean))];
  return (
    <section aria-labelledby="tools-title">
      <header><h2 id="tools-title">Tools</h2></header>
      <ToolList tools={own} />
      {servers.map((name) => <Server key={name} name={name} tools={state.server.tools.filter((tool) => tool.server === name)} />)}
    </section>
  );
}

function ToolList({ tools }) {
  if (!tools.length) return null;
  return (
    <ul class="list plain">
      {tools.map((tool) => (
        <li title={tool.description}><code>{plain(tool.name)}</code> <span class="when">{tool.asks ? "asks first" : "reads only"}</span></li>
      ))}
    </ul>
  );
}

// An MCP server: its tools, and whether it answers.
function Server({ name, tools }) {
  const known = state.servers.find((one) => one.name === name);
  const isGone = known?.state === "gone";
  return (
    <details class="server" open={isGone || undefined}>
      <summary title={name}>
        <span class={`sign ${isGone ? "no" : "yes"}`} aria-hidden="true">{isGone ? "▲" : "●"}</span>
        <bdi>{plain(name)}</bdi>
        <span class="when">{isGone ? "does not answer" : counted(tools.length, "tool")}</span>
      </summary>
      {isGone && <p class="hint">It went away: {plain(known.reason)}. Start llama-bedrock ui again to connect anew.</p>}
      <ToolList tools={tools} />
    </details>
  );
}
