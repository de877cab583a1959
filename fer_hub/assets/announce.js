// A screen reader tells of what is put into a region that was in the page before, not of a region that comes with its
// words. So there is one region, there from the beginning, and the words of each .fer-said that comes are put into it.
// The same words are told again where a second photo gives what the first gave, but not while they come and come, as
// they do with every frame of a camera that cannot be read.
(() => {
  const PAUSE = 3000; // ms without the same words, after which they are news
  const BLINK = 100; // ms that the region is empty: a reader does not notice words that replace the same words
  const region = document.createElement("div");
  region.id = "fer-news";
  region.className = "fer-hidden";
  region.setAttribute("role", "status");
  let told = "";
  let came = -PAUSE;
  let pending = 0;
  const wordsIn = (node) => {
    if (node.nodeType !== Node.ELEMENT_NODE) return [];
    const found = node.matches(".fer-said") ? [node] : [...node.querySelectorAll(".fer-said")];
    return found.map((each) => each.textContent);
  };
  const tell = (changes) => {
    const news = changes.flatMap((change) => [...change.addedNodes]).flatMap(wordsIn).join(" ");
    if (!news) return;
    const now = performance.now();
    const fresh = news !== told || now - came >= PAUSE;
    came = now;
    told = news;
    if (!fresh) return;
    region.textContent = "";
    clearTimeout(pending);
    pending = setTimeout(() => (region.textContent = told), BLINK);
  };
  const begin = () => {
    document.body.append(region);
    new MutationObserver(tell).observe(document.body, {childList: true, subtree: true});
  };
  // Gradio puts the scripts of the head into the page when it has been read, or before
  if (document.body) begin();
  else addEventListener("DOMContentLoaded", begin);
})();
