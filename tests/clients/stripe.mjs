// Stripe's own library, once: `node stripe.mjs`. It reads what to do from standard input and writes what came of it to standard
// output, both JSON.
//
// { sign: { payload, secret, timestamp } }                  the header of a webhook, as a text
// { verify: { payload, header, secret, receivedAt } }        whether the library believes it
// { send: { port, key, calls: [[resource, method, ...arguments]] } }   nothing, once all of it is sent

import { text } from 'node:stream/consumers';
import Stripe from 'stripe';

const acts = {
  sign: (webhook) => Stripe.webhooks.generateTestHeaderString(webhook),
  verify({ payload, header, secret, receivedAt }) {
    try {
      Stripe.webhooks.constructEvent(payload, header, secret, undefined, undefined, receivedAt);
      return true;
    } catch (error) {
      if (error instanceof Stripe.errors.StripeSignatureVerificationError) return false;
      throw error;
    }
  },
  async send({ port, key, calls }) {
    const stripe = new Stripe(key, { host: '127.0.0.1', port, protocol: 'http', maxNetworkRetries: 0, telemetry: false });
    for (const [resource, method, ...given] of calls) await stripe[resource][method](...given);
    return null;
  },
};

const [[act, given]] = Object.entries(JSON.parse(await text(process.stdin)));
console.log(JSON.stringify(await acts[act](given)));
