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

// Beginning, and news

let news = null;

export async function begin() {
  addEventListener("hashchange", () => openThread(nameInAddress()));
  document.addEventListener("visibilitychange", () => (document.hidden ? quiet() : listen()));
  listen();
  await openThread(nameInAddress());
}

const nameInAddress = () => decodeURIComponent(location.hash.slice(1)) || null;

function quiet() {
  news?.close();
  news = null;
}

function listen() {
  if (news) return;
  news = new EventSource("/api/events");
  news.addEventListener("state", (event) => welcomed(JSON.parse(event.data)));
  news.addEventListener("index", (event) => indexed(JSON.parse(event.data)));
  news.addEventListener("threads", (event) => threadsChanged(JSON.parse(event.data).running));
  news.onerror = async () => {
    quiet();
    try {
      await get("/api/state");
    } catch (error) {
      set({ trouble: error.code === "key" ? "key" : "offline" });
      if (error.code === "key") return;
    }
    setTimeout(() => document.hidden || listen(), 1500);
  };
}

async function welcomed(server) {
  const isNew = server.boot !== state.server?.boot;
  const wasAway = state.trouble !== null;
  set({ server, index: server.index, trouble: null });
  if (!isNew && !wasAway) return;
  const [models] = await Promise.all([get("/api/models"), loadThreads(), loadDocuments(), loadQuestions(), loadServers()]);
  set({ models: models.models });
  if (!server.verifiers.includes(state.verifier)) set({ verifier: "" });
  if (state.model && !models.models.some((one) => one.id === state.model)) set({ model: "" });
  if (wasAway && state.thread && !state.run) await reload();
}

async function indexed(index) {
  const ended = state.index?.state !== index.state;
  set({ index });
  if (ended) await Promise.all([loadDocuments(), loadQuestions()]);
}

async function threadsChanged(running) {
  const elsewhere = running.includes(state.thread) && !state.run;
  const ended = state.elsewhere && !elsewhere;
  set({ elsewhere });
  await loadThreads();
  if (ended && !state.run) await reload();
}

export async function loadThreads() {
  set({ threads: (await get("/api/threads")).threads });
}

export async function loadDocuments() {
  if (!state.server?.index) return;
  const { documents, problems } = await get("/api/documents");
  set({ documents, problems });
}

export async function loadServers() {
  if (state.server?.tools.some((tool) => tool.server)) set({ servers: (await get("/api/servers")).servers });
}

async function loadQuestions() {
  set({ questions: (await get("/api/questions")).questions });
}

// Conversations

export async function openThread(name) {
  if (name === state.thread && name !== null) return;
  if (state.run && state.thread !== name) stop();
  set({ thread: name, messages: [], approval: [], failed: null, editing: null, source: null, view: "chat" });
  if (location.hash.slice(1) !== encodeURIComponent(name ?? "")) location.hash = encodeURIComponent(name ?? "");
  if (name) await reload();
}

export async function reload() {
  const name = state.thread;
  const before = runs;
  if (!name) return;
  try {
    const thread = await get("/api/thread", { name });
    // What was asked meanwhile is newer than this answer, which may still hold the question it replaced.
    if (state.thread !== name || runs !== before) return;
    set({ messages: thread.messages, approval: thread.approval, elsewhere: thread.running });
  } catch (error) {
    // The question of an answer that broke off stays: the server may be away for long.
    if (state.thread === name && runs === before && !state.failed) set({ failed: { error, question: null } });
  }
}

export async function forgetThread(name) {
  await remove("/api/thread", { name });
  if (state.thread === name) await openThread(null);
  await loadThreads();
}

function nameFor(question) {
  const line = question.replace(/\s+/g, " ").trim();
  const short = line.length > 60 ? `${line.slice(0, 60).replace(/\s\S*$/, "")} …` : line;
  const taken = new Set(state.threads.map((thread) => thread.name));
  let name = short;
  for (let n = 2; taken.has(name); n += 1) name = `${short} (${n})`;
  return name;
}

// Questions

export function setDraft(draft) {
  sessionStorage.setItem("draft", draft);
  set({ draft });
}

export async function ask(question, replaces = null) {
  question = question.trim();
  if (!question || state.run) return;
  const thread = state.thread ?? nameFor(question);
  const at = replaces ? state.messages.findIndex((message) => message.id === replaces) : -1;
  const before = at >= 0 ? state.messages.slice(0, at) : state.messages;
  if (!state.thread) {
    state.thread = thread;
    location.hash = encodeURIComponent(thread);
  }
  set({ messages: before, editing: null });
  await run("/api/ask", { thread, question, replaces }, before, { question, replaces });
}

export async function decide(decisions) {
  set({ approval: [] });
  const at = state.messages.findLastIndex((message) => message.role === "user");
  await run("/api/decide", { thread: state.thread, decisions }, state.messages.slice(0, at), {
    question: state.messages[at]?.text,
  });
}

let runs = 0;

async function run(path, body, before, about) {
  runs += 1;
  const controller = new AbortController();
  const running = { ...about, text: "", citations: [], documents: [], steps: [], controller, started: Date.now() };
  set({ run: running, failed: null });
  const chosen = { model: state.model || null, verifier: state.verifier || null };
  try {
    await stream(path, { ...body, ...chosen }, (event, data) => take(running, before, event, data), controller.signal);
  } catch (error) {
    if (state.run === running) ended(running, before, error);
  }
  loadThreads().catch(() => {});
  loadServers().catch(() => {});
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
    set({ messages: [...before, ...messages], approval: data.approval, run: null });
  } else set({ run: running });
}

const placeKey = (citation) => `${citation.number} ${citation.span} ${citation.mark}`;

function ended(running, before, error) {
  if (error.name === "AbortError") {
    const partial = { id: null, role: "assistant", text: running.text, stop_reason: "interrupted", calls: [] };
    const shown = running.text ? [{ id: null, role: "user", text: running.question }, partial] : [];
    set({ run: null, messages: [...before, ...shown] });
    if (!running.text && !state.draft) setDraft(running.question);
    setTimeout(() => state.run || reload(), 400);
    return;
  }
  const known = error instanceof PageError ? error : { code: "page", message: `The page failed: ${error.message}` };
  const tries = (running.tries ?? 0) + 1;
  set({ run: null, failed: { error: known, question: running.question, replaces: running.replaces, tries } });
  if (known.code === "broken_off" || known.code === "offline") set({ trouble: "offline" });
  if (running.text) setTimeout(reload, 300);
}

export function stop() {
  state.run?.controller.abort();
}

// Whether an edit or a retry can still replace that question is the server's to say.
export function retry(failed) {
  const still = state.messages.some((message) => message.id === failed.replaces);
  set({ failed: null });
  return ask(failed.question, still ? failed.replaces : null);
}

export async function verify(messageId, verifier) {
  const changed = await post("/api/verify", { thread: state.thread, message: messageId, verifier, model: state.model || null });
  set({ messages: state.messages.map((message) => (message.id === messageId ? { ...message, ...changed } : message)) });
}

// Documents

export async function addFiles(files) {
  const form = new FormData();
  const large = [];
  for (const file of files) {
    if (file.size > (state.server?.max_upload_bytes ?? Infinity) * 0.99) large.push({ name: file.name, reason: "it is too large to upload: copy it into the folder" });
    else form.append("file", file, file.name);
  }
  set({ uploading: files.length, refused: large });
  try {
    if (form.has("file")) {
      const { refused } = await upload("/api/documents", form);
      set({ refused: [...large, ...refused] });
    }
  } catch (error) {
    set({ refused: [...large, { name: "", reason: error.message }] });
  }
  set({ uploading: null });
  await loadDocuments();
}

export async function deleteDocument(source) {
  await remove("/api/documents", { source });
  if (state.source?.source === source) set({ source: null });
  await loadDocuments();
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
  requestAnimationFrame(() =>
    requestAnimationFrame(() => {
      const answer = back && document.querySelector(`[data-answer="${CSS.escape(back.answer)}"]`);
      (answer?.querySelector(`[data-citation="${back.index}"]`) ?? document.querySelector("#question"))?.focus();
    }),
  );
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
