//! How something is paid, as it is asked for, and the link by which somebody else pays.

use async_graphql::{Context, ID, InputObject, OneofObject, SimpleObject};
use entity::enums::OrderStatus;
use entity::order;

use super::errors::Result;
use super::ids::{self, Kind};
use super::scalars::DateTime;
use super::session::Reach as _;
use crate::commands::order::{PayBy, Through, url_of};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::gateways::bank;

/// Somebody else was asked to pay. The link went to them by e-mail; it may also be handed to them another way.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct ShareAction {
    /// The link. Whoever has it sees what is to be paid and for whom, and can pay it.
    url: String,
    /// Who was asked.
    payer_email: String,
    /// The gateway on which they pay, by its code.
    gateway: String,
    /// Until when they can begin to pay.
    expires_at: DateTime,
}

impl ShareAction {
    /// What of an order's links can be used still.
    pub(crate) async fn of_order(ctx: &Context<'_>, order: &order::Model) -> Result<Option<Self>> {
        if order.status != OrderStatus::AwaitingPayment {
            return Ok(None);
        }
        let app = &ctx.session()?.app;
        let links = ctx.loaders()?.links_of_order.must(order.id).await?;
        let good = links
            .into_iter()
            .find(|link| link.ended_at.is_none() && app.clock.now() < link.expires_at);
        Ok(good.map(|link| Self {
            url: url_of(app, &link.token),
            payer_email: link.payer_email.clone(),
            gateway: link.gateway.clone(),
            expires_at: link.expires_at.into(),
        }))
    }
}

/// A way to pay: exactly one.
#[derive(Clone, Debug, OneofObject)]
pub(crate) enum PaymentInput {
    /// All of it from the credit wallet; true is the only value.
    Credit(bool),
    /// All of it through a gateway, by its code; the wallet is not touched. See `paymentGateways`.
    Gateway(String),
    /// All of it from a linked account or card, by its id: it is charged at once, without its owner.
    LinkedAccount(ID),
    /// All available credit, and the rest through a gateway or a linked account: together or not at all. The credit is held
    /// until the other part is there.
    TopUpAndPay(ThroughInput),
    /// All of it by a bank transfer, within three days; true is the only value.
    BankTransfer(bool),
    /// All of it by somebody else, within three days: they are sent a link.
    OnBehalf(OnBehalfInput),
}

impl PaymentInput {
    /// The way to pay. Errors: PAYMENT_REQUIRED for credit that is not true, PAYMENT_METHOD_NOT_FOUND.
    pub(crate) fn by(self) -> std::result::Result<PayBy, Refusal> {
        match self {
            Self::Credit(true) => Ok(PayBy::Credit),
            Self::Credit(false) => {
                let refusal = Refusal::new(
                    RefusalCode::PaymentRequired,
                    "Choose a way to pay: `credit` takes only true.",
                );
                Err(refusal.under("credit").under("payment"))
            }
            Self::Gateway(code) => Ok(PayBy::Through(Through::Gateway(code))),
            Self::LinkedAccount(id) => {
                let through = linked(&id).map_err(|refusal| refusal.under("linkedAccount").under("payment"))?;
                Ok(PayBy::Through(through))
            }
            Self::TopUpAndPay(through) => {
                let through = through.through();
                Ok(PayBy::TopUpAndPay(
                    through.map_err(|refusal| refusal.under("topUpAndPay").under("payment"))?,
                ))
            }
            Self::BankTransfer(true) => Ok(PayBy::Through(Through::Gateway(bank::CODE.to_owned()))),
            Self::OnBehalf(OnBehalfInput { gateway, payer_email }) => Ok(PayBy::OnBehalf { gateway, payer_email }),
            Self::BankTransfer(false) => {
                let refusal = Refusal::new(
                    RefusalCode::PaymentRequired,
                    "Choose a way to pay: `bankTransfer` takes only true.",
                );
                Err(refusal.under("bankTransfer").under("payment"))
            }
        }
    }
}

/// Who is asked to pay, and where.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct OnBehalfInput {
    /// The gateway on which they pay, by its code: one with `takesOnBehalf`.
    pub(crate) gateway: String,
    /// The address to which the link is sent.
    pub(crate) payer_email: String,
}

/// Through what money is taken: exactly one.
#[derive(Clone, Debug, OneofObject)]
pub(crate) enum ThroughInput {
    /// A gateway, by its code.
    Gateway(String),
    /// A linked account or card, by its id.
    PaymentMethodId(ID),
}

impl ThroughInput {
    /// The way. Errors: PAYMENT_METHOD_NOT_FOUND.
    pub(crate) fn through(self) -> std::result::Result<Through, Refusal> {
        match self {
            Self::Gateway(code) => Ok(Through::Gateway(code)),
            Self::PaymentMethodId(id) => linked(&id).map_err(|refusal| refusal.under("paymentMethodId")),
        }
    }
}

/// A linked account or card, by its id. Errors: PAYMENT_METHOD_NOT_FOUND.
pub(crate) fn linked(id: &ID) -> std::result::Result<Through, Refusal> {
    ids::parse(id, Kind::PaymentMethod).map(Through::Linked).ok_or_else(|| {
        Refusal::new(
            RefusalCode::PaymentMethodNotFound,
            "This is no id of a linked account or card.",
        )
    })
}
