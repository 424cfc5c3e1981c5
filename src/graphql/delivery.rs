//! What goes out of the house, whichever way, and sending it again.

use async_graphql::{Context, ID, InputObject, Interface, Object, SimpleObject};
use entity::enums::DeliveryStatus;

use super::caller::SignedIn;
use super::errors::Result;
use super::ids::{self, Kind};
use super::mail::MailDelivery;
use super::scalars::DateTime;
use super::session::Reach as _;
use super::user_error::{UserError, refused};
use super::webhook::{WebhookDelivery, may_manage};
use crate::commands::{mail, webhooks};

/// What goes out: a request to a webhook, or a message to a recipient.
#[derive(Clone, Debug, Interface)]
#[allow(clippy::duplicated_attributes, reason = "two fields are of one type")]
#[graphql(
    field(name = "id", ty = "ID", desc = "Its global id."),
    field(name = "status", ty = "DeliveryStatus", desc = "Where it stands."),
    field(name = "attempts", ty = "i32", desc = "How often it was tried."),
    field(
        name = "next_attempt_at",
        ty = "Option<DateTime>",
        desc = "When it is tried next, by the machine's clock; null when it is not."
    ),
    field(name = "last_error", ty = "Option<String>", desc = "What went wrong last."),
    field(name = "delivered_at", ty = "Option<DateTime>", desc = "When it was taken.")
)]
pub(crate) enum Delivery {
    Webhook(WebhookDelivery),
    Mail(MailDelivery),
}

/// What is to be sent anew.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct ResendDeliveryInput {
    /// The request, or the message.
    delivery_id: ID,
}

/// What sending anew did.
#[derive(Debug, SimpleObject)]
pub(crate) struct ResendDeliveryPayload {
    /// The request or message as it now is; null when it was refused.
    delivery: Option<Delivery>,
    /// Why it was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// The mutations of this room.
#[derive(Default)]
pub(crate) struct DeliveryMutations;

#[Object]
impl DeliveryMutations {
    /// Sends anew, as if it had just been made: a request to a webhook, taken or given up, for three days again; for
    /// operators also an e-mail that was given up (DEAD). One whose outcome is not known may have arrived before: then it
    /// comes twice, under one Message-ID.
    ///
    /// Codes: DELIVERY_NOT_FOUND; for an e-mail STATE_CONFLICT.
    #[graphql(guard = "SignedIn")]
    async fn resend_delivery(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The request, or the message.")] input: ResendDeliveryInput,
    ) -> Result<Option<ResendDeliveryPayload>> {
        may_manage(ctx)?;
        let session = ctx.session()?;
        let is_mail = ids::parse(&input.delivery_id, Kind::MailDelivery);
        let done = match is_mail {
            Some(key) => mail::resend(&session.app, &session.scope, key).await.map(|()| key),
            None => {
                let key = ids::parse(&input.delivery_id, Kind::WebhookDelivery).unwrap_or_default();
                webhooks::resend(&session.app, &session.scope, key).await.map(|()| key)
            }
        };
        let key = match done {
            Ok(key) => key,
            Err(error) => {
                return Ok(Some(ResendDeliveryPayload {
                    delivery: None,
                    user_errors: refused(error)?,
                }));
            }
        };
        session.forget();
        let loaders = session.loaders();
        let delivery = match is_mail {
            Some(_) => Delivery::Mail(MailDelivery(loaders.mail_deliveries.must(key).await?)),
            None => Delivery::Webhook(WebhookDelivery(loaders.webhook_deliveries.must(key).await?)),
        };
        Ok(Some(ResendDeliveryPayload {
            delivery: Some(delivery),
            user_errors: Vec::new(),
        }))
    }
}
