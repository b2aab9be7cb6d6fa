// Who owned each DVIPA when, and what each change of ownership took.

import { el, svg, say, set, keyed, hue, span, clock } from './dom.js';

const SPANS = [['1 min', 60], ['5 min', 300], ['30 min', 1800], ['all', 0]];
/** Changes that the table shows. */
const ROWS = 50;
const ROW = 26;

const at = id => document.getElementById(id);
const WORDS = { first: 'first owner', takeover: 'takeover', handover: 'handover', take_back: 'taken back' };

export class Timeline {
  #seconds = 60;
  #primaries = new Map();
  #last;

  constructor() {
    for (const [name, seconds] of SPANS) {
      const button = el('button', { type: 'button', 'aria-pressed': String(seconds === this.#seconds) }, name);
      button.addEventListener('click', () => {
        this.#seconds = seconds;
        for (const other of at('spans').children) set(other, 'aria-pressed', String(other === button));
        if (this.#last) this.draw(...this.#last);
      });
      at('spans').append(button);
    }
  }

  draw(picture, { tenures, takeovers }) {
    this.#last = [picture, { tenures, takeovers }];
    for (const image of picture.images) {
      for (const row of image.vipadyn) if (row.rank === 255) this.#primaries.set(row.address, image.name);
    }
    const dvipas = picture.dvipas.map(dvipa => dvipa.address);
    const name = address => picture.dvipas.find(dvipa => dvipa.address === address)?.name ?? address;
    this.#bars(picture, dvipas, tenures, takeovers);
    this.#changes(dvipas, name, takeovers);
  }

  #bars(picture, dvipas, tenures, takeovers) {
    const chart = at('timeline');
    const width = chart.clientWidth || 600;
    const axis = 18;
    const height = Math.max(1, dvipas.length) * ROW + axis;
    set(chart, 'viewBox', `0 0 ${width} ${height}`);
    chart.style.height = `${height}px`;
    const margin = 8 * Math.max(4, ...picture.dvipas.map(dvipa => dvipa.name.length)) + 12;
    const now = picture.at;
    const from = this.#seconds ? Math.max(0, now - this.#seconds * 1e6) : 0;
    const x = time => margin + (width - margin - 2) * (time - from) / Math.max(1, now - from);
    const y = address => dvipas.indexOf(address) * ROW;
    const group = part => chart.querySelector(`.${part}`) ?? chart.appendChild(svg('g', { class: part }));

    const ticks = this.#ticks(from, now);
    keyed(group('axis'), ticks, tick => tick, () => svg('g', {}, svg('line'), svg('text')), (tick, time) => {
      const [line, text] = tick.children;
      for (const [key, value] of [['x1', x(time)], ['x2', x(time)], ['y1', 0], ['y2', height - axis]]) set(line, key, value);
      set(text, 'x', x(time));
      set(text, 'y', height - 4);
      say(text, clock(time, false));
    });
    keyed(group('names'), picture.dvipas, dvipa => dvipa.address, () => svg('text'), (text, dvipa) => {
      set(text, 'x', 0);
      set(text, 'y', y(dvipa.address) + ROW / 2 + 4);
      say(text, dvipa.name);
    });
    const shown = tenures.filter(tenure => dvipas.includes(tenure.dvipa) && (tenure.until ?? now) >= from);
    keyed(group('tenures'), shown, tenure => `${tenure.dvipa} ${tenure.from}`,
      () => svg('g', {}, svg('rect', { rx: 4 }), svg('text')), (bar, tenure) => {
        const [rect, text] = bar.children;
        const [left, right] = [x(Math.max(tenure.from, from)), x(tenure.until ?? now)];
        bar.style.setProperty('--hue', hue(dvipas, tenure.dvipa));
        set(bar, 'class', this.#primaries.get(tenure.dvipa) === tenure.owner ? 'home' : 'away');
        set(rect, 'x', left);
        set(rect, 'y', y(tenure.dvipa) + 3);
        set(rect, 'width', Math.max(1, right - left));
        set(rect, 'height', ROW - 6);
        set(text, 'x', left + 7);
        set(text, 'y', y(tenure.dvipa) + ROW / 2 + 4);
        say(text, right - left > tenure.owner.length * 8 + 12 ? tenure.owner : '');
      });
    const marks = takeovers.filter(change => change.change !== 'first' && dvipas.includes(change.dvipa) && change.claimed >= from);
    keyed(group('marks'), marks, change => `${change.dvipa} ${change.began}`,
      () => svg('g', {}, svg('rect'), svg('title')), (mark, change) => {
        const [rect, title] = mark.children;
        const [left, right] = [x(Math.max(from, change.began)), x(change.complete ?? now)];
        set(mark, 'class', change.gap === null ? 'seamless' : 'gap');
        set(rect, 'x', left - 1);
        set(rect, 'y', y(change.dvipa));
        set(rect, 'width', Math.max(2.5, right - left));
        set(rect, 'height', ROW);
        say(title, `${WORDS[change.change]}: ${change.gap === null ? 'no gap' : span(change.gap)}`);
      });
  }

  /** Round times, five to ten of them. */
  #ticks(from, now) {
    const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400];
    const step = (steps.find(step => (now - from) / 1e6 / step <= 8) ?? 86400) * 1e6;
    const ticks = [];
    for (let tick = Math.ceil(from / step) * step; tick <= now; tick += step) ticks.push(tick);
    return ticks;
  }

  #changes(dvipas, name, takeovers) {
    const rows = takeovers.filter(change => change.change !== 'first').slice(-ROWS).reverse();
    set(at('changes'), 'data-empty', rows.length === 0);
    keyed(at('changes').tBodies[0], rows, change => `${change.dvipa} ${change.began} ${change.to}`, change => {
      const row = el('tr', {}, el('td', {}, clock(change.claimed)), el('td', { class: 'dvipa-name' }),
        el('td', {}, `${change.from ?? '–'} → ${change.to}`), el('td', { class: 'number gap' }), el('td', { class: 'phases' }),
        el('td', { class: 'number' }));
      set(row, 'data-change', change.change);
      return row;
    }, (row, change) => {
      row.style.setProperty('--hue', hue(dvipas, change.dvipa));
      say(row.children[1], name(change.dvipa));
      const after = time => span(Math.max(0, time - change.began));
      const gap = change.complete === null ? '…' : change.gap === null ? 'none' : span(change.gap);
      say(row.children[3], gap);
      const phases = change.gap === null && change.complete !== null
        ? `${WORDS[change.change]}: the former owner routed on for ${after(change.complete)}`
        : [change.noticed, change.claimed, change.complete].map(time => time === null ? '–' : after(time)).join(' · ');
      say(row.children[4], phases);
      say(row.children[5], change.connections === null ? '' : String(change.connections));
    });
  }
}
