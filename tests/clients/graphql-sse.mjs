// Follows expiry alerts with graphql-sse over a wire that is cut: `node graphql-sse.mjs URL TOKEN COUNT`.
// Each alert's step goes to standard output. The cursor of the last event is all that a client has to keep.
import { createClient } from 'graphql-sse';

const [url, token, count] = process.argv.slice(2);
const headers = { authorization: `Bearer ${token}` };
const ALERTS = `subscription($after: EventCursor) {
  expiryAlerts(after: $after) { cursor alert { step daysLeft resource { name } } }
}`;

const answer = await fetch(url, {
  method: 'POST',
  headers: { 'content-type': 'application/json', ...headers },
  body: JSON.stringify({ query: '{ account { eventCursor } }' }),
});
let after = (await answer.json()).data.account.eventCursor;

// A subscription that the library repeats by itself would begin at its old cursor: it is begun anew here.
const client = createClient({ url, headers, retryAttempts: 0 });

console.log('listening');
for (let seen = 0; seen < Number(count); ) {
  try {
    for await (const { data, errors } of client.iterate({ query: ALERTS, variables: { after } })) {
      if (errors) throw new AggregateError(errors, errors[0].message);
      after = data.expiryAlerts.cursor;
      console.log(data.expiryAlerts.alert.step);
      if (++seen === Number(count)) break;
    }
  } catch (cut) {
    // The library says NetworkError of a stream that ended before it was complete, and of a refused request too: that
    // one has a response.
    if (cut instanceof AggregateError || cut.response) throw cut;
  }
}
client.dispose();
