//! Refusals as customers see them: a stable code, a sentence, the field, and the facts that are needed to go on.

use async_graphql::{Enum, Interface, Object};

use super::errors::Result;
use super::scalars::Money;
use crate::domain::refusal::{Facts, Refusal, RefusalCode};
use crate::error::Error;

/// Declares the codes of the schema beside those of the rules. The compiler holds that none is missing.
macro_rules! user_error_codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal),+ $(,)?) => {
        /// The stable name of a refusal. Codes are added, never changed.
        #[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
        pub(crate) enum UserErrorCode {
            $($(#[$doc])* #[graphql(name = $text)] $variant,)+
        }

        impl UserErrorCode {
            /// The code of a refusal; none for what a customer can't have caused.
            const fn of(code: RefusalCode) -> Option<Self> {
                match code {
                    $(RefusalCode::$variant => Some(Self::$variant),)+
                    RefusalCode::Inconsistent => None,
                }
            }
        }

        impl UserErrorCode {
            /// The code of a text that was kept.
            pub(crate) fn read(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        #[cfg(test)]
        const CODES: &[(RefusalCode, &str)] = &[$((RefusalCode::$variant, $text)),+];
    };
}

user_error_codes! {
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
}

/// What all user errors have.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    code: UserErrorCode,
    message: String,
    path: Vec<String>,
}

impl Told {
    fn path(&self) -> Option<Vec<String>> {
        (!self.path.is_empty()).then(|| self.path.clone())
    }
}

/// Declares a type of user error that says no more than all do.
macro_rules! plain {
    ($(#[$doc:meta])* $name:ident) => {
        #[derive(Clone, Debug)]
        pub(crate) struct $name(Told);

        $(#[$doc])*
        #[Object]
        impl $name {
            /// The stable code.
            pub(crate) async fn code(&self) -> UserErrorCode {
                self.0.code
            }

            /// What to do about it, in English.
            pub(crate) async fn message(&self) -> String {
                self.0.message.clone()
            }

            /// The field of the input that it is about, outermost first; null when it is about the whole.
            pub(crate) async fn path(&self) -> Option<Vec<String>> {
                self.0.path()
            }
        }
    };
}

plain!(
    /// Something in the input is not as it must be.
    InputError
);
plain!(
    /// The quote can't be ordered: make a new one.
    QuoteError
);
plain!(
    /// The coupon does not count here.
    CouponError
);
plain!(
    /// A limit was reached.
    LimitError
);
plain!(
    /// The idempotency key can't be used: take a new one for a new intent.
    IdempotencyError
);

#[derive(Clone, Debug)]
pub(crate) struct GatewayError {
    told: Told,
    retryable: bool,
}

/// A gateway stands in the way of a payment. No money was taken that is not told of.
#[Object]
impl GatewayError {
    /// The stable code.
    pub(crate) async fn code(&self) -> UserErrorCode {
        self.told.code
    }

    /// What to do about it, in English.
    pub(crate) async fn message(&self) -> String {
        self.told.message.clone()
    }

    /// The field of the input that it is about, outermost first; null when it is about the whole.
    pub(crate) async fn path(&self) -> Option<Vec<String>> {
        self.told.path()
    }

    /// Whether the same may be tried again, with a new key.
    async fn retryable(&self) -> bool {
        self.retryable
    }
}

#[derive(Clone, Debug)]
pub(crate) struct StateError {
    told: Told,
    state: Option<String>,
    allowed: Vec<String>,
}

/// Not allowed in the present state.
#[Object]
impl StateError {
    /// The stable code.
    pub(crate) async fn code(&self) -> UserErrorCode {
        self.told.code
    }

    /// What to do about it, in English.
    pub(crate) async fn message(&self) -> String {
        self.told.message.clone()
    }

    /// The field of the input that it is about, outermost first; null when it is about the whole.
    pub(crate) async fn path(&self) -> Option<Vec<String>> {
        self.told.path()
    }

    /// The present state, as it is shown.
    async fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// The actions that are allowed in it.
    async fn allowed(&self) -> &[String] {
        &self.allowed
    }
}

#[derive(Clone, Debug)]
pub(crate) struct InsufficientCreditError {
    told: Told,
    required: Money,
    available: Money,
    shortfall: Money,
}

/// The wallet has less available than is to be paid.
#[Object]
impl InsufficientCreditError {
    /// The stable code.
    pub(crate) async fn code(&self) -> UserErrorCode {
        self.told.code
    }

    /// What to do about it, in English.
    pub(crate) async fn message(&self) -> String {
        self.told.message.clone()
    }

    /// The field of the input that it is about, outermost first; null when it is about the whole.
    pub(crate) async fn path(&self) -> Option<Vec<String>> {
        self.told.path()
    }

    /// What is to be paid.
    async fn required(&self) -> &Money {
        &self.required
    }

    /// What may be spent.
    async fn available(&self) -> &Money {
        &self.available
    }

    /// How much is missing: the least to top up.
    async fn shortfall(&self) -> &Money {
        &self.shortfall
    }
}

/// Why something was refused. Nothing was written.
#[derive(Clone, Debug, Interface)]
#[graphql(
    field(name = "code", ty = "UserErrorCode", desc = "The stable code."),
    field(name = "message", ty = "String", desc = "What to do about it, in English."),
    field(
        name = "path",
        ty = "Option<Vec<String>>",
        desc = "The field of the input that it is about, outermost first; null when it is about the whole."
    )
)]
pub(crate) enum UserError {
    InsufficientCredit(InsufficientCreditError),
    State(StateError),
    Quote(QuoteError),
    Coupon(CouponError),
    Limit(LimitError),
    Gateway(GatewayError),
    Idempotency(IdempotencyError),
    Input(InputError),
}

/// The user errors of what a command answered; what no customer can cause stays an error.
pub(crate) fn refused(error: Error) -> Result<Vec<UserError>> {
    let refusal = match error {
        Error::Refused(refusal) => *refusal,
        Error::NotFound("account") => {
            Refusal::new(RefusalCode::AccountNotFound, "There is no such account.").under("accountId")
        }
        other => return Err(other.into()),
    };
    match UserErrorCode::of(refusal.code) {
        Some(code) => Ok(vec![typed(code, refusal)]),
        None => Err(Error::from(refusal).into()),
    }
}

/// The user error of an id that names no thing of the kind that is asked for.
pub(crate) fn wrong_id(field: &str) -> Vec<UserError> {
    let told = Told {
        code: UserErrorCode::InvalidId,
        message: "This is not the id of such a thing. Send the id as the gateway gave it.".to_owned(),
        path: vec![field.to_owned()],
    };
    vec![UserError::Input(InputError(told))]
}

fn typed(code: UserErrorCode, refusal: Refusal) -> UserError {
    let Refusal {
        code: rule,
        message,
        path,
        facts,
    } = refusal;
    let told = Told { code, message, path };
    match facts {
        Facts::InsufficientCredit {
            required,
            available,
            shortfall,
        } => {
            return UserError::InsufficientCredit(InsufficientCreditError {
                told,
                required: required.into(),
                available: available.into(),
                shortfall: shortfall.into(),
            });
        }
        Facts::State { state, allowed } => {
            return UserError::State(StateError {
                told,
                state: Some(state),
                allowed,
            });
        }
        Facts::Gateway { retryable } => return UserError::Gateway(GatewayError { told, retryable }),
        Facts::None => {}
    }
    match rule {
        RefusalCode::QuoteNotFound
        | RefusalCode::QuoteExpired
        | RefusalCode::QuoteAlreadyOrdered
        | RefusalCode::QuoteStale => UserError::Quote(QuoteError(told)),
        RefusalCode::CouponUnknown
        | RefusalCode::CouponNotYetValid
        | RefusalCode::CouponExpired
        | RefusalCode::CouponExhausted
        | RefusalCode::CouponNotApplicable
        | RefusalCode::CouponMinimumNotMet
        | RefusalCode::CouponCodeTaken
        | RefusalCode::CouponInvalid => UserError::Coupon(CouponError(told)),
        RefusalCode::TooManyItems
        | RefusalCode::LimitExceeded
        | RefusalCode::WalletLimit
        | RefusalCode::TopUpLimit
        | RefusalCode::RefundTooLarge
        | RefusalCode::GatewayLimit => UserError::Limit(LimitError(told)),
        RefusalCode::IdempotencyKeyReused | RefusalCode::IdempotencyKeyInvalid => {
            UserError::Idempotency(IdempotencyError(told))
        }
        RefusalCode::StateConflict
        | RefusalCode::TaskAlreadyReported
        | RefusalCode::PeriodEnded
        | RefusalCode::OrderPaid
        | RefusalCode::OrderCancelled
        | RefusalCode::OrderExpired
        | RefusalCode::DefaultBillingAddress
        | RefusalCode::RefundResolved
        | RefusalCode::RefundUnderway
        | RefusalCode::QuarantineResolved => UserError::State(StateError {
            told,
            state: None,
            allowed: Vec::new(),
        }),
        _ => UserError::Input(InputError(told)),
    }
}

#[cfg(test)]
mod tests {
    use super::{CODES, RefusalCode, UserErrorCode};

    #[test]
    fn every_refusal_of_a_customer_has_its_code_and_the_same_text() {
        for code in RefusalCode::ALL {
            assert_eq!(UserErrorCode::of(*code).is_none(), code.is_ours(), "{code}");
        }
        for (code, text) in CODES {
            assert_eq!(code.as_str(), *text);
        }
    }
}
