// Search in logs and lists, copy a command, open everything for print. Without it all is there to be read.
for (const box of document.querySelectorAll("[data-find]")) {
  const input = box.querySelector("input"), told = box.querySelector("[role=status]");
  const area = document.getElementById(box.dataset.find);
  box.hidden = false;
  const texts = new Map();
  for (const each of area.querySelectorAll("[data-line], pre.log")) texts.set(each, each.textContent);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase();
    let found = 0;
    for (const [each, text] of texts) {
      if (each.matches("pre")) {
        const lines = text.split("\n").filter(line => !words || line.toLowerCase().includes(words));
        each.textContent = "";
        lines.forEach((line, number) => {
          if (number) each.append("\n");
          let at = 0;
          for (let hit = words ? line.toLowerCase().indexOf(words) : -1; hit >= 0; hit = line.toLowerCase().indexOf(words, at)) {
            const mark = document.createElement("mark");
            mark.textContent = line.slice(hit, hit + words.length);
            each.append(line.slice(at, hit), mark);
            at = hit + words.length;
          }
          each.append(line.slice(at));
        });
        if (words) { found += lines.length; if (lines.length && each.closest("details")) each.closest("details").open = true; }
      } else {
        const hit = !words || text.toLowerCase().includes(words);
        each.classList.toggle("hide", !hit);
        found += hit;
      }
    }
    told.textContent = words ? `${found} found` : "";
  });
}
for (const button of document.querySelectorAll("[data-copy]")) {
  const text = document.getElementById(button.dataset.copy);
  button.hidden = false;
  button.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(text.textContent); button.textContent = "Copied"; }
    catch { getSelection().selectAllChildren(text); button.textContent = "Selected"; }
  });
}
for (const now of document.querySelectorAll(".scroll .now")) {
  const area = now.closest(".scroll"), chart = now.ownerSVGElement, names = chart.querySelectorAll(".name");
  area.scrollLeft = now.getBoundingClientRect().left - area.getBoundingClientRect().left - area.clientWidth / 3;
  const follow = () => names.forEach(each => each.setAttribute("x", area.scrollLeft * chart.viewBox.baseVal.width / chart.clientWidth));
  chart.append(...names);
  area.addEventListener("scroll", follow);
  addEventListener("beforeprint", () => names.forEach(each => each.setAttribute("x", 0)));
  follow();
}
let opened = [];
addEventListener("beforeprint", () => { opened = [...document.querySelectorAll("details:not([open])")]; opened.forEach(each => { each.open = true; }); });
addEventListener("afterprint", () => opened.forEach(each => { each.open = false; }));
