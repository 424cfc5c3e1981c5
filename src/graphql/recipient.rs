//! Who of an account is written to.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use entity::alert_recipient;
use entity::enums::{MailCategory, RecipientStatus};

use super::account::Account;
use super::caller::{Needs, Permission};
use super::errors::Result;
use super::scalars::{DateTime, instant};
use super::session::Reach as _;
use super::user_error::{UserError, refused};
use crate::commands::recipients::{self as commands, Wanted};
use crate::store::recipients;

#[derive(Clone, Debug)]
pub(crate) struct AlertRecipient(pub(crate) Arc<alert_recipient::Model>);

/// Somebody who is written to about an account, at an address that they have confirmed.
#[Object]
impl AlertRecipient {
    /// The address, in small letters.
    async fn email(&self) -> &str {
        &self.0.email
    }

    /// What they are told. That a resource will be or was deleted for good is told to every recipient.
    async fn categories(&self) -> Vec<MailCategory> {
        recipients::chosen(&self.0)
    }

    /// Where they stand.
    async fn status(&self) -> RecipientStatus {
        self.0.status
    }

    /// When they were put on the list.
    async fn created_at(&self) -> DateTime {
        self.0.created_at.into()
    }

    /// When they confirmed.
    async fn confirmed_at(&self) -> Option<DateTime> {
        instant(self.0.confirmed_at)
    }

    /// Until when the link is good that they were sent; null before it was sent and when they have confirmed.
    async fn link_expires_at(&self) -> Option<DateTime> {
        let waits = self.0.status == RecipientStatus::Pending;
        instant(self.0.token_expires_at.filter(|_| waits))
    }
}

/// The recipients of an account, in the order of their addresses.
pub(crate) async fn of_account(ctx: &Context<'_>, account: uuid::Uuid) -> Result<Vec<AlertRecipient>> {
    let found = ctx.loaders()?.recipients_of_account.must(account).await?;
    Ok(found.into_iter().map(AlertRecipient).collect())
}

/// Somebody who is to be written to.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct AlertRecipientInput {
    /// The address.
    email: String,
    /// What they are told; all when absent. That a resource will be or was deleted for good is always told.
    categories: Option<Vec<MailCategory>>,
}

/// All who are to be written to about an account.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct SetAlertRecipientsInput {
    /// Which account; the caller's own when absent.
    account_id: Option<ID>,
    /// The recipients, at most 20: who is not among them is taken off the list.
    recipients: Vec<AlertRecipientInput>,
}

/// What setting the recipients did.
#[derive(Debug, SimpleObject)]
pub(crate) struct SetAlertRecipientsPayload {
    /// The account with its recipients as they now are; null when it was refused.
    account: Option<Account>,
    /// Why it was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// The mutations of this room.
#[derive(Default)]
pub(crate) struct RecipientMutations;

#[Object]
impl RecipientMutations {
    /// Sets who is written to about an account. A new address is sent a link that is valid for 3 days, and gets nothing
    /// else before it was confirmed; so is one whose link was not used in time, or could not be sent. Who is there already
    /// keeps the confirmation, whatever the categories are now. Who is to be sent another link at once is taken off the
    /// list and set again.
    ///
    /// Codes: TOO_MANY_ITEMS, INVALID_EMAIL, DUPLICATE_RECIPIENT, LIMIT_EXCEEDED.
    #[graphql(guard = "Needs(Permission::ManageResources)")]
    async fn set_alert_recipients(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The recipients.")] input: SetAlertRecipientsInput,
    ) -> Result<Option<SetAlertRecipientsPayload>> {
        let session = ctx.session()?;
        let account = session.account(input.account_id.as_ref()).await?;
        let wanted = input.recipients.into_iter().map(|recipient| Wanted {
            email: recipient.email,
            categories: recipient.categories,
        });
        let done = commands::set(&session.app, &session.scope, account, wanted.collect()).await;
        session.forget();
        Ok(Some(match done {
            Ok(()) => SetAlertRecipientsPayload {
                account: session.loaders().accounts.load(account).await?.map(Account),
                user_errors: Vec::new(),
            },
            Err(error) => SetAlertRecipientsPayload {
                account: None,
                user_errors: refused(error)?,
            },
        }))
    }
}
