'use strict';
// The tables: masternodes, other peers, and the matrix of links.

/** Puts rows in place of others and leaves alone what is the same, so that a selection or the focus stays. */
function exchange(body, rows) {
  const old = [...body.rows];
  if (old.length !== rows.length || old.some((row, at) => row.dataset.key !== rows[at].dataset.key)) {
    body.replaceChildren(...rows);
    return;
  }
  old.forEach((row, at) => {
    row.className = rows[at].className;
    if (rows[at].dataset.state !== undefined) row.dataset.state = rows[at].dataset.state;
    [...rows[at].cells].forEach((cell, column) => {
      if (cell.dataset.beat === undefined && !cell.isEqualNode(row.cells[column])) row.cells[column].replaceWith(cell);
    });
  });
}

/** A beat is late when two have not come, and missing long before the node counts as inactive. */
const LATE_BEAT_MS = 25000;

const tables = {
  registry: '',
  /** The matrix, row by row. */
  cells: [],

  masternodes(nodes, open) {
    const own = known.status?.height ?? 0;
    exchange(
      byId('masternodes').tBodies[0],
      nodes.map((node) =>
        html(
          'tr',
          { class: 'known', 'data-key': node.node_id, 'data-number': node.number, 'data-state': node.state, ...opens(() => open(node.node_id)), role: null },
          html('td', { class: 'number' }, node.number),
          html('td', {}, html('i', { class: `dot ${node.state}`, title: STATES[node.state] }), node.label),
          html('td', { class: 'mono', title: node.node_id }, short(node.node_id)),
          linkCell(node),
          html('td', { class: 'number' }, node.self ? '' : rtt(node.session?.rtt_ms ?? NaN)),
          html('td', { class: 'number', 'data-beat': node.node_id }, ''),
          witnessCell(node, nodes.length),
          heightCell(node, own),
          html('td', { class: 'number' }, node.active && node.uptime !== null ? span(node.uptime * 1000) : '–'),
        ),
      ),
    );
    this.beats();
  },

  /** The age of each node's newest beat, which grows by itself. */
  beats() {
    for (const cell of document.querySelectorAll('#masternodes [data-beat]')) {
      const heard = known.heard.get(cell.dataset.beat);
      const age = heard === undefined ? NaN : performance.now() - heard;
      say(cell, cell.dataset.beat === known.status?.node_id ? 'itself' : Number.isNaN(age) ? 'never' : span(age));
      cell.classList.toggle('odd', !(age < LATE_BEAT_MS) && cell.dataset.beat !== known.status?.node_id);
    }
  },

  peers(open) {
    const others = known.peers.filter((peer) => !peer.masternode);
    byId('peers-card').hidden = others.length === 0;
    exchange(
      byId('peers').tBodies[0],
      others.map((peer) =>
        html(
          'tr',
          { class: 'known', 'data-key': peer.session, ...opens(() => open(peer.node_id)), role: null },
          html('td', {}, peer.addr),
          html('td', { class: 'mono', title: peer.node_id }, short(peer.node_id)),
          html('td', { class: peer.direction }, peer.direction === 'outbound' ? '> dialed' : '< was dialed'),
          html('td', {}, peer.class),
          html('td', { class: 'number' }, rtt(peer.rtt_ms ?? NaN)),
          html('td', { class: 'number' }, peer.height),
          html('td', { class: 'number' }, bytes(peer.bytes_in)),
          html('td', { class: 'number' }, bytes(peer.bytes_out)),
          html('td', { class: 'number' }, span(peer.age_ms)),
          html('td', {}, peer.version),
        ),
      ),
    );
  },

  bans() {
    byId('bans-card').hidden = known.bans.length === 0;
    exchange(
      byId('bans').tBodies[0],
      known.bans.map((ban) =>
        html(
          'tr',
          { 'data-key': ban.target },
          html('td', { class: ban.kind === 'node' ? 'mono' : '', title: ban.target }, ban.kind === 'node' ? short(ban.target) : ban.target),
          html('td', {}, ban.cause),
          html('td', { class: 'words' }, ban.reason ?? ''),
          html('td', { title: ban.since }, clock(ban.since)),
          html('td', { title: ban.until }, ban.until === null ? 'it is lifted' : clock(ban.until)),
        ),
      ),
    );
  },

  /** Builds the matrix once for a registry, and then touches only the cells that have changed. */
  matrix(nodes, links) {
    say(byId('verdict'), known.matrix?.verdict ?? '');
    const table = byId('matrix');
    const registry = JSON.stringify([nodes.map((node) => [node.node_id, node.label, node.self])]);
    if (registry !== this.registry) {
      this.registry = registry;
      this.cells = nodes.map((row) => nodes.map((column) => html('td', {}, row === column ? '·' : '')));
      const head = html('tr', {}, html('th'), ...nodes.map((node) => html('th', { scope: 'col', title: node.address }, node.number)));
      const rows = nodes.map((row, at) => {
        const name = html('th', { class: 'row', scope: 'row', title: row.address }, `${row.self ? 'this ' : ''}${row.number}`);
        return html('tr', {}, name, ...this.cells[at]);
      });
      table.replaceChildren(head, ...rows);
    }
    const room = Math.floor((byId('matrix-card').clientWidth - 90) / Math.max(1, nodes.length));
    table.style.setProperty('--cell', `${Math.max(5, Math.min(22, room)) - (room < 14 ? 1 : 2)}px`);
    table.classList.toggle('small', room < 14);
    const state = new Map(links.map((link) => [link.low * 1000 + link.high, link]));
    nodes.forEach((row, r) => {
      nodes.forEach((column, c) => {
        if (r !== c) showCell(this.cells[r][c], row, column, state.get(Math.min(r, c) * 1000 + Math.max(r, c) + 1001));
      });
    });
  },
};

function linkCell(node) {
  if (node.self) return html('td', { class: 'muted' }, 'this node');
  if (node.session === null) return html('td', { class: known.status?.role === 'masternode' ? 'bad' : 'muted' }, 'none');
  const { direction, dialed_because: because } = node.session;
  const words = direction === 'outbound' ? '> dialed' : '< was dialed';
  return html('td', { class: direction }, because === 'canonical' ? words : `${words}, ${because}`);
}

function witnessCell(node, count) {
  const [seen, all] = [node.witnesses.length, Math.max(1, count - 1)];
  const fill = html('i');
  fill.style.transform = `scaleX(${Math.min(1, seen / all)})`;
  const meter = html('span', { class: node.attested ? 'meter' : 'meter odd' }, fill);
  const title = node.attested ? 'enough others confirm its newest beat' : 'too few others confirm its newest beat';
  return html('td', { title }, meter, `${seen} of ${all}`);
}

/** A height is as old as its beat, so that a few blocks are no lag. */
function heightCell(node, own) {
  const height = node.self ? own : node.height;
  const interval = known.status?.block_interval_ms ?? 10000;
  const lags = height !== null && own - height > 2 + LATE_BEAT_MS / interval;
  return html('td', { class: lags ? 'number odd' : 'number' }, height ?? '–');
}

const MARKS = { 'one-sided': '1', split: 'S', missing: '-' };

function showCell(cell, row, column, link) {
  const own = row.self || column.self ? ' own' : '';
  const dialed = link?.dialer === row.number;
  const mark = link === undefined ? '-' : (MARKS[link.state] ?? (dialed ? '>' : '<'));
  // In this node's column the colours are seen from the other side: they say what this node did, like everywhere.
  const by = column.self ? !dialed : dialed;
  const looks = link === undefined ? 'none' : (FAULTY[link.state] ?? (by ? 'by' : 'of'));
  const classes = looks + own;
  if (cell.className === classes && cell.textContent === mark) return;
  cell.className = classes;
  say(cell, mark);
  const said = link === undefined ? 'nothing known' : link.state === 'up' ? `${dialed ? row.number : column.number} dialed` : link.state;
  cell.title = `${row.number} (${row.label}) and ${column.number} (${column.label}): ${said}`;
}
