//! What goes out by e-mail: what waits, what was taken, what was given up.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, SimpleObject};
use entity::enums::DeliveryStatus;
use entity::outbox_delivery;

use super::account::Account;
use super::caller::{Needs, Permission};
use super::connection::{Cut, List, connection, page};
use super::errors::Result;
use super::event::AccountEvent;
use super::ids::{Kind, global};
use super::scalars::{DateTime, instant};
use super::session::Reach as _;
use crate::live::{Cursor, Told};
use crate::store::outbox::{self, Filter};

#[derive(Clone, Debug)]
pub(crate) struct MailDelivery(pub(crate) Arc<outbox_delivery::Model>);

/// A message as it is written.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct MailMessage {
    /// The subject.
    subject: String,
    /// For who reads text.
    text: String,
    /// For who reads HTML: the same.
    html: String,
}

/// A message to one recipient about one event, once; or the link that confirms a recipient's address.
#[Object]
impl MailDelivery {
    /// Its global id.
    pub(crate) async fn id(&self) -> ID {
        global(Kind::MailDelivery, self.0.id)
    }

    /// The account it is about.
    async fn account(&self, ctx: &Context<'_>) -> Result<Account> {
        Ok(Account(ctx.loaders()?.accounts.must(self.0.account_id).await?))
    }

    /// To which address.
    async fn target(&self) -> &str {
        &self.0.target
    }

    /// The event it tells of; null for a link that confirms an address.
    async fn event(&self, ctx: &Context<'_>) -> Result<Option<AccountEvent>> {
        let Some(sequence) = self.0.event_sequence else {
            return Ok(None);
        };
        let session = ctx.session()?;
        let found = session.loaders().events.load((self.0.account_id, sequence)).await?;
        Ok(found.map(|event| {
            AccountEvent(Told {
                cursor: Cursor::new(session.app.epoch, event.account_id, event.sequence),
                event: (*event).clone(),
                replayed: true,
            })
        }))
    }

    /// Where it stands.
    pub(crate) async fn status(&self) -> DeliveryStatus {
        self.0.status
    }

    /// How often it was tried.
    pub(crate) async fn attempts(&self) -> i32 {
        self.0.attempts
    }

    /// When it will be tried next, by the machine's clock; null when it waits for nothing.
    pub(crate) async fn next_attempt_at(&self) -> Option<DateTime> {
        instant(self.0.next_attempt_at)
    }

    /// What went wrong last.
    pub(crate) async fn last_error(&self) -> Option<String> {
        self.0.last_error.clone()
    }

    /// When it was written.
    async fn created_at(&self) -> DateTime {
        self.0.created_at.into()
    }

    /// When the mail server took it.
    pub(crate) async fn delivered_at(&self) -> Option<DateTime> {
        instant(self.0.delivered_at)
    }

    /// The message, written from what happened; without its secret where it is a link. Null when what it tells of is not
    /// kept any more.
    /// It may tell amounts and balances: who reads it needs the permissions for them.
    #[graphql(
        guard = "Needs(Permission::ListPayments).and(Needs(Permission::GetUserBalance)).and(Needs(Permission::GetBilling))"
    )]
    async fn message(&self, ctx: &Context<'_>) -> Result<Option<MailMessage>> {
        let letter = ctx.loaders()?.letters.load(self.0.id).await?;
        Ok(letter.map(|letter| {
            let message = letter.write();
            MailMessage {
                subject: message.subject,
                text: message.text,
                html: message.html,
            }
        }))
    }
}

connection!(
    /// A part of a list of messages.
    MailDeliveryConnection,
    /// A message and its place in the list.
    MailDeliveryEdge,
    MailDelivery
);

/// The queries of this room.
#[derive(Default)]
pub(crate) struct MailQueries;

#[Object]
impl MailQueries {
    /// What goes out by e-mail, newest first: of an account, or, for operators who name none, of all.
    #[graphql(guard = "Needs(Permission::ListBillings)")]
    #[allow(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn mail_deliveries(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of this account; the caller's own when absent, or all that an operator or a partner sees.")]
        account_id: Option<ID>,
        #[graphql(desc = "Of one status only.")] status: Option<DeliveryStatus>,
        #[graphql(desc = "How many from the start, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Behind which cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before which cursor.")] before: Option<String>,
    ) -> Result<Option<MailDeliveryConnection>> {
        let page = page(List::MailDeliveries, first, after, last, before)?;
        let session = ctx.session()?;
        let account = match &account_id {
            Some(_) => Some(session.account(account_id.as_ref()).await?),
            None => session.caller.account,
        };
        let filter = Filter { account, status };
        let slice = outbox::list(session.app.db.read(), &session.scope, filter, &page)
            .await?
            .map(Arc::new);
        let place = |row: &Arc<outbox_delivery::Model>| outbox::place(row);
        let cut = Cut::new(&slice, List::MailDeliveries, place, |row| MailDelivery(Arc::clone(row)));
        Ok(Some(MailDeliveryConnection(cut)))
    }
}
