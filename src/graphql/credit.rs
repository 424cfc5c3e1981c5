//! Credit that operators grant.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use entity::enums::FundsKind;

use super::caller::OperatorOnly;
use super::errors::Result;
use super::ids::{self, Kind};
use super::scalars::Decimal;
use super::session::Reach as _;
use super::user_error::{UserError, refused, wrong_id};
use super::wallet::{Wallet, WalletEntry};
use crate::commands::credit as commands;

/// A grant of credit.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct GrantCreditInput {
    /// Who gets it.
    account_id: ID,
    /// Cash or promotional money.
    kind: FundsKind,
    /// How much, in the account's currency; above zero.
    amount: Decimal,
    /// Why, as the account's history and the books will show it.
    reason: String,
    /// A key of 1 to 255 visible ASCII characters, new for each intent. The same key and input again answers the first
    /// outcome and grants nothing twice.
    idempotency_key: String,
}

/// What a grant did.
#[derive(Debug, SimpleObject)]
pub(crate) struct GrantCreditPayload {
    /// The wallet; null when it was refused.
    wallet: Option<Wallet>,
    /// The line in the wallet's history; null when it was refused.
    entry: Option<WalletEntry>,
    /// Why it was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// The mutations of this room.
#[derive(Default)]
pub(crate) struct CreditMutations;

#[Object]
impl CreditMutations {
    /// Grants credit to an account, once, however often it is sent. For operators.
    ///
    /// Codes: INVALID_ID, ACCOUNT_NOT_FOUND, INVALID_AMOUNT, TOO_MANY_DECIMALS, AMOUNT_OUT_OF_RANGE, INVALID_TEXT,
    /// WALLET_LIMIT, IDEMPOTENCY_KEY_INVALID, IDEMPOTENCY_KEY_REUSED.
    #[graphql(guard = "OperatorOnly")]
    async fn grant_credit(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The grant.")] input: GrantCreditInput,
    ) -> Result<Option<GrantCreditPayload>> {
        let session = ctx.session()?;
        let refused_with = |errors| {
            Some(GrantCreditPayload {
                wallet: None,
                entry: None,
                user_errors: errors,
            })
        };
        let Some(account) = ids::parse(&input.account_id, Kind::Account) else {
            return Ok(refused_with(wrong_id("accountId")));
        };
        let grant = commands::Grant {
            account,
            funds: input.kind,
            amount: input.amount.0,
            reason: input.reason,
            idempotency_key: input.idempotency_key,
        };
        let granted = match commands::grant(&session.app, &session.scope, grant).await {
            Ok(granted) => granted,
            Err(error) => return Ok(refused_with(refused(error)?)),
        };
        if granted.replayed {
            session.was_replayed();
        }
        session.forget();
        let row = session.loaders().entries.must(granted.entry).await?;
        let entry = WalletEntry::of_its_wallet(ctx, row).await?;
        let wallet = entry.as_ref().map(WalletEntry::wallet);
        Ok(Some(GrantCreditPayload {
            wallet,
            entry,
            user_errors: Vec::new(),
        }))
    }
}
