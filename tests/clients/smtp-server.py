"""A real mail server on loopback: aiosmtpd, with a handler that keeps what it takes, parsed, and fails as it is told.

    smtp-server.py FOLDER [starttls|tls]

With a way of protection it takes nothing unprotected, and nothing from anybody but `an` with the password `p@ss`; its
certificate and key are FOLDER/cert.pem and FOLDER/key.pem. Prints its port, then the number of each message that it took. Each message becomes FOLDER/N.json: the envelope, the
headers as a mail program reads them, and the text and HTML that it would show. FOLDER/mode says what is done with the
next messages; with `once:` before it, with one only.

    accept       takes them (the usual)
    busy         answers the recipient with 451
    busy-data    answers the whole message with 452
    refuse       answers the recipient with 550
    drop         takes the whole message and closes the connection without an answer
    hang         takes the whole message and never answers
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult

FOLDER = Path(sys.argv[1])
PROTECTED = sys.argv[2] if len(sys.argv) > 2 else None


def mode():
    file = FOLDER / "mode"
    told = file.read_text().strip() if file.exists() else "accept"
    if told.startswith("once:"):
        file.write_text("accept")
    return told.removeprefix("once:")


def parsed(envelope):
    message = email.message_from_bytes(envelope.original_content, policy=email.policy.SMTP)
    body = lambda kind: (part := message.get_body((kind,))) and part.get_content()
    return {
        "from": envelope.mail_from,
        "to": envelope.rcpt_tos,
        "headers": {name.lower(): str(value) for name, value in message.items()},
        "names": [name.lower() for name in message.keys()],
        "defects": [str(defect) for part in message.walk() for defect in part.defects],
        "type": message.get_content_type(),
        "text": body("plain"),
        "html": body("html"),
    }


class Keeper:
    count = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        envelope.mode = mode()
        if envelope.mode == "busy":
            return "451 4.3.0 come again later"
        if envelope.mode == "refuse":
            return "550 5.1.1 there is nobody of this name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if envelope.mode == "busy-data":
            return "452 4.3.1 come again later"
        Keeper.count += 1
        number = Keeper.count
        new = FOLDER / f"{number}.new"
        new.write_text(json.dumps(parsed(envelope)))
        new.rename(FOLDER / f"{number}.json")
        print(number, flush=True)
        if envelope.mode == "drop":
            server.transport.abort()
        if envelope.mode == "hang":
            await asyncio.sleep(3600)
        return "250 OK"


def authenticated(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"an", b"p@ss"), handled=False)


async def main():
    context, options = None, {}
    if PROTECTED:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(FOLDER / "cert.pem", FOLDER / "key.pem")
        options = {"authenticator": authenticated, "auth_required": True, "auth_require_tls": PROTECTED == "starttls"}
    if PROTECTED == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
    loop = asyncio.get_running_loop()
    whole = context if PROTECTED == "tls" else None
    server = await loop.create_server(lambda: SMTP(Keeper(), **options), "127.0.0.1", 0, ssl=whole)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
