//! Money that goes back to its payer.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use entity::enums::RefundStatus;
use entity::gateway_refund;

use super::caller::OperatorOnly;
use super::errors::Result;
use super::ids::{self, Kind};
use super::payment::Payment;
use super::scalars::{DateTime, Decimal, Money, instant, money};
use super::session::Reach as _;
use super::user_error::{UserError, refused, wrong_id};
use crate::commands::refunds as commands;

#[derive(Clone, Debug)]
pub(crate) struct PaymentRefund(pub(crate) Arc<gateway_refund::Model>);

/// Money that went back to its payer, or is on its way, through the gateway that it came by.
#[Object]
impl PaymentRefund {
    /// What it is called at the gateway.
    async fn reference(&self) -> &str {
        &self.0.reference
    }

    /// How much.
    async fn amount(&self) -> Result<Money> {
        money(self.0.amount_minor, &self.0.currency)
    }

    /// Where it stands.
    async fn status(&self) -> RefundStatus {
        self.0.status
    }

    /// Why it was decided.
    async fn reason(&self) -> &str {
        &self.0.reason
    }

    /// Why the gateway did not send it, in its words.
    async fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// When it was decided.
    async fn created_at(&self) -> DateTime {
        self.0.created_at.into()
    }

    /// When it came to its end.
    async fn completed_at(&self) -> Option<DateTime> {
        instant(self.0.completed_at)
    }
}

/// A refund to the payer.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct RefundPaymentInput {
    /// The payment: one through a gateway that succeeded.
    payment_id: ID,
    /// How much of it; all that is left when absent.
    amount: Option<Decimal>,
    /// Why, as the customer's history and the books will show it.
    reason: String,
    /// A key of 1 to 255 visible ASCII characters, new for each intent. The same key and input again answers the first
    /// outcome and sends nothing twice.
    idempotency_key: String,
}

/// What a refund did.
#[derive(Debug, SimpleObject)]
pub(crate) struct RefundPaymentPayload {
    /// The payment with its refunds; null when it was refused.
    payment: Option<Payment>,
    /// Why it was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// What an operator saw of a refund in the gateway's own records.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub(crate) enum RefundSighting {
    /// The payer has the money.
    Sent,
    /// The gateway did not send it and will not: the customer has it as credit again.
    NotSent,
}

/// What became of a refund of which its gateway says nothing.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct ResolveRefundInput {
    /// The payment.
    payment_id: ID,
    /// What the refund is called at the gateway, as `PaymentRefund.reference` tells.
    reference: String,
    /// What was seen there.
    outcome: RefundSighting,
    /// Where it was seen, as the books will show it.
    reason: String,
}

/// What saying so did.
#[derive(Debug, SimpleObject)]
pub(crate) struct ResolveRefundPayload {
    /// The payment with its refunds; null when it was refused.
    payment: Option<Payment>,
    /// Why it was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// The mutations of this room.
#[derive(Default)]
pub(crate) struct RefundMutations;

#[Object]
impl RefundMutations {
    /// Sends money of a payment back to its payer, through the gateway that it came by, once, however often it is sent. It
    /// leaves the customer's cash at once: what was spent has to come back as credit first. For operators.
    ///
    /// Codes: INVALID_ID, PAYMENT_NOT_FOUND, NOT_REFUNDABLE, REFUND_TOO_LARGE, INSUFFICIENT_CREDIT, INVALID_AMOUNT,
    /// TOO_MANY_DECIMALS, AMOUNT_OUT_OF_RANGE, INVALID_TEXT, IDEMPOTENCY_KEY_INVALID, IDEMPOTENCY_KEY_REUSED.
    #[graphql(guard = "OperatorOnly")]
    async fn refund_payment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The refund.")] input: RefundPaymentInput,
    ) -> Result<Option<RefundPaymentPayload>> {
        let session = ctx.session()?;
        let refused_with = |errors| {
            Some(RefundPaymentPayload {
                payment: None,
                user_errors: errors,
            })
        };
        let Some(payment) = ids::parse(&input.payment_id, Kind::Payment) else {
            return Ok(refused_with(wrong_id("paymentId")));
        };
        let refund = commands::RefundPayment {
            payment,
            amount: input.amount.map(|amount| amount.0),
            reason: input.reason,
            idempotency_key: input.idempotency_key,
        };
        let decided = match commands::refund_payment(&session.app, &session.scope, refund).await {
            Ok(decided) => decided,
            Err(error) => return Ok(refused_with(refused(error)?)),
        };
        if decided.replayed {
            session.was_replayed();
        }
        commands::begin(Arc::clone(&session.app), decided.refund).await?;
        session.forget();
        Ok(Some(RefundPaymentPayload {
            payment: Some(Payment(session.loaders().payments.must(payment).await?)),
            user_errors: Vec::new(),
        }))
    }

    /// Says what became of a refund of which its gateway has said nothing for a day, as it never does of some: an operator looked
    /// there. The same answer again changes nothing. For operators.
    ///
    /// Codes: INVALID_ID, REFUND_NOT_FOUND, REFUND_RESOLVED, REFUND_UNDERWAY, INVALID_TEXT.
    #[graphql(guard = "OperatorOnly")]
    async fn resolve_refund(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What was seen.")] input: ResolveRefundInput,
    ) -> Result<Option<ResolveRefundPayload>> {
        let session = ctx.session()?;
        let refused_with = |errors| {
            Some(ResolveRefundPayload {
                payment: None,
                user_errors: errors,
            })
        };
        let Some(payment) = ids::parse(&input.payment_id, Kind::Payment) else {
            return Ok(refused_with(wrong_id("paymentId")));
        };
        let resolve = commands::Resolve {
            payment,
            reference: input.reference,
            is_sent: input.outcome == RefundSighting::Sent,
            reason: input.reason,
        };
        if let Err(error) = commands::resolve(&session.app, &session.scope, resolve).await {
            return Ok(refused_with(refused(error)?));
        }
        session.forget();
        Ok(Some(ResolveRefundPayload {
            payment: Some(Payment(session.loaders().payments.must(payment).await?)),
            user_errors: Vec::new(),
        }))
    }
}
