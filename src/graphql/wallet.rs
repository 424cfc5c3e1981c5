//! Wallets and the credit history.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, Subscription};
use entity::enums::{WalletAction, WalletKind};
use entity::{wallet, wallet_entry};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use uuid::Uuid;

use super::caller::{Needs, Permission};
use super::connection::{Cut, List, connection, page};
use super::credit_transfer::CreditTransfer;
use super::errors::Result;
use super::history::WalletEntryFilter;
use super::ids::{Kind, global};
use super::loaders::ListKey;
use super::order::Order;
use super::scalars::{CurrencyCode, DateTime, Money, instant, money};
use super::session::Reach as _;
use crate::live;
use crate::store::wallets;

#[derive(Clone, Debug)]
pub(crate) struct Wallet(pub(crate) Arc<wallet::Model>);

/// Stored money of an account. What may be spent is cash and promotional money less what is held.
#[Object]
impl Wallet {
    /// Its global id.
    pub(crate) async fn id(&self) -> ID {
        global(Kind::Wallet, self.0.id)
    }

    /// Credit, or proof of concept.
    async fn kind(&self) -> WalletKind {
        self.0.kind
    }

    /// The currency of its amounts.
    async fn currency(&self) -> CurrencyCode {
        CurrencyCode(self.0.currency.clone())
    }

    /// Paid in and not spent.
    async fn cash(&self) -> Result<Money> {
        money(self.0.cash_minor, &self.0.currency)
    }

    /// Granted and not spent. It is spent first and never leaves through a gateway.
    async fn promotional(&self) -> Result<Money> {
        money(self.0.promotional_minor, &self.0.currency)
    }

    /// Cash and promotional money together: what the books say.
    async fn posted(&self) -> Result<Money> {
        money(
            self.0.cash_minor.saturating_add(self.0.promotional_minor),
            &self.0.currency,
        )
    }

    /// Kept from being spent by open holds.
    async fn held(&self) -> Result<Money> {
        money(self.0.held_minor, &self.0.currency)
    }

    /// What may be spent.
    async fn available(&self) -> Result<Money> {
        let posted = self.0.cash_minor.saturating_add(self.0.promotional_minor);
        money(posted.saturating_sub(self.0.held_minor), &self.0.currency)
    }

    /// When its promotional money ends; proof of concept only.
    async fn ends_at(&self) -> Option<DateTime> {
        instant(self.0.ends_at)
    }

    /// When it was opened.
    async fn created_at(&self) -> DateTime {
        self.0.created_at.into()
    }

    /// The credit history, newest first, each entry with the balance after it.
    #[graphql(guard = "Needs(Permission::ListCredit)")]
    #[allow(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn entries(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which entries; all when absent.")] filter: Option<WalletEntryFilter>,
        #[graphql(desc = "How many from the start, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Behind which cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before which cursor.")] before: Option<String>,
    ) -> Result<Option<WalletEntryConnection>> {
        let page = page(List::Entries, first, after, last, before)?;
        let slice = ctx
            .loaders()?
            .entries_of_wallet
            .must(ListKey::new(self.0.id, filter.unwrap_or_default().checked()?, page))
            .await?;
        let row = |row: &Arc<wallet_entry::Model>| WalletEntry {
            row: Arc::clone(row),
            wallet: Arc::clone(&self.0),
        };
        let cut = Cut::new(&slice, List::Entries, |row| wallets::place_of_entry(row), row);
        Ok(Some(WalletEntryConnection(cut)))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct WalletEntry {
    row: Arc<wallet_entry::Model>,
    wallet: Arc<wallet::Model>,
}

impl WalletEntry {
    /// An entry with its wallet, whose currency it is in.
    pub(crate) async fn of_its_wallet(ctx: &Context<'_>, row: Arc<wallet_entry::Model>) -> Result<Option<Self>> {
        let wallet = ctx.loaders()?.wallets.load(row.wallet_id).await?;
        Ok(wallet.map(|wallet| Self { row, wallet }))
    }

    /// The wallet it is of.
    pub(crate) fn wallet(&self) -> Wallet {
        Wallet(Arc::clone(&self.wallet))
    }
}

/// One line of the credit history.
#[Object]
impl WalletEntry {
    /// Its global id.
    pub(crate) async fn id(&self) -> ID {
        global(Kind::WalletEntry, self.row.id)
    }

    /// Its place in the wallet's history, from 1, without gaps.
    async fn sequence(&self) -> i64 {
        self.row.sequence
    }

    /// What happened.
    async fn action(&self) -> WalletAction {
        self.row.action
    }

    /// What it was for, in words.
    async fn details(&self) -> &str {
        &self.row.details
    }

    /// What it did to the balance; negative is spent.
    async fn amount(&self) -> Result<Money> {
        money(
            self.row.cash_minor.saturating_add(self.row.promotional_minor),
            &self.wallet.currency,
        )
    }

    /// What it did to the cash part.
    async fn cash(&self) -> Result<Money> {
        money(self.row.cash_minor, &self.wallet.currency)
    }

    /// What it did to the promotional part.
    async fn promotional(&self) -> Result<Money> {
        money(self.row.promotional_minor, &self.wallet.currency)
    }

    /// The balance after it.
    async fn balance_after(&self) -> Result<Money> {
        let after = self
            .row
            .cash_after_minor
            .saturating_add(self.row.promotional_after_minor);
        money(after, &self.wallet.currency)
    }

    /// The cash part after it.
    async fn cash_after(&self) -> Result<Money> {
        money(self.row.cash_after_minor, &self.wallet.currency)
    }

    /// The promotional part after it.
    async fn promotional_after(&self) -> Result<Money> {
        money(self.row.promotional_after_minor, &self.wallet.currency)
    }

    /// The order it belongs to.
    #[graphql(guard = "Needs(Permission::ListBillings)")]
    async fn order(&self, ctx: &Context<'_>) -> Result<Option<Order>> {
        let Some(order) = self.row.order_id else {
            return Ok(None);
        };
        Ok(ctx.loaders()?.orders.load(order).await?.map(Order))
    }

    /// The transfer that it is a half of.
    async fn transfer(&self, ctx: &Context<'_>) -> Result<Option<CreditTransfer>> {
        if self.row.action != WalletAction::Transfer {
            return Ok(None);
        }
        let transfers = &ctx.loaders()?.transfers_of_transaction;
        Ok(transfers.load(self.row.transaction_id).await?.map(CreditTransfer))
    }

    /// When.
    async fn created_at(&self) -> DateTime {
        self.row.created_at.into()
    }
}

connection!(
    /// A part of a wallet's history.
    WalletEntryConnection,
    /// An entry and its place in the history.
    WalletEntryEdge,
    WalletEntry
);

/// The wallets of an account.
pub(crate) async fn of_account(ctx: &Context<'_>, account: Uuid) -> Result<Vec<Wallet>> {
    Ok(ctx
        .loaders()?
        .wallets_of_account
        .must(account)
        .await?
        .into_iter()
        .map(Wallet)
        .collect())
}

/// The queries of this room.
#[derive(Default)]
pub(crate) struct WalletQueries;

#[Object]
impl WalletQueries {
    /// The wallets of an account, the credit wallet first.
    #[graphql(guard = "Needs(Permission::GetUserBalance)")]
    async fn wallets(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose; the caller's own when absent.")] account_id: Option<ID>,
    ) -> Result<Option<Vec<Wallet>>> {
        let account = ctx.session()?.account(account_id.as_ref()).await?;
        of_account(ctx, account).await.map(Some)
    }

    /// One wallet of an account; null when it has none of this kind.
    #[graphql(guard = "Needs(Permission::GetUserBalance)")]
    async fn wallet(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which wallet.", default_with = "Some(WalletKind::Credit)")] kind: Option<WalletKind>,
        #[graphql(desc = "Whose; the caller's own when absent.")] account_id: Option<ID>,
    ) -> Result<Option<Wallet>> {
        let account = ctx.session()?.account(account_id.as_ref()).await?;
        Ok(of_account(ctx, account)
            .await?
            .into_iter()
            .find(|wallet| wallet.0.kind == kind.unwrap_or(WalletKind::Credit)))
    }
}

/// The subscriptions of this room.
#[derive(Default)]
pub(crate) struct WalletSubscriptions;

#[Subscription]
impl WalletSubscriptions {
    /// A wallet: first as it is, then after each change.
    #[graphql(guard = "Needs(Permission::GetUserBalance)")]
    async fn wallet_updates(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which wallet.", default_with = "Some(WalletKind::Credit)")] kind: Option<WalletKind>,
        #[graphql(desc = "Whose; the caller's own when absent.")] account_id: Option<ID>,
    ) -> Result<BoxStream<'static, Result<Option<Wallet>>>> {
        let session = Arc::clone(ctx.session()?);
        let account = session.account(account_id.as_ref()).await?;
        let changes = live::changes(Arc::clone(&session.app), session.scope.clone(), account).await?;
        let state = (session.resting(changes), session, None::<Arc<wallet::Model>>);
        Ok(
            stream::unfold(state, move |(mut changes, session, mut shown)| async move {
                loop {
                    changes.next().await?;
                    session.forget();
                    match session.loaders().wallets_of_account.must(account).await {
                        Err(error) => return Some((Err(error), (changes, session, shown))),
                        Ok(wallets) => {
                            // The row is compared, not the news: what happens to other things wakes as well.
                            let now = wallets
                                .into_iter()
                                .find(|wallet| wallet.kind == kind.unwrap_or(WalletKind::Credit));
                            if let Some(now) = now.filter(|now| shown.as_ref() != Some(now)) {
                                shown = Some(Arc::clone(&now));
                                return Some((Ok(Some(Wallet(now))), (changes, session, shown)));
                            }
                        }
                    }
                }
            })
            .boxed(),
        )
    }
}
