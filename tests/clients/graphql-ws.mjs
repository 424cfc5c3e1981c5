// Follows expiry alerts with graphql-ws over a wire that is cut: `node graphql-ws.mjs URL TOKEN COUNT`.
// Each alert's step goes to standard output. The cursor of the last event is all that a client has to keep.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const [url, token, count] = process.argv.slice(2);
const ALERTS = `subscription($after: EventCursor) {
  expiryAlerts(after: $after) { cursor alert { step daysLeft resource { name } } }
}`;

const answer = await fetch(url, {
  method: 'POST',
  headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
  body: JSON.stringify({ query: '{ account { eventCursor } }' }),
});
let after = (await answer.json()).data.account.eventCursor;

const client = createClient({
  url: url.replace('http', 'ws'),
  webSocketImpl: WebSocket,
  connectionParams: { Authorization: `Bearer ${token}` },
  // A subscription that the library repeats by itself would begin at its old cursor: it is begun anew here.
  retryAttempts: 0,
});

console.log('listening');
for (let seen = 0; seen < Number(count); ) {
  try {
    for await (const { data } of client.iterate({ query: ALERTS, variables: { after } })) {
      after = data.expiryAlerts.cursor;
      console.log(data.expiryAlerts.alert.step);
      if (++seen === Number(count)) break;
    }
  } catch (cut) {
    if (cut.code === 4403 || cut.code === 4401 || Array.isArray(cut)) throw cut;
  }
}
await client.dispose();
