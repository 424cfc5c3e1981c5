//! Through what money is taken: a gateway that asks its payer, or a linked account that is charged.

use entity::payment_method;
use sea_orm::ConnectionTrait;
use serde::Serialize;
use uuid::Uuid;

use super::{gateway_of, link};
use crate::app::App;
use crate::domain::money::Currency;
use crate::error::Error;
use crate::gateways::Gateway;
use crate::store::{Scope, payment_methods};

/// Through what money is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Through {
    /// A gateway, by its code: its payer is asked.
    Gateway(String),
    /// A linked account or card: it is charged.
    Linked(Uuid),
}

/// A way that is there.
#[derive(Clone, Copy, Debug)]
pub(in crate::commands) struct Resolved<'a> {
    /// The gateway.
    pub(in crate::commands) gateway: &'a dyn Gateway,
    /// What is charged there.
    pub(in crate::commands) saved: Option<Uuid>,
}

/// The gateway of a way, and what is charged there.
///
/// # Errors
/// Refused with UNKNOWN_GATEWAY, PAYMENT_METHOD_NOT_FOUND.
pub(in crate::commands) async fn resolve<'a>(
    app: &'a App,
    db: &impl ConnectionTrait,
    scope: &Scope,
    account: Uuid,
    through: &Through,
    currency: Currency,
) -> Result<Resolved<'a>, Error> {
    match through {
        Through::Gateway(code) => Ok(Resolved {
            gateway: gateway_of(app, code, currency)?,
            saved: None,
        }),
        Through::Linked(id) => {
            let found = payment_methods::by_ids(db, scope, &[*id]).await?;
            let usable = |row: &payment_method::Model| {
                row.account_id == account && link::saved_of(row).is_some() && row.ended_at.is_none()
            };
            let row = found.into_iter().find(usable).ok_or_else(link::no_method)?;
            Ok(Resolved {
                gateway: gateway_of(app, &row.gateway, currency)?,
                saved: Some(row.id),
            })
        }
    }
}
