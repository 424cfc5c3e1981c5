//! What a rule answers when it says no: a stable code, a sentence for the customer, where in the input, and the facts
//! that are needed to go on. Never an error of ours: what cannot happen is [`RefusalCode::Inconsistent`].

use std::fmt;

use super::money::Money;

/// Declares the codes once: the variant, its text and its meaning.
macro_rules! refusal_codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal),+ $(,)?) => {
        /// The stable name of a refusal. It is part of the published schema: codes are added, never changed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum RefusalCode {
            $($(#[$doc])* $variant,)+
        }

        impl RefusalCode {
            /// The text that is spoken, in SCREAMING_SNAKE_CASE.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Every code, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
        }
    };
}

refusal_codes! {
    /// The text is not an amount, or not above zero where it must be.
    InvalidAmount = "INVALID_AMOUNT",
    /// The amount has more decimals than its currency.
    TooManyDecimals = "TOO_MANY_DECIMALS",
    /// The amount, or what follows from it, is larger than the gateway counts.
    AmountOutOfRange = "AMOUNT_OUT_OF_RANGE",
    /// Amounts of different currencies meet.
    CurrencyMismatch = "CURRENCY_MISMATCH",
    /// The currency is not one the gateway knows.
    UnknownCurrency = "UNKNOWN_CURRENCY",
    /// A price, percentage or share is out of its range.
    InvalidRate = "INVALID_RATE",
    /// A number of months or days outside the limits.
    InvalidTerm = "INVALID_TERM",
    /// The chosen end is not after the start.
    EndNotAfterStart = "END_NOT_AFTER_START",
    /// The chosen end leaves nothing to pay for.
    ZeroLength = "ZERO_LENGTH",
    /// A quantity outside the limits.
    InvalidQuantity = "INVALID_QUANTITY",
    /// There is no such product or resource type.
    UnknownProduct = "UNKNOWN_PRODUCT",
    /// There is no such component.
    UnknownComponent = "UNKNOWN_COMPONENT",
    /// The component is not part of this resource type.
    ComponentNotAllowed = "COMPONENT_NOT_ALLOWED",
    /// A component is listed twice.
    DuplicateComponent = "DUPLICATE_COMPONENT",
    /// There is no price for this component now, in this currency.
    PriceNotAvailable = "PRICE_NOT_AVAILABLE",
    /// A text is empty, too long or has characters it may not have.
    InvalidText = "INVALID_TEXT",
    /// An id is not well-formed.
    InvalidId = "INVALID_ID",
    /// An instant is outside the years the gateway counts.
    InvalidInstant = "INVALID_INSTANT",
    /// The time zone is not known.
    InvalidZone = "INVALID_ZONE",
    /// Nothing was asked for.
    NothingToBuy = "NOTHING_TO_BUY",
    /// More items than one order may hold.
    TooManyItems = "TOO_MANY_ITEMS",
    /// There is no such coupon.
    CouponUnknown = "COUPON_UNKNOWN",
    /// The coupon's validity has not begun.
    CouponNotYetValid = "COUPON_NOT_YET_VALID",
    /// The coupon's validity has ended.
    CouponExpired = "COUPON_EXPIRED",
    /// The coupon was used as often as it may be.
    CouponExhausted = "COUPON_EXHAUSTED",
    /// The coupon counts for none of the items.
    CouponNotApplicable = "COUPON_NOT_APPLICABLE",
    /// The eligible items cost less than the coupon asks for.
    CouponMinimumNotMet = "COUPON_MINIMUM_NOT_MET",
    /// Another coupon has this code.
    CouponCodeTaken = "COUPON_CODE_TAKEN",
    /// What a new coupon promises does not make sense.
    CouponInvalid = "COUPON_INVALID",
    /// There is no such resource.
    ResourceNotFound = "RESOURCE_NOT_FOUND",
    /// One resource is named twice.
    DuplicateResource = "DUPLICATE_RESOURCE",
    /// There is no such quote.
    QuoteNotFound = "QUOTE_NOT_FOUND",
    /// The quote's time has run out.
    QuoteExpired = "QUOTE_EXPIRED",
    /// The quote has become an order.
    QuoteAlreadyOrdered = "QUOTE_ALREADY_ORDERED",
    /// What the quote was made from has changed.
    QuoteStale = "QUOTE_STALE",
    /// Something is to be paid and no way to pay was given.
    PaymentRequired = "PAYMENT_REQUIRED",
    /// Nothing is to be paid and a way to pay was given.
    PaymentNotNeeded = "PAYMENT_NOT_NEEDED",
    /// The wallet has less available than is to be paid.
    InsufficientCredit = "INSUFFICIENT_CREDIT",
    /// The action is not allowed in the present state.
    StateConflict = "STATE_CONFLICT",
    /// The key was used for another input.
    IdempotencyKeyReused = "IDEMPOTENCY_KEY_REUSED",
    /// The key is empty, too long or has characters it may not have.
    IdempotencyKeyInvalid = "IDEMPOTENCY_KEY_INVALID",
    /// The return address is not on the allow-list.
    ReturnUrlNotAllowed = "RETURN_URL_NOT_ALLOWED",
    /// A limit of the gateway was reached.
    LimitExceeded = "LIMIT_EXCEEDED",
    /// There is no such provisioning task.
    TaskNotFound = "TASK_NOT_FOUND",
    /// The outcome of the task was reported before, and differently.
    TaskAlreadyReported = "TASK_ALREADY_REPORTED",
    /// There is no such account.
    AccountNotFound = "ACCOUNT_NOT_FOUND",
    /// The wallet may not hold more than this.
    WalletLimit = "WALLET_LIMIT",
    /// The paid period has ended: nothing of it is left.
    PeriodEnded = "PERIOD_ENDED",
    /// The tag is the system's and stays.
    SystemTag = "SYSTEM_TAG",
    /// There is no such alert.
    AlertNotFound = "ALERT_NOT_FOUND",
    /// There is no such webhook.
    WebhookNotFound = "WEBHOOK_NOT_FOUND",
    /// The address is none that requests may be sent to.
    WebhookUrlNotAllowed = "WEBHOOK_URL_NOT_ALLOWED",
    /// The text is not an e-mail address.
    InvalidEmail = "INVALID_EMAIL",
    /// An address is named twice.
    DuplicateRecipient = "DUPLICATE_RECIPIENT",
    /// There is no such delivery.
    DeliveryNotFound = "DELIVERY_NOT_FOUND",
    /// A top-up outside the limits.
    TopUpLimit = "TOP_UP_LIMIT",
    /// There is no such way to pay, or it does not take the currency.
    UnknownGateway = "UNKNOWN_GATEWAY",
    /// The gateway links no accounts or cards.
    LinkingNotSupported = "LINKING_NOT_SUPPORTED",
    /// A wish to be topped up automatically that makes no sense.
    AutoTopUpInvalid = "AUTO_TOP_UP_INVALID",
    /// No such linked account or card can be charged.
    PaymentMethodNotFound = "PAYMENT_METHOD_NOT_FOUND",
    /// An amount that the gateway does not take at once.
    GatewayLimit = "GATEWAY_LIMIT",
    /// The gateway did not take the payment: nothing was paid.
    GatewayRefused = "GATEWAY_REFUSED",
    /// The gateway did not answer: whether anything was paid is asked later.
    GatewayUnavailable = "GATEWAY_UNAVAILABLE",
    /// There is no such order.
    OrderNotFound = "ORDER_NOT_FOUND",
    /// The order is paid.
    OrderPaid = "ORDER_PAID",
    /// The order was cancelled.
    OrderCancelled = "ORDER_CANCELLED",
    /// The order's time to be paid has run out.
    OrderExpired = "ORDER_EXPIRED",
    /// More is to go back than is left of what was paid.
    RefundTooLarge = "REFUND_TOO_LARGE",
    /// There is no such payment.
    PaymentNotFound = "PAYMENT_NOT_FOUND",
    /// Nothing of this payment can go back through a gateway.
    NotRefundable = "NOT_REFUNDABLE",
    /// There is no such refund of this payment.
    RefundNotFound = "REFUND_NOT_FOUND",
    /// What became of this refund was said before, otherwise.
    RefundResolved = "REFUND_RESOLVED",
    /// The gateway is likely to say itself what became of this refund.
    RefundUnderway = "REFUND_UNDERWAY",
    /// A bank's statement can't be read.
    StatementInvalid = "STATEMENT_INVALID",
    /// There is no such money in quarantine.
    QuarantineNotFound = "QUARANTINE_NOT_FOUND",
    /// What becomes of this money was decided before.
    QuarantineResolved = "QUARANTINE_RESOLVED",
    /// This money has an owner, and it is not the account that was named.
    QuarantineOwned = "QUARANTINE_OWNED",
    /// The text is no tax code.
    InvalidTaxCode = "INVALID_TAX_CODE",
    /// The text is no personal number.
    InvalidPersonalNumber = "INVALID_PERSONAL_NUMBER",
    /// There is no such billing address.
    BillingAddressNotFound = "BILLING_ADDRESS_NOT_FOUND",
    /// Invoices are written to this address: it stays until another one is the default.
    DefaultBillingAddress = "DEFAULT_BILLING_ADDRESS",
    /// The account is not the caller's own.
    NotOwnAccount = "NOT_OWN_ACCOUNT",
    /// The two accounts are the same.
    SameAccount = "SAME_ACCOUNT",
    /// The rules were given values that contradict each other. Our mistake: shown as an internal error.
    Inconsistent = "INCONSISTENT",
}

impl RefusalCode {
    /// Whether the customer can't have caused it: the edge shows it as an internal error, not as a refusal.
    #[must_use]
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::Inconsistent)
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the customer needs to know to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Facts {
    /// The message says it all.
    #[default]
    None,
    /// How much is missing.
    InsufficientCredit {
        /// What is to be paid.
        required: Money,
        /// What may be spent.
        available: Money,
        /// The difference.
        shortfall: Money,
    },
    /// What may be done instead.
    State {
        /// The present state, as it is shown.
        state: String,
        /// The names of the actions that are allowed in it.
        allowed: Vec<String>,
    },
    /// A gateway stands in the way.
    Gateway {
        /// Whether the same may be tried again.
        retryable: bool,
    },
}

/// A rule's no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code.
    pub code: RefusalCode,
    /// What to do about it, in English.
    pub message: String,
    /// The field of the input it is about, outermost first; empty when it is about the whole.
    pub path: Vec<String>,
    /// What the customer needs to go on.
    pub facts: Facts,
}

impl Refusal {
    /// A refusal of the whole input.
    #[must_use]
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            path: Vec::new(),
            facts: Facts::None,
        }
    }

    /// The rules were given values that contradict each other.
    #[must_use]
    pub fn inconsistent(message: impl Into<String>) -> Self {
        Self::new(RefusalCode::Inconsistent, message)
    }

    /// Not enough credit: names what is missing. `available` below zero is told as zero.
    #[must_use]
    pub fn insufficient_credit(required: Money, available: Money) -> Self {
        let spendable = Money::of(available.minor().max(0), available.currency());
        let shortfall = Money::of(
            required.minor().saturating_sub(spendable.minor()).max(0),
            required.currency(),
        );
        Self {
            code: RefusalCode::InsufficientCredit,
            message: format!(
                "{required} is to be paid and {spendable} is available. Top up at least {shortfall}, or pay another way."
            ),
            path: Vec::new(),
            facts: Facts::InsufficientCredit {
                required,
                available: spendable,
                shortfall,
            },
        }
    }

    /// Not allowed in the present state: names the state and what is allowed in it.
    #[must_use]
    pub fn state_conflict(asked: &str, state: impl Into<String>, allowed: Vec<String>) -> Self {
        let state = state.into();
        let instead = if allowed.is_empty() {
            "Nothing can be done with it any more.".to_owned()
        } else {
            format!("Allowed now: {}.", allowed.join(", "))
        };
        Self {
            code: RefusalCode::StateConflict,
            message: format!("{asked} is not allowed while the state is {state}. {instead}"),
            path: Vec::new(),
            facts: Facts::State { state, allowed },
        }
    }

    /// The same refusal, about the field `field` of what it was about: the innermost field is named first.
    #[must_use]
    pub fn under(mut self, field: impl fmt::Display) -> Self {
        self.path.insert(0, field.to_string());
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(f, "{}: {}", self.code, self.message)
        } else {
            write!(f, "{} at {}: {}", self.code, self.path.join("."), self.message)
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::super::money::Currency;
    use super::*;

    #[test]
    fn codes_are_screaming_snake_and_unique() {
        let mut seen = std::collections::BTreeSet::new();
        for code in RefusalCode::ALL {
            let text = code.as_str();
            assert!(text.chars().all(|c| c.is_ascii_uppercase() || c == '_'), "{text}");
            assert!(seen.insert(text), "{text} twice");
        }
    }

    #[test]
    fn a_path_is_built_from_the_inside_out() {
        let refusal = Refusal::new(RefusalCode::InvalidQuantity, "Choose 1 to 10.")
            .under("quantity")
            .under(1)
            .under("components");
        assert_eq!(refusal.path, ["components", "1", "quantity"]);
        assert_eq!(
            refusal.to_string(),
            "INVALID_QUANTITY at components.1.quantity: Choose 1 to 10."
        );
    }

    #[test]
    fn missing_credit_is_named() {
        let vnd = |minor| Money::of(minor, Currency::Vnd);
        let refusal = Refusal::insufficient_credit(vnd(181_000), vnd(-5));
        assert_eq!(
            refusal.facts,
            Facts::InsufficientCredit {
                required: vnd(181_000),
                available: vnd(0),
                shortfall: vnd(181_000)
            }
        );
    }

    #[test]
    fn a_state_conflict_names_state_and_what_is_allowed() {
        let refusal = Refusal::state_conflict("STOP", "SUSPENDED", vec!["RENEW".into(), "DELETE".into()]);
        assert_eq!(
            refusal.message,
            "STOP is not allowed while the state is SUSPENDED. Allowed now: RENEW, DELETE."
        );
    }
}
