//! Sending e-mail again that was given up.

use entity::enums::{DeliveryStatus, RecipientStatus};
use uuid::Uuid;

use crate::app::App;
use crate::clock;
use crate::domain::refusal::{Facts, Refusal, RefusalCode};
use crate::error::Error;
use crate::store::{Scope, outbox, recipients};

/// Puts a delivery that was given up into the queue again, as if it were new. Whoever does this has looked whether it
/// arrived after all.
///
/// # Errors
/// Refused with DELIVERY_NOT_FOUND, STATE_CONFLICT; [`Error::Forbidden`] for anyone but an operator.
pub async fn resend(app: &App, scope: &Scope, delivery: Uuid) -> Result<(), Error> {
    if !matches!(scope, Scope::Operator { .. }) {
        return Err(Error::Forbidden("the role OPERATOR"));
    }
    let at = clock::machine_now();
    app.db
        .write("resend_mail", async |tx| {
            let tx = &*tx;
            let found = outbox::by_ids(&**tx, scope, &[delivery]).await?;
            let row = found.into_iter().next().ok_or_else(missing)?;
            if row.status != DeliveryStatus::Dead {
                return Err(conflict(row.status.as_str()).into());
            }
            if let Some(id) = row.recipient_id {
                let recipient = recipients::by_ids(&**tx, scope, &[id]).await?.remove(&id);
                let status = recipient.map(|recipient| recipient.status);
                // A link is for who has not confirmed, all else for who has.
                let wanted = match row.event_sequence {
                    None => RecipientStatus::Pending,
                    Some(_) => RecipientStatus::Confirmed,
                };
                if status != Some(wanted) {
                    return Err(conflict(status.map_or("REMOVED", RecipientStatus::as_str)).into());
                }
            }
            if outbox::requeue(tx, scope, delivery, at).await? {
                Ok(())
            } else {
                Err(Error::Unavailable("the delivery changed meanwhile".into()))
            }
        })
        .await?;
    tracing::info!(%delivery, principal = scope.principal(), "a delivery is sent again");
    Ok(())
}

fn conflict(state: &str) -> Refusal {
    let refusal = Refusal::new(
        RefusalCode::StateConflict,
        format!(
            "The state is {state}. What is sent again is DEAD and for a recipient who is CONFIRMED, or PENDING for a link."
        ),
    );
    Refusal {
        facts: Facts::State {
            state: state.to_owned(),
            allowed: Vec::new(),
        },
        ..refusal
    }
}

/// There is no such delivery.
#[must_use]
pub fn missing() -> Refusal {
    Refusal::new(RefusalCode::DeliveryNotFound, "There is no such delivery.").under("deliveryId")
}
