const panel = document.getElementById("panel");
const body = document.getElementById("panel-body");
let recipes = null;

function button(label, press) {
  const made = make("button", { type: "button" }, label);
  made.addEventListener("click", press);
  return made;
}

function table(head, rows) {
  const heads = head.map((cell) => make("th", { scope: "col" }, cell));
  const lines = rows.map(([first, ...rest]) => {
    const cells = rest.map((cell) => make("td", {}, cell));
    return make("tr", {}, make("th", { scope: "row" }, first), ...cells);
  });
  const top = make("thead", {}, make("tr", {}, ...heads));
  return make("table", {}, top, make("tbody", {}, ...lines));
}

/** Every ancestor of a candidate with its generation: experts are 0, children after their parents. */
function generations(index) {
  const ancestors = new Set([index]);
  for (const each of ancestors) run.candidates[each][1].forEach((parent) => ancestors.add(parent));
  const found = new Map();
  for (const each of [...ancestors].sort((a, b) => a - b)) {
    found.set(each, Math.max(-1, ...run.candidates[each][1].map((p) => found.get(p))) + 1);
  }
  return found;
}

/** The ancestors as points, each joined to its parents; the higher, the more generations. */
function pedigree(place, index, found) {
  const lines = { x: [], y: [] };
  for (const [each, generation] of found) {
    for (const parent of run.candidates[each][1]) {
      lines.x.push(each, parent, null);
      lines.y.push(generation, found.get(parent), null);
    }
  }
  const numbers = [...found.keys()];
  const layout = {
    height: 240, margin: { l: 44, r: 8, t: 8, b: 40 }, dragmode: false, showlegend: false,
    xaxis: { title: { text: "candidate" } }, yaxis: { title: { text: "generation" } },
  };
  const data = [
    {
      type: "scatter", mode: "lines", ...lines,
      hoverinfo: "skip", line: { color: "#8a94a0", width: 0.7 },
    },
    {
      type: "scatter", mode: "markers", x: numbers, y: [...found.values()],
      text: numbers.map(words), hovertemplate: "%{text}<extra></extra>",
      marker: { size: numbers.map((n) => (n === index ? 12 : 6)), color: "#0a84c6" },
    },
  ];
  const plain = { ...themed(layout), plot_bgcolor: "rgba(0,0,0,0)" };
  Plotly.newPlot(place, data, plain, { responsive: true, displayModeBar: false }).then(() =>
    place.on("plotly_click", (event) => openPanel(event.points[0].x)),
  );
}

/** An expert by its task, or by its name where others have the task too. */
function nameOf(expert) {
  return run.tasks.includes(expert.task) ? `of ${expert.task}` : expert.task;
}

function ofTasks(experts) {
  return experts.every((each) => run.tasks.includes(candidate(each).task)) ? "of " : "";
}

/** A candidate as a branch that opens to its parents, down to the experts. */
function branch(index) {
  const each = candidate(index);
  const name = button(`candidate ${index}`, () => openPanel(index));
  if (!each.parents.length) return make("div", {}, name, ` expert ${nameOf(each)}`);
  const made = make("details", {}, make("summary", {}, name, ` bred for ${each.task}`));
  made.addEventListener("toggle", () => made.append(...each.parents.map(branch)), { once: true });
  return made;
}

function lineage(index) {
  const found = generations(index);
  const experts = [...found.keys()].filter((each) => !run.candidates[each][1].length);
  const names = experts.map((each) => nameOf(candidate(each)).replace(/^of /, "")).join(", ");
  const reach = `${found.size - 1} ancestors in ${found.get(index)} generations`;
  const sentence = `${reach}, back to the experts ${ofTasks(experts)}${names}.`;
  const label = `Lineage of candidate ${index}: ${sentence}`;
  const place = make("div", { class: "plot", role: "img", "aria-label": label });
  const tree = branch(index);
  tree.open = true;
  const nodes = [make("h3", {}, "Lineage"), make("p", {}, sentence), place, tree];
  return { nodes, draw: () => pedigree(place, index, found) };
}

async function copy(text, told) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea", {}, text);
    panel.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  told.textContent = "copied";
}

/** A word of a command, quoted where a shell would split it. */
function quoted(word) {
  return /^[\w./@%+=:,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** The command that merges an elite, with the path of its recipe. */
function merging(index) {
  const holder = run.tasks.find((task) => run.elites[task].includes(index));
  if (holder === undefined) return [];
  const file = `elites/${holder}/${String(index).padStart(6, "0")}.yaml`;
  const path = `${panel.dataset.folder}/${file}`;
  const command = `mergekit-cycleqd merge ${quoted(path)} my-model`;
  const told = make("span", { role: "status" });
  const press = button("Copy command", () => copy(command, told));
  const code = make("pre", { tabindex: "0" }, make("code", {}, command));
  return [make("h3", {}, "Build it"), make("p", {}, press, told), code];
}

function recipe(index) {
  const text = recipes[index];
  const title = make("h3", {}, "Recipe");
  if (!text) return [title, make("p", {}, "It holds no cell any more: only the journal has it.")];
  const told = make("span", { role: "status" });
  const press = button("Copy recipe", () => copy(text, told));
  const code = make("pre", { tabindex: "0" }, make("code", {}, text));
  return [title, make("p", {}, press, told), code];
}

async function openPanel(index) {
  if (index === null || index === undefined) return;
  recipes ??= JSON.parse(await unpack("recipes"));
  const each = candidate(index);
  const holds = run.tasks.filter((task) => run.elites[task].includes(index));
  const role = each.parents.length ? `A child bred for ${each.task}` : `The expert ${nameOf(each)}`;
  const held = holds.length ? `an elite of ${holds.join(", ")}` : "no elite any more";
  const parents = each.parents.flatMap((parent) => [
    button(`candidate ${parent}`, () => openPanel(parent)), " ",
  ]);
  const line = each.parents.length ? lineage(index) : { nodes: [], draw: () => {} };
  const scores = run.tasks.map((task, k) => [task, each.scores[k].toFixed(4)]);
  body.replaceChildren(
    make("h2", { id: "panel-title" }, `Candidate ${index}`),
    make("p", {}, `${role}, and ${held}.`),
    table(["task", "score on search samples"], scores),
    make("p", {}, "Parents: ", ...(parents.length ? parents : ["none"])),
    ...merging(index),
    ...recipe(index),
    ...line.nodes,
  );
  if (!panel.open) panel.showModal();
  panel.scrollTop = 0;
  line.draw();
}

for (const press of document.querySelectorAll("button[data-candidate]")) {
  press.addEventListener("click", () => openPanel(Number(press.dataset.candidate)));
}

/** A click beside the panel closes it. */
panel.addEventListener("click", (event) => event.target === panel && panel.close());

for (const place of document.querySelectorAll("details[data-archive]")) {
  place.addEventListener(
    "toggle",
    () => {
      const rows = run.elites[place.dataset.archive].map((index) => {
        const each = candidate(index);
        const open = button(String(index), () => openPanel(index));
        return [open, ...each.scores.map((score) => score.toFixed(3)), parentsOf(each)];
      });
      const listed = table(["candidate", ...run.tasks, "parents"], rows);
      place.append(make("div", { class: "scroll" }, listed));
    },
    { once: true },
  );
}
