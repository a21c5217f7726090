'use strict';
// The picture of the network: masternodes on a ring, a line a link, observers within.

/** Links between others are drawn up to so many masternodes; beyond, only those that are not as they should be. */
const ALL_LINKS_UP_TO = 40;
const LABELS_UP_TO = 28;
const BARBS_UP_TO = 16;
const OBSERVERS_DRAWN = 40;

const still = window.matchMedia('(prefers-reduced-motion: reduce)');

/** An address, or the end of a long one. */
const pictureLabel = ({ label }) => (label.length > 21 ? `…${label.slice(-20)}` : label);

const network = {
  drawn: '',
  places: new Map(),

  /** Draws what is known, where it is another picture than the one that stands. */
  draw(nodes, links, open) {
    const box = byId('network');
    const width = Math.max(280, box.clientWidth);
    const observers = known.peers.filter((peer) => !peer.masternode);
    const self = known.status?.node_id;
    const signature = JSON.stringify([
      width,
      nodes.map((node) => [node.node_id, node.state, node.self, node.label]),
      links,
      observers.map((peer) => [peer.node_id, peer.direction]),
      self,
    ]);
    if (signature === this.drawn) return;
    this.drawn = signature;
    this.places.clear();

    const labelled = nodes.length <= LABELS_UP_TO;
    const height = Math.round(Math.min(460, Math.max(300, width * 0.69)));
    const size = Math.max(4, Math.min(15, 260 / Math.max(1, nodes.length)));
    const narrow = width < 440;
    const longest = Math.max(0, ...nodes.map((node) => pictureLabel(node).length));
    const beside = labelled ? longest * (narrow ? 5.7 : 6.9) + size + 12 : 24;
    const [rx, ry] = [Math.max(width * 0.18, width / 2 - beside), height / 2 - (labelled ? 38 : 24)];
    const centre = { x: width / 2, y: height / 2 };
    const onRing = (turn, part = 1) => ({
      x: centre.x + Math.sin(turn) * rx * part,
      y: centre.y - Math.cos(turn) * ry * part,
    });
    const spots = new Map(nodes.map((node, at) => [node.number, onRing((2 * Math.PI * at) / nodes.length)]));
    const own = nodes.find((node) => node.self);
    const here = own === undefined ? centre : spots.get(own.number);

    const picture = svg('svg', { viewBox: `0 0 ${width} ${height}`, class: `${narrow ? 'narrow' : ''} ${nodes.length > ALL_LINKS_UP_TO ? 'crowded' : ''}`, role: 'group', 'aria-label': 'The network' });
    const few = nodes.length <= ALL_LINKS_UP_TO;
    const ranked = links.map((link) => ({ ...link, own: own !== undefined && [link.low, link.high].includes(own.number) }));
    ranked.sort((a, b) => Number(a.own) - Number(b.own));
    for (const link of ranked) {
      if (few || link.own || link.state !== 'up') {
        picture.append(...this.line(link, spots, own, size, nodes.length <= (link.own ? ALL_LINKS_UP_TO : BARBS_UP_TO), nodes.length > BARBS_UP_TO));
      }
    }
    if (own === undefined && self !== undefined) {
      for (const node of nodes) {
        if (node.session === null) continue;
        const [a, b] = [here, spots.get(node.number)];
        picture.append(svg('line', { class: `link own ${node.session.direction}`, x1: a.x, y1: a.y, x2: b.x, y2: b.y }));
      }
    }
    observers.slice(0, OBSERVERS_DRAWN).forEach((peer, at) => {
      const spot = onRing((2 * Math.PI * (at + 0.5)) / Math.min(OBSERVERS_DRAWN, observers.length), 0.4);
      picture.append(svg('line', { class: `link ${peer.direction}`, x1: here.x, y1: here.y, x2: spot.x, y2: spot.y }));
      const mark = svg('path', { class: `diamond ${peer.direction}`, d: `M${spot.x} ${spot.y - 6}l6 6l-6 6l-6 -6z` });
      const title = svg('title', {}, `${peer.addr}, ${peer.class}, ${peer.direction}`);
      picture.append(svg('g', { class: 'place', ...opens(() => open(peer.node_id)) }, mark, title));
    });
    if (own === undefined && self !== undefined) {
      const title = svg('title', {}, 'this node, which is no masternode');
      picture.append(svg('g', { class: 'place self' }, svg('circle', { class: 'ring', cx: here.x, cy: here.y, r: 9 }), title));
    }
    for (const node of nodes) picture.append(this.place(node, spots.get(node.number), centre, size, labelled, open));
    if (observers.length > OBSERVERS_DRAWN) {
      const more = `${observers.length - OBSERVERS_DRAWN} more peers are in the table`;
      picture.append(svg('text', { class: 'quiet', x: 4, y: height - 6 }, more));
    }
    if (!few) {
      const said = 'of the links between others, only those that are not as they should be';
      picture.append(svg('text', { class: 'quiet', x: 4, y: 14 }, said));
    }
    box.replaceChildren(picture);
  },

  line(link, spots, own, size, barbed, crowded) {
    const [low, high] = [spots.get(link.low), spots.get(link.high)];
    const [from, to] = link.dialer === link.high ? [high, low] : [low, high];
    const upright = link.own && link.state !== 'missing';
    const direction = upright && link.dialer !== null ? (link.dialer === own.number ? 'outbound' : 'inbound') : '';
    const looks = FAULTY[link.state] ?? direction;
    const classes = `link ${looks} ${link.own ? 'own' : crowded ? 'faint' : ''}`;
    const drawn = [svg('line', { class: classes, 'data-pair': `${link.low}-${link.high}`, x1: from.x, y1: from.y, x2: to.x, y2: to.y })];
    const [dx, dy] = [to.x - from.x, to.y - from.y];
    const length = Math.hypot(dx, dy);
    if (barbed && link.dialer !== null && length > 4 * size) {
      // A barb near the one that was dialed.
      const [ux, uy] = [dx / length, dy / length];
      const [tip, half] = [size + 7, link.own ? 5 : 3.6];
      const at = (back, aside) => `${(to.x - ux * back - uy * aside).toFixed(1)} ${(to.y - uy * back + ux * aside).toFixed(1)}`;
      const d = `M${at(tip, 0)}L${at(tip + 2.2 * half, half)}L${at(tip + 2.2 * half, -half)}z`;
      drawn.push(svg('path', { class: `barb ${looks}`, d }));
    }
    return drawn;
  },

  place(node, spot, centre, size, labelled, open) {
    const { x, y } = spot;
    const name = `masternode ${node.number}, ${node.address}: ${STATES[node.state]}${node.self ? ', this node' : ''}`;
    const pulse = svg('circle', { class: 'pulse', cx: x, cy: y, r: size });
    const group = svg('g', {
      class: `place ${node.state} ${node.self ? 'self' : ''}`,
      'data-number': node.number,
      'aria-label': name,
      ...opens(() => open(node.node_id)),
    });
    group.append(svg('title', {}, name), pulse);
    if (node.self) group.append(svg('circle', { class: 'ring', cx: x, cy: y, r: size + 4 }));
    group.append(svg('circle', { class: 'body', cx: x, cy: y, r: size }));
    if (size >= 7) {
      const inside = svg('text', { class: 'inside', x, y }, String(node.number));
      inside.style.fontSize = `${Math.min(12, size + 1)}px`;
      group.append(inside);
    }
    if (labelled) {
      const aside = Math.abs(x - centre.x) > 12;
      const anchor = aside ? (x > centre.x ? 'start' : 'end') : 'middle';
      const off = size + (node.self ? 10 : 7);
      const at = aside ? { x: x + (x > centre.x ? off : -off), y: y + 4 } : { x, y: y < centre.y ? y - off - 2 : y + off + 10 };
      group.append(svg('text', { ...at, class: 'label', 'text-anchor': anchor }, pictureLabel(node)));
    }
    this.places.set(node.node_id, { pulse, size });
    return group;
  },

  /** A node was heard of. */
  pulse(id, colour = 'var(--good)') {
    const place = this.places.get(id);
    if (place === undefined || still.matches || document.hidden) return;
    place.pulse.style.stroke = colour;
    place.pulse.animate(
      [{ r: `${place.size}px`, opacity: 0.9 }, { r: `${place.size + 16}px`, opacity: 0 }],
      { duration: 1100, easing: 'ease-out' },
    );
  },
};
