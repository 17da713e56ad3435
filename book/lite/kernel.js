// The Python of a visit: Pyodide in a worker that all pages of the book share, as long as one of them is open (where a
// browser has no shared workers, each page has its own). live.js sends what to run, and is told what that shows.
/* global self, importScripts, WebAssembly, console, loadPyodide, speedUp */
(() => {
  "use strict";
  const folder = new URL("./", self.location.href).href;
  const ask = self.fetch.bind(self);
  self.fetch = (what, how) => ask(what, { ...how, cache: "force-cache" }); // the folder is named after what is in it
  const memories = [];
  WebAssembly.Memory = class extends WebAssembly.Memory {
    constructor(size) {
      super(size);
      memories.push(this);
    }
  };
  importScripts("matmul.js", "pyodide.js");

  const python = (async () => {
    const env = { DBN_LITE_FILES: `${folder}files`, DBN_LITE_CACHE: "/cache", MPLBACKEND: "agg" };
    const kernel = fetch(`${folder}kernel.py`);
    const pyodide = await loadPyodide({ indexURL: folder, packages: ["dbn-lite-live"], env });
    try {
      speedUp(pyodide, memories.find((memory) => memory.buffer === pyodide._module.HEAP8.buffer));
    } catch (error) {
      console.warn("NumPy's own products of matrices will do:", error);
    }
    pyodide.FS.writeFile("kernel.py", await (await kernel).text());
    return pyodide.pyimport("kernel");
  })();

  let last = python; // what was asked for is done in turn, whichever page asked

  function serve(port) {
    const tell = (message) => port.postMessage(message);
    port.onmessage = ({ data: { act, cell, given } }) => {
      last = last.then(async () => {
        if (act === "close") self.close();
        else await (await python)[act](tell, cell, ...given);
      }).catch((error) => tell({ cell, failed: `${error.message ?? error}` }));
    };
  }

  if ("onconnect" in self) self.onconnect = ({ ports: [port] }) => serve(port);
  else serve(self);
})();
