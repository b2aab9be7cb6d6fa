// The cluster now: the client network above, the images, XCF below, and what flows between them.

import { el, svg, say, set, keyed, hue, bits, moves } from './dom.js';

/** Pixels a second at which dots move. */
const SPEED = 70;
/** From which rate on something is said to flow, in packets a second: heartbeats and lone packets are no flow. */
const FLOWS = 0.5;
/** Lanes of XCF that are drawn one below the other. */
const LANES = 5;

const at = id => document.getElementById(id);

const STATES = { failed: 'ended', stopped: 'stopped', running: 'running' };

/** What can be done to an image, by how it is. */
function verbs(image) {
  if (image.state !== 'running') return ['start'];
  if (image.paused) return ['continue', 'kill'];
  return ['kill', 'pause', 'stop', image.quiesced ? 'resume' : 'quiesce'];
}

const TITLES = {
  kill: 'kill -9: no good-bye', pause: 'SIGSTOP: silent, but not dead', stop: 'Leaves the cluster in order',
  quiesce: 'Gets no new connections', resume: 'Gets new connections again', start: 'A new life',
  continue: 'SIGCONT: goes on as if nothing had been',
};

/** Between whom XCF is cut, and whether both ways. */
function cutsOf(picture) {
  const cut = picture.pairs.filter(pair => pair.cut);
  return cut.map(({ from, to }) => ({ from, to, both: cut.some(back => back.from === to && back.to === from) }))
    .filter(({ from, to, both }) => !both || from < to);
}

/** All that decides on a target's part of the new connections. */
function weighed({ method, weight, raw_weight: raw, tsr, remark }) {
  const given = raw === null ? '' : ` (${raw} before it was normalised)`;
  return `${method} · weight ${weight}${given} · TSR ${tsr} %${remark ? ` · ${remark}` : ''}`;
}

export class Cluster {
  #act;
  #pills = new Map();

  /** `act` takes what is to be done, and the image. */
  constructor(act) {
    this.#act = act;
  }

  focus(index) {
    at('images').children[index]?.querySelector('button')?.focus();
  }

  draw(picture, mayAct) {
    const cuts = cutsOf(picture);
    const dvipas = picture.dvipas.map(dvipa => dvipa.address);
    const [first, prefix] = picture.subnet ?? ['', ''];
    say(at('client-name'), `client ${picture.client} · ${first}/${prefix}`);
    at('images').style.setProperty('--count', Math.min(picture.images.length, 8));
    keyed(at('images'), picture.images, image => image.name, image => this.#make(image),
      (card, image) => this.#update(card, image, picture, dvipas, mayAct));
    this.#own(picture, dvipas);
    this.#wire(picture, cuts);
    this.#cut(picture, cuts, mayAct);
  }

  /** What is cut, each with a button that heals it, and a choice of two images to cut. */
  #cut(picture, cuts, mayAct) {
    const enable = button => { if (button.disabled === mayAct) button.disabled = !mayAct; };
    const silent = picture.pairs.filter(pair => !pair.cut && pair.contact === 'silent')
      .map(pair => `${pair.to} silent for ${pair.from}`);
    const words = [...cuts.map(cut => ({ key: `${cut.from} ${cut.to}`, cut })), ...silent.map(text => ({ key: text, text }))];
    keyed(at('cuts'), words, word => word.key, ({ cut }) => el('span', {}, el('span'), cut && el('button', {
      type: 'button', 'data-act': 'heal', title: 'XCF carries everything again between the two',
      'aria-label': `heal XCF between ${cut.from} and ${cut.to}`, onclick: () => this.#act({ heal: cut.to }, cut.from),
    }, 'Heal')), (item, { cut, text }) => {
      say(item.firstChild, cut ? `cut: ${cut.from} ${cut.both ? '⇹' : '↛'} ${cut.to}` : text);
      if (cut) enable(item.lastChild);
    });
    const names = picture.images.map(image => image.name);
    const form = at('cutting');
    form.hidden = names.length < 2;
    if (!form.children.length) {
      const choice = label => el('select', { 'aria-label': label });
      const [one, other] = [choice('One image'), choice('The other image')];
      form.append(one, other, el('button', {
        type: 'button', 'data-act': 'cut', title: 'XCF carries nothing between the two, either way',
        onclick: () => this.#act({ cut: other.value }, one.value),
      }, 'Cut XCF'));
    }
    const [one, other, button] = form.children;
    const option = name => el('option', { value: name }, name);
    for (const choice of [one, other]) keyed(choice, names, name => name, option);
    if (other.value === one.value && names.length > 1) other.value = names.find(name => name !== one.value);
    enable(button);
  }

  #make(image) {
    const card = el('article', { class: 'image', 'aria-label': image.name, tabindex: -1 },
      el('h3', {}, el('i', { class: 'lamp' }), el('span', {}, image.name)),
      el('p', { class: 'state' }),
      el('div', { class: 'owned' }),
      el('ul', { class: 'load' }),
      el('p', { class: 'numbers' }),
      el('div', { class: 'acts' }));
    return card;
  }

  #update(card, image, picture, dvipas, mayAct) {
    const part = name => card.querySelector(`.${name}`);
    const running = image.state === 'running';
    const how = !running ? STATES[image.state] : image.paused ? 'paused' : image.quiesced ? 'quiesced'
      : !image.in_group ? 'not in group' : 'running';
    set(card, 'data-state', how);
    const where = image.link ?? 'no link, by XCF';
    say(part('state'), how === 'running' ? where : how === 'ended' ? image.how ?? how : how);
    set(part('state'), 'title', `${where} · XCF ${image.xcf} · ${image.apps.join(', ')}`);

    // What each port of each DVIPA has here, by its owner's tables.
    const most = Math.max(1, ...picture.dvipas.flatMap(d => d.ports.flatMap(p => p.targets.map(t => t.active))));
    const loads = picture.dvipas.flatMap(dvipa => dvipa.ports.flatMap(port => port.targets
      .filter(target => target.image === image.name && (target.ready || target.active || target.remark === 'quiesced'))
      .map(target => ({ dvipa, port: port.port, target }))));
    keyed(part('load'), loads, load => `${load.dvipa.address} ${load.port}`,
      load => el('li', {}, el('span', { class: 'name' }), el('span', { class: 'bar' }), el('span', { class: 'remark' }), el('span', { class: 'count' })),
      (row, { dvipa, port, target }) => {
        row.style.setProperty('--hue', hue(dvipas, dvipa.address));
        row.style.setProperty('--part', (target.active / most).toFixed(3));
        say(row.children[0], `${dvipa.name}:${port}`);
        say(row.children[2], target.remark);
        set(row.children[2], 'data-closed', !target.takes && target.remark !== 'standby');
        say(row.children[3], target.rate >= 0.5 ? `${target.active} +${Math.round(target.rate)}/s` : `${target.active}`);
        set(row, 'title', `${target.active} connections now, ${target.total} sent here by ${dvipa.owner ?? 'nobody'}\n${weighed(target)}`);
      });

    const numbers = running
      ? [`${Math.round(image.processor * 100)} % CPU`, `${(image.memory / 2 ** 20).toFixed(0)} MiB`] : [];
    say(part('numbers'), numbers.join(' · '));
    set(part('numbers'), 'title', `process ${image.pid ?? '–'} · ${image.routes} connections in the VCRT`);

    const acts = part('acts');
    const focused = acts.contains(document.activeElement);
    keyed(acts, verbs(image), verb => verb,
      verb => el('button', {
        type: 'button', class: verb, 'data-act': verb, 'data-image': image.name, title: TITLES[verb],
        'aria-label': `${verb} ${image.name}`, onclick: () => this.#act(verb, image.name),
      }, verb[0].toUpperCase() + verb.slice(1)),
      button => { if (button.disabled === mayAct) button.disabled = !mayAct; });
    // Whoever acts by keyboard stays at the image when the button is gone; a key held down does nothing there.
    if (focused && !acts.contains(document.activeElement)) acts.closest('article').focus();
  }

  /** Each DVIPA stands at its owner, and moves there. */
  #own(picture, dvipas) {
    const before = new Map([...this.#pills].map(([key, pill]) => [key, pill.getBoundingClientRect()]));
    const known = new Set();
    for (const dvipa of picture.dvipas) {
      known.add(dvipa.address);
      let pill = this.#pills.get(dvipa.address);
      if (!pill) {
        pill = el('span', { class: 'dvipa', 'data-dvipa': dvipa.name }, el('b'), el('span'));
        this.#pills.set(dvipa.address, pill);
      }
      pill.style.setProperty('--hue', hue(dvipas, dvipa.address));
      say(pill.children[0], dvipa.name);
      say(pill.children[1], dvipa.name === dvipa.address ? '' : dvipa.address);
      set(pill, 'title', `epoch ${dvipa.epoch.join('/')} · backups: ${dvipa.backups.join(', ') || 'none'}`);
      set(pill, 'data-owner', dvipa.owner ?? '');
      // One that is claimed already is drawn where it is going.
      const owner = dvipa.coming ?? dvipa.owner;
      set(pill, 'data-moving', Boolean(dvipa.coming));
      const home = owner && [...at('images').children].find(card => card.dataset.key === owner)?.querySelector('.owned');
      const place = home ?? at('unowned');
      if (pill.parentElement === place) continue;
      place.append(pill);
      const from = before.get(dvipa.address);
      const to = pill.getBoundingClientRect();
      if (from?.width && moves()) {
        pill.animate([{ transform: `translate(${from.x - to.x}px, ${from.y - to.y}px)` }, { transform: 'none' }],
          { duration: 450, easing: 'cubic-bezier(.2,.7,.2,1)' });
      }
    }
    for (const [address, pill] of this.#pills) {
      if (!known.has(address)) {
        pill.remove();
        this.#pills.delete(address);
      }
    }
  }

  #wire(picture, cuts) {
    const wires = at('wires');
    const box = at('cluster').getBoundingClientRect();
    set(wires, 'viewBox', `0 0 ${box.width} ${box.height}`);
    const rect = node => {
      const r = node.getBoundingClientRect();
      return { left: r.left - box.left, right: r.right - box.left, top: r.top - box.top, bottom: r.bottom - box.top };
    };
    const [client, xcf] = [rect(at('client')), rect(at('xcf'))];
    const places = new Map([...at('images').children].map(card => [card.dataset.key, rect(card)]));
    const middle = place => (place.left + place.right) / 2;

    const lines = [];
    const flows = [];
    const flow = (key, d, rate, kind, label) => {
      if (rate.packets >= FLOWS) flows.push({ key, d, rate, kind, label });
    };
    for (const image of picture.images) {
      const place = places.get(image.name);
      if (!place) continue;
      const x = middle(place);
      const down = image.state !== 'running' || image.paused;
      if (image.link) {
        lines.push({ key: `c ${image.name}`, d: `M${x} ${client.bottom}V${place.top}`, down });
        flow(`in ${image.name}`, `M${x - 6} ${client.bottom}V${place.top}`, image.network_in, 'client',
          { x: x > box.width * 0.75 ? x - 16 : x + 16, left: x > box.width * 0.75, y: (client.bottom + place.top) / 2, text: `↓ ${bits(image.network_in.bytes)}  ↑ ${bits(image.network_out.bytes)}` });
        flow(`out ${image.name}`, `M${x + 6} ${place.top}V${client.bottom}`, image.network_out, 'client');
      }
      const contacts = picture.pairs.filter(pair => pair.from === image.name);
      const lonely = !down && contacts.length > 0 && contacts.every(pair => pair.contact !== 'up');
      lines.push({ key: `x ${image.name}`, d: `M${x} ${place.bottom}V${xcf.top}`, down: down || lonely });
    }
    const busy = picture.pairs.filter(pair => pair.rate.packets >= FLOWS)
      .sort((a, b) => b.rate.bytes - a.rate.bytes).slice(0, 24);
    const most = busy[0]?.rate.bytes ?? 0;
    const lanes = Math.min(busy.length, LANES);
    // Below the lanes are the cuts, and below those the words and buttons.
    const floor = rect(at('cutting')).top - (cuts.length ? 12 : 0);
    busy.forEach((pair, index) => {
      const [from, to] = [places.get(pair.from), places.get(pair.to)];
      if (!from || !to) return;
      const y = xcf.top + (floor - xcf.top) * ((index % LANES) + 1) / (lanes + 1);
      // Ways out and ways in keep to their own sides of the wire, each lane to its own line.
      const spread = ((index % LANES) - (lanes - 1) / 2) * 3;
      const [a, b] = [middle(from) - 9 + spread, middle(to) + 9 + spread];
      const turn = Math.sign(b - a) * Math.min(8, Math.abs(b - a) / 2);
      const r = Math.abs(turn);
      const d = `M${a} ${from.bottom}V${y - r}Q${a} ${y} ${a + turn} ${y}H${b - turn}Q${b} ${y} ${b} ${y - r}V${to.bottom}`;
      // Acknowledgments and the like are beside the point.
      flow(`${pair.from} ${pair.to}`, d, pair.rate, pair.rate.bytes < most / 50 ? 'xcf minor' : 'xcf',
        index < LANES && { x: (a + b) / 2, y, text: `${pair.from} → ${pair.to}  ${bits(pair.rate.bytes)}` });
    });

    const broken = cuts.map(({ from, to }) => ({ key: `${from} ${to}`, a: places.get(from), b: places.get(to) }))
      .filter(({ a, b }) => a && b)
      .map(({ key, a, b }, index) => ({ key, a: middle(a) + 3 * index, b: middle(b) + 3 * index, top: [a.bottom, b.bottom] }));

    const group = name => wires.querySelector(`.${name}`) ?? wires.appendChild(svg('g', { class: name }));
    keyed(group('lines'), lines, line => line.key, () => svg('path'), (path, line) => {
      set(path, 'd', line.d);
      set(path, 'class', line.down ? 'down' : '');
    });
    keyed(group('broken'), broken, cut => cut.key, () => svg('g', {}, svg('path'), svg('text', {}, '✕')), (mark, cut) => {
      set(mark.firstChild, 'd', `M${cut.a} ${cut.top[0]}V${floor}H${cut.b}V${cut.top[1]}`);
      set(mark.lastChild, 'x', (cut.a + cut.b) / 2);
      set(mark.lastChild, 'y', floor);
    });
    keyed(group('flows'), flows, flow => flow.key, () => svg('path'), (path, { d, rate, kind }) => {
      set(path, 'd', d);
      set(path, 'class', kind);
      // Ten times the packets, about half as much room between two dots.
      const gap = Math.max(7, Math.round(44 / 1.55 ** Math.log10(1 + rate.packets)));
      if (path.dataset.gap !== String(gap)) {
        path.dataset.gap = gap;
        path.style.setProperty('--gap', gap);
        path.style.strokeDasharray = `0.1 ${gap - 0.1}`;
        path.style.animationDuration = `${gap / SPEED}s`;
      }
    });
    keyed(group('labels'), flows.filter(flow => flow.label), flow => flow.key, () => svg('text'), (text, { label, kind }) => {
      set(text, 'class', label.left ? `${kind} left` : kind);
      set(text, 'x', label.x);
      set(text, 'y', label.y);
      say(text, label.text);
    });
  }
}
