'use strict';
// What the answers of the node amount to: the masternodes in their order, the state of every pair, and what an operator
// should look at. Nothing here touches the page.

/** The newest answers, and what the events have said since. `heard` holds when each node's newest beat was heard here. */
const known = {
  status: null,
  peers: [],
  matrix: null,
  masternodes: [],
  bans: [],
  heard: new Map(),
  blocks: new Map(),
  /** How far the node's clock is ahead of this browser's. */
  ahead: 0,
};

/** Blocks remembered. */
const MAX_BLOCKS = 120;

const nodeNow = () => Date.now() + known.ahead;

/** An address as numbers that order as `timed matrix` does: IPv4 before IPv6. */
function addressOrder(address) {
  const at = address.lastIndexOf(':');
  const [host, port] = [address.slice(0, at), Number(address.slice(at + 1))];
  const numbers = host.split('.').map(Number);
  const v4 = numbers.length === 4 && numbers.every(Number.isInteger);
  return { v4, host: v4 ? numbers.reduce((sum, part) => sum * 256 + part, 0) : host, port };
}

function compareAddresses(left, right) {
  const [a, b] = [addressOrder(left), addressOrder(right)];
  if (a.v4 !== b.v4) return a.v4 ? -1 : 1;
  if (a.host !== b.host) return a.host < b.host ? -1 : 1;
  return a.port - b.port;
}

/** The masternodes with the numbers that `timed matrix` gives them, and with what this node has to do with each. */
function masternodes() {
  const self = known.status?.node_id;
  const list = [...known.masternodes].sort((a, b) => compareAddresses(a.address, b.address));
  const ports = new Set(list.map((entry) => addressOrder(entry.address).port));
  const sessions = sessionsById();
  return list.map((entry, index) => {
    const of = sessions.get(entry.node_id) ?? [];
    return {
      ...entry,
      number: index + 1,
      label: ports.size === 1 ? entry.address.slice(0, entry.address.lastIndexOf(':')) : entry.address,
      self: entry.node_id === self,
      session: of[0] ?? null,
      sessions: of.length,
      state: stateOf(entry, of.length > 0 || entry.node_id === self),
    };
  });
}

/** `good`, `odd` where this masternode has no link to an active one, `down`, or `unheard`. */
function stateOf(entry, reached) {
  if (!entry.active) return entry.last_heartbeat === null ? 'unheard' : 'down';
  return reached || known.status?.role !== 'masternode' ? 'good' : 'odd';
}

function sessionsById() {
  const sessions = new Map();
  for (const peer of known.peers) {
    const of = sessions.get(peer.node_id) ?? [];
    of.push(peer);
    sessions.set(peer.node_id, of);
  }
  return sessions;
}

/** A node that others know: its number and address, or the first digits of its id. */
function naming(nodes) {
  const byNode = new Map(nodes.map((node) => [node.node_id, node]));
  return (id) => {
    const node = byNode.get(id);
    return node === undefined ? short(id) : `${node.number} (${node.label})`;
  };
}

/**
 * The pairs of masternodes: `low`, `high` are numbers, `dialer` one of them or null, `state` one of `up`, `fallback`,
 * `one-sided`, `split`, `doubled`, `missing`. This node's own links are as they are now, all others as the newest signed
 * heartbeats tell.
 */
function pairs(nodes) {
  const numbers = new Map(nodes.map((node) => [node.node_id, node.number]));
  const found = new Map();
  const set = (a, b, state, dialer = null) => {
    const [x, y] = [numbers.get(a), numbers.get(b)];
    if (x === undefined || y === undefined) return;
    const [low, high] = x < y ? [x, y] : [y, x];
    found.set(`${low}-${high}`, { low, high, state, dialer: numbers.get(dialer) ?? null });
  };
  const { links, missing, one_sided, split, wrong_direction } = known.matrix ?? {};
  const dialers = new Map();
  for (const link of links ?? []) {
    set(link.a, link.b, 'up', link.dialer);
    dialers.set(`${link.a}-${link.b}`, link.dialer);
  }
  for (const pair of missing ?? []) set(pair.a, pair.b, 'missing');
  for (const pair of one_sided ?? []) set(pair.a, pair.b, 'one-sided');
  for (const pair of split ?? []) set(pair.a, pair.b, 'split');
  for (const pair of wrong_direction ?? []) set(pair.a, pair.b, 'fallback', dialers.get(`${pair.a}-${pair.b}`));
  const self = nodes.find((node) => node.self);
  if (self !== undefined) {
    for (const node of nodes) {
      if (node.self) continue;
      if (node.session === null) {
        set(self.node_id, node.node_id, 'missing');
        continue;
      }
      const dialer = node.session.direction === 'outbound' ? self : node;
      const canonical = node.session.dialed_because === 'canonical';
      const state = node.sessions > 1 ? 'doubled' : canonical ? 'up' : 'fallback';
      set(self.node_id, node.node_id, state, dialer.node_id);
    }
  }
  return [...found.values()];
}

/** What a node's state means. */
const STATES = { good: 'active', odd: 'active, no link to this node', down: 'not active', unheard: 'not heard of yet' };

/** How a pair's state is coloured. */
const FAULTY = { 'one-sided': 'odd', fallback: 'odd', split: 'down', doubled: 'down', missing: 'down' };

/** Adds blocks, and forgets the oldest. */
function remember(blocks) {
  for (const block of blocks) {
    if (Number.isSafeInteger(block.height)) known.blocks.set(block.height, block);
  }
  const heights = [...known.blocks.keys()].sort((a, b) => a - b);
  for (const height of heights.slice(0, Math.max(0, heights.length - MAX_BLOCKS))) known.blocks.delete(height);
}

const newestHeight = () => Math.max(0, ...known.blocks.keys());

/** What is not as it should be: `{ bad, text }`, the worst first. */
function problems(nodes) {
  const { status, matrix } = known;
  if (status === null) return [];
  const found = [];
  const bad = (text) => found.push({ bad: true, text });
  const odd = (text) => found.push({ bad: false, text });
  const { active, registered, quorum } = status.masternodes;
  const { state, height, target, seconds_left } = status.sync;
  if (active < quorum) bad(`Only ${active} of ${registered} masternodes are active, and a block needs ${quorum}.`);
  if (status.last_tick_age_ms > 2000) bad(`The event loop has not ticked for ${span(status.last_tick_age_ms)}.`);
  const quiet = status.last_block_time === null ? NaN : nodeNow() - Date.parse(status.last_block_time);
  if (state === 'syncing' || state === 'stalled') {
    const left = seconds_left === null ? '' : `, about ${span(seconds_left * 1000)} left`;
    odd(`${state === 'stalled' ? 'Nobody gives it the blocks it lacks' : 'It fetches blocks'}: ${height} of ${target}${left}.`);
  } else if (quiet > 3 * status.block_interval_ms + 3000) {
    bad(`No block for ${span(quiet)}; there should be one every ${span(status.block_interval_ms)}.`);
  }
  if (!status.producing && status.role === 'masternode') odd(`It proposes no blocks: ${status.not_producing_text}.`);
  if (Math.abs(status.clock_offset_ms) > 500) {
    odd(`Its clock is ${Math.abs(status.clock_offset_ms)} ms ${status.clock_offset_ms > 0 ? 'behind' : 'ahead of'} the others'.`);
  }
  for (const node of nodes) {
    if (node.self) continue;
    const heard = known.heard.get(node.node_id);
    const since = heard === undefined ? 'not heard of since the start' : `last heard ${span(performance.now() - heard)} ago`;
    if (node.session === null && status.role === 'masternode') odd(`No link to masternode ${node.number}, ${node.address} (${since}).`);
    else if (!node.active) odd(`Masternode ${node.number}, ${node.address}, is not active (${since}).`);
    if (node.sessions > 1) bad(`${node.sessions} links at once to masternode ${node.number}, ${node.address}.`);
  }
  const counts = [['split', matrix?.split], ['one-sided', matrix?.one_sided], ['fallback', matrix?.wrong_direction]];
  const between = counts.filter(([, list]) => list?.length > 0).map(([name, list]) => `${list.length} ${name}`);
  if (matrix?.duplicate?.length > 0) between.push(`${matrix.duplicate.length} nodes with links to spare`);
  if (between.length > 0) odd(`Between the masternodes: ${between.join(', ')}.`);
  const excessive = known.peers.filter((peer) => peer.excessive !== null);
  for (const peer of excessive.slice(0, 3)) odd(`${peer.addr} sends too much: ${peer.excessive.class}, ${peer.excessive.handling}.`);
  return found.sort((a, b) => Number(b.bad) - Number(a.bad));
}
