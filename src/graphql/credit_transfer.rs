//! Credit that partners move to their customers.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::caller::PartnerOnly;
use super::errors::Result;
use super::ids::{self, Kind, global};
use super::scalars::{DateTime, Decimal, Money, money};
use super::session::Reach as _;
use super::user_error::{UserError, refused, wrong_id};
use crate::commands::credit_transfer as commands;
use crate::store::transfers::Transfer;

#[derive(Clone, Debug)]
pub(crate) struct CreditTransfer(pub(crate) Arc<Transfer>);

/// Credit that a partner moved from its own account to a customer's. Both see it, and of each other the code only.
#[Object]
impl CreditTransfer {
    /// Its global id.
    pub(crate) async fn id(&self) -> ID {
        global(Kind::CreditTransfer, self.0.row.id)
    }

    /// The code of the account whose credit it was.
    async fn from_account_code(&self) -> &str {
        &self.0.from
    }

    /// The code of the account whose credit it is.
    async fn to_account_code(&self) -> &str {
        &self.0.to
    }

    /// How much.
    async fn amount(&self) -> Result<Money> {
        money(self.0.row.amount_minor, &self.0.row.currency)
    }

    /// What the partner wrote about it.
    async fn note(&self) -> Option<&str> {
        self.0.row.note.as_deref()
    }

    /// When.
    async fn created_at(&self) -> DateTime {
        self.0.row.created_at.into()
    }
}

/// Credit to be moved.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct TransferCreditInput {
    /// Whose it is: the partner's own account.
    from_account_id: ID,
    /// Whose it becomes: one of the partner's customers.
    to_account_id: ID,
    /// How much, in the accounts' currency; above zero. Cash only: neither promotional money nor what is held.
    amount: Decimal,
    /// What both histories say about it, at most 255 characters.
    note: Option<String>,
    /// A key of 1 to 255 visible ASCII characters, new for each intent. The same key and input again answers the first
    /// outcome and moves nothing twice.
    idempotency_key: String,
}

/// What moving credit did.
#[derive(Debug, SimpleObject)]
pub(crate) struct TransferCreditPayload {
    /// The transfer; null when it was refused.
    transfer: Option<CreditTransfer>,
    /// Why it was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// The mutations of this room.
#[derive(Default)]
pub(crate) struct CreditTransferMutations;

#[Object]
impl CreditTransferMutations {
    /// Moves cash credit from the partner's own account to one of its customers, once, however often it is sent. For partners.
    ///
    /// Codes: INVALID_ID, ACCOUNT_NOT_FOUND, NOT_OWN_ACCOUNT, SAME_ACCOUNT, CURRENCY_MISMATCH, INSUFFICIENT_CREDIT,
    /// WALLET_LIMIT, INVALID_AMOUNT, TOO_MANY_DECIMALS, AMOUNT_OUT_OF_RANGE, INVALID_TEXT, IDEMPOTENCY_KEY_INVALID,
    /// IDEMPOTENCY_KEY_REUSED.
    #[graphql(guard = "PartnerOnly")]
    async fn transfer_credit(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The transfer.")] input: TransferCreditInput,
    ) -> Result<Option<TransferCreditPayload>> {
        let session = ctx.session()?;
        let refused_with = |user_errors| {
            Some(TransferCreditPayload {
                transfer: None,
                user_errors,
            })
        };
        let Some(from) = ids::parse(&input.from_account_id, Kind::Account) else {
            return Ok(refused_with(wrong_id("fromAccountId")));
        };
        let Some(to) = ids::parse(&input.to_account_id, Kind::Account) else {
            return Ok(refused_with(wrong_id("toAccountId")));
        };
        let wanted = commands::TransferCredit {
            from,
            to,
            amount: input.amount.0,
            note: input.note,
            idempotency_key: input.idempotency_key,
        };
        let done = match commands::transfer(&session.app, &session.scope, wanted).await {
            Ok(done) => done,
            Err(error) => return Ok(refused_with(refused(error)?)),
        };
        if done.replayed {
            session.was_replayed();
        }
        session.forget();
        let transfer = session.loaders().transfers.must(done.transfer).await?;
        Ok(Some(TransferCreditPayload {
            transfer: Some(CreditTransfer(transfer)),
            user_errors: Vec::new(),
        }))
    }
}
