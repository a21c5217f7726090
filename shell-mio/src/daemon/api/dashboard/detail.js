'use strict';
// What opens on a click: why this node is, or is not, linked to a peer; what a block says.

const detail = {
  /** Counts what was opened, so that a late answer does not write into the next one. */
  opened: 0,

  begin() {
    const dialog = byId('detail');
    byId('detail-close').addEventListener('click', () => dialog.close());
    dialog.addEventListener('click', (event) => {
      if (event.target === dialog) dialog.close();
    });
  },

  /** Opens with a title; the body follows when the node has answered. */
  async open(title, answer, body) {
    this.opened += 1;
    const own = this.opened;
    say(byId('detail-title'), title);
    byId('detail-body').replaceChildren(html('p', { class: 'muted' }, 'asking …'));
    if (!byId('detail').open) byId('detail').showModal();
    let parts;
    try {
      parts = body(await answer);
    } catch (error) {
      const said = error instanceof RefusedAnswer ? error.message : 'The node does not answer.';
      parts = [html('p', { class: 'refused' }, said)];
    }
    if (own === this.opened) byId('detail-body').replaceChildren(...parts);
  },

  node(id) {
    const nodes = masternodes();
    const node = nodes.find((one) => one.node_id === id);
    const title = node === undefined ? `Peer ${short(id)}` : `Masternode ${node.number}, ${node.address}`;
    if (id === known.status?.node_id) {
      this.open(`${title}: this node`, known.status, (status) => [fields(ofStatus(status))]);
      return;
    }
    this.open(title, ask(`/why/${encodeURIComponent(id)}`), (why) => whyParts(why, node, naming(nodes)));
  },

  block(height) {
    const who = naming(masternodes());
    this.open(`Block ${height}`, ask(`/blocks/${height}`), (block) => {
      const certificate = block.commit_certificate;
      const signers = certificate?.signers ?? [];
      return [
        fields([
          ['hash', block.hash],
          ['slot', block.time],
          ['proposer', who(block.proposer)],
          ['round', block.round],
          ['payload', `${bytes(block.payload_bytes)}, ${block.transaction_ids?.length ?? 0} transactions`],
          ['final by', `${signers.length} of ${known.masternodes.length}: ${signers.map((id) => (id === null ? '?' : who(id))).join(', ')}`],
          ['parent', block.parent],
        ]),
        ...(block.transaction_ids?.length > 0
          ? [html('p', { class: 'muted' }, 'Transactions'), html('ol', { class: 'mono' }, ...block.transaction_ids.slice(0, 50).map((id) => html('li', {}, id)))]
          : []),
      ];
    });
  },
};

const fields = (pairs) =>
  html('dl', {}, ...pairs.filter(([, value]) => value !== null && value !== undefined).flatMap(([name, value]) => [html('dt', {}, name), html('dd', {}, String(value))]));

function ofStatus(status) {
  return [
    ['node id', status.node_id],
    ['name', status.name],
    ['role', status.role],
    ['advertised', status.advertised],
    ['seen by others as', status.seen_as.map((seen) => `${seen.ip} (${seen.masternodes} masternodes)`).join(', ')],
    ['started', status.started],
    ['up for', span(status.uptime * 1000)],
    ['version', status.version],
    ['genesis', status.genesis_hash],
    ['tip', status.tip_hash],
    ['proposes', status.producing ? 'yes' : `no: ${status.not_producing_text}`],
    ['peers', status.connected_peers],
    ['bans', status.bans],
    ['last tick', `${status.last_tick_age_ms} ms ago`],
  ];
}

function whyParts(why, node, who) {
  const { session } = why;
  const parts = [
    fields([
      ['node id', why.node_id],
      ['address', why.addr],
      ['decision', why.decision],
      ['because', why.text],
      ['rule', `${why.rule}: ${why.rule_text}`],
      ['since', why.since],
      ['next', why.next === null ? null : why.next.in_ms === null ? why.next.action : `${why.next.action} in ${span(why.next.in_ms)}`],
      ['ban', why.ban === null ? null : `${why.ban.cause}${why.ban.until === null ? '' : `, until ${why.ban.until}`}${why.ban.reason === null ? '' : `: ${why.ban.reason}`}`],
      ['link', session === null ? null : `${session.direction} (${session.dialed_because}) for ${span(session.age_ms)}, round trip ${rtt(session.rtt_ms ?? NaN)}, health ${session.health}`],
      ['traffic', session === null ? null : `${bytes(session.bytes_in)} in, ${bytes(session.bytes_out)} out, ${bytes(session.queued_bytes)} waiting`],
      ['reconnects', session === null ? null : `${session.reconnects_1h} within the hour`],
      ['version', session?.version],
      ['seen by', node === undefined ? null : node.witnesses.map(who).join(', ') || 'nobody'],
    ]),
  ];
  if (why.attempts.length > 0) {
    const rows = why.attempts.map((attempt) =>
      html(
        'tr',
        {},
        html('td', {}, clock(attempt.at)),
        html('td', {}, attempt.direction),
        html('td', {}, attempt.intent),
        html('td', {}, attempt.end === null ? 'under way, or a link' : `${attempt.end.text} (${attempt.end.reason}, by ${attempt.end.by})`),
      ),
    );
    parts.push(html('p', { class: 'muted' }, 'Last attempts, in both directions'));
    parts.push(html('div', { class: 'scroll' }, html('table', {}, html('tbody', {}, ...rows))));
  }
  return parts;
}
