"""Follows expiry alerts with gql over a wire that is cut: `python gql-client.py URL TOKEN COUNT`.

Each alert's step goes to standard output. The cursor of the last event is all that a client has to keep.
"""

import asyncio
import sys

from gql import Client, gql
from gql.transport.exceptions import TransportClosed, TransportConnectionFailed
from gql.transport.websockets import WebsocketsTransport
from websockets.exceptions import ConnectionClosed

CURSOR = gql("{ account { eventCursor } }")
ALERTS = gql(
    """
    subscription($after: EventCursor) {
      expiryAlerts(after: $after) { cursor alert { step daysLeft resource { name } } }
    }
    """
)
CUT = (TransportConnectionFailed, TransportClosed, ConnectionClosed, ConnectionError)


class Transport(WebsocketsTransport):
    """gql 4.0 finds the server's choice of a subprotocol only when the header's name is spelled its own way, and falls back
    to a legacy protocol. Names of headers have no case, and the gateway speaks one protocol: it is known without looking.
    """

    async def _after_connect(self) -> None:
        self.subprotocol = self.GRAPHQLWS_SUBPROTOCOL


def transport(url: str, token: str) -> WebsocketsTransport:
    return Transport(
        url=url.replace("http", "ws", 1),
        init_payload={"Authorization": f"Bearer {token}"},
        subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL],
    )


async def main(url: str, token: str, count: int) -> None:
    # Queries go over the socket as well.
    async with Client(transport=transport(url, token)) as session:
        after = (await session.execute(CURSOR))["account"]["eventCursor"]
    print("listening", flush=True)
    seen = 0
    while seen < count:
        try:
            async with Client(transport=transport(url, token)) as session:
                ALERTS.variable_values = {"after": after}
                async for result in session.subscribe(ALERTS):
                    after = result["expiryAlerts"]["cursor"]
                    print(result["expiryAlerts"]["alert"]["step"], flush=True)
                    seen += 1
                    if seen == count:
                        break
        except CUT:
            pass


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
