// The page: three panes, the keys, and the sheet of keys.
import { render } from "preact";
import { useEffect, useLayoutEffect, useReducer, useRef } from "preact/hooks";
import { Chat } from "./chat.jsx";
import { Sidebar } from "./sidebar.jsx";
import { Source } from "./source.jsx";
import {
  addFiles, begin, closeSource, focusDrawn, openThread, set, setTheme, showTheme, state, step, stop, subscribe,
} from "./store.js";

const KEYS = [
  ["/", "Ask"],
  ["↑", "Edit the last question, in an empty box"],
  ["⌘ K or Ctrl K", "Find documents and conversations"],
  ["[ and ]", "Previous and next citation"],
  ["Enter on a mark", "Open its source"],
  ["Esc", "Close the source, back to the text"],
  ["S", "Stop the answer"],
  ["N", "New conversation"],
  ["T", "Light or dark"],
  ["?", "This sheet"],
];

function Page() {
  const [, again] = useReducer((n) => n + 1, 0);
  useLayoutEffect(() => subscribe(again), []); // at once: what changed before would not be drawn
  useEffect(() => {
    document.title = state.thread ? `${state.thread} · Documents` : "Documents";
  }, [state.thread]);
  return (
    <div class={`panes view-${state.view}${state.source ? " with-source" : ""}`} onDragOver={over} onDragLeave={left} onDrop={dropped} onPaste={pasted}>
      <a class="skip" href="#question" onClick={toQuestion}>Skip to the question</a>
      <Sidebar />
      <Chat />
      {state.source && <Source key={state.source.source} opened={state.source} />}
      <nav class="tabs" aria-label="Panes">
        {[["list", "Documents"], ["chat", "Ask"], ["source", "Source"]].map(([view, label]) => (
          <button
            type="button"
            aria-current={state.view === view ? "page" : undefined}
            disabled={view === "source" && !state.source}
            onClick={() => set({ view })}
          >
            {label}
          </button>
        ))}
      </nav>
      {state.help && <Help />}
    </div>
  );
}

function Help() {
  const sheet = useRef(null);
  useEffect(() => {
    const before = document.activeElement;
    sheet.current.focus();
    return () => before?.focus?.();
  }, []);
  return (
    <section class="help" role="dialog" aria-label="Keys" tabIndex={-1} ref={sheet}>
      <header>
        <h2>Keys</h2>
        <button type="button" class="quiet" onClick={() => set({ help: false })} aria-label="Close the sheet of keys">✕</button>
      </header>
      <dl>
        {KEYS.map(([key, what]) => (
          <div>
            <dt><kbd>{key}</kbd></dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

const toQuestion = (event) => {
  event.preventDefault();
  document.querySelector("#question")?.focus();
};

function toAsk() {
  document.querySelector("#question").focus();
  if (state.view === "chat") return;
  set({ view: "chat" });
  focusDrawn(() => document.querySelector("#question"));
}

let hovering;
const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
function over(event) {
  if (!holdsFiles(event)) return;
  event.preventDefault();
  event.currentTarget.classList.add("dropping");
  clearTimeout(hovering);
}
function left(event) {
  const panes = event.currentTarget;
  hovering = setTimeout(() => panes.classList.remove("dropping"), 100);
}
function dropped(event) {
  if (!holdsFiles(event)) return;
  event.preventDefault();
  event.currentTarget.classList.remove("dropping");
  if (state.server?.uploads) addFiles([...event.dataTransfer.files]);
}

function pasted(event) {
  const { files, types } = event.clipboardData;
  if (!files.length || types.includes("text/plain")) return; // a table is copied as text and as its picture
  event.preventDefault();
  if (state.server?.uploads) addFiles([...files]);
}

function pressed(event) {
  const field = event.target.closest?.("input, textarea, select");
  if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    set({ view: "list" });
    focusDrawn(() => document.querySelector("#find"));
    return;
  }
  if (event.key === "Escape") {
    if (state.help) set({ help: false });
    else if (state.editing) set({ editing: null });
    else if (state.source) closeSource();
    else if (field) field.blur();
    return;
  }
  if (field || event.metaKey || event.ctrlKey || event.altKey) return;
  const act = {
    "/": toAsk,
    "?": () => set({ help: !state.help }),
    "[": () => step(-1),
    "]": () => step(1),
    s: stop,
    n: () => openThread(null),
    t: () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"),
  }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

for (const name of ["list", "source"]) {
  try {
    const width = parseInt(localStorage.getItem(`llama-bedrock ${name} width`), 10);
    if (width) document.documentElement.style.setProperty(`--${name}-width`, `${width}px`);
  } catch {
    // private windows may have none
  }
}
showTheme();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
document.addEventListener("keydown", pressed);
render(<Page />, document.querySelector("#page"));
begin();
