// The texts of VietQR codes by the library `vietnam-qr-pay`, once: `node viet-qr.mjs`. It reads transfers from standard input
// (`[{ bankBin, bankNumber, amount, purpose }]`) and writes their texts to standard output.

import { text } from 'node:stream/consumers';
import { QRPay } from 'vietnam-qr-pay';

const transfers = JSON.parse(await text(process.stdin));
console.log(JSON.stringify(transfers.map((transfer) => QRPay.initVietQR(transfer).build())));
