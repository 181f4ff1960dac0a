// Search runs in a Worker, which a page that was opened from a file may not start. So it gets a hidden frame that acts as
// one, and in it a repair: lunr names the nodes of its word tree by letters and numbers without anything between them, so
// that of pages with many figures different nodes get one name, and every search that meets them fails.
{
  const repair = ({ lunr }) => {
    lunr.TokenSet.prototype.toString = function () {
      const edges = Object.keys(this.edges).sort();
      return this._str || edges.reduce((name, edge) => `${name}${edge}${this.edges[edge].id},`, this.final ? "1" : "0");
    };
  };

  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      const inside = this.frame.contentWindow;
      // A document that was written is not replaced by the empty page that some browsers load later.
      inside.document.open();
      inside.document.write("<!doctype html>");
      inside.document.close();
      const load = (source) =>
        new Promise((resolve, reject) => {
          const script = inside.document.createElement("script");
          script.src = new URL(source, document.baseURI);
          script.onload = resolve;
          script.onerror = () => reject(new Error(`cannot load ${source}`));
          inside.document.head.append(script);
        });
      inside.importScripts = async (...sources) => {
        for (const source of sources) await load(source);
      };
      inside.postMessage = (data) => {
        this.dispatchEvent(new MessageEvent("message", { data: structuredClone(data) }));
      };
      this.ready = load(address).then(() => repair(inside));
    }
    postMessage(data) {
      // Copied, as for a Worker, which owns what it gets.
      const inside = this.frame.contentWindow;
      const event = new inside.MessageEvent("message", { data: inside.structuredClone(data) });
      this.ready.then(() => inside.dispatchEvent(event));
    }
    terminate() {
      this.frame.remove();
    }
  };
}
