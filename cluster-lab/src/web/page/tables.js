// VIPADYN, VDPT and VCRT of one image, in z/OS's columns, kept up to date.

import { el, say, set, keyed } from './dom.js';

/** How often the VCRT is asked for while it is looked at. */
const EVERY = 1000;

const at = id => document.getElementById(id);

const COLUMNS = {
  VIPADYN: [['IpAddr', row => `${row.address}/${row.prefix}`], ['Status', row => row.status], ['Origin', row => row.origin],
    ['DistStat', row => row.distribution], ['Rank', row => row.rank ?? ''], ['Owner', row => row.owner ?? '']],
  VDPT: [['Dest IPaddr', row => row.address], ['DPort', row => row.port], ['DestXCF Addr', row => row.xcf],
    ['Rdy', row => row.ready], ['Active', row => row.active], ['TotalConn', row => row.total],
    ['W', row => row.weight], ['Raw', row => row.raw_weight ?? ''], ['TSR', row => row.responsiveness.tsr],
    ['Flg', row => row.flags.join(' ')]],
  VCRT: [['Dest IPaddr', row => row.destination], ['Src IPaddr', row => row.source], ['DestXCF Addr', row => row.xcf],
    ['State', row => row.state]],
};

export class Tables {
  #lab;
  #kind = 'VDPT';
  #image;
  #routes = [];
  #why = '';
  #picture;

  constructor(lab) {
    this.#lab = lab;
    for (const kind of Object.keys(COLUMNS)) {
      at('tabs').append(el('button', {
        type: 'button', role: 'tab', id: `tab-${kind}`, 'aria-controls': 'report', onclick: () => this.#choose(kind),
      }, kind));
    }
    at('tabs').addEventListener('keydown', event => {
      const kinds = Object.keys(COLUMNS);
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      this.#choose(kinds[(kinds.indexOf(this.#kind) + step + kinds.length) % kinds.length]);
      at(`tab-${this.#kind}`).focus();
    });
    at('of').addEventListener('change', () => {
      this.#image = at('of').value;
      this.#choose(this.#kind);
    });
    this.#follow();
  }

  #choose(kind) {
    this.#kind = kind;
    [this.#routes, this.#why] = [[], ''];
    if (this.#picture) this.draw(this.#picture);
    if (kind === 'VCRT') this.#ask();
  }

  async #follow() {
    for (;;) {
      await new Promise(resolve => setTimeout(resolve, EVERY));
      if (this.#kind === 'VCRT' && !document.hidden) await this.#ask();
    }
  }

  async #ask() {
    const image = this.#image;
    let [routes, why] = [[], ''];
    try {
      routes = (await this.#lab.report(image, 'VCRT')).connections;
    } catch (error) {
      why = error.message;
    }
    if (image !== this.#image || this.#kind !== 'VCRT') return;
    [this.#routes, this.#why] = [routes, why];
    this.draw(this.#picture);
  }

  draw(picture) {
    this.#picture = picture;
    // Until somebody chooses, the first that owns something: its tables are the cluster's.
    const owner = picture.dvipas.find(dvipa => dvipa.owner)?.owner;
    const image = this.#image ?? owner ?? picture.images[0]?.name;
    keyed(at('of'), picture.images, image => image.name, image => el('option', { value: image.name }, image.name));
    if (at('of').value !== image) at('of').value = image;
    if (this.#kind === 'VCRT') this.#image ??= image;
    for (const tab of at('tabs').children) {
      const selected = tab.textContent === this.#kind;
      set(tab, 'aria-selected', String(selected));
      set(tab, 'tabindex', selected ? 0 : -1);
    }
    set(at('report'), 'aria-labelledby', `tab-${this.#kind}`);
    const shown = picture.images.find(one => one.name === image);
    const rows = { VIPADYN: shown?.vipadyn, VDPT: shown?.vdpt, VCRT: this.#routes }[this.#kind] ?? [];
    // A column that no row fills is left out.
    const columns = COLUMNS[this.#kind].filter(([, cell], index) => index === 0 || rows.length === 0 || rows.some(row => cell(row) !== ''));
    keyed(at('report'), [this.#kind], kind => `${kind} ${columns.length}`,
      () => el('table', {}, el('thead', {}, el('tr', {}, ...columns.map(([name]) => el('th', {}, name)))), el('tbody'),
        el('tfoot', {}, el('tr', {}, el('td', { colspan: columns.length })))),
      table => {
        const names = new Map(picture.images.map(one => [one.xcf, one.name]));
        keyed(table.tBodies[0], rows.map((row, index) => [row, index]), ([, index]) => index,
          () => el('tr', {}, ...columns.map(() => el('td'))),
          (line, [row]) => columns.forEach(([, cell], index) => {
            const text = String(cell(row));
            say(line.children[index], names.has(text) ? `${text} ${names.get(text)}` : text);
          }));
        say(table.tFoot.querySelector('td'), this.#why || (rows.length ? '' : 'No entries.'));
      });
  }
}
