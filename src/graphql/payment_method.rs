//! Linked accounts and cards: charged without their payer.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use entity::enums::LinkStatus;
use entity::payment_method;

use super::caller::{Needs, Permission};
use super::errors::Result;
use super::gateway::{NextAction, told_of_gateway};
use super::ids::{self, Kind, global};
use super::scalars::{DateTime, instant};
use super::session::Reach as _;
use super::user_error::{UserError, refused, wrong_id};
use crate::commands::payment_methods::{self as commands, Begun, LinkMethod, OfMethod};

#[derive(Clone, Debug)]
pub(crate) struct SavedPaymentMethod(pub(crate) Arc<payment_method::Model>);

/// An account or card that was linked at a gateway, to be charged without its payer.
#[Object]
impl SavedPaymentMethod {
    /// Its global id.
    pub(crate) async fn id(&self) -> ID {
        global(Kind::PaymentMethod, self.0.id)
    }

    /// The gateway, by its code.
    async fn gateway(&self) -> &str {
        &self.0.gateway
    }

    /// What its owner knows it by: `Visa •••• 4242`. Null while it is not confirmed.
    async fn label(&self) -> Option<&str> {
        self.0.label.as_deref()
    }

    /// Where it stands.
    async fn status(&self) -> LinkStatus {
        self.0.status
    }

    /// Whether it is the one that is charged where none is named.
    async fn is_default(&self) -> bool {
        self.0.is_default
    }

    /// What its owner has to do next, while it is not confirmed.
    #[graphql(guard = "Needs(Permission::PayOrder)")]
    async fn next_action(&self) -> Option<NextAction> {
        self.action()
    }

    /// Why it was not linked or has ended, in the gateway's words.
    async fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// When it was begun.
    async fn created_at(&self) -> DateTime {
        self.0.created_at.into()
    }

    /// When it was linked.
    async fn linked_at(&self) -> Option<DateTime> {
        instant(self.0.linked_at)
    }

    /// When it ended.
    async fn ended_at(&self) -> Option<DateTime> {
        instant(self.0.ended_at)
    }
}

impl SavedPaymentMethod {
    fn action(&self) -> Option<NextAction> {
        let waits = self.0.status == LinkStatus::Pending;
        let checkout = self.0.checkout.as_ref().filter(|_| waits);
        NextAction::of(&self.0.gateway, checkout, self.0.expires_at)
    }
}

/// The queries of this room.
#[derive(Default)]
pub(crate) struct PaymentMethodQueries;

#[Object]
impl PaymentMethodQueries {
    /// The linked accounts and cards that can be charged or wait to be confirmed, the oldest first; at most 20.
    #[graphql(guard = "Needs(Permission::GetUserBalance)")]
    async fn payment_methods(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose; the caller's own account when absent.")] account_id: Option<ID>,
    ) -> Result<Option<Vec<SavedPaymentMethod>>> {
        let account = ctx.session()?.account(account_id.as_ref()).await?;
        let found = ctx.loaders()?.methods_of_account.must(account).await?;
        Ok(Some(found.into_iter().map(SavedPaymentMethod).collect()))
    }
}

/// An account or card to be linked.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct LinkPaymentMethodInput {
    /// Whose; the caller's own account when absent.
    account_id: Option<ID>,
    /// The gateway, by its code; one that `savesMethods`, see `paymentGateways`.
    gateway: String,
    /// Where the customer is sent back to; on the allow-list.
    return_url: Option<String>,
    /// A key of 1 to 255 visible ASCII characters, new for each intent. The same key and input again answers the first
    /// outcome and links nothing twice.
    idempotency_key: String,
}

/// What asking for a link began.
#[derive(Debug, SimpleObject)]
pub(crate) struct LinkPaymentMethodPayload {
    /// What is linked, once its owner has confirmed it; null when it was refused.
    payment_method: Option<SavedPaymentMethod>,
    /// What its owner has to do next.
    next_action: Option<NextAction>,
    /// Why it was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// A linked account or card that is named.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct UnlinkPaymentMethodInput {
    /// Whose; the caller's own account when absent.
    account_id: Option<ID>,
    /// Which.
    payment_method_id: ID,
}

/// What unlinking did.
#[derive(Debug, SimpleObject)]
pub(crate) struct UnlinkPaymentMethodPayload {
    /// What was unlinked; null when it was refused.
    payment_method: Option<SavedPaymentMethod>,
    /// Why it was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// A linked account or card that becomes the default.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct SetDefaultPaymentMethodInput {
    /// Whose; the caller's own account when absent.
    account_id: Option<ID>,
    /// Which.
    payment_method_id: ID,
}

/// What setting the default did.
#[derive(Debug, SimpleObject)]
pub(crate) struct SetDefaultPaymentMethodPayload {
    /// The default; null when it was refused.
    payment_method: Option<SavedPaymentMethod>,
    /// Why it was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// What is done with a linked account or card.
#[derive(Clone, Copy, Debug)]
enum Change {
    Unlink,
    MakeDefault,
}

/// Does it. Answers what was changed, or why it was refused.
async fn changed(
    ctx: &Context<'_>,
    account: Option<&ID>,
    method: &ID,
    change: Change,
) -> Result<(Option<SavedPaymentMethod>, Vec<UserError>)> {
    let session = ctx.session()?;
    let account = session.account(account).await?;
    let Some(method) = ids::parse(method, Kind::PaymentMethod) else {
        return Ok((None, wrong_id("paymentMethodId")));
    };
    let of = OfMethod { account, method };
    let done = match change {
        Change::Unlink => commands::unlink(&session.app, &session.scope, of).await,
        Change::MakeDefault => commands::set_default(&session.app, &session.scope, of).await,
    };
    session.forget();
    if let Err(error) = done {
        return Ok((None, refused(error)?));
    }
    let found = session.loaders().payment_methods.load(method).await?;
    Ok((found.map(SavedPaymentMethod), Vec::new()))
}

/// The mutations of this room.
#[derive(Default)]
pub(crate) struct PaymentMethodMutations;

#[Object]
impl PaymentMethodMutations {
    /// Begins to link an account or card at a gateway, once, however often it is sent. Its owner confirms it there; then it can
    /// be charged without them. The first one of an account is its default.
    ///
    /// Codes: ACCOUNT_NOT_FOUND, UNKNOWN_GATEWAY, LINKING_NOT_SUPPORTED, LIMIT_EXCEEDED, GATEWAY_REFUSED, GATEWAY_UNAVAILABLE,
    /// RETURN_URL_NOT_ALLOWED, IDEMPOTENCY_KEY_INVALID, IDEMPOTENCY_KEY_REUSED.
    #[graphql(guard = "Needs(Permission::PayOrder)")]
    async fn link_payment_method(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is linked.")] input: LinkPaymentMethodInput,
    ) -> Result<Option<LinkPaymentMethodPayload>> {
        let session = ctx.session()?;
        let account = session.account(input.account_id.as_ref()).await?;
        let wanted = LinkMethod {
            account,
            gateway: input.gateway,
            return_url: input.return_url,
            idempotency_key: input.idempotency_key,
        };
        let asked = match commands::link(&session.app, &session.scope, wanted).await {
            Ok(asked) => asked,
            Err(error) => {
                return Ok(Some(LinkPaymentMethodPayload {
                    payment_method: None,
                    next_action: None,
                    user_errors: refused(error)?,
                }));
            }
        };
        if asked.replayed {
            session.was_replayed();
        }
        let begun = commands::begin(Arc::clone(&session.app), session.scope.clone(), asked.method).await?;
        session.forget();
        let method = SavedPaymentMethod(session.loaders().payment_methods.must(asked.method).await?);
        Ok(Some(LinkPaymentMethodPayload {
            next_action: method.action(),
            payment_method: Some(method),
            user_errors: match begun {
                Begun::Ready => Vec::new(),
                Begun::Refused(_) => told_of_gateway("The gateway did not take this; nothing was linked.", false)?,
                Begun::Unknown => told_of_gateway(
                    "The gateway does not answer just now; nothing was linked. Begin another link, with a new key.",
                    true,
                )?,
            },
        }))
    }

    /// Unlinks an account or card: nothing is charged there from now on. What is under way comes to its end.
    ///
    /// Codes: INVALID_ID, PAYMENT_METHOD_NOT_FOUND.
    #[graphql(guard = "Needs(Permission::PayOrder)")]
    async fn unlink_payment_method(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is unlinked.")] input: UnlinkPaymentMethodInput,
    ) -> Result<Option<UnlinkPaymentMethodPayload>> {
        let (payment_method, user_errors) =
            changed(ctx, input.account_id.as_ref(), &input.payment_method_id, Change::Unlink).await?;
        Ok(Some(UnlinkPaymentMethodPayload {
            payment_method,
            user_errors,
        }))
    }

    /// Makes a linked account or card the one that is charged where none is named.
    ///
    /// Codes: INVALID_ID, PAYMENT_METHOD_NOT_FOUND.
    #[graphql(guard = "Needs(Permission::PayOrder)")]
    async fn set_default_payment_method(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new default.")] input: SetDefaultPaymentMethodInput,
    ) -> Result<Option<SetDefaultPaymentMethodPayload>> {
        let (payment_method, user_errors) = changed(
            ctx,
            input.account_id.as_ref(),
            &input.payment_method_id,
            Change::MakeDefault,
        )
        .await?;
        Ok(Some(SetDefaultPaymentMethodPayload {
            payment_method,
            user_errors,
        }))
    }
}
