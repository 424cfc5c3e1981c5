//! The tables, one file each, without behaviour, and the types of their columns.
//!
//! Amounts are whole minor units (`*_minor`), rates and percents are millionths (`*_micros`), instants are UTC with
//! microseconds. What the tables promise beyond types (ranges, states, uniqueness) stands in `migration`.

pub mod account;
pub mod account_event;
pub mod alert_recipient;
pub mod auto_top_up;
pub mod billing_address;
pub mod code_counter;
pub mod component;
pub mod coupon;
pub mod coupon_redemption;
pub mod credit_note;
pub mod credit_note_line;
pub mod credit_transfer;
pub mod engine_downtime;
pub mod engine_lease;
pub mod enums;
pub mod expiry_alert;
pub mod gateway_capture;
pub mod gateway_notice;
pub mod gateway_payment;
pub mod gateway_refund;
pub mod hold;
pub mod idempotency_key;
pub mod invoice;
pub mod invoice_line;
pub mod ledger_posting;
pub mod ledger_transaction;
pub mod order;
pub mod order_item;
pub mod outbox_cursor;
pub mod outbox_delivery;
pub mod paid_period;
pub mod payment;
pub mod payment_link;
pub mod payment_method;
pub mod price;
pub mod product;
pub mod quarantine;
pub mod quote;
pub mod raw_json;
pub mod resource;
pub mod resource_tag;
pub mod resource_type;
pub mod sandbox_record;
pub mod schedule_step;
pub mod store_state;
pub mod wallet;
pub mod wallet_entry;
pub mod webhook_delivery;
pub mod webhook_endpoint;
