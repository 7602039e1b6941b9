"use strict";
// Before the first paint: the scheme that the reader chose last, if the browser keeps such things for this page.
try {
  const chosen = localStorage.getItem("scheme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.scheme = chosen;
} catch {
  // storage is forbidden here: the system's scheme it is
}
