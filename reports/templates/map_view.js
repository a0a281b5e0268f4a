// SPDX-License-Identifier: GPL-2.0-or-later
// The picture of one FrameMap: a canvas that shows the visible rows of a tall scrolled space.
// Only what can be seen is drawn, so that a million frames cost no more than a screenful.

const ZOOMS = [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24]; // CSS pixels a frame
const GRID_FROM = 8; // from this zoom on, lines part the frames
const LABEL_GAP = 26; // CSS pixels between two address labels
const RINGS = 2000; // findings that get a ring

class MapView {
  constructor(elements, states, pageSize) {
    Object.assign(this, elements); // scroller, space, canvas
    this.states = states;
    this.pageSize = pageSize;
    this.context = this.canvas.getContext("2d");
    this.buffer = document.createElement("canvas");
    this.isolated = null; // state code that alone is shown in full colour
    this.cursor = 0;
    this.target = null; // highlighted frame: where a finding was clicked
    this.fit = true;
    this.cell = 1;
    this.readColours();
    this.scroller.addEventListener("scroll", () => this.draw());
    new ResizeObserver(() => this.layout()).observe(this.scroller.parentElement);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.readColours();
      this.draw();
    });
  }

  readColours() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    this.colours = this.states.map((state) => colour("--s" + state.code));
    this.grid = colour("--grid");
    this.ring = colour("--ring");
    this.text = colour("--quiet");
    // ImageData wants numbers, little-endian ABGR.
    const number = (text) => {
      const rgb = parseInt(text.slice(1), 16);
      return (0xff000000 | ((rgb & 0xff) << 16) | (rgb & 0xff00) | (rgb >> 16)) >>> 0;
    };
    this.pixels = Uint32Array.from(this.colours, number);
    const ground = colour("--ground");
    this.dimmed = Uint32Array.from(this.colours, (text) => number(mix(text, ground, 0.82)));
  }

  show(map) {
    this.map = map;
    const bad = this.states.filter((state) => state.bad).map((state) => state.code);
    this.findings = map.framesIn(bad, RINGS);
    this.cursor = Math.min(this.cursor, map.frames - 1);
    this.target = null;
    this.layout();
  }

  // Frames in a row at a given zoom: a power of two, so that rows start at round addresses.
  columnsFor(cell) {
    const room = Math.max(this.width - this.gutter, 8 * cell);
    return 2 ** Math.min(Math.floor(Math.log2(room / cell)), 13);
  }

  layout() {
    if (!this.map) {
      return;
    }
    this.width = this.scroller.clientWidth;
    this.gutter = 84; // room for an address and its tick
    const tallest = Math.max(innerHeight * 0.9, 780); // 780: a 256 MiB map at 3 pixels a frame
    if (this.fit) {
      const fits = (cell) => Math.ceil(this.map.frames / this.columnsFor(cell)) * cell <= tallest;
      this.cell = ZOOMS.filter(fits).pop() || 1;
    }
    this.columns = this.columnsFor(this.cell);
    this.rows = Math.ceil(this.map.frames / this.columns);
    const full = this.rows * this.cell;
    this.height = Math.max(Math.min(full, Math.round(tallest)), 24);
    this.scroller.style.height = this.height + 2 + "px"; // 2: its border
    this.space.style.height = full + "px";
    this.ratio = devicePixelRatio || 1;
    this.canvas.style.width = this.width + "px";
    this.canvas.style.height = this.height + "px";
    this.canvas.width = Math.round(this.width * this.ratio);
    this.canvas.height = Math.round(this.height * this.ratio);
    this.draw();
    this.onLayout?.();
  }

  zoom(step) {
    const centre = this.visible(this.cursor) ? this.cursor : this.frameAt(this.gutter, this.height / 2);
    const index = ZOOMS.indexOf(this.cell) + step;
    this.fit = false;
    this.cell = ZOOMS[Math.max(0, Math.min(index, ZOOMS.length - 1))];
    this.layout();
    this.reveal(centre ?? this.cursor);
  }

  whole() {
    this.fit = true;
    this.layout();
  }

  // Place of a frame's upper left corner within the canvas, CSS pixels.
  place(pfn) {
    return {
      x: this.gutter + (pfn % this.columns) * this.cell,
      y: Math.floor(pfn / this.columns) * this.cell - this.scroller.scrollTop,
    };
  }

  // The frame at a place within the canvas; null beside the map.
  frameAt(x, y) {
    const column = Math.floor((x - this.gutter) / this.cell);
    const row = Math.floor((y + this.scroller.scrollTop) / this.cell);
    const pfn = row * this.columns + column;
    const inside = column >= 0 && column < this.columns && row >= 0 && pfn < this.map.frames;
    return inside ? pfn : null;
  }

  visible(pfn) {
    const { y } = this.place(pfn);
    return y >= 0 && y + this.cell <= this.height;
  }

  reveal(pfn) {
    if (!this.visible(pfn)) {
      const row = Math.floor(pfn / this.columns);
      this.scroller.scrollTop = row * this.cell - this.height / 2;
    }
    this.draw();
  }

  draw() {
    if (!this.map) {
      return;
    }
    const context = this.context;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    const first = Math.floor(this.scroller.scrollTop / this.cell);
    const rows = Math.min(Math.ceil(this.height / this.cell) + 1, this.rows - first);
    this.drawFrames(first, rows);
    this.drawGrid(first, rows);
    this.drawLabels(first, rows);
    this.findings.filter((pfn) => pfn !== this.target).forEach((pfn) => this.drawRing(pfn));
    this.drawCursor();
    this.drawTarget();
  }

  // One pixel a frame into a small picture, which is then magnified without smoothing.
  drawFrames(first, rows) {
    this.buffer.width = this.columns;
    this.buffer.height = rows;
    const small = this.buffer.getContext("2d");
    const image = small.createImageData(this.columns, rows);
    const out = new Uint32Array(image.data.buffer);
    const states = this.map.stateOf;
    const offset = first * this.columns;
    const end = Math.min(out.length, states.length - offset);
    for (let i = 0; i < end; i += 1) {
      const state = states[offset + i];
      const plain = this.isolated === null || this.isolated === state;
      out[i] = plain ? this.pixels[state] : this.dimmed[state];
    }
    small.putImageData(image, 0, 0);
    this.context.imageSmoothingEnabled = false;
    const top = first * this.cell - this.scroller.scrollTop;
    const { cell, columns } = this;
    this.context.drawImage(this.buffer, this.gutter, top, columns * cell, rows * cell);
  }

  drawGrid(first, rows) {
    if (this.cell < GRID_FROM) {
      return;
    }
    const context = this.context;
    context.fillStyle = this.grid;
    const top = first * this.cell - this.scroller.scrollTop;
    for (let row = 0; row <= rows; row += 1) {
      context.fillRect(this.gutter, top + row * this.cell - 1, this.columns * this.cell, 1);
    }
    for (let column = 0; column <= this.columns; column += 1) {
      context.fillRect(this.gutter + column * this.cell - 1, top, 1, rows * this.cell);
    }
  }

  drawLabels(first, rows) {
    const context = this.context;
    const step = 2 ** Math.max(0, Math.ceil(Math.log2(LABEL_GAP / this.cell)));
    context.fillStyle = this.text;
    context.font = "11px ui-monospace, 'DejaVu Sans Mono', monospace";
    context.textAlign = "right";
    context.textBaseline = "top";
    for (let row = Math.ceil(first / step) * step; row < first + rows; row += step) {
      const y = row * this.cell - this.scroller.scrollTop;
      if (y >= 0 && y < this.height - 10) {
        context.fillText(hex(row * this.columns * this.pageSize, 8), this.gutter - 8, y + 1);
        context.fillRect(this.gutter - 5, y, 4, 1);
      }
    }
  }

  // Findings are single frames, one to three pixels in a whole map: a ring makes them findable.
  drawRing(pfn) {
    const { x, y } = this.place(pfn);
    if (y < -12 || y > this.height + 12) {
      return;
    }
    this.circle(x, y, Math.max(this.cell * 0.75, 6), 1.5, this.ring);
  }

  drawTarget() {
    if (this.target === null) {
      return;
    }
    const { x, y } = this.place(this.target);
    const radius = Math.max(this.cell, 11);
    this.circle(x, y, radius + 2, 5, this.grid);
    this.circle(x, y, radius + 2, 2.5, this.ring);
    const middle = { x: x + this.cell / 2, y: y + this.cell / 2 };
    this.context.fillStyle = this.ring;
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      const from = radius + 3;
      const long = 9;
      const left = middle.x + dx * from + (dx < 0 ? -long : 0) - (dx === 0 ? 1 : 0);
      const top = middle.y + dy * from + (dy < 0 ? -long : 0) - (dy === 0 ? 1 : 0);
      this.context.fillRect(left, top, dx === 0 ? 2 : long, dy === 0 ? 2 : long);
    }
  }

  circle(x, y, radius, width, colour) {
    const context = this.context;
    context.beginPath();
    context.arc(x + this.cell / 2, y + this.cell / 2, radius, 0, 2 * Math.PI);
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.stroke();
  }

  drawCursor() {
    if (document.activeElement !== this.canvas || this.cursor === this.target) {
      return;
    }
    const { x, y } = this.place(this.cursor);
    this.context.lineWidth = 2;
    this.context.strokeStyle = this.grid;
    this.context.strokeRect(x - 3, y - 3, this.cell + 6, this.cell + 6);
    this.context.strokeStyle = this.ring;
    this.context.strokeRect(x - 1.5, y - 1.5, this.cell + 3, this.cell + 3);
  }
}

function mix(colour, other, share) {
  const parts = [1, 3, 5].map((at) => {
    const own = parseInt(colour.slice(at, at + 2), 16);
    const far = parseInt(other.slice(at, at + 2), 16);
    return Math.round(own + (far - own) * share).toString(16).padStart(2, "0");
  });
  return "#" + parts.join("");
}
