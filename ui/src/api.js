// The server's API: JSON, server-sent events, and errors that say what to do.

export class PageError extends Error {
  constructor(error) {
    super(error.message);
    Object.assign(this, error);
  }
}

const OFFLINE = { code: "offline", message: "The server does not answer." };

async function checked(response) {
  if (response.ok) return response;
  let body = {};
  try {
    body = (await response.json()).error ?? {};
  } catch {
    // a proxy's page, or nothing
  }
  const wait = Number(response.headers.get("retry-after")) || null;
  throw new PageError({
    message: `The server answered ${response.status}.`,
    code: response.status === 401 ? "key" : "server_error",
    ...body,
    ...(response.status === 401 && body.code !== "bedrock_credentials" ? { code: "key" } : {}),
    status: response.status,
    retry_after: wait,
  });
}

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new PageError(OFFLINE);
  }
  return checked(response);
}

export const query = (path, values = {}) => {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined);
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
};

export const get = async (path, values, signal) => (await request(query(path, values), { signal })).json();
export const remove = (path, values) => request(query(path, values), { method: "DELETE" });
export const upload = async (path, form) => (await request(path, { method: "POST", body: form })).json();
export const post = async (path, body) => (await request(path, json(body))).json();

const json = (body, signal) => ({
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
  signal,
});

// Calls `take(event, data)` for each event of the answer; throws what the server tells as an error.
export async function stream(path, body, take, signal) {
  const response = await request(path, json(body, signal));
  let ended = false;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let piece;
    try {
      piece = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new PageError({ ...OFFLINE, code: "broken_off", message: "The server went away in the middle." });
    }
    if (piece.done) break;
    const frames = (rest + piece.value).split("\n\n");
    rest = frames.pop();
    for (const frame of frames) {
      const { event, data } = parsed(frame);
      if (data === null) continue;
      if (data.error) throw new PageError(data.error);
      if (event === "done") ended = true;
      take(event, data);
    }
  }
  if (!ended) throw new PageError({ ...OFFLINE, code: "broken_off", message: "The server went away in the middle." });
}

function parsed(frame) {
  let event = "message";
  const lines = [];
  for (const line of frame.split("\n")) {
    if (line.startsWith("event: ")) event = line.slice(7);
    else if (line.startsWith("data: ")) lines.push(line.slice(6));
  }
  return { event, data: lines.length ? JSON.parse(lines.join("\n")) : null };
}
