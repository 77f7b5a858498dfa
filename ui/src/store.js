// The state of the page and all that changes it. Conversations and documents are the server's.
import { get, PageError, post, remove, stream, upload } from "./api.js";

const kept = (name, fallback) => {
  try {
    return localStorage.getItem(`llama-bedrock ${name}`) ?? fallback;
  } catch {
    return fallback;
  }
};
export function keep(name, value) {
  try {
    localStorage.setItem(`llama-bedrock ${name}`, value);
  } catch {
    // private windows may have none
  }
}

export const state = {
  server: null,
  trouble: null, // "offline" or "key"
  threads: [],
  documents: [],
  problems: [],
  index: null,
  models: [],
  servers: [], // MCP servers, with their tools and whether they answer
  questions: [],
  thread: null,
  messages: [],
  approval: [],
  elsewhere: false, // answered in another tab
  run: null, // the answer that is being written here
  failed: null, // the question that was not answered, and why
  draft: sessionStorage.getItem("draft") ?? "",
  editing: null,
  source: null,
  view: "chat",
  uploading: null,
  refused: [],
  help: false,
  phone: false, // one pane at a time
  theme: kept("theme", "auto"),
  model: kept("model", ""),
  verifier: kept("verifier", ""), // "": the server's own
};

const listeners = new Set();
export const subscribe = (listener) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};
let waiting = false;
export function set(changes) {
  Object.assign(state, changes);
  if (waiting) return;
  waiting = true;
  const tell = () => {
    waiting = false;
    for (const listener of listeners) listener();
  };
  if (document.hidden) setTimeout(tell);
  else requestAnimationFrame(tell);
}

// Of several answers to one question the newest asked counts, in whatever order they come.
function newest(load) {
  let asked = 0;
  return async () => {
    asked += 1;
    const mine = asked;
    const found = await load();
    if (found && mine === asked) set(found);
  };
}

// Beginning, and news

let news = null;
let loaded = null; // the start of the server that the lists are of
let answering = []; // conversations, as the news told last

export async function begin() {
  addEventListener("hashchange", () => openThread(nameInAddress()));
  document.addEventListener("visibilitychange", () => (document.hidden ? quiet() : listen()));
  listen();
  await openThread(nameInAddress());
}

function nameInAddress() {
  const written = location.hash.slice(1);
  try {
    return decodeURIComponent(written) || null;
  } catch {
    return written; // a sign of percent that somebody wrote
  }
}

function quiet() {
  news?.close();
  news = null;
}

function listen() {
  if (news) return;
  news = new EventSource("/api/events");
  const hear = (name, act) => news.addEventListener(name, (event) => act(JSON.parse(event.data)).catch(lost));
  hear("state", welcomed);
  hear("index", indexed);
  hear("threads", ({ running }) => threadsChanged(running));
  news.onerror = lost;
}

async function lost() {
  quiet();
  try {
    await get("/api/state");
  } catch (error) {
    set({ trouble: error.code === "key" ? "key" : "offline" });
    if (error.code === "key") return;
  }
  setTimeout(() => document.hidden || listen(), 1500);
}

async function welcomed(server) {
  const wasAway = state.trouble !== null;
  set({ server, index: server.index, trouble: null });
  if (server.boot !== loaded || wasAway) {
    const [{ models }] = await Promise.all([get("/api/models"), loadThreads(), loadDocuments(), loadQuestions(), loadServers()]);
    loaded = server.boot;
    set({ models });
    if (!server.verifiers.includes(state.verifier)) set({ verifier: "" });
    if (state.model && !models.some((one) => one.id === state.model)) set({ model: "" });
  }
  await threadsChanged(server.running);
  if (wasAway && !state.run) await reload();
}

async function indexed(index) {
  const ended = state.index?.state !== index.state;
  set({ index });
  if (ended) await Promise.all([loadDocuments(), loadQuestions()]);
}

async function threadsChanged(running) {
  answering = running;
  const elsewhere = running.includes(state.thread) && !state.run;
  const ended = state.elsewhere && !elsewhere;
  set({ elsewhere });
  await loadThreads();
  if (ended && !state.run) await reload();
}

const loadThreads = newest(() => get("/api/threads"));

const loadDocuments = newest(async () => {
  if (!state.server?.index) return null;
  const { documents, problems } = await get("/api/documents");
  return { documents, problems };
});

const loadServers = newest(async () => (state.server?.tools.some((tool) => tool.server) ? get("/api/servers") : null));

const loadQuestions = newest(() => get("/api/questions"));

// Conversations

export async function openThread(name) {
  if (name === state.thread && name !== null) return;
  leave();
  const elsewhere = answering.includes(name);
  set({ thread: name, messages: [], approval: [], elsewhere, failed: null, editing: null, source: null, view: "chat" });
  if (location.hash.slice(1) !== encodeURIComponent(name ?? "")) location.hash = encodeURIComponent(name ?? "");
  if (name) await reload();
}

let reads = 0;

// Reads the conversation; one whose answer has just ended here is read once the server has closed it.
async function reload(isEnded = false) {
  const name = state.thread;
  const before = runs;
  if (!name) return;
  reads += 1;
  const mine = reads;
  // What was asked meanwhile is newer than this answer, which may still hold the question it replaced.
  const isOver = () => state.thread !== name || runs !== before || mine !== reads;
  try {
    const thread = await get("/api/thread", { name });
    if (isOver()) return;
    // The news may have told of the end before this answer came, which was given before it.
    const isBehind = thread.running && (isEnded || !answering.includes(name));
    if (isBehind) setTimeout(() => isOver() || reload(isEnded), 300);
    if (isBehind && isEnded) return;
    set({ messages: thread.messages, approval: thread.approval, elsewhere: thread.running, failed: placed(state.failed, thread.messages) });
  } catch (error) {
    // The question of an answer that broke off stays: the server may be away for long.
    if (!isOver() && !state.failed) set({ failed: { error, question: null, run: runs } });
  }
}

// What was written before an error is kept, and its question with it: the error then stands below.
function placed(failed, messages) {
  const asked = messages.slice(failed?.at).findLast((message) => message.role === "user");
  if (!failed?.question || asked?.text !== failed.question) return failed;
  return { ...failed, replaces: asked.id, isBelow: true };
}

export async function forgetThread(name) {
  try {
    await remove("/api/thread", { name });
    if (state.thread === name) await openThread(null);
    await loadThreads();
  } catch (error) {
    set({ failed: { error, question: null, run: runs } });
  }
}

function nameFor(question) {
  // What Python does not call printable is in no name: joiners, marks of direction, halves of a pair.
  const line = [...question.replace(/\s+/g, " ").replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "").trim()];
  const short = line.length > 60 ? `${line.slice(0, 60).join("").replace(/\s\S*$/, "")} …` : line.join("") || "Conversation";
  const taken = new Set(state.threads.map((thread) => thread.name));
  let name = short;
  for (let n = 2; taken.has(name); n += 1) name = `${short} (${n})`;
  return name;
}

// Questions

export function setDraft(draft) {
  try {
    sessionStorage.setItem("draft", draft);
  } catch {
    // longer than it takes
  }
  set({ draft });
}

export async function ask(question, replaces = null, tries = 0) {
  question = question.trim();
  if (!question || state.run) return;
  const at = replaces ? state.messages.findIndex((message) => message.id === replaces) : -1;
  const before = at >= 0 ? state.messages.slice(0, at) : state.messages;
  set({ messages: before, editing: null, approval: [] });
  await run("/api/ask", { question, replaces }, before, { question, replaces, tries });
}

// `calls` are those that the person saw: another conversation's may wait by now.
export async function decide(calls, decisions) {
  if (state.run || state.approval !== calls) return;
  set({ approval: [] });
  const at = state.messages.findLastIndex((message) => message.role === "user");
  await run("/api/decide", { decisions }, state.messages.slice(0, at), { question: null });
}

let runs = 0;

async function run(path, body, before, about) {
  runs += 1;
  const controller = new AbortController();
  const running = { ...about, run: runs, at: before.length, text: "", citations: [], documents: [], steps: [], controller };
  set({ run: running, failed: null });
  const chosen = { model: state.model || null, verifier: state.verifier || null };
  try {
    const thread = state.thread ?? (await begun(running));
    await stream(path, { thread, ...body, ...chosen }, (event, data) => take(running, before, event, data), controller.signal);
  } catch (error) {
    if (state.run === running) ended(running, error);
  }
  loadThreads().catch(() => {});
  loadServers().catch(() => {});
}

// A new conversation has its question's name, and no other's: so the others must be known.
async function begun(running) {
  if (!loaded) await loadThreads();
  if (state.run !== running || running.controller.signal.aborted) throw new DOMException("left", "AbortError");
  const thread = nameFor(running.question);
  location.hash = encodeURIComponent(thread);
  set({ thread });
  return thread;
}

// Another conversation is opened: the server keeps what was written, and takes back a question without any answer.
function leave() {
  const { run } = state;
  if (!run) return;
  run.controller.abort();
  set({ run: null });
  if (run.question && !run.text && !state.draft) setDraft(run.question);
}

function take(running, before, event, data) {
  if (state.run !== running) return;
  if (event === "text") {
    running.text += data.text;
  } else if (event === "citations") {
    const known = new Map(running.citations.map((citation) => [placeKey(citation), citation]));
    for (const citation of data.citations) known.set(placeKey(citation), citation);
    running.citations = [...known.values()];
  } else if (event === "documents") running.documents = data.documents;
  else if (event === "tool_call" || event === "tool_result") running.steps.push({ event, ...data });
  if (event === "done") {
    const messages = data.messages;
    if (messages.length) messages[messages.length - 1].seconds = data.seconds;
    set({ messages: [...before, ...messages], approval: data.approval, run: null, source: sourceAfter(running, messages.at(-1)) });
  } else set({ run: running });
}

const placeKey = (citation) => `${citation.number} ${citation.span} ${citation.mark}`;

// A source that was opened while the answer was written is that of the whole answer.
function sourceAfter(running, message) {
  if (state.source?.message !== running) return state.source;
  const index = (message?.answer?.citations ?? []).findIndex((citation) => placeKey(citation) === placeKey(state.source.citation));
  if (index < 0) return state.source;
  if (returnTo) returnTo = { answer: message.id, index };
  return { ...state.source, message, index };
}

function ended(running, error) {
  const { question, replaces, at } = running;
  if (error.name === "AbortError") {
    const asked = question ? [{ id: null, role: "user", text: question }] : [];
    const partial = { id: null, role: "assistant", text: running.text, stop_reason: "interrupted", calls: [] };
    set({ run: null, messages: [...state.messages, ...(running.text ? [...asked, partial] : [])] });
    if (question && !running.text && !state.draft) setDraft(question);
    reload(true);
    return;
  }
  const known = error instanceof PageError ? error : { code: "page", message: `The page failed: ${error.message}` };
  set({ run: null, failed: { error: known, question, replaces, at, tries: (running.tries ?? 0) + 1, run: running.run } });
  if (known.code === "broken_off" || known.code === "offline") set({ trouble: "offline" });
  if (running.text || !question) reload(true);
}

export function stop() {
  state.run?.controller.abort();
}

// Whether an edit or a retry can still replace that question is the server's to say.
export function retry(failed, tries = failed.tries) {
  if (state.failed?.run !== failed.run) return undefined; // it is another's turn by now
  const { question, replaces } = state.failed;
  const still = state.messages.some((message) => message.id === replaces);
  set({ failed: null });
  return ask(question, still ? replaces : null, tries);
}

export async function verify(messageId, verifier) {
  const changed = await post("/api/verify", { thread: state.thread, message: messageId, verifier, model: state.model || null });
  const judged = (message) => (message?.id === messageId ? { ...message, ...changed } : message);
  set({ messages: state.messages.map(judged) });
  const { source } = state;
  if (source?.message?.id !== messageId) return;
  const message = judged(source.message);
  set({ source: { ...source, message, citation: message.answer.citations[source.index] } });
}

// Documents

export async function addFiles(files) {
  const form = new FormData();
  const large = [];
  for (const file of files) {
    if (file.size > (state.server?.max_upload_bytes ?? Infinity) * 0.99) large.push({ name: file.name, reason: "it is too large to upload: copy it into the folder" });
    else form.append("file", file, file.name);
  }
  set({ uploading: (state.uploading ?? 0) + files.length, refused: large });
  try {
    if (form.has("file")) {
      const { refused } = await upload("/api/documents", form);
      set({ refused: [...large, ...refused] });
    }
  } catch (error) {
    set({ refused: [...large, { name: "", reason: error.message }] });
  }
  set({ uploading: state.uploading - files.length || null });
  await loadDocuments().catch(() => {}); // the news tell of them, too
}

export async function deleteDocument(source, name) {
  try {
    await remove("/api/documents", { source });
    if (state.source?.source === source) set({ source: null });
    await loadDocuments();
  } catch (error) {
    set({ refused: [{ name, reason: error.message }] });
  }
}

// The source

let returnTo = null;

export function openCitation(message, index, button) {
  if (button) returnTo = { answer: message.id ?? "run", index };
  const record = message.answer ?? { citations: message.citations };
  const citation = record.citations[index];
  set({ source: { message, index, citation, source: citation.source }, view: "source" });
}

export function openDocument(source) {
  returnTo = null;
  set({ source: { message: null, index: null, citation: null, source }, view: "source" });
}

export function step(by) {
  const { message, index } = state.source ?? {};
  const target = message ?? lastAnswer();
  const all = target?.answer?.citations ?? target?.citations ?? [];
  if (!all.length) return;
  const next = index === null || index === undefined ? 0 : (index + by + all.length) % all.length;
  returnTo = { answer: target.id ?? "run", index: next };
  openCitation(target, next, null);
}

const lastAnswer = () => state.messages.findLast((message) => message.answer?.citations?.length);

export function closeSource() {
  const back = returnTo;
  set({ source: null, view: "chat" });
  focusDrawn(() => {
    const answer = back && document.querySelector(`[data-answer="${CSS.escape(back.answer)}"]`);
    return answer?.querySelector(`[data-citation="${back.index}"]`) ?? document.querySelector("#question");
  });
}

// Focuses what the next frame draws, unless the person has gone elsewhere by then.
export function focusDrawn(find) {
  const before = document.activeElement;
  const focus = () => [before, document.body].includes(document.activeElement) && find()?.focus();
  requestAnimationFrame(() => requestAnimationFrame(focus));
}

// Looks

const narrow = matchMedia("(max-width: 719px)");
state.phone = narrow.matches;
narrow.addEventListener("change", () => set({ phone: narrow.matches }));

export function setTheme(theme) {
  keep("theme", theme);
  set({ theme });
  showTheme();
}

export function showTheme() {
  const dark = state.theme === "dark" || (state.theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}
