'use strict';
// The event log: newest first, in words, filtered by kind and by text.

const MAX_LINES = 500;

/** What a fact is: its kind for the filter, its looks, and its words. `who` names a node id. */
function inWords(name, data, who) {
  const line = (kind, looks, words) => ({ kind, looks, words });
  const peer = data.node_id ? who(data.node_id) : data.addr;
  switch (name) {
    case 'link_up': {
      const by = data.direction === 'outbound' ? 'dialed by this node' : 'dialed by the other';
      return line('links', 'good', `link with ${peer} stands, ${by} (${data.dialed_because})`);
    }
    case 'link_down':
      return line('links', 'bad', `link with ${peer} ended after ${span(data.lasted_ms)}: ${data.text} (${data.reason}, by ${data.by})`);
    case 'dial_failed': {
      const again = data.retry_in_ms === null ? '' : `, again in ${span(data.retry_in_ms)}`;
      return line('links', 'quiet', `dial to ${data.addr} failed: ${data.reason}, ${data.failures} in a row${again}`);
    }
    case 'inbound_failed':
      return line('links', 'quiet', `connection from ${data.addr} came to nothing: ${data.reason} (by ${data.by})`);
    case 'probed':
      return line('links', 'quiet', `probed ${peer} at ${data.addr}: ${data.reason}`);
    case 'peer_check':
      return line('links', data.up < data.expected ? 'odd' : 'quiet', `check of links: ${data.up} of ${data.expected}`);
    case 'absence': {
      const text = { announced: `announces to be away for up to ${data.lasts_s} s`, taken_back: 'stays after all' };
      const word = text[data.state] ?? 'is away for longer than it announced';
      return line('links', data.state === 'overdue' ? 'bad' : 'quiet', `${peer} ${word}`);
    }
    case 'activity':
      return line('links', data.active ? 'good' : 'bad', `masternode ${peer} is ${data.active ? 'active' : 'no longer active'}`);
    case 'heartbeat':
      return line('beats', 'quiet', `beat ${data.sequence} of ${peer}, by way of ${who(data.via)}`);
    case 'block':
      return line(
        'blocks',
        data.round > 0 ? 'odd' : '',
        `block ${data.height} by ${who(data.proposer)}, round ${data.round}, ${data.payload_bytes === 0 ? 'empty' : bytes(data.payload_bytes)}${data.via === 'consensus' ? '' : `, ${data.via}`}`,
      );
    case 'proposed':
      return line('blocks', 'quiet', `this node proposes height ${data.height}, round ${data.round}`);
    case 'round':
      return line('blocks', 'odd', `height ${data.height} goes to round ${data.round}, led by ${who(data.leader)}`);
    case 'producing':
      return line('blocks', data.producing ? 'good' : 'odd', data.producing ? 'it proposes blocks' : `it proposes no blocks: ${data.text}`);
    case 'sync':
      return line('blocks', 'quiet', `${data.state}${data.target === null ? '' : `, up to height ${data.target}`}`);
    case 'rate_exceeded':
      return line('alarms', 'odd', `${peer} sends too much: ${data.class} (limits: ${data.enforce})`);
    case 'banned':
      return line('alarms', 'bad', `banned ${data.target}: ${data.reason ?? data.cause}${data.until === null ? '' : `, until ${clock(data.until)}`}`);
    case 'ban_ended':
      return line('alarms', '', `ban of ${data.target} ended: ${data.end}`);
    case 'misbehaved':
      return line('alarms', 'odd', `${peer}: ${data.text} (score ${data.score} of ${data.bound})`);
    case 'evidence':
      return line('alarms', 'bad', `a masternode signed two statements for one place: ${rest(data, who)}`);
    case 'warning':
      return line('alarms', 'odd', `${data.warning}: ${rest(data, who)}`);
    case 'fatal':
      return line('alarms', 'bad', `it halts: ${data.text}`);
    case 'missed':
      return line('alarms', 'odd', `${data.facts} events are missing here: this page did not keep up`);
    default:
      return line('alarms', 'quiet', `${name}: ${rest(data, who)}`);
  }
}

/** The fields of a fact that has no words of its own. */
function rest(data, who) {
  const said = (value) => (typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value));
  return Object.entries(data)
    .filter(([name]) => !['at', 'warning'].includes(name))
    .map(([name, value]) => `${name} ${name === 'node_id' ? who(value) : said(value)}`)
    .join(', ')
    .slice(0, 400);
}

const log = {
  /** Newest first. */
  lines: [],
  held: false,
  /** Whether a line passes the filters as they stand. */
  wanted: () => true,

  begin() {
    this.draw();
    for (const box of byId('filters').querySelectorAll('input[type="checkbox"]')) box.addEventListener('change', () => this.draw());
    byId('search').addEventListener('input', () => this.draw());
    byId('filters').addEventListener('submit', (event) => event.preventDefault());
    byId('hold').addEventListener('click', () => {
      this.held = !this.held;
      byId('hold').setAttribute('aria-pressed', String(this.held));
      if (!this.held) this.draw();
    });
  },

  line(at, { kind, looks, words }) {
    const time = html('time', { datetime: at, title: at }, clock(at));
    return { kind, text: words.toLowerCase(), shown: html('li', { class: looks, 'data-kind': kind }, time, html('span', {}, words)) };
  },

  /** Puts facts, the oldest first, below what is there. */
  under(facts) {
    this.lines.push(...facts.reverse().map(([at, words]) => this.line(at, words)));
    this.draw();
  },

  /** A fact that is newer than all others. */
  add(at, words) {
    const line = this.line(at, words);
    this.lines.unshift(line);
    this.lines.length = Math.min(this.lines.length, MAX_LINES);
    if (this.held) {
      say(byId('hold'), 'held, go on');
      return;
    }
    if (!this.wanted(line)) return;
    const list = byId('log');
    // A reader who has scrolled down keeps his place.
    const before = list.scrollTop > 4 ? list.scrollHeight : null;
    list.prepend(line.shown);
    while (list.childElementCount > MAX_LINES) list.lastElementChild.remove();
    if (before !== null) list.scrollTop += list.scrollHeight - before;
  },

  draw() {
    const kinds = new Set([...byId('filters').querySelectorAll('input:checked')].map((box) => box.value));
    const text = byId('search').value.trim().toLowerCase();
    this.wanted = (line) => kinds.has(line.kind) && line.text.includes(text);
    say(byId('hold'), this.held ? 'held, go on' : 'hold');
    if (!this.held) byId('log').replaceChildren(...this.lines.filter(this.wanted).map((line) => line.shown));
  },
};
