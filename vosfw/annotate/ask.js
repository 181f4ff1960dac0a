// Requests to the program that serves this page.
const token = new URLSearchParams(location.search).get("token") ?? "";

export class AskError extends Error {
  constructor(text, status) { super(text); this.status = status; }
}

async function ask(method, path, body) {
  let answer;
  try {
    answer = await fetch(path, {method, body, headers: {"X-Vosfw-Token": token}});
  } catch {
    throw new AskError("vosfw annotate does not answer. Is it still running in the terminal?", 0);
  }
  if (!answer.ok) {
    let text = `${answer.status} ${answer.statusText}`;
    try { text = (await answer.json()).error; } catch { /* the status must do */ }
    throw new AskError(text, answer.status);
  }
  return answer;
}

export const askJson = async (method, path, body) => (await ask(method, path, body)).json();

export async function askFrame(t) {
  return createImageBitmap(await (await ask("GET", `/api/frame/${t}`)).blob());
}

/** Ids of a frame, one byte per pixel, and where they come from: "given", "result" or "none". */
export async function askMask(t) {
  const answer = await ask("GET", `/api/mask/${t}`);
  return {ids: new Uint8Array(await answer.arrayBuffer()), kind: answer.headers.get("X-Mask-Kind")};
}
