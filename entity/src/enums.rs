//! Every status and kind of the business, defined once: the columns, the JSON documents and the GraphQL schema all use these.
//!
//! A value is stored and spoken as its name in SCREAMING_SNAKE_CASE. Adding one means a migration that widens the
//! table's CHECK. Nothing here decides anything: the rules over these words live in the gateway's `domain`.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// Declares an enum that is stored as text, serialised as the same text and, with the feature `graphql`, part of the schema.
macro_rules! stored_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
        #[cfg_attr(feature = "graphql", derive(async_graphql::Enum))]
        #[sea_orm(rs_type = "String", db_type = "String(StringLen::N(32))")]
        pub enum $name {
            $(
                $(#[$vdoc])*
                #[sea_orm(string_value = $text)]
                #[serde(rename = $text)]
                #[cfg_attr(feature = "graphql", graphql(name = $text))]
                $variant,
            )+
        }

        impl $name {
            /// The text that is stored and spoken.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(format!("{text:?} is not one of: {}", [$($text),+].join(", "))),
                }
            }
        }
    };
}

mod billing;
mod paying;
mod telling;

pub use billing::BillingAddressKind;
pub use paying::{CancelReason, CaptureUse, LinkStatus, NoticeVerdict, QuarantineStatus, RefundStatus};
pub use telling::{
    DeliveryChannel, DeliveryStatus, EventType, MailCategory, ProductCall, RecipientStatus, WebhookStatus,
};

stored_enum! {
    /// How an account is billed.
    BillingMode {
        /// Pays before it is served.
        Prepaid = "PREPAID",
        /// Is invoiced after the month.
        Postpaid = "POSTPAID",
    }
}

stored_enum! {
    /// The language in which an account is written to.
    Language {
        /// Vietnamese.
        Vi = "VI",
        /// English.
        En = "EN",
    }
}

stored_enum! {
    /// Which of an account's wallets.
    WalletKind {
        /// The credit wallet: 1 credit is 1 unit of the currency.
        Credit = "CREDIT",
        /// Promotional money with an end date, for proof-of-concept resources only.
        Poc = "POC",
    }
}

stored_enum! {
    /// Which part of a wallet an amount belongs to.
    FundsKind {
        /// Money that was paid in.
        Cash = "CASH",
        /// Money that was granted; it is spent first and never leaves through a gateway.
        Promotional = "PROMOTIONAL",
    }
}

stored_enum! {
    /// What a wallet entry records.
    WalletAction {
        /// An operator granted credit.
        Grant = "GRANT",
        /// The customer paid money in.
        TopUp = "TOP_UP",
        /// An order was paid.
        OrderPayment = "ORDER_PAYMENT",
        /// An invoice was paid.
        InvoicePayment = "INVOICE_PAYMENT",
        /// Money came back to the wallet.
        Refund = "REFUND",
        /// Money went back to its payer, through the gateway that it came by.
        RefundToSource = "REFUND_TO_SOURCE",
        /// An operator corrected the balance.
        Adjustment = "ADJUSTMENT",
        /// Credit moved between accounts by a partner.
        Transfer = "TRANSFER",
        /// Unused promotional money reached its end date.
        Expiry = "EXPIRY",
    }
}

stored_enum! {
    /// The accounts of the double-entry ledger, kept per customer account and currency.
    LedgerAccount {
        /// What we owe the customer: the cash part of the credit wallet.
        CustomerCash = "CUSTOMER_CASH",
        /// What we owe the customer: the promotional part of the credit wallet.
        CustomerPromotional = "CUSTOMER_PROMOTIONAL",
        /// What we owe the customer: the proof-of-concept wallet.
        Poc = "POC",
        /// Paid, but not provisioned yet.
        OrdersInProgress = "ORDERS_IN_PROGRESS",
        /// Provisioned and paid for, but not served yet.
        DeferredRevenue = "DEFERRED_REVENUE",
        /// Served.
        Revenue = "REVENUE",
        /// Invoiced, but not paid yet.
        Receivable = "RECEIVABLE",
        /// Tax collected for the state.
        TaxPayable = "TAX_PAYABLE",
        /// Coupons and discounts given.
        Discounts = "DISCOUNTS",
        /// Money on its way between a payment gateway and us.
        GatewayClearing = "GATEWAY_CLEARING",
        /// What gateways keep for themselves.
        GatewayFees = "GATEWAY_FEES",
        /// Money promised back to a payer, not sent yet.
        RefundsPayable = "REFUNDS_PAYABLE",
        /// Money whose owner or purpose is not known yet.
        Suspense = "SUSPENSE",
        /// Grants and corrections by operators.
        Adjustments = "ADJUSTMENTS",
        /// Credit moved by partners.
        Partner = "PARTNER",
    }
}

stored_enum! {
    /// Why a ledger transaction was posted.
    LedgerCause {
        /// An operator granted credit.
        Grant = "GRANT",
        /// An order was paid.
        OrderPayment = "ORDER_PAYMENT",
        /// An order item was provisioned: what was paid for it becomes deferred revenue and tax.
        Provisioned = "PROVISIONED",
        /// An order item failed: what was charged for it went back to the wallet.
        ProvisioningRefund = "PROVISIONING_REFUND",
        /// The unused value of a paid period went back to the wallet.
        UnusedRefund = "UNUSED_REFUND",
        /// A day of a paid period was served.
        Recognition = "RECOGNITION",
        /// Money came in through a gateway or a bank.
        TopUp = "TOP_UP",
        /// An invoice was issued after use.
        InvoiceIssued = "INVOICE_ISSUED",
        /// An invoice was paid.
        InvoicePayment = "INVOICE_PAYMENT",
        /// An operator corrected the balance.
        Adjustment = "ADJUSTMENT",
        /// A partner moved credit.
        Transfer = "TRANSFER",
        /// Money came in that does not fit what it was for: an operator decides.
        Quarantine = "QUARANTINE",
        /// An operator gave quarantined money to the customer's wallet.
        QuarantineCredited = "QUARANTINE_CREDITED",
        /// Quarantined money was sent back to its payer.
        QuarantineReturned = "QUARANTINE_RETURNED",
        /// Money goes back to its payer through the gateway that it came by.
        GatewayRefund = "GATEWAY_REFUND",
        /// A gateway did not send money back after all: the customer has it as credit.
        GatewayRefundFailed = "GATEWAY_REFUND_FAILED",
    }
}

stored_enum! {
    /// What a unit price is for.
    PriceUnit {
        /// One unit for 30 days (43,200 minutes).
        ThirtyDays = "THIRTY_DAYS",
        /// One unit for an hour.
        Hour = "HOUR",
        /// One unit, whatever the time.
        Once = "ONCE",
    }
}

stored_enum! {
    /// How the length of a period is counted.
    DayCount {
        /// Every month has 30 days; counted in the account's zone.
        Thirty360 = "THIRTY_360",
        /// The minutes that passed.
        ActualMinutes = "ACTUAL_MINUTES",
    }
}

stored_enum! {
    /// How a price holds its tax.
    TaxMode {
        /// The price includes the tax.
        Inclusive = "INCLUSIVE",
        /// The tax comes on top.
        Exclusive = "EXCLUSIVE",
    }
}

stored_enum! {
    /// What happens around the end of what is paid.
    LifecyclePolicy {
        /// Daily reminders from seven days before; grace at the end; suspended after 15 days, released after 30.
        Standard = "STANDARD",
        /// One reminder; suspended at the end, as in a trash; released after the product's days.
        Trash = "TRASH",
    }
}

stored_enum! {
    /// How an order item of a product is provisioned.
    ProvisioningMode {
        /// Succeeds at once, inside the payment.
        Instant = "INSTANT",
        /// The product's service reports success or failure.
        Reported = "REPORTED",
    }
}

stored_enum! {
    /// How a resource is served in grace.
    GraceService {
        /// As before.
        Full = "FULL",
        /// As limited as the product decides.
        Limited = "LIMITED",
    }
}

stored_enum! {
    /// What an order item does to its resource.
    OrderAction {
        /// Buys a new resource.
        Create = "CREATE",
        /// Pays for a longer life.
        Renew = "RENEW",
        /// Changes the configuration for the rest of the paid time.
        Resize = "RESIZE",
        /// Brings it back with a new period.
        Recover = "RECOVER",
        /// Gives it up.
        Delete = "DELETE",
        /// Makes a proof-of-concept resource a paid one.
        StopPoc = "STOP_POC",
    }
}

stored_enum! {
    /// The unit of a term.
    TermUnit {
        /// Calendar months, each priced as 30 days.
        Month = "MONTH",
        /// Days of 24 hours.
        Day = "DAY",
        /// Up to a chosen instant.
        Until = "UNTIL",
    }
}

stored_enum! {
    /// Where a quote stands.
    QuoteStatus {
        /// May be ordered until it expires.
        Open = "OPEN",
        /// Has become an order.
        Ordered = "ORDERED",
    }
}

stored_enum! {
    /// Where an order stands.
    OrderStatus {
        /// Waits for its payment.
        AwaitingPayment = "AWAITING_PAYMENT",
        /// Paid; some of its items are being provisioned.
        InProgress = "IN_PROGRESS",
        /// Every item was provisioned.
        Fulfilled = "FULFILLED",
        /// Some items were provisioned, the others refunded.
        PartiallyFulfilled = "PARTIALLY_FULFILLED",
        /// Every item failed and was refunded.
        Refunded = "REFUNDED",
        /// Given up before it was paid.
        Cancelled = "CANCELLED",
    }
}

stored_enum! {
    /// Where an order item stands.
    OrderItemStatus {
        /// Waits for the order's payment.
        AwaitingPayment = "AWAITING_PAYMENT",
        /// The product's service is at work.
        Provisioning = "PROVISIONING",
        /// Done.
        Fulfilled = "FULFILLED",
        /// Failed; what was charged went back to the wallet.
        Refunded = "REFUNDED",
        /// Given up with its order.
        Cancelled = "CANCELLED",
    }
}

stored_enum! {
    /// What a payment is for.
    PaymentPurpose {
        /// An order.
        Order = "ORDER",
        /// An invoice.
        Invoice = "INVOICE",
        /// The wallet.
        TopUp = "TOP_UP",
    }
}

stored_enum! {
    /// How a payment is made.
    PaymentMethod {
        /// All of it from the credit wallet.
        Credit = "CREDIT",
        /// The available credit first, the rest through a gateway.
        TopUpAndPay = "TOP_UP_AND_PAY",
        /// All of it through a gateway.
        Gateway = "GATEWAY",
        /// A saved method, charged without a redirect.
        LinkedAccount = "LINKED_ACCOUNT",
        /// Somebody else, through a link.
        OnBehalf = "ON_BEHALF",
        /// A bank transfer.
        BankTransfer = "BANK_TRANSFER",
    }
}

stored_enum! {
    /// Where a payment stands.
    PaymentStatus {
        /// Not known yet.
        Pending = "PENDING",
        /// The money moved.
        Succeeded = "SUCCEEDED",
        /// The money did not move.
        Failed = "FAILED",
        /// Its time ran out.
        Expired = "EXPIRED",
    }
}

stored_enum! {
    /// Where a resource stands in its life.
    Life {
        /// Paid for; the product's service is making it.
        Provisioning = "PROVISIONING",
        /// Within what is paid.
        Active = "ACTIVE",
        /// Past what is paid, kept and renewable.
        Grace = "GRACE",
        /// Stopped; its data is kept.
        Suspended = "SUSPENDED",
        /// Deleted by the customer, recoverable for some days.
        Trashed = "TRASHED",
        /// Gone for good.
        Deleted = "DELETED",
        /// Was never made.
        Failed = "FAILED",
    }
}

stored_enum! {
    /// Whether the customer has switched a resource off. It is paid for either way.
    Power {
        /// On.
        Running = "RUNNING",
        /// Off, by the customer.
        Stopped = "STOPPED",
    }
}

stored_enum! {
    /// The one status that is shown of a resource: it derives from its life and its power, and is never stored.
    ResourceStatus {
        /// Paid for; the product's service is making it.
        Provisioning = "PROVISIONING",
        /// Within what is paid, and on.
        Active = "ACTIVE",
        /// Within what is paid, and switched off by the customer.
        Stopped = "STOPPED",
        /// Past what is paid, kept and renewable.
        Grace = "GRACE",
        /// Stopped because nobody renewed it; its data is kept.
        Suspended = "SUSPENDED",
        /// Deleted by the customer, recoverable for some days.
        Trashed = "TRASHED",
        /// Gone for good.
        Deleted = "DELETED",
        /// Was never made.
        Failed = "FAILED",
    }
}

stored_enum! {
    /// What a customer may do to a resource.
    ResourceAction {
        /// Pay for a longer life.
        Renew = "RENEW",
        /// Bring it back with a new period.
        Recover = "RECOVER",
        /// Change its configuration for the rest of the paid time.
        Resize = "RESIZE",
        /// Give it up.
        Delete = "DELETE",
        /// Switch it off.
        Stop = "STOP",
        /// Switch it on.
        Start = "START",
        /// Switch it off and on.
        Reboot = "REBOOT",
        /// Choose whether the engine renews it from credit.
        SetAutoRenew = "SET_AUTO_RENEW",
    }
}

stored_enum! {
    /// Who wrote a tag.
    TagKind {
        /// The customer.
        Customer = "CUSTOMER",
        /// The gateway: who created the resource. It can't be removed.
        System = "SYSTEM",
    }
}

stored_enum! {
    /// Where a paid period stands.
    PeriodStatus {
        /// Paid and valid.
        Paid = "PAID",
        /// Ended early: its unused part went back.
        Closed = "CLOSED",
    }
}

stored_enum! {
    /// Where an invoice stands.
    InvoiceStatus {
        /// Nothing paid.
        Unpaid = "UNPAID",
        /// A part is paid.
        PartiallyPaid = "PARTIALLY_PAID",
        /// All is paid.
        Paid = "PAID",
        /// Does not count any more.
        Void = "VOID",
    }
}

stored_enum! {
    /// How a coupon takes money off.
    CouponKind {
        /// A share of what the eligible items cost.
        Percent = "PERCENT",
        /// An amount.
        Fixed = "FIXED",
    }
}

stored_enum! {
    /// Where the redemption of a coupon stands.
    RedemptionStatus {
        /// Counts against the coupon's limits.
        Redeemed = "REDEEMED",
        /// Given back with its cancelled order.
        Returned = "RETURNED",
    }
}

stored_enum! {
    /// Where a hold on a wallet stands.
    HoldStatus {
        /// Keeps its amount from being spent.
        Open = "OPEN",
        /// Spent on what it was held for.
        Captured = "CAPTURED",
        /// Let go.
        Released = "RELEASED",
    }
}

stored_enum! {
    /// What is held for.
    HoldPurpose {
        /// The estimated use of a usage-priced resource.
        Usage = "USAGE",
        /// The credit part of a payment whose gateway part is open.
        Payment = "PAYMENT",
    }
}

stored_enum! {
    /// A step of the schedule around the end of what is paid.
    StepKind {
        /// Tells that the end is near, or past.
        Reminder = "REMINDER",
        /// Tries to renew from credit.
        AutoRenew = "AUTO_RENEW",
        /// The end of what is paid.
        Expire = "EXPIRE",
        /// Stops the resource, keeping its data.
        Suspend = "SUSPEND",
        /// Tells that the release comes, at least 72 hours before it.
        FinalNotice = "FINAL_NOTICE",
        /// Deletes it for good.
        Release = "RELEASE",
    }
}

stored_enum! {
    /// What became of a step of a schedule.
    StepStatus {
        /// Done, and told.
        Sent = "SENT",
        /// Its plan changed before it was due.
        Superseded = "SUPERSEDED",
        /// Came too late to be of use.
        Missed = "MISSED",
    }
}

stored_enum! {
    /// How much paid time is left.
    Health {
        /// More than 15 days.
        Good = "GOOD",
        /// 5 to 15 days.
        Warning = "WARNING",
        /// Less than 5 days.
        Alerted = "ALERTED",
        /// None.
        Expired = "EXPIRED",
    }
}

stored_enum! {
    /// Which numbered documents an account has.
    CodeKind {
        /// Orders.
        Order = "ORDER",
        /// Invoices.
        Invoice = "INVOICE",
        /// Credit notes.
        CreditNote = "CREDIT_NOTE",
        /// Payments.
        Payment = "PAYMENT",
    }
}

stored_enum! {
    /// Who a caller is.
    Role {
        /// May do everything in its account.
        Owner = "OWNER",
        /// Money and resources of its account.
        BillingAdmin = "BILLING_ADMIN",
        /// Reads its account.
        Viewer = "VIEWER",
        /// The service of one product.
        Product = "PRODUCT",
        /// Runs the cloud.
        Operator = "OPERATOR",
        /// Serves several customer accounts.
        Partner = "PARTNER",
    }
}
