// Before anything is drawn: the theme that a person chose here, so that a dark page does not flash white.
(function () {
  try {
    const chosen = localStorage.getItem("ahalab.chat.theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch { /* storage is forbidden: the system's theme is used */ }
})();
