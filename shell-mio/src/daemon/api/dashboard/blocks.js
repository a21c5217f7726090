'use strict';
// The time line of blocks: a column a height, a lane a proposer.

const COLUMN = 24;
const MAX_LANE = 19;
const LANES_HEIGHT = 230;

const blocks = {
  drawn: '',

  /** Draws the newest blocks that there is room for. */
  draw(nodes, open) {
    const box = byId('blocks');
    const width = Math.max(260, box.clientWidth);
    const newest = newestHeight();
    const lane = Math.max(2, Math.min(MAX_LANE, LANES_HEIGHT / Math.max(1, nodes.length)));
    const named = lane >= 12;
    const left = named ? Math.min(150, Math.max(34, ...nodes.map((node) => laneName(node, width).length * 7 + 8))) : 8;
    const columns = Math.floor((width - left - 4) / COLUMN);
    const first = Math.max(1, newest - columns + 1);
    const signature = JSON.stringify([width, newest, known.blocks.size, nodes.map((node) => node.node_id)]);
    if (signature === this.drawn) return;
    this.drawn = signature;

    const bottom = Math.round(lane * Math.max(1, nodes.length)) + 4;
    const picture = svg('svg', { viewBox: `0 0 ${width} ${bottom + 22}`, role: 'group', 'aria-label': 'Blocks' });
    const rows = new Map(nodes.map((node, at) => [node.node_id, (at + 0.5) * lane + 2]));
    for (const node of nodes) {
      const y = rows.get(node.node_id);
      if (named) picture.append(svg('text', { class: 'quiet', x: 0, y: y + 4 }, laneName(node, width)));
      picture.append(svg('line', { class: 'lane', x1: left, y1: y, x2: width, y2: y }));
    }
    for (let height = first; height <= newest; height += 1) {
      const x = left + (height - first) * COLUMN;
      const block = known.blocks.get(height);
      if (block !== undefined) picture.append(this.block(block, x, rows.get(block.proposer) ?? bottom - lane / 2, lane, open));
      if (height % 5 === 0 || newest - first < 5) {
        picture.append(svg('text', { class: 'quiet', x: x + COLUMN / 2, y: bottom + 15, 'text-anchor': 'middle' }, String(height)));
      }
    }
    if (newest === 0) picture.append(svg('text', { class: 'quiet', x: left + 4, y: bottom + 15 }, 'no block yet'));
    box.replaceChildren(picture);
  },

  block(block, x, y, lane, open) {
    const size = Math.max(3, lane - 4);
    const later = block.round > 0;
    const name = `block ${block.height}, ${clock(block.time)}, round ${block.round}, ${bytes(block.payload_bytes)}`;
    const group = svg('g', { class: later ? 'block later' : 'block', 'aria-label': name, ...opens(() => open(block.height)) });
    group.append(svg('title', {}, name));
    group.append(svg('rect', { x: x + 2, y: y - size / 2, width: COLUMN - 4, height: size, rx: Math.min(3, size / 3) }));
    if (later && size >= 10) group.append(svg('text', { x: x + COLUMN / 2, y }, String(block.round)));
    return group;
  },
};

/** A lane's name: its number alone where there is little room. */
const laneName = (node, width) => (width < 560 ? String(node.number) : `${node.number}  ${node.label}`.slice(0, 20));
