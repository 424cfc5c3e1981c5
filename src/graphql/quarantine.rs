//! Money that came in and does not fit what it was for.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use entity::enums::QuarantineStatus;
use entity::quarantine;

use super::caller::{Needs, OperatorOnly, Permission};
use super::connection::{Cut, List, connection, page};
use super::errors::Result;
use super::ids::{self, Kind, global};
use super::payment::Payment;
use super::scalars::{DateTime, Money, instant, money};
use super::session::Reach as _;
use super::user_error::{UserError, refused, wrong_id};
use crate::commands::quarantine as commands;
use crate::store::quarantine as kept;

#[derive(Clone, Debug)]
pub(crate) struct QuarantinedMoney(pub(crate) Arc<quarantine::Model>);

/// Money that came in and is not what was to be paid. It is nobody's credit until an operator has decided.
#[Object]
impl QuarantinedMoney {
    /// Its global id.
    pub(crate) async fn id(&self) -> ID {
        global(Kind::Quarantine, self.0.id)
    }

    /// How much, in the currency that it came in.
    async fn amount(&self) -> Result<Money> {
        money(self.0.amount_minor, &self.0.currency)
    }

    /// Why it is here, in words.
    async fn reason(&self) -> &str {
        &self.0.reason
    }

    /// Where it stands.
    async fn status(&self) -> QuarantineStatus {
        self.0.status
    }

    /// The payment that it came for.
    #[graphql(guard = "Needs(Permission::ListPayments)")]
    async fn payment(&self, ctx: &Context<'_>) -> Result<Option<Payment>> {
        let Some(payment) = self.0.payment_id else {
            return Ok(None);
        };
        Ok(ctx.loaders()?.payments.load(payment).await?.map(Payment))
    }

    /// When it came.
    async fn created_at(&self) -> DateTime {
        self.0.created_at.into()
    }

    /// When it was decided.
    async fn resolved_at(&self) -> Option<DateTime> {
        instant(self.0.resolved_at)
    }

    /// What was said when it was decided.
    async fn resolution(&self) -> Option<&str> {
        self.0.resolution.as_deref()
    }
}

connection!(
    /// A part of the list of money in quarantine.
    QuarantinedMoneyConnection,
    /// Money in quarantine and its place in the list.
    QuarantinedMoneyEdge,
    QuarantinedMoney
);

/// The queries of this room.
#[derive(Default)]
pub(crate) struct QuarantineQueries;

#[Object]
impl QuarantineQueries {
    /// Money that came in and does not fit what it was for, of all accounts, the oldest first. For operators.
    #[graphql(guard = "OperatorOnly")]
    async fn quarantine(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which stands so; what is to be decided when absent.")] status: Option<QuarantineStatus>,
        #[graphql(desc = "How many from the start, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Behind which cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before which cursor.")] before: Option<String>,
    ) -> Result<Option<QuarantinedMoneyConnection>> {
        let page = page(List::Quarantine, first, after, last, before)?;
        let session = ctx.session()?;
        let status = status.unwrap_or(QuarantineStatus::Open);
        let slice = kept::list(session.app.db.read(), &session.scope, status, &page)
            .await?
            .map(Arc::new);
        let row = |row: &Arc<quarantine::Model>| QuarantinedMoney(Arc::clone(row));
        let cut = Cut::new(&slice, List::Quarantine, |row| kept::place(row), row);
        Ok(Some(QuarantinedMoneyConnection(cut)))
    }
}

/// What becomes of money in quarantine.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub(crate) enum QuarantineDecision {
    /// The customer gets it as credit.
    Credit,
    /// It was sent back to its payer, outside of this gateway.
    Returned,
}

/// A decision over money in quarantine.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct ResolveQuarantineInput {
    /// Which.
    quarantine_id: ID,
    /// What becomes of it.
    decision: QuarantineDecision,
    /// Whose it is, where nobody knew; needed to give it to somebody.
    account_id: Option<ID>,
    /// Why, as the customer's history and the books will show it.
    reason: String,
}

/// What a decision did.
#[derive(Debug, SimpleObject)]
pub(crate) struct ResolveQuarantinePayload {
    /// The money; null when it was refused.
    quarantined: Option<QuarantinedMoney>,
    /// Why it was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// The mutations of this room.
#[derive(Default)]
pub(crate) struct QuarantineMutations;

#[Object]
impl QuarantineMutations {
    /// Decides what becomes of money in quarantine. The same decision again changes nothing. For operators.
    ///
    /// Codes: INVALID_ID, QUARANTINE_NOT_FOUND, QUARANTINE_OWNED, QUARANTINE_RESOLVED, ACCOUNT_NOT_FOUND,
    /// CURRENCY_MISMATCH, WALLET_LIMIT, INVALID_TEXT.
    #[graphql(guard = "OperatorOnly")]
    async fn resolve_quarantine(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The decision.")] input: ResolveQuarantineInput,
    ) -> Result<Option<ResolveQuarantinePayload>> {
        let session = ctx.session()?;
        let refused_with = |errors| {
            Some(ResolveQuarantinePayload {
                quarantined: None,
                user_errors: errors,
            })
        };
        let Some(id) = ids::parse(&input.quarantine_id, Kind::Quarantine) else {
            return Ok(refused_with(wrong_id("quarantineId")));
        };
        let account = match &input.account_id {
            None => None,
            Some(named) => Some(session.account(Some(named)).await?),
        };
        let resolve = commands::Resolve {
            quarantine: id,
            account,
            decision: match input.decision {
                QuarantineDecision::Credit => commands::Decision::Credit,
                QuarantineDecision::Returned => commands::Decision::Returned,
            },
            reason: input.reason,
        };
        if let Err(error) = commands::resolve(&session.app, &session.scope, resolve).await {
            return Ok(refused_with(refused(error)?));
        }
        session.forget();
        Ok(Some(ResolveQuarantinePayload {
            quarantined: Some(QuarantinedMoney(session.loaders().quarantined.must(id).await?)),
            user_errors: Vec::new(),
        }))
    }
}
