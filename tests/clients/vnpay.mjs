// VNPAY as the library `vnpay` knows it: `node vnpay.mjs TERMINAL SECRET`. Every signature here is made or judged by the library.
//
// The first line on standard output is the port; it ends when standard input does.
//
// GET  /paymentv2/vpcpay.html?...              the page: answers what the library makes of the address, and keeps the payment
// GET  /tells/REFERENCE?vnp_ResponseCode=...   the query of the notification that says so, signed
// POST /merchant_webapi/api/transaction        questions and refunds, for payments that were told of

import { createServer } from 'node:http';
import { VNPay, buildPaymentUrlSearchParams, calculateSecureHash } from 'vnpay';

const [tmnCode, secureSecret] = process.argv.slice(2);
const payments = new Map();
let vnpay;
// What the library's own request was, and what it is answered.
let library = {};

const sign = (data) => calculateSecureHash({ secureSecret, data, hashAlgorithm: 'SHA512', bufferEncode: 'utf-8' });

function page(query) {
  const told = Object.fromEntries(query);
  const { vnp_SecureHash, ...fields } = told;
  const { isVerified } = vnpay.verifyReturnUrl({ ...told });
  // The same payment, written by the library.
  const url = vnpay.buildPaymentUrl({ ...fields, vnp_Amount: Number(fields.vnp_Amount) / 100 });
  if (isVerified) payments.set(fields.vnp_TxnRef, fields);
  return { isVerified, query: new URL(url).search.slice(1) };
}

function tells(reference, says) {
  const payment = payments.get(reference) ?? {};
  payment.told = {
    vnp_Amount: payment.vnp_Amount, vnp_BankCode: 'NCB', vnp_BankTranNo: 'VNP14226112', vnp_CardType: 'ATM',
    vnp_OrderInfo: payment.vnp_OrderInfo, vnp_PayDate: payment.vnp_CreateDate, vnp_ResponseCode: '00', vnp_TmnCode: tmnCode,
    vnp_TransactionNo: '14226112', vnp_TransactionStatus: '00', vnp_TxnRef: reference, ...Object.fromEntries(says),
  };
  const query = buildPaymentUrlSearchParams(payment.told).toString();
  const vnp_SecureHash = sign(query);
  const judged = vnpay.verifyIpnCall({ ...payment.told, vnp_SecureHash });
  return { query: `${query}&vnp_SecureHash=${vnp_SecureHash}`, isVerified: judged.isVerified };
}

// The fields of an answer in the order in which they are signed; a refund's has no promotion.
const ANSWERED = ['ResponseId', 'Command', 'ResponseCode', 'Message', 'TmnCode', 'TxnRef', 'Amount', 'BankCode', 'PayDate',
  'TransactionNo', 'TransactionType', 'TransactionStatus', 'OrderInfo', 'PromotionCode', 'PromotionAmount'];

function signed(answer) {
  const fields = answer.vnp_Command === 'refund' ? ANSWERED.slice(0, -2) : ANSWERED;
  return { ...answer, vnp_SecureHash: sign(fields.map((field) => answer[`vnp_${field}`] ?? '').join('|')) };
}

async function transaction(asked) {
  const isRefund = asked.vnp_Command === 'refund';
  const payment = payments.get(asked.vnp_TxnRef);
  const known = payment && payment.vnp_CreateDate === asked.vnp_TransactionDate;
  if (known && isRefund) payment.refund = { type: asked.vnp_TransactionType, amount: asked.vnp_Amount };
  const told = known ? { ...payment, vnp_BankCode: 'NCB', vnp_TransactionNo: '0', vnp_TransactionStatus: '01', ...payment.told } : {};
  const back = known && payment.refund;
  const answer = signed({
    vnp_ResponseId: 'a6ab0a39d2274b3d8a5c5f1a5d2a3b4c', vnp_Command: asked.vnp_Command, vnp_ResponseCode: known ? '00' : '91',
    vnp_Message: known ? 'Success' : 'Not found', vnp_TmnCode: tmnCode, vnp_TxnRef: asked.vnp_TxnRef,
    vnp_Amount: back ? back.amount : told.vnp_Amount, vnp_BankCode: told.vnp_BankCode, vnp_PayDate: told.vnp_PayDate,
    vnp_TransactionNo: told.vnp_TransactionNo, vnp_TransactionType: back ? back.type : '01',
    vnp_TransactionStatus: back ? '06' : told.vnp_TransactionStatus, vnp_OrderInfo: asked.vnp_OrderInfo,
    ...(isRefund ? {} : { vnp_PromotionCode: '', vnp_PromotionAmount: '' }),
  });
  // The library asks the same. Of a refund's answer it divides the amount before it checks the signature, so it is handed a
  // hundredfold: it judges which fields are signed and in which order, not that the amount is signed as it is sent.
  const { vnp_SecureHash, vnp_Command, vnp_Version, vnp_TmnCode, ...fields } = asked;
  const shown = isRefund ? { ...answer, vnp_Amount: answer.vnp_Amount && String(answer.vnp_Amount * 100) } : answer;
  library = { answer: shown };
  const judged = isRefund
    ? await vnpay.refund({ ...fields, vnp_Amount: fields.vnp_Amount / 100 })
    : await vnpay.queryDr(fields);
  if (!judged.isVerified) throw new Error('the library does not believe this answer');
  if (library.request.vnp_SecureHash !== vnp_SecureHash) {
    return signed({ vnp_Command, vnp_ResponseCode: '97', vnp_Message: 'Invalid checksum', vnp_TmnCode: tmnCode });
  }
  return answer;
}

async function answer(request, url) {
  let body = '';
  for await (const part of request) body += part;
  const [, first, second] = url.pathname.split('/');
  if (first === 'paymentv2') return page(url.searchParams);
  if (first === 'tells') return tells(second, url.searchParams);
  if (first === 'merchant_webapi') return transaction(JSON.parse(body));
  library.request = JSON.parse(body);
  return library.answer;
}

const server = createServer((request, response) => {
  answer(request, new URL(request.url, 'http://localhost'))
    .then((said) => response.setHeader('content-type', 'application/json').end(JSON.stringify(said)))
    .catch((error) => response.writeHead(500).end(String(error)));
});
server.listen(0, '127.0.0.1', () => {
  const host = `http://127.0.0.1:${server.address().port}`;
  vnpay = new VNPay({
    tmnCode, secureSecret, vnpayHost: host, queryDrAndRefundHost: host, enableLog: false,
    endpoints: { queryDrRefundEndpoint: 'library' },
  });
  console.log(server.address().port);
});
process.stdin.resume().on('end', () => process.exit());
