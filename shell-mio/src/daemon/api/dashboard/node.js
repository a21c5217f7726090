'use strict';
// The node behind the page: questions, the token where it asks for one, and the stream of its events, which is taken up
// again for as long as the page is open.

const ANSWER_WITHIN_MS = 8000;
/** The node gives a sign of life every 15 s; a stream without one for longer is dead. */
const SILENT_AFTER_MS = 40000;
const RETRY_MS = [300, 1000, 2000, 4000];
/** A fact is some hundred bytes; what grows beyond this is no stream of facts. */
const MAX_FACT = 1 << 20;

/** The node does not take the token that was sent, or wants one. */
class Unauthorized extends Error {
  constructor(sent) {
    super('unauthorized');
    this.sent = sent;
  }
}
/** The node answers, and refuses. */
class RefusedAnswer extends Error {}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The token, where the node asks for one: in memory only. */
const token = {
  value: null,
  asking: null,

  headers() {
    return this.value === null ? {} : { authorization: `Bearer ${this.value}` };
  },

  /** Resolves when there is another token than the one that was sent. */
  another(sent) {
    if (this.asking === null) {
      if (this.value !== sent) return Promise.resolve();
      const [dialog, form, field] = [byId('ask-token'), byId('token-form'), byId('token')];
      say(byId('token-refused'), this.value === null ? '' : 'That is not its token, or the node has been started again since.');
      this.asking = new Promise((resolve) => {
        // Without the token there is nothing to see.
        dialog.onclose = () => {
          if (this.asking !== null) dialog.showModal();
        };
        form.onsubmit = () => {
          this.value = field.value.trim();
          field.value = '';
          this.asking = null;
          resolve();
        };
        dialog.showModal();
      });
    }
    return this.asking;
  },
};

async function request(path, signal) {
  const sent = token.value;
  const response = await fetch(path, { headers: token.headers(), cache: 'no-store', signal });
  if (response.ok) return response;
  if (response.status === 401) throw new Unauthorized(sent);
  let said = `status ${response.status}`;
  try {
    said = (await response.json()).error.message;
  } catch {
    // No body that says more.
  }
  throw new RefusedAnswer(said);
}

/** The JSON answer of a route. */
async function ask(path) {
  for (;;) {
    try {
      return await (await request(path, AbortSignal.timeout(ANSWER_WITHIN_MS))).json();
    } catch (error) {
      if (!(error instanceof Unauthorized)) throw error;
      await token.another(error.sent);
    }
  }
}

/** The facts of one stream, until it ends or falls silent. */
async function* facts() {
  const life = new AbortController();
  let silence;
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(() => life.abort(), SILENT_AFTER_MS);
  };
  try {
    heard();
    const reader = (await request('/events', life.signal)).body.getReader();
    const decoder = new TextDecoder();
    yield null;
    for (let waiting = ''; ; ) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      const parts = (waiting + decoder.decode(value, { stream: true })).split('\n\n');
      waiting = parts.pop();
      if (waiting.length > MAX_FACT) throw new RefusedAnswer('the stream of events makes no sense');
      for (const part of parts) {
        const fact = factOf(part);
        if (fact !== null) yield fact;
      }
    }
  } finally {
    clearTimeout(silence);
    life.abort();
  }
}

function factOf(part) {
  let [name, data] = ['', ''];
  for (const line of part.split('\n')) {
    if (line.startsWith('event: ')) name = line.slice(7);
    if (line.startsWith('data: ')) data = line.slice(6);
  }
  if (name === '') return null;
  try {
    return { name, data: JSON.parse(data) };
  } catch {
    return null;
  }
}

/**
 * Listens for ever. `live` is told when a stream begins, `lost` when one ended and why: an error of the node's own words
 * is a `RefusedAnswer`.
 */
async function listen({ live, fact, lost }) {
  for (let failures = 0; ; failures += 1) {
    try {
      for await (const one of facts()) {
        if (one === null) {
          failures = 0;
          live();
        } else {
          fact(one);
        }
      }
      lost(null);
    } catch (error) {
      if (error instanceof Unauthorized) {
        await token.another(error.sent);
        continue;
      }
      lost(error);
    }
    await pause(RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]);
  }
}
