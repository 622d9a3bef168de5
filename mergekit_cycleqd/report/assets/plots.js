const themes = matchMedia("(prefers-color-scheme: dark)");

/** A figure's layout in the colours of the page. */
function themed(layout) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const [text, back, line] = [colour("--text"), colour("--back"), colour("--line")];
  const axis = { gridcolor: line, linecolor: line, zerolinecolor: line };
  return {
    ...layout,
    autosize: true,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: layout.dragmode === false ? colour("--empty") : "rgba(0,0,0,0)",
    font: { color: text, family: "system-ui, sans-serif", size: 12 },
    hoverlabel: { bgcolor: back, bordercolor: line, font: { color: text } },
    xaxis: { ...layout.xaxis, ...axis },
    yaxis: { ...layout.yaxis, ...axis },
  };
}

/** What hovering over an elite shows. Task names hold no markup: recipes refuse such names. */
function words(index) {
  if (index === null) return "";
  const each = candidate(index);
  const scores = run.tasks.map((task, k) => `${task} ${each.scores[k].toFixed(3)}`);
  return [`candidate ${index}`, ...scores, `parents: ${parentsOf(each)}`].join("<br>");
}

async function draw(place) {
  const figure = run.figures[place.id];
  const [trace] = figure.data;
  const cells = trace.customdata !== undefined;
  for (const each of cells ? figure.data : []) {
    each.text = each.customdata.map((row) => (Array.isArray(row) ? row.map(words) : words(row)));
  }
  const fine = matchMedia("(pointer: fine)").matches;
  const bar = cells || !fine ? false : "hover"; // a finger cannot hover, and the bar covers lines
  const config = { responsive: true, displaylogo: false, displayModeBar: bar };
  if (!fine) figure.layout.dragmode ??= false;
  await Plotly.newPlot(place, figure.data, themed(figure.layout), config);
  place.dataset.drawn = "yes";
  if (cells) place.on("plotly_click", (event) => openPanel(event.points[0].customdata));
}

async function drawAll() {
  const code = document.createElement("script");
  code.textContent = await unpack("plotly");
  document.head.append(code);
  const soon = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        soon.unobserve(entry.target);
        draw(entry.target).catch(trouble);
      }
    },
    { rootMargin: "400px" },
  );
  document.querySelectorAll(".plot").forEach((place) => soon.observe(place));
  themes.addEventListener("change", () => {
    for (const place of document.querySelectorAll(".plot[data-drawn]")) {
      Plotly.relayout(place, themed(run.figures[place.id].layout));
    }
  });
}

drawAll().catch(trouble);
