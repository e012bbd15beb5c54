// What pycortex's viewer would fetch beside its page is in the page: a file asked for by name comes from here.
(function () {
  const packed = /*FILES*/ {};
  const addresses = {};
  for (const [name, text] of Object.entries(packed)) {
    const bytes = Uint8Array.from(atob(text.data), (c) => c.charCodeAt(0));
    addresses[name] = URL.createObjectURL(new Blob([bytes], { type: text.type }));
  }
  const request = XMLHttpRequest.prototype;
  const { open, setRequestHeader } = request;
  request.open = function (method, address, ...rest) {
    const inside = addresses[String(address).replace(/^\.?\//, "")];
    this.inThePage = inside !== undefined;
    return open.call(this, method, inside ?? address, ...rest);
  };
  request.setRequestHeader = function (name, value) {
    if (this.inThePage && name === "Range") return; // all of it at once: not every browser cuts what is in a page
    setRequestHeader.call(this, name, value);
  };
})();
