// The way to the lab: the token, the feed, and what buttons do.

/** The feed speaks four times a second: a silence of this length means that whoever served it is gone. */
const SILENCE = 1500;
/** Between two tries to reach it again. */
const AGAIN = 250;

const STORED = 'cluster-lab-token';

/** The token of the page's address, which is forgotten from there: it is sent to nobody, and bookmarks lack it. */
function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get('token');
  if (given) {
    sessionStorage.setItem(STORED, given);
    history.replaceState(null, '', location.pathname);
  }
  return sessionStorage.getItem(STORED);
}

export class Lab {
  #token = takeToken();
  #told;
  #state;

  /** `told` takes each message, `state` how the connection is: live, lost, or locked. */
  constructor(told, state) {
    this.#told = told;
    this.#state = state;
  }

  get mayAct() {
    return Boolean(this.#token);
  }

  unlock(token) {
    this.#token = token;
    sessionStorage.setItem(STORED, token);
  }

  #lock() {
    this.#token = null;
    sessionStorage.removeItem(STORED);
  }

  #headers(more = {}) {
    return this.#token ? { ...more, Authorization: `Bearer ${this.#token}` } : more;
  }

  /** Follows the feed for ever, through the death of whoever serves it. */
  async follow() {
    for (;;) {
      try {
        await this.#once();
      } catch (error) {
        this.#state('lost', String(error.message ?? error));
      }
      await new Promise(resolve => setTimeout(resolve, AGAIN));
    }
  }

  async #once() {
    const abort = new AbortController();
    let watchdog;
    const alive = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => abort.abort(new Error('silent')), SILENCE);
    };
    alive();
    try {
      const response = await fetch('/feed', { headers: this.#headers(), cache: 'no-store', signal: abort.signal });
      if (response.status === 401) {
        this.#lock();
        this.#state('locked', await response.text());
        return;
      }
      if (!response.ok) throw new Error((await response.text()).trim());
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = '';
      for (;;) {
        const { value, done } = await reader.read();
        if (done) throw new Error('ended');
        alive();
        text += value;
        const messages = text.split('\n\n');
        text = messages.pop();
        for (const message of messages) this.#told(JSON.parse(message.slice('data: '.length)));
        if (messages.length) this.#state('live', '');
      }
    } finally {
      clearTimeout(watchdog);
      abort.abort();
    }
  }

  /** Does something to an image, such as `kill` or `{ cut: 'MVS2' }`; throws with the lab's words. */
  async act(act, image) {
    const headers = this.#headers({ 'Content-Type': 'application/json' });
    const response = await fetch('/act', { method: 'POST', headers, body: JSON.stringify({ act, image }) });
    if (response.status === 401) this.#lock();
    if (!response.ok) throw new Error((await response.text()).trim());
  }

  /** A netstat report; throws with the lab's words. */
  async report(image, kind) {
    const path = `/report/${encodeURIComponent(image)}/${kind}`;
    const response = await fetch(path, { headers: this.#headers(), cache: 'no-store', signal: AbortSignal.timeout(2000) });
    if (!response.ok) throw new Error((await response.text()).trim());
    return response.json();
  }
}
