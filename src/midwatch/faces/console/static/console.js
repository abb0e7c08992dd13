// What the server cannot do: say when the page is no longer live, hold updates under a finger, draw plots.
(() => {
  "use strict";
  const notLive = document.getElementById("notlive");
  const stream = document.getElementById("stream");
  let heard = Date.now();
  const alive = () => { heard = Date.now(); notLive.hidden = true; };
  const lost = () => {
    const at = new Date(heard).toISOString().slice(11, 19);
    const text = `Not live since ${at} UTC. Trying again…`;
    if (notLive.textContent !== text) notLive.textContent = text;
    notLive.hidden = false;
  };
  if (stream) {
    document.addEventListener("htmx:sse:after:connection", alive);
    document.addEventListener("htmx:sse:after:message", alive);
    document.addEventListener("htmx:sse:error", lost);
    document.addEventListener("beat", alive);
    setInterval(() => { if (!document.hidden && Date.now() - heard > 25000) lost(); }, 2000);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) heard = Date.now(); });
  }

  // A finger that is down must hit what it aimed at: updates wait until it is up.
  let down = null, release = null;
  const hold = () => { down ||= new Promise(done => { release = done; setTimeout(let_go, 3000); }); };
  const let_go = () => { if (release) setTimeout(((done) => () => { done(); })(release), 250); down = release = null; };
  document.addEventListener("pointerdown", hold, true);
  for (const up of ["pointerup", "pointercancel"]) document.addEventListener(up, let_go, true);
  document.addEventListener("htmx:sse:before:message", event => { if (down) event.detail.waitUntil(down); });
  // A telephone begins with what is needed first; without this script all of it stands open.
  if (matchMedia("(max-width: 759px)").matches) for (const fold of document.querySelectorAll("details.fold")) fold.open = false;

  // A page left open is not taken for fresh: relative times go on.
  const span = s => s < 5 ? "just now" : s < 90 ? `${Math.round(s)} s ago` : s < 5400 ? `${Math.round(s / 60)} min ago` : null;
  setInterval(() => {
    for (const rel of document.querySelectorAll(".rel[data-at]")) {
      const text = span(Date.now() / 1000 - rel.dataset.at);
      if (text && rel.textContent !== text) rel.textContent = text;
    }
  }, 5000);

  // What is looked for stands in the address, so that a reload or a link finds it again.
  document.addEventListener("htmx:after:swap", () => {
    const asked = document.getElementById("stream")?.getAttribute("hx-sse:connect");
    const place = asked && new URL(asked, location.href).searchParams.get("page");
    if (place && place.split("?")[0] === location.pathname && place !== location.pathname + location.search) history.replaceState(null, "", place);
  });

  const plots = new Map();
  const token = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const utc = (seconds, withSeconds) => new Date(seconds * 1000).toISOString().slice(11, withSeconds ? 19 : 16);
  function draw(figure) {
    if (typeof uPlot === "undefined") return;
    const given = figure.dataset.plot, old = plots.get(figure), box = figure.querySelector(".canvas");
    const width = Math.max(200, box.clientWidth);
    if (old && old.given === given && old.width === width) return;
    const plot = JSON.parse(given);
    if (old) { old.chart.destroy(); plots.delete(figure); }
    const ink = token("muted"), grid = { stroke: token("line"), width: 1 };
    const mark = chart => {
      const { ctx, bbox } = chart;
      ctx.save(); ctx.lineWidth = devicePixelRatio; ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
      ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
      if (plot.limit !== null) {
        const y = chart.valToPos(plot.limit, "y", true); ctx.strokeStyle = ink;
        ctx.beginPath(); ctx.moveTo(bbox.left, y); ctx.lineTo(bbox.left + bbox.width, y); ctx.stroke();
      }
      const ends = [];  // where the words of each line of marks end: what would be written over each other goes a line up
      for (const one of plot.marks) {
        const x = chart.valToPos(one.at, "x", true); ctx.strokeStyle = ctx.fillStyle = token("accent");
        ctx.beginPath(); ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke();
        const late = x > bbox.left + bbox.width * 0.8;
        ctx.textAlign = late ? "right" : "left";
        const wide = ctx.measureText(one.text).width + 5 * devicePixelRatio, from = late ? x - wide : x;
        let line = 0;
        while (ends[line] > from) line++;
        ends[line] = from + wide;
        ctx.fillText(one.text, x + (late ? -5 : 5) * devicePixelRatio, bbox.top - (5 + 13 * line) * devicePixelRatio);
      }
      ctx.restore();
    };
    const series = [{ label: "UTC", value: (_, v) => v == null ? "" : utc(v, true) }];
    for (const line of plot.lines) series.push({
      label: line.label, stroke: token(line.tone === "amber" ? "accent" : line.tone), width: 1.8, points: { show: false },
      fill: `${token(line.tone === "amber" ? "accent" : line.tone)}22`, value: (_, v, __, i) => i == null ? "" : v == null ? "no data" : `${+v.toPrecision(3)} ${plot.unit}`,
    });
    const axis = { stroke: ink, grid, ticks: grid, font: "11px system-ui, sans-serif" };
    const head = 13 * Math.min(plot.marks.length, 2) + 6;  // room for the words of marks, above what is drawn
    const chart = new uPlot({
      width, height: 126 + head, padding: [head, null, null, null], series, cursor: { y: false }, legend: { live: true },
      scales: { x: { time: true }, y: { range: (_, low, high) => [0, (Math.max(high, plot.limit || 0) || 1) * 1.1] } },
      axes: [{ ...axis, size: 30, values: (_, ticks) => ticks.map(t => utc(t, false)), space: 60 }, { ...axis, size: 62, values: (_, ticks) => ticks.map(t => `${+t.toPrecision(3)} ${plot.unit}`) }],
      hooks: { draw: [mark] },
    }, [plot.times, ...plot.lines.map(line => line.values)], box);
    plots.set(figure, { chart, given, width });
  }
  const drawAll = () => {
    for (const figure of plots.keys()) if (!figure.isConnected) { plots.get(figure).chart.destroy(); plots.delete(figure); }
    document.querySelectorAll("figure[data-plot]").forEach(draw);
  };
  document.addEventListener("htmx:after:swap", drawAll);
  addEventListener("resize", () => { clearTimeout(drawAll.timer); drawAll.timer = setTimeout(drawAll, 150); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const p of plots.values()) p.given = ""; drawAll(); });
  drawAll();
})();
