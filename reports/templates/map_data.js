// SPDX-License-Identifier: GPL-2.0-or-later
"use strict";

// The frame map of one cycle, decoded from runs of [count, state, owner].
class FrameMap {
  constructor(raw, owners) {
    const length = raw.runs.length / 3;
    this.cycle = raw.cycle;
    this.frames = raw.frames;
    this.owners = owners;
    this.starts = new Uint32Array(length + 1);
    this.states = new Uint8Array(length);
    this.ownerIds = new Uint32Array(length);
    // One byte a frame as well: drawing needs a state per pixel, a search for each is too slow.
    this.stateOf = new Uint8Array(raw.frames);
    let at = 0;
    for (let i = 0; i < length; i += 1) {
      const count = raw.runs[3 * i];
      this.starts[i] = at;
      this.states[i] = raw.runs[3 * i + 1];
      this.ownerIds[i] = raw.runs[3 * i + 2];
      this.stateOf.fill(this.states[i], at, at + count);
      at += count;
    }
    this.starts[length] = at;
  }

  get length() {
    return this.states.length;
  }

  // Index of the run that holds frame pfn: the last run that starts at or before it.
  runAt(pfn) {
    let low = 0;
    let high = this.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.starts[middle] <= pfn) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    return low;
  }

  frame(pfn) {
    const run = this.runAt(pfn);
    return {
      pfn,
      state: this.states[run],
      owner: this.owners[this.ownerIds[run]],
      first: this.starts[run],
      last: this.starts[run + 1] - 1,
    };
  }

  // How many frames are in each state.
  counts() {
    const counts = {};
    for (let i = 0; i < this.length; i += 1) {
      counts[this.states[i]] = (counts[this.states[i]] || 0) + this.starts[i + 1] - this.starts[i];
    }
    return counts;
  }

  // First frames of the runs whose state is in the list, in order.
  framesIn(states, limit) {
    const found = [];
    for (let i = 0; i < this.length && found.length < limit; i += 1) {
      if (states.includes(this.states[i])) {
        for (let pfn = this.starts[i]; pfn < this.starts[i + 1] && found.length < limit; pfn += 1) {
          found.push(pfn);
        }
      }
    }
    return found;
  }

  // First frame of the next run after pfn whose owner contains text; -1 if there is none.
  findOwner(text, pfn) {
    const wanted = text.toLowerCase();
    const from = this.runAt(pfn);
    for (let step = 1; step <= this.length; step += 1) {
      const run = (from + step) % this.length;
      if (this.owners[this.ownerIds[run]].toLowerCase().includes(wanted)) {
        return this.starts[run];
      }
    }
    return -1;
  }
}

function hex(value, digits = 1) {
  return "0x" + value.toString(16).padStart(digits, "0");
}
