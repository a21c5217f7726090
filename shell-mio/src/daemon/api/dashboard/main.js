'use strict';
// The page: asks the node, listens to it, and draws what it says.

const POLL_MS = 5000;
const POLL_UNSEEN_MS = 60000;
const POLL_LOST_MS = 2000;
/** Events ask for a refresh; so many milliseconds pass between two at least. */
const REFRESH_APART_MS = 1000;
const DRAW_WITHIN_MS = 100;
const BLOCKS_ASKED = 40;
/** Blocks from before the page was opened, in its log. */
const PAST_BLOCKS = 20;

/** Facts after which what the routes answer is another. */
const TELLING = new Set(['link_up', 'link_down', 'activity', 'block', 'producing', 'sync', 'banned', 'ban_ended', 'rate_exceeded', 'round']);

const page = {
  /** `connecting`, `live`, or `polling` where the node has no place for one more listener. */
  stream: 'connecting',
  lostSince: null,
  lostWords: '',
  asked: 0,
  asking: false,
  again: false,
  /** Timers of the next refresh and of the next drawing. */
  refreshing: null,
  drawing: null,
  exact: false,
  who: short,
};

function answered() {
  if (page.lostSince === null) return;
  page.lostSince = null;
  log.add(new Date(nodeNow()).toISOString(), { kind: 'links', looks: 'good', words: 'the node answers again' });
}

function unanswered(error) {
  page.lostWords = error instanceof RefusedAnswer ? error.message : '';
  if (page.lostSince !== null) return;
  page.lostSince = Date.now();
  const why = page.lostWords === '' ? '' : `: ${page.lostWords}`;
  log.add(new Date(nodeNow()).toISOString(), { kind: 'links', looks: 'bad', words: `the node does not answer${why}` });
}

/** Asks everything that changes, unless that is under way: then once more afterwards. */
async function refresh() {
  if (page.asking) {
    page.again = true;
    return;
  }
  page.asking = true;
  page.asked = performance.now();
  try {
    // First one question alone: a node that is gone is not asked four.
    const status = await ask('/status');
    const [peers, matrix, nodes] = await Promise.all(['/peers', '/matrix', '/masternodes'].map(ask));
    const anew = known.status !== null && known.status.boot_epoch !== status.boot_epoch;
    if (anew) {
      known.heard.clear();
      log.add(status.started, { kind: 'alarms', looks: 'odd', words: `the node was started again at ${clock(status.started)}` });
    }
    if (!anew) keepNewest(status);
    // A node bans seldom, so that the list is asked for only where there is one.
    const bans = status.bans > 0 ? await ask('/bans') : [];
    Object.assign(known, { status, peers, matrix, masternodes: nodes, bans });
    // To half a second, until an event tells it exactly.
    if (!page.exact) known.ahead = Date.parse(status.started) + status.uptime * 1000 + 500 - Date.now();
    for (const node of nodes) {
      if (node.heard_ms !== null) known.heard.set(node.node_id, performance.now() - node.heard_ms);
    }
    const first = known.blocks.size === 0;
    await catchUp(status.height);
    if (first) tellPast();
    answered();
  } catch (error) {
    unanswered(error);
  } finally {
    page.asking = false;
  }
  draw();
  if (page.again) {
    page.again = false;
    soon();
  }
}

/** An event may have told of a block that the answer did not know of yet. */
function keepNewest(status) {
  const { height, last_block_time } = known.status ?? { height: 0 };
  if (height > status.height) Object.assign(status, { height, last_block_time });
}

/** Fetches the newest blocks that no event has told of. A listing ends early where blocks are full. */
async function catchUp(height) {
  const first = Math.max(1, height - BLOCKS_ASKED + 1);
  let from = first;
  while (from <= height && known.blocks.has(from)) from += 1;
  for (let questions = 0; from <= height && questions < 5; questions += 1) {
    const blocks = await ask(`/blocks?from=${from}&limit=${height - from + 1}`);
    if (blocks.length === 0) return;
    remember(blocks);
    from = blocks[blocks.length - 1].height + 1;
  }
}

/** Begins the log with what happened before the page was opened, as far as the answers tell. */
function tellPast() {
  const who = naming(masternodes());
  const past = [...known.blocks.values()].slice(-PAST_BLOCKS).map((block) => ['block', { ...block, via: 'consensus' }, block.time]);
  for (const peer of known.peers) past.push(['link_up', peer, peer.since]);
  past.sort((a, b) => Date.parse(a[2]) - Date.parse(b[2]));
  log.under(past.map(([name, data, at]) => [at, inWords(name, data, who)]));
}

/** A refresh soon, and not too often. */
function soon() {
  if (page.refreshing !== null) return;
  const wait = Math.max(150, page.asked + REFRESH_APART_MS - performance.now());
  page.refreshing = setTimeout(() => {
    page.refreshing = null;
    refresh();
  }, wait);
}

/** Draws soon: a node that catches up tells of many blocks a second. */
function drawSoon() {
  page.drawing ??= setTimeout(() => {
    page.drawing = null;
    draw();
  }, DRAW_WITHIN_MS);
}

function hear({ name, data }) {
  if (typeof data !== 'object' || data === null) return;
  const at = Date.parse(data.at);
  if (Number.isFinite(at)) {
    known.ahead = at - Date.now();
    page.exact = true;
  }
  if (name === 'heartbeat') {
    known.heard.set(data.node_id, performance.now());
    network.pulse(data.node_id);
  }
  if (name === 'block') {
    remember([data]);
    if (known.status !== null && data.height > known.status.height) {
      Object.assign(known.status, { height: data.height, last_block_time: data.time });
    }
    network.pulse(data.proposer, 'var(--outbound)');
    drawSoon();
  }
  log.add(data.at ?? new Date(nodeNow()).toISOString(), inWords(name, data, page.who));
  if (TELLING.has(name)) soon();
}

function draw() {
  drawLiveness();
  const { status } = known;
  if (status === null) return;
  const nodes = masternodes();
  const links = pairs(nodes);
  page.who = naming(nodes);
  const lost = page.lostSince !== null;
  const found = lost ? [] : problems(nodes);
  if (!lost) drawProblems(found);
  const level = lost ? 'lost' : found.length === 0 ? 'good' : found[0].bad ? 'bad' : 'odd';
  document.documentElement.dataset.level = level;
  drawTitle(status, level);
  drawFigures(status);
  network.draw(nodes, links, (id) => detail.node(id));
  blocks.draw(nodes, (height) => detail.block(height));
  tables.masternodes(nodes, (id) => detail.node(id));
  tables.peers((id) => detail.node(id));
  tables.bans();
  tables.matrix(nodes, links);
  tick();
}

function drawLiveness() {
  const lost = page.lostSince !== null;
  const state = lost ? 'lost' : page.stream;
  byId('live').dataset.state = state;
  const words = { live: 'live', polling: `asks every ${POLL_MS / 1000} s`, lost: 'no answer', connecting: 'connecting' };
  say(byId('live'), words[state]);
  if (!lost) return;
  document.documentElement.dataset.level = 'lost';
  drawProblems([
    {
      bad: true,
      text: `${location.host} does not answer since ${clock(page.lostSince)}${page.lostWords === '' ? '' : ` (${page.lostWords})`}. What stands below is from before. This page tries again by itself.`,
    },
  ]);
}

function drawProblems(found) {
  const list = byId('problems');
  const lines = found.slice(0, 8);
  if (found.length > 8) lines.push({ bad: false, text: `and ${found.length - 8} more` });
  while (list.childElementCount > lines.length) list.lastElementChild.remove();
  lines.forEach(({ bad, text }, at) => {
    if (list.children[at] === undefined) list.append(html('li'));
    list.children[at].className = bad ? 'bad' : '';
    say(list.children[at], text);
  });
}

function drawTitle(status, level) {
  const name = status.name ?? short(status.node_id);
  say(byId('name'), name);
  say(byId('place'), `${status.role === 'masternode' ? 'masternode' : 'observer'} of ${status.network}`);
  const mark = { good: '', odd: '! ', bad: '!! ', lost: '?? ' }[level];
  document.title = `${mark}${status.height} ${name} – timed`;
  const colour = { good: '3fb950', odd: 'dba13a', bad: 'e5484d', lost: '8d99a6' }[level];
  const picture = `<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><circle cx='8' cy='8' r='7' fill='#${colour}'/></svg>`;
  const icon = `data:image/svg+xml,${encodeURIComponent(picture)}`;
  if (byId('icon').getAttribute('href') !== icon) byId('icon').setAttribute('href', icon);
  const about = `timed ${status.version}, node ${status.node_id}, genesis ${status.genesis_hash}, up for ${span(status.uptime * 1000)}`;
  say(byId('about'), about);
}

function figure(id, value, more, looks = '') {
  say(byId(id), value);
  byId(id).className = looks;
  say(byId(`${id}-more`), more);
}

function drawFigures(status) {
  const { links, masternodes: counted, mempool, consensus, sync } = status;
  say(byId('height'), String(status.height));
  if (sync.missing > 0) say(byId('height-more'), `of ${sync.target}`);
  const ways = `${links.outbound} dialed, ${links.inbound} was dialed`;
  figure('links', `${links.up} / ${links.expected}`, links.duplicates > 0 ? `${links.duplicates} duplicate` : ways, links.up < links.expected ? 'odd' : '');
  const without = counted.active < counted.quorum ? 'bad' : counted.active < counted.registered ? 'odd' : '';
  figure('active', `${counted.active} / ${counted.registered}`, `a block needs ${counted.quorum}`, without);
  const { observed = 0, expected = 0 } = known.matrix ?? {};
  figure('whole', `${observed} / ${expected}`, 'by signed heartbeats', observed < expected ? 'odd' : '');
  figure('waiting', String(mempool.transactions), bytes(mempool.bytes));
  const offset = status.clock_offset_ms;
  figure('offset', `${offset} ms`, `up for ${span(status.uptime * 1000)}`, Math.abs(offset) > 500 ? 'odd' : '');
  const leader = consensus === null ? '' : page.who(consensus.leader);
  const decided = consensus === null || consensus.height <= status.height;
  say(byId('under-way'), decided ? '' : `height ${consensus.height}, round ${consensus.round}: ${consensus.step}, led by ${leader}`);
}

/** What changes by itself: ages, and how far the slot has come. */
function tick() {
  if (document.hidden || known.status === null) return;
  if (page.lostSince === null) tables.beats();
  const { last_block_time: last, block_interval_ms: interval, sync } = known.status;
  const age = last === null ? NaN : nodeNow() - Date.parse(last);
  if (sync.missing === 0) say(byId('height-more'), last === null ? 'no block yet' : `slot began ${span(age)} ago`);
  const part = Number.isFinite(age) ? Math.min(1, Math.max(0, age / interval)) : 0;
  byId('slot').style.transform = `scaleX(${part})`;
  byId('slot').classList.toggle('late', age > 1.5 * interval);
}

function themes() {
  const [choice, root] = [byId('theme'), document.documentElement];
  const set = (value) => {
    choice.value = ['light', 'dark'].includes(value) ? value : 'auto';
    root.dataset.theme = choice.value;
  };
  try {
    set(localStorage.getItem('theme'));
  } catch {
    set('auto');
  }
  choice.addEventListener('change', () => {
    set(choice.value);
    try {
      localStorage.setItem('theme', choice.value);
    } catch {
      // A browser that keeps nothing: the choice holds until the page is closed.
    }
  });
}

function begin() {
  themes();
  log.begin();
  detail.begin();
  refresh();
  setInterval(() => {
    const due = page.lostSince !== null ? POLL_LOST_MS : document.hidden ? POLL_UNSEEN_MS : POLL_MS;
    if (performance.now() - page.asked >= due) soon();
  }, 1000);
  setInterval(tick, 200);
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) soon();
  });
  new ResizeObserver(drawSoon).observe(byId('network'));
  listen({
    live() {
      page.stream = 'live';
      soon();
    },
    fact: hear,
    lost(error) {
      page.stream = error instanceof RefusedAnswer ? 'polling' : 'connecting';
      soon();
    },
  });
}

begin();
