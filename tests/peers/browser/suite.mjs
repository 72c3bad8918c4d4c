// Headless Chromium against `weftline serve`, through the demo page's origin.
//
//   node suite.mjs PATH/TO/weftline [--chromium /usr/bin/chromium] [--only WORD]
//
// Every case opens its own session; what the server saw is read back from `/report`. The last
// line is "N passed, N failed"; the exit code is 1 when any failed.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const CASE_TIMEOUT_MS = 30_000;

const args = process.argv.slice(2);
const option = (name, otherwise) => {
  const at = args.indexOf(name);
  return at < 0 ? otherwise : args.splice(at, 2)[1];
};
const executablePath = option('--chromium', '/usr/bin/chromium');
const only = option('--only', '');
const binary = args[0];
if (!binary) {
  console.error('usage: node suite.mjs PATH/TO/weftline [--chromium PATH] [--only WORD]');
  process.exit(2);
}

/** Starts the server and gives its `ready` line and a way to stop it. */
async function startServer(...extra) {
  const child = spawn(
    binary,
    ['serve', '--listen', '127.0.0.1:0', '--web', '127.0.0.1:0', '--json', ...extra],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const lines = createInterface({ input: child.stdout });
  const [first] = await Promise.race([
    once(lines, 'line'),
    once(child, 'exit').then(([code]) => {
      throw new Error(`weftline serve exited with ${code} before it was ready`);
    }),
  ]);
  lines.on('line', () => {}); // keep the pipe empty
  const ready = JSON.parse(first);
  if (ready.event !== 'ready') throw new Error(`first line is not "ready": ${first}`);
  const stop = async () => {
    if (child.exitCode === null) {
      child.kill('SIGINT');
      await once(child, 'exit');
    }
    return child.exitCode;
  };
  return { ...ready, stop };
}

/** Runs inside the page: helpers every case can use, put on `globalThis`. */
function installHelpers({ url, hash }) {
  const bytesOf = (hex) => new Uint8Array(hex.match(/../g).map((pair) => parseInt(pair, 16)));
  const helpers = {
    url,
    hash,
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    pattern: (n, seed) => Uint8Array.from({ length: n }, (_, i) => (i * 31 + seed + (i >> 8)) & 255),
    connect(path, options = {}, withHash = hash) {
      return new WebTransport(url + path, {
        serverCertificateHashes: [{ algorithm: 'sha-256', value: bytesOf(withHash) }],
        ...options,
      });
    },
    async session(path, options) {
      const wt = helpers.connect(path, options);
      wt.closed.catch(() => {});
      await wt.ready;
      return wt;
    },
    async readAll(readable) {
      const chunks = [];
      let length = 0;
      for (const reader = readable.getReader(); ;) {
        const { value, done } = await reader.read();
        if (done) break;
        chunks.push(value);
        length += value.length;
      }
      const all = new Uint8Array(length);
      let at = 0;
      for (const chunk of chunks) {
        all.set(chunk, at);
        at += chunk.length;
      }
      return all;
    },
    async writeAll(writable, bytes) {
      const writer = writable.getWriter();
      if (bytes.length) writer.write(bytes).catch(() => {});
      await writer.close();
    },
    async echoBidi(wt, bytes) {
      const stream = await wt.createBidirectionalStream();
      const [back] = await Promise.all([
        helpers.readAll(stream.readable),
        helpers.writeAll(stream.writable, bytes),
      ]);
      return helpers.same(back, bytes);
    },
    same: (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]),
    text: (bytes) => new TextDecoder().decode(bytes),
    encode: (text) => new TextEncoder().encode(text),
    async next(readable) {
      const reader = readable.getReader();
      const { value, done } = await reader.read();
      reader.releaseLock();
      if (done) throw new Error('ended');
      return value;
    },
    /** What the server saw of the session named `of`, once `enough` holds. */
    async report(of, enough) {
      for (let attempt = 0; attempt < 50; attempt += 1) {
        const wt = await helpers.session(`/report?of=${of}`);
        const stream = await helpers.next(wt.incomingUnidirectionalStreams);
        const report = JSON.parse(helpers.text(await helpers.readAll(stream)));
        wt.close();
        if (enough(report)) return report;
        await helpers.sleep(100);
      }
      throw new Error(`the server never reported what was expected of ${of}`);
    },
    check(condition, message) {
      if (!condition) throw new Error(message);
    },
    async fails(promise, message) {
      try {
        await promise;
      } catch (error) {
        return error;
      }
      throw new Error(message);
    },
  };
  globalThis.h = helpers;
}

// Each case runs inside the page; what it returns is printed beside its name.
const cases = {
  'session ready': async () => {
    const wt = await h.session('/echo');
    wt.close();
    return wt.reliability;
  },

  'unknown path (404) refused': async () => {
    const wt = h.connect('/no-such-path');
    wt.closed.catch(() => {});
    const error = await h.fails(wt.ready, 'a session on an unknown path became ready');
    return error.name;
  },

  'rejected path (403) refused': async () => {
    const wt = h.connect('/reject');
    wt.closed.catch(() => {});
    const error = await h.fails(wt.ready, 'a rejected session became ready');
    return error.name;
  },

  'wrong certificate hash refused': async () => {
    const wt = h.connect('/echo', {}, 'ab'.repeat(32));
    wt.closed.catch(() => {});
    const error = await h.fails(wt.ready, 'a wrong hash was accepted');
    return error.name;
  },

  'datagram echo up to the maximum size': async () => {
    const wt = await h.session('/echo');
    const writer = wt.datagrams.writable.getWriter();
    const reader = wt.datagrams.readable.getReader();
    const max = wt.datagrams.maxDatagramSize;
    h.check(max >= 1000, `maxDatagramSize is only ${max}`);
    // Not 0: Chromium's reader throws "chunk is empty" when an empty datagram arrives.
    for (const size of [1, 2, 100, 1000, max - 1, max]) {
      const sent = h.pattern(size, size);
      let back;
      for (let attempt = 0; attempt < 10 && !back; attempt += 1) {
        await writer.write(sent);
        back = await Promise.race([reader.read(), h.sleep(1000)]);
      }
      h.check(back, `no echo of a datagram of ${size} bytes`);
      h.check(h.same(back.value, sent), `a datagram of ${size} bytes came back changed`);
    }
    wt.close();
    return `${max} bytes`;
  },

  'bidi echo: empty': async () => {
    const wt = await h.session('/echo');
    h.check(await h.echoBidi(wt, new Uint8Array()), 'differs');
    wt.close();
  },

  'bidi echo: small': async () => {
    const wt = await h.session('/echo');
    h.check(await h.echoBidi(wt, h.encode('hello')), 'differs');
    wt.close();
  },

  'bidi echo: 1 MiB': async () => {
    const wt = await h.session('/echo');
    const start = performance.now();
    h.check(await h.echoBidi(wt, h.pattern(1 << 20, 7)), 'differs');
    wt.close();
    return `${Math.round(performance.now() - start)} ms`;
  },

  'uni echo': async () => {
    const wt = await h.session('/echo');
    const sent = h.pattern(100_000, 3);
    await h.writeAll(await wt.createUnidirectionalStream(), sent);
    const back = await h.readAll(await h.next(wt.incomingUnidirectionalStreams));
    h.check(h.same(back, sent), 'differs');
    wt.close();
  },

  'server-opened streams': async () => {
    const [uni, bidi, size] = [5, 5, 5000];
    const wt = await h.session(`/server-streams?uni=${uni}&bidi=${bidi}&size=${size}&id=opened`);
    const unis = wt.incomingUnidirectionalStreams.getReader();
    const seen = new Set();
    for (let i = 0; i < uni; i += 1) {
      const bytes = await h.readAll((await unis.read()).value);
      seen.add(bytes[0]);
      h.check(h.same(bytes, h.pattern(size, bytes[0])), `uni stream ${i} differs`);
    }
    h.check(seen.size === uni, 'some uni streams came twice');
    const bidis = wt.incomingBidirectionalStreams.getReader();
    for (let i = 0; i < bidi; i += 1) {
      const stream = (await bidis.read()).value;
      const bytes = await h.readAll(stream.readable);
      h.check(h.same(bytes, h.pattern(size, bytes[0])), `bidi stream ${i} differs`);
      await h.writeAll(stream.writable, bytes);
    }
    const report = await h.report('opened', (r) => r.server_bidi.length === bidi);
    h.check(report.server_bidi.every(Boolean), 'the server got other bytes back');
    wt.close();
  },

  'server datagrams': async () => {
    const wt = await h.session('/datagrams?n=10');
    const reader = wt.datagrams.readable.getReader();
    const seen = new Set();
    for (let i = 0; i < 10; i += 1) seen.add(h.text((await reader.read()).value));
    for (let i = 0; i < 10; i += 1) h.check(seen.has(`srv-${i}`), `srv-${i} is missing`);
    wt.close();
  },

  '200 bidi streams, 20 at a time': async () => {
    const wt = await h.session('/echo');
    const start = performance.now();
    let next = 0;
    const worker = async () => {
      while (next < 200) {
        const i = next;
        next += 1;
        h.check(await h.echoBidi(wt, h.pattern(2000 + i, i)), `stream ${i} differs`);
      }
    };
    await Promise.all(Array.from({ length: 20 }, worker));
    wt.close();
    return `${Math.round(performance.now() - start)} ms`;
  },

  'two sessions at once': async () => {
    const [a, b] = await Promise.all([h.session('/echo'), h.session('/echo')]);
    const results = await Promise.all([
      h.echoBidi(a, h.encode('first')),
      h.echoBidi(b, h.encode('second')),
    ]);
    h.check(results.every(Boolean), 'differs');
    a.close();
    h.check(await h.echoBidi(b, h.encode('still here')), 'the other session ended too');
    b.close();
  },

  'close code and reason from the server': async () => {
    const wt = await h.session('/close?code=4321&reason=enough%20said');
    const info = await wt.closed;
    h.check(info.closeCode === 4321, `code ${info.closeCode}`);
    h.check(info.reason === 'enough said', `reason ${info.reason}`);
  },

  'close code and reason to the server': async () => {
    const wt = await h.session('/echo?id=closing');
    wt.close({ closeCode: 1234, reason: 'good bye \u{1F44B}' });
    const report = await h.report('closing', (r) => r.close !== null);
    h.check(report.close.code === 1234, `code ${report.close.code}`);
    h.check(report.close.reason === 'good bye \u{1F44B}', `reason ${report.close.reason}`);
  },

  // On streams of their own: when both come at once for a bidirectional stream, Chromium fails its
  // writer with a bare NetworkError.
  'reset code from the server': async () => {
    const wt = await h.session('/reset?code=77');
    const stream = await wt.createBidirectionalStream();
    const writer = stream.writable.getWriter();
    writer.closed.catch(() => {});
    writer.write(h.encode('x')).catch(() => {});
    const reset = await h.fails(h.readAll(stream.readable), 'the stream was not reset');
    h.check(reset.streamErrorCode === 77, `code ${reset.streamErrorCode}`);
    wt.close();
  },

  'stop code from the server': async () => {
    const wt = await h.session('/reset?code=78');
    const writer = (await wt.createUnidirectionalStream()).getWriter();
    writer.write(h.encode('x')).catch(() => {});
    const stopped = await h.fails(writer.closed, 'the stream was not stopped');
    h.check(stopped.streamErrorCode === 78, `code ${stopped.streamErrorCode}`);
    wt.close();
  },

  'reset and stop codes to the server': async () => {
    const wt = await h.session('/echo?id=aborting');
    const stream = await wt.createBidirectionalStream();
    const writer = stream.writable.getWriter();
    await writer.write(h.encode('x'));
    await h.next(stream.readable); // both directions are in use now
    await stream.readable.cancel(new WebTransportError({ message: 'stop', streamErrorCode: 88 }));
    await writer
      .abort(new WebTransportError({ message: 'reset', streamErrorCode: 99 }))
      .catch(() => {});
    const report = await h.report('aborting', (r) => r.resets.length && r.stops.length);
    h.check(report.resets[0].code === 99, `reset code ${report.resets[0].code}`);
    h.check(report.stops[0].code === 88, `stop code ${report.stops[0].code}`);
    wt.close();
  },

  subprotocol: async () => {
    const wt = await h.session('/echo', { protocols: ['weft-2', 'weft-1'] });
    h.check(wt.protocol === 'weft-2', `protocol ${wt.protocol}`);
    wt.close();
    return wt.protocol;
  },

  'drain leaves the session usable': async () => {
    const wt = await h.session('/drain');
    if ('draining' in wt) {
      await wt.draining;
    } else {
      await h.sleep(500);
    }
    h.check(await h.echoBidi(wt, h.encode('after drain')), 'differs');
    wt.close();
    return 'draining' in wt ? 'draining promise resolved' : 'this browser has no draining promise';
  },

  'demo page shows echoes': async () => {
    // The page under test is the demo page itself: its own session runs beside ours.
    const deadline = performance.now() + 10_000;
    const value = (id) => Number(document.getElementById(id)?.textContent ?? '0');
    while (performance.now() < deadline) {
      if (value('datagram-echoes') > 0 && value('stream-echoes') > 0) {
        return `${value('datagram-echoes')} datagrams, ${value('stream-echoes')} streams`;
      }
      await h.sleep(100);
    }
    throw new Error('the demo page counted no echoes');
  },
};

const server = await startServer('--protocol', 'any');
const browser = await chromium.launch({
  executablePath,
  args: [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
});
let [passed, failed] = [0, 0];
try {
  console.log(`browser: Chromium ${browser.version()}`);
  const page = await browser.newPage();
  page.on('pageerror', (error) => console.error(`page error: ${error}`));
  await page.goto(server.web);
  await page.evaluate(installHelpers, { url: server.url, hash: server.cert_sha256 });
  for (const [name, body] of Object.entries(cases)) {
    if (!name.includes(only)) continue;
    let timer;
    const timeout = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error('timed out')), CASE_TIMEOUT_MS);
    });
    try {
      const note = await Promise.race([page.evaluate(body), timeout]);
      console.log(`ok      ${name}${note ? ` (${note})` : ''}`);
      passed += 1;
    } catch (error) {
      console.log(`FAILED  ${name}: ${String(error.message).split('\n')[0]}`);
      failed += 1;
    } finally {
      clearTimeout(timer);
    }
  }
} finally {
  await browser.close();
}
const code = await server.stop();
if (code === 0) {
  console.log('ok      server drains and exits 0 on SIGINT');
  passed += 1;
} else {
  console.log(`FAILED  server exited with ${code} on SIGINT`);
  failed += 1;
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
