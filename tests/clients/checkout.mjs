// A payer's browser, driven line by line: `node checkout.mjs CHROMIUM SHOP`. SHOP is the origin that sends payers to the page and gets
// them back; whatever is asked of it is answered here, on loopback.
//
// Each line on standard input is what the payer does, as JSON; each gets a line on standard output: where the payer is then, and what
// the page says.
//
// ["open", URL]     in a new tab
// ["click", TEXT]   a button or link, and waits for where it leads
// ["double", TEXT]  clicks it twice
// ["back"]          the browser's button
// ["shop"]          waits until the page has led back to the shop
// ["close"]         the tab; the one before it is in front again
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const [executablePath, shop] = process.argv.slice(2);
// The page leads to the shop by itself. It is answered when it is waited for, so that a page is still there when it is looked at.
const knocking = [];
const server = createServer((_, response) => knocking.push(response));
await new Promise((listens) => server.listen(0, '127.0.0.1', listens));
const browser = await chromium.launch({
  executablePath,
  args: [`--host-resolver-rules=MAP ${new URL(shop).host} 127.0.0.1:${server.address().port}`],
  // Pages that were left are kept as payers' browsers keep them.
  ignoreDefaultArgs: ['--disable-back-forward-cache'],
});
const payer = await browser.newContext();

const tabs = [];
const tab = () => tabs.at(-1);

/** Clicks what has these words, and waits for where that leads: there it is gone. */
async function click(words, clicks) {
  const found = tab().getByText(words, { exact: true });
  // Whatever else a gateway may do is folded up.
  if (!(await found.isVisible())) await tab().locator('summary').click();
  await found.click({ clickCount: clicks, noWaitAfter: true });
  await found.waitFor({ state: 'detached' });
  await tab().waitForLoadState();
}

const acts = {
  open: async (url) => {
    tabs.push(await payer.newPage());
    await tab().goto(url);
  },
  click: (words) => click(words, 1),
  double: (words) => click(words, 2),
  back: () => tab().goBack(),
  shop: async () => {
    const open = setInterval(() => knocking.splice(0).forEach((response) => response.end('The shop')), 20);
    await tab().waitForURL(`${shop}/**`);
    clearInterval(open);
  },
  close: () => tabs.pop().close(),
};

for await (const line of createInterface({ input: process.stdin })) {
  const [act, ...given] = JSON.parse(line);
  await acts[act](...given);
  const seen = tab() ? { url: tab().url(), text: await tab().locator('body').innerText() } : {};
  console.log(JSON.stringify(seen));
}
await browser.close();
server.close();
