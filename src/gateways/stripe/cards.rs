//! Cards that are kept: a customer for each payer, a card confirmed in the page, and what charges it.

use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::{Stripe, filled, reference, word};
use crate::domain::gateway::{Decline, LinkOutcome};
use crate::gateways::{Checkout, Failure, Link, SavedMethod};

/// The customer and the card of a method's token.
pub(super) fn parts(method: &SavedMethod) -> Result<(&str, &str), Failure> {
    let parts = method.token.expose_secret().split_once(':');
    parts
        .filter(|(customer, card)| !customer.is_empty() && !card.is_empty())
        .ok_or_else(|| Failure::Refused {
            decline: Decline::Rejected,
            detail: "the saved method is not one of this gateway".to_owned(),
        })
}

/// `Visa •••• 4242`.
fn label(card: &Value) -> String {
    let mut brand = word(&card["card"]["brand"]).replace('_', " ");
    if let Some(first) = brand.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    if brand.is_empty() {
        "Card".clone_into(&mut brand);
    }
    match word(&card["card"]["last4"]) {
        last if last.is_empty() => brand,
        last => format!("{brand} •••• {last}"),
    }
}

impl Stripe {
    /// The customer of a payer, made when it is first needed. Within a day the key finds the one that was made; later
    /// another is made, which does no harm: a card keeps its own.
    async fn customer(&self, payer: &str) -> Result<String, Failure> {
        let key = format!("customer-{payer}");
        let customer = self
            .post(&["customers"], &key, &[("metadata[payer]", payer)])
            .await?
            .map_err(|fault| fault.refused())?;
        filled(&customer["id"]).ok_or_else(|| Failure::unknown("the customer has no name"))
    }

    /// What a payer confirms a card with.
    async fn setup(&self, link: &Link) -> Result<Value, Failure> {
        let customer = self.customer(&link.payer).await?;
        let fields = [
            ("customer", customer.as_str()),
            ("usage", "off_session"),
            ("payment_method_types[]", "card"),
            ("metadata[reference]", &link.reference),
        ];
        let key = format!("{}-link", link.reference);
        self.post(&["setup_intents"], &key, &fields)
            .await?
            .map_err(|fault| fault.refused())
    }

    pub(super) async fn begin_card(&self, link: &Link) -> Result<Checkout, Failure> {
        let setup = self.setup(link).await?;
        let (Some(id), Some(secret)) = (filled(&setup["id"]), filled(&setup["client_secret"])) else {
            return Err(Failure::unknown("the link has no secret to confirm with"));
        };
        Ok(Checkout {
            gateway_id: Some(id),
            client_secret: Some(secret),
            ..Checkout::default()
        })
    }

    pub(super) async fn query_card(&self, link: &Link, id: Option<&str>) -> Result<LinkOutcome, Failure> {
        let id = match id {
            Some(id) => id.to_owned(),
            // The answer that named it was lost. Asked for with the same key, it comes again.
            None => match self.setup(link).await {
                Ok(setup) => filled(&setup["id"]).ok_or_else(|| Failure::unknown("the link has no name"))?,
                Err(Failure::Refused { detail, .. }) => return Err(Failure::Unknown(detail)),
                Err(failure) => return Err(failure),
            },
        };
        let setup = match self.get(&["setup_intents", &id], &[]).await? {
            Ok(setup) => setup,
            Err(fault) if fault.is_missing() => return Ok(LinkOutcome::Unknown),
            Err(fault) => return Err(fault.unanswered()),
        };
        if reference(&setup).as_deref() != Some(link.reference.as_str()) {
            return Err(Failure::unknown("the answer is not about this link"));
        }
        match setup["status"].as_str() {
            Some("succeeded") => self.linked(&setup).await,
            Some("requires_payment_method" | "requires_confirmation" | "requires_action" | "processing") => {
                Ok(LinkOutcome::Pending)
            }
            Some("canceled") => Ok(LinkOutcome::Failed {
                detail: "canceled".to_owned(),
            }),
            _ => Err(Failure::unknown("the link's status can't be read")),
        }
    }

    async fn linked(&self, setup: &Value) -> Result<LinkOutcome, Failure> {
        let (Some(customer), Some(card)) = (filled(&setup["customer"]), filled(&setup["payment_method"])) else {
            return Err(Failure::unknown("the link has no card"));
        };
        let seen = self
            .get(&["payment_methods", &card], &[])
            .await?
            .map_err(|fault| fault.unanswered())?;
        Ok(LinkOutcome::Linked {
            token: format!("{customer}:{card}"),
            label: label(&seen),
        })
    }

    /// Parts a card from its customer. Where that is not done, the card is looked at: it may be parted already.
    pub(super) async fn detach(&self, method: &SavedMethod) -> Result<(), Failure> {
        let (_, card) = parts(method)?;
        let key = format!("detach-{card}");
        let fault = match self.post(&["payment_methods", card, "detach"], &key, &[]).await? {
            Ok(_) => return Ok(()),
            Err(fault) if fault.is_missing() => return Ok(()),
            Err(fault) => fault,
        };
        match self.get(&["payment_methods", card], &[]).await? {
            Ok(seen) if seen["customer"].is_null() => Ok(()),
            Err(gone) if gone.is_missing() => Ok(()),
            Ok(_) | Err(_) => Err(fault.refused()),
        }
    }
}
