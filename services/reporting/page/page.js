/* Saves a chart as an image with its title, on white, whatever the colours of the page. */
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-save]");
  if (!button) return;
  const chart = getElement(Number(button.dataset.chart))?.chart;
  if (!chart) return;
  const { save, title } = button.dataset;
  const grid = chart.getOption().grid?.[0] ?? {};
  const legend = chart.getOption().legend?.[0] ?? {};
  chart.setOption({ title: { show: true, text: title, left: 0, top: 0, textStyle: { fontSize: 15 } },
    grid: { top: (grid.top ?? 30) + 30 }, legend: { top: 28 } });
  const address = chart.getDataURL({ type: "svg", backgroundColor: "#fff" });
  chart.setOption({ title: { show: false }, grid: { top: grid.top }, legend: { top: legend.top } });
  const name = title.replace(/[^\p{L}\p{N}]+/gu, "-").toLowerCase();
  give(save === "png" ? await drawn(address, chart.getWidth(), chart.getHeight()) : address, `${name}.${save}`);
});

async function drawn(address, width, height) {
  const image = new Image();
  image.src = address;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = 2 * width;
  canvas.height = 2 * height;
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/png");
}

function give(address, name) {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
}

/* A list that hangs below its button closes when the keyboard or the mouse goes elsewhere. */
for (const what of ["click", "focusin"])
  document.addEventListener(what, (event) => {
    for (const open of document.querySelectorAll("details.pop[open]"))
      if (!open.contains(event.target)) open.open = false;
  });
document.addEventListener("keydown", (event) => {
  const open = event.key === "Escape" && document.querySelector("details.pop[open]");
  if (open) {
    open.open = false;
    open.querySelector("summary").focus();
  }
});
