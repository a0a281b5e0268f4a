// SPDX-License-Identifier: GPL-2.0-or-later
// What the page does: copy the command, open a life that is linked to, and the map's controls.

function byId(id) {
  return document.getElementById(id);
}

function setUpCopy() {
  const button = byId("copy");
  const command = byId("command");
  button.addEventListener("click", async () => {
    let done = true;
    try {
      await navigator.clipboard.writeText(command.textContent);
    } catch (error) {
      // No clipboard for pages from files in some browsers: select it, try the older way.
      const range = document.createRange();
      range.selectNodeContents(command);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      done = document.execCommand("copy");
    }
    byId("copied").textContent = done ? "Copied" : "Selected: copy with Ctrl+C";
  });
}

// A dead life's log is read from its end.
function showEnds() {
  document.querySelectorAll(".to-end").forEach((log) => { log.scrollTop = log.scrollHeight; });
}

// A link into a closed life opens it.
function openLinked() {
  const life = location.hash.startsWith("#life-") && byId(location.hash.slice(1));
  if (life) {
    life.open = true;
    life.scrollIntoView();
  }
}

function setUpMap(data) {
  const maps = data.maps.map((raw) => new FrameMap(raw, data.owners));
  const canvas = byId("map-canvas");
  const elements = { scroller: byId("map-scroll"), space: byId("map-space"), canvas };
  const view = new MapView(elements, data.states, data.pageSize);
  const messages = new Map(); // "cycle/pfn": what was found there
  document.querySelectorAll(".goto").forEach((button) => {
    const key = button.dataset.cycle + "/" + button.dataset.pfn;
    messages.set(key, [...(messages.get(key) || []), button.dataset.message]);
  });
  let index = 0;

  function select(newIndex) {
    index = Math.max(0, Math.min(newIndex, maps.length - 1));
    view.show(maps[index]);
    if (byId("map-cycle")) {
      byId("map-cycle").value = String(index);
      byId("map-prev").disabled = index === 0;
      byId("map-next").disabled = index === maps.length - 1;
    }
    document.querySelectorAll(".map-tables").forEach((tables) => {
      tables.hidden = Number(tables.dataset.map) !== index;
    });
    const counts = maps[index].counts();
    document.querySelectorAll("#legend .state").forEach((button) => {
      const count = counts[button.dataset.state] || 0;
      button.querySelector(".number").textContent = count.toLocaleString("en");
      button.classList.toggle("none", count === 0);
    });
    byId("map-finding").disabled = view.findings.length === 0;
  }

  function describe(pfn) {
    const frame = view.map.frame(pfn);
    const box = byId("frame");
    const list = document.createElement("dl");
    const line = (name, value) => {
      const term = document.createElement("dt");
      const text = document.createElement("dd");
      term.textContent = name;
      text.textContent = value;
      list.append(term, text);
    };
    const title = document.createElement("p");
    title.className = "title";
    const swatch = document.createElement("span");
    swatch.className = "swatch s" + frame.state;
    title.append(swatch, ` pfn ${hex(pfn)} (${pfn})`);
    line("state", data.states[frame.state].name);
    line("GPA", `${hex(pfn * data.pageSize, 9)} to ${hex((pfn + 1) * data.pageSize - 1, 9)}`);
    line("owner", frame.owner || "not known");
    if (frame.last > frame.first) {
      const count = (frame.last - frame.first + 1).toLocaleString("en");
      line("run", `${count} frames alike, pfn ${hex(frame.first)} to ${hex(frame.last)}`);
    }
    box.replaceChildren(title, list);
    for (const message of messages.get(view.map.cycle + "/" + pfn) || []) {
      const blame = document.createElement("p");
      blame.className = "blame";
      blame.textContent = message;
      box.append(blame);
    }
    box.dataset.pfn = String(pfn);
    return frame;
  }

  function moveTo(pfn, target = false) {
    view.cursor = Math.max(0, Math.min(pfn, view.map.frames - 1));
    view.target = target ? view.cursor : null;
    view.reveal(view.cursor);
    describe(view.cursor);
  }

  function nextFinding(step) {
    const found = view.findings;
    if (found.length === 0) {
      return;
    }
    const after = found.findIndex((pfn) => pfn > view.cursor);
    const before = found.filter((pfn) => pfn < view.cursor).length - 1;
    const next = step > 0 ? Math.max(after, 0) : before < 0 ? found.length - 1 : before;
    moveTo(found[next], true);
  }

  function onPointer(event) {
    const box = canvas.getBoundingClientRect();
    const pfn = view.frameAt(event.clientX - box.left, event.clientY - box.top);
    const tip = byId("tip");
    tip.hidden = pfn === null;
    if (pfn === null) {
      return;
    }
    const frame = describe(pfn);
    tip.textContent = `${hex(pfn)} ${data.states[frame.state].name}` + (frame.owner && `: ${frame.owner}`);
    const right = event.clientX + 14 + tip.offsetWidth > innerWidth;
    tip.style.left = Math.max(right ? event.clientX - 14 - tip.offsetWidth : event.clientX + 14, 0) + "px";
    tip.style.top = Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 4) + "px";
    return pfn;
  }

  canvas.addEventListener("pointermove", onPointer);
  canvas.addEventListener("pointerleave", () => { byId("tip").hidden = true; });
  canvas.addEventListener("click", (event) => {
    const pfn = onPointer(event);
    if (pfn !== null && pfn !== undefined) {
      moveTo(pfn);
    }
  });
  canvas.addEventListener("focus", () => view.draw());
  canvas.addEventListener("blur", () => view.draw());
  canvas.addEventListener("wheel", (event) => {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      view.zoom(event.deltaY < 0 ? 1 : -1);
    }
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const page = view.columns * Math.max(1, Math.floor(view.height / view.cell) - 1);
    const moves = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -view.columns, ArrowDown: view.columns,
      PageUp: -page, PageDown: page, Home: -view.cursor, End: view.map.frames,
    };
    const actions = {
      n: () => nextFinding(1), p: () => nextFinding(-1),
      "+": () => view.zoom(1), "=": () => view.zoom(1), "-": () => view.zoom(-1), 0: () => view.whole(),
    };
    if (event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    const action = actions[event.key.toLowerCase()];
    if (event.key in moves) {
      moveTo(view.cursor + moves[event.key]);
    } else if (action) {
      action();
    } else {
      return;
    }
    event.preventDefault();
  });

  byId("map-in").addEventListener("click", () => view.zoom(1));
  byId("map-out").addEventListener("click", () => view.zoom(-1));
  byId("map-fit").addEventListener("click", () => view.whole());
  byId("map-finding").addEventListener("click", () => nextFinding(1));
  byId("map-cycle")?.addEventListener("change", (event) => select(Number(event.target.value)));
  byId("map-prev")?.addEventListener("click", () => select(index - 1));
  byId("map-next")?.addEventListener("click", () => select(index + 1));
  view.onLayout = () => {
    byId("map-zoom").textContent = view.cell + " px";
    byId("map-zoom").title = `${view.columns} frames a row`;
  };

  const where = byId("map-where");
  where.addEventListener("input", () => where.setCustomValidity(""));
  byId("map-tools").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = where.value.trim();
    const what = byId("map-what").value;
    let pfn = what === "owner" ? view.map.findOwner(text, view.cursor) : text === "" ? NaN : Number(text);
    pfn = what === "gpa" ? Math.floor(pfn / data.pageSize) : pfn;
    if (Number.isInteger(pfn) && pfn >= 0 && pfn < view.map.frames) {
      moveTo(pfn, true);
    } else {
      const range = what === "gpa" ? hex(view.map.frames * data.pageSize - 1) : hex(view.map.frames - 1);
      where.setCustomValidity(what === "owner" ? "No frame with such an owner" : `0 to ${range}`);
      where.reportValidity();
    }
  });

  document.querySelectorAll("#legend .state").forEach((button) => {
    button.addEventListener("click", () => {
      const code = Number(button.dataset.state);
      view.isolated = view.isolated === code ? null : code;
      document.querySelectorAll("#legend .state").forEach((other) => {
        other.setAttribute("aria-pressed", String(Number(other.dataset.state) === view.isolated));
      });
      view.draw();
    });
  });

  document.querySelectorAll(".goto").forEach((button) => {
    button.addEventListener("click", () => {
      select(maps.findIndex((map) => map.cycle === Number(button.dataset.cycle)));
      canvas.focus({ preventScroll: true });
      moveTo(Number(button.dataset.pfn), true);
      byId("memory").scrollIntoView();
    });
  });

  // Open where there is something to see: the last cycle with a finding, else the last one.
  const bad = maps.map((map) => map.framesIn(data.states.filter((s) => s.bad).map((s) => s.code), 1).length > 0);
  select(bad.includes(true) ? bad.lastIndexOf(true) : maps.length - 1);
  globalThis.jumpbackMap = view; // for tests and for the curious at the console
}

setUpCopy();
showEnds();
addEventListener("hashchange", openLinked);
openLinked();
const mapData = JSON.parse(byId("map-data").textContent);
if (mapData.maps.length > 0) {
  setUpMap(mapData);
}
addEventListener("beforeprint", () => {
  document.querySelectorAll("details:has(table):not(.life)").forEach((details) => { details.open = true; });
});
