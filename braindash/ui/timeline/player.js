// One story's sound: fetched once, played from any second to any other.

const heard = new Map(); // address of the sound: an object URL
const MOST_HEARD = 4;

async function soundAt(address, kind) {
  if (!heard.has(address)) {
    // media is served beside the app's root, wherever that is mounted
    const answer = await fetch(new URL(address.replace(/^\//, ""), document.baseURI));
    if (!answer.ok) throw new Error(`${answer.status} for the sound`);
    const bytes = await answer.arrayBuffer();
    heard.set(address, URL.createObjectURL(new Blob([bytes], { type: kind })));
    while (heard.size > MOST_HEARD) {
      const oldest = heard.keys().next().value;
      URL.revokeObjectURL(heard.get(oldest));
      heard.delete(oldest);
    }
  }
  return heard.get(address);
}

class Player {
  constructor(changed, failed) {
    this.audio = new Audio();
    this.audio.preload = "auto";
    this.changed = changed; // playing or not, or another place
    this.at = 0;
    this.until = null; // second at which to pause
    this.queue = []; // stretches still to be played, [start, end]
    this.duration = 0;
    this.ready = false;
    this.audio.addEventListener("play", () => this.changed());
    this.audio.addEventListener("pause", () => {
      this.at = this.audio.currentTime;
      this.changed();
    });
    this.audio.addEventListener("ended", () => this.changed());
    this.audio.addEventListener("error", () => {
      if (!this.ready) return;
      this.ready = false;
      failed("The browser cannot play this sound.");
    });
  }

  async load(address, kind, duration) {
    if (this.address === address) return;
    this.stop();
    this.address = address;
    this.duration = duration;
    this.ready = false;
    if (!address) return;
    const url = await soundAt(address, kind);
    if (this.address !== address) return; // another story was asked for meanwhile
    this.ready = true;
    this.audio.src = url;
    this.audio.currentTime = this.at;
    this.changed();
  }

  get playing() {
    return this.ready && !this.audio.paused && !this.audio.ended;
  }

  get time() {
    return this.playing ? Math.min(this.audio.currentTime, this.duration) : this.at;
  }

  seek(seconds) {
    this.at = Math.min(Math.max(seconds, 0), this.duration);
    this.until = null;
    this.queue = [];
    if (this.ready) this.audio.currentTime = this.at;
    this.changed();
  }

  // from here, or a stretch, or several one after the other
  play(...stretches) {
    if (!this.ready) return;
    this.queue = stretches.slice(1);
    this.until = null;
    if (stretches.length) {
      [this.at, this.until] = stretches[0];
      this.audio.currentTime = this.at;
    } else if (this.at >= this.duration - 0.05) {
      this.audio.currentTime = this.at = 0;
    }
    this.audio.play().catch(() => this.changed()); // a browser may want a click first
  }

  stop() {
    this.queue = [];
    this.audio.pause();
  }

  // called at every frame: ends a stretch in time, where events would be a quarter of a second late
  watch() {
    if (!this.playing || this.until === null || this.audio.currentTime < this.until) return;
    if (this.queue.length) {
      [this.at, this.until] = this.queue.shift();
      this.audio.currentTime = this.at;
      this.changed();
    } else {
      this.until = null;
      this.audio.pause();
    }
  }
}
