// Of each camera one frame on its way at a time. Gradio's page sends frames by the clock, whether or not the last one has
// arrived: over a slow link they would queue in the browser and the delay would grow. A frame that comes while another
// is being sent is left out; the next one is newer. Gradio also sends every frame twice: `event_data` repeats the input.
(() => {
  const ask = window.fetch;
  const frame = /\/gradio_api\/stream\/[0-9a-f]+$/;
  const busy = new Set();
  window.fetch = async (url, options) => {
    const camera = String(url);
    if (!frame.test(camera)) return ask(url, options);
    if (busy.has(camera)) return new Response('{"msg": "left out"}', {headers: {"Content-Type": "application/json"}});
    busy.add(camera);
    try {
      const body = {...JSON.parse(options.body), event_data: null};
      return await ask(url, {...options, body: JSON.stringify(body)});
    } finally {
      busy.delete(camera);
    }
  };
})();
