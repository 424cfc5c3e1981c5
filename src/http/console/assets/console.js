// GraphiQL over this gateway: queries and mutations by POST, subscriptions by graphql-transport-ws, both with the token
// of the bar. A link may carry it as #token=...: a fragment never reaches a server or its log, and it is taken out of
// the address bar at once. The token lives as long as the tab.
(() => {
  'use strict';
  const KEY = 'billing-gateway:token';
  const http = new URL('graphql', location.href);
  const socket = new URL(http);
  socket.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';

  const given = new URLSearchParams(location.hash.slice(1)).get('token');
  if (given !== null) {
    sessionStorage.setItem(KEY, given);
    history.replaceState(null, '', location.pathname + location.search);
  }

  const input = document.getElementById('token');
  const who = document.getElementById('who');
  const root = ReactDOM.createRoot(document.getElementById('graphiql'));
  const token = () => (sessionStorage.getItem(KEY) || '').replace(/^bearer\s+/i, '').trim();
  let client;
  let shown = 0;

  // What the token says of itself; the gateway alone decides whether it is true.
  function describe(text) {
    if (!text) return 'no token';
    try {
      const part = text.split('.')[1].replace(/-/g, '+').replace(/_/g, '/');
      const claims = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(part), (c) => c.charCodeAt(0))));
      const until = claims.exp ? new Date(claims.exp * 1000).toLocaleString() : 'no end';
      return `${claims.role || 'no role'} · ${claims.sub || 'no subject'} · until ${until}`;
    } catch {
      return 'not a token';
    }
  }

  function show() {
    if (client) client.dispose();
    client = graphqlWs.createClient({
      url: socket.href,
      connectionParams: () => (token() ? { authorization: `Bearer ${token()}` } : {}),
    });
    const fetcher = GraphiQL.createFetcher({
      url: http.href,
      wsClient: client,
      fetch: (url, options) => {
        const headers = new Headers(options.headers);
        headers.set('accept', 'application/graphql-response+json, application/json;q=0.9');
        if (token() && !headers.has('authorization')) headers.set('authorization', `Bearer ${token()}`);
        return fetch(url, { ...options, headers, credentials: 'omit' });
      },
    });
    input.value = token();
    who.textContent = describe(token());
    // A new key: GraphiQL reads the schema again, as the new caller sees it.
    shown += 1;
    root.render(React.createElement(GraphiQL, { key: shown, fetcher, shouldPersistHeaders: false }));
  }

  document.getElementById('bar').addEventListener('submit', (event) => {
    event.preventDefault();
    sessionStorage.setItem(KEY, input.value);
    show();
  });
  show();
})();
