// Follows expiry alerts with Apollo Client over a wire that is cut: `node apollo.mjs URL TOKEN COUNT`.
// Queries go over HTTP and subscriptions over a socket; the cursor of the last event is all that a client has to keep.
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { getMainDefinition } from '@apollo/client/utilities';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const [url, token, count] = process.argv.slice(2);
const authorization = `Bearer ${token}`;
const sockets = createClient({
  url: url.replace('http', 'ws'),
  webSocketImpl: WebSocket,
  connectionParams: { Authorization: authorization },
  retryAttempts: 0,
});
const client = new ApolloClient({
  cache: new InMemoryCache(),
  link: ApolloLink.split(
    ({ query }) => getMainDefinition(query).operation === 'subscription',
    new GraphQLWsLink(sockets),
    new HttpLink({ uri: url, headers: { authorization } }),
  ),
});

const PAGE = gql`{
  account { id eventCursor }
  expiryAlerts(first: 10) { nodes { id step } }
}`;
const ALERTS = gql`subscription($after: EventCursor) {
  expiryAlerts(after: $after) { cursor alert { id step daysLeft resource { id name } } }
}`;

const page = await client.query({ query: PAGE });
let after = page.data.account.eventCursor;
let seen = 0;

// Ends when the wire is cut, or when all was seen.
const follow = () =>
  new Promise((done, failed) => {
    const subscription = client.subscribe({ query: ALERTS, variables: { after } }).subscribe({
      next({ data, error }) {
        if (error) {
          return error.errors ? failed(error) : done();
        }
        after = data.expiryAlerts.cursor;
        console.log(data.expiryAlerts.alert.step);
        if (++seen === Number(count)) {
          subscription.unsubscribe();
          done();
        }
      },
      error: done,
      complete: done,
    });
  });

console.log('listening');
while (seen < Number(count)) await follow();
client.stop();
await sockets.dispose();
