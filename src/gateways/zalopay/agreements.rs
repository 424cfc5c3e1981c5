//! Wallets that are linked: an agreement is made, asked about, paid by and ended.

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::{Code, Said, ZaloPay, decline, wire};
use crate::clock::machine_now;
use crate::domain::gateway::{Decline, LinkOutcome, Outcome};
use crate::gateways::{About, Attempt, Checkout, Failure, Gateway as _, Link, Notice, Rejected, SavedMethod};

/// The one kind of agreement: a wallet.
const KIND: &str = "WALLET";

/// Where an agreement stands.
pub(super) enum Agreement {
    /// Confirmed.
    Made {
        binding: String,
        token: String,
        label: String,
    },
    /// Not confirmed yet.
    Going,
    /// Ended by its owner or by ZaloPay.
    Ended(String),
    /// Never made.
    Failed(String),
}

impl Agreement {
    pub(super) fn outcome(self) -> LinkOutcome {
        match self {
            Self::Made { token, label, .. } => LinkOutcome::Linked { token, label },
            Self::Going => LinkOutcome::Pending,
            Self::Ended(detail) | Self::Failed(detail) => LinkOutcome::Failed { detail },
        }
    }

    /// Reads what an answer or a callback holds of one.
    fn read(data: &Value) -> Option<Self> {
        let filled = |name: &str| data[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        match wire::integer(&data["status"])? {
            1 => Some(Self::Made {
                binding: filled("binding_id")?,
                token: filled("pay_token")?,
                label: label(data["masked_user_phone"].as_str().unwrap_or_default()),
            }),
            3 => Some(Self::Ended("cancelled".to_owned())),
            4 => Some(Self::Ended("disabled".to_owned())),
            _ => None,
        }
    }
}

/// `ZaloPay •••• 6938`, of `****6938`.
fn label(phone: &str) -> String {
    let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
    match digits.len() {
        0 => "ZaloPay".to_owned(),
        length => format!(
            "ZaloPay •••• {}",
            digits.get(length.saturating_sub(4)..).unwrap_or_default()
        ),
    }
}

/// What a callback of an agreement says.
pub(super) fn notice(data: &Value, reference: String) -> Result<Notice, Rejected> {
    let part = |name: &str| wire::text(data.get(name)).ok_or(Rejected::Malformed);
    let event = format!(
        "agreement:{}:{}:{}:{}",
        part("binding_id")?,
        part("status")?,
        part("msg_type")?,
        part("server_time")?
    );
    let about = match Agreement::read(data).ok_or(Rejected::Malformed)? {
        Agreement::Ended(_) => About::Unlinked { reference },
        agreement => About::Link {
            reference,
            outcome: agreement.outcome(),
        },
    };
    Ok(Notice { event, about })
}

impl ZaloPay {
    pub(super) async fn bind(&self, link: &Link) -> Result<Checkout, Failure> {
        let time = link.created_at.timestamp_millis();
        // No limit of ours: 0 leaves it to the wallet's balance and ZaloPay's own.
        let (terms, most) = ("{}", 0);
        let fields = json!({
            "app_trans_id": link.reference,
            "req_date": time,
            "identifier": link.payer,
            "max_amount": most,
            "binding_type": KIND,
            "binding_data": terms,
            "redirect_url": link.return_url,
            "callback_url": link.notify_url,
        });
        let (most, time) = (most.to_string(), time.to_string());
        let signed = [link.reference.as_str(), terms, KIND, &link.payer, &most, &time];
        let said = self.call(&["agreement", "bind"], &signed, fields).await?;
        match said.code_of_making()? {
            Code::Done if said.deep_link.is_some() || said.binding_qr_link.is_some() => Ok(Checkout {
                gateway_id: said.binding_token,
                url: said.short_link.or_else(|| said.binding_qr_link.clone()),
                app_url: said.deep_link,
                qr: said.binding_qr_link,
                client_secret: None,
                bank: None,
            }),
            Code::Failed(sub) => Err(Failure::Refused {
                decline: decline(sub),
                detail: said.words(),
            }),
            Code::Done | Code::Going => Err(Failure::unknown("the agreement has no address to confirm at")),
        }
    }

    /// Where the agreement of a reference stands.
    pub(super) async fn agreement(&self, reference: &str) -> Result<Agreement, Failure> {
        let now = machine_now().timestamp_millis();
        let fields = json!({ "app_trans_id": reference, "req_date": now });
        let signed = [reference, &now.to_string()];
        let said = self.call(&["agreement", "query"], &signed, fields).await?;
        match said.code()? {
            Code::Going => Ok(Agreement::Going),
            Code::Failed(_) => Ok(Agreement::Failed(said.words())),
            Code::Done => self.of_ours(&said, reference),
        }
    }

    fn of_ours(&self, said: &Said, reference: &str) -> Result<Agreement, Failure> {
        let ours = wire::integer(&said.data["app_id"]) == Some(i64::from(self.config.app_id))
            && said.data["app_trans_id"] == reference;
        ours.then(|| Agreement::read(&said.data))
            .flatten()
            .ok_or_else(|| Failure::unknown("the answer is not about this agreement"))
    }

    /// Pays an order with a wallet's token. How much was taken is in no answer to this: it is asked for.
    pub(super) async fn pay(&self, attempt: &Attempt, method: &SavedMethod, order: &str) -> Result<Outcome, Failure> {
        let time = attempt.created_at.timestamp_millis();
        let token = method.token.expose_secret();
        let fields = json!({
            "identifier": method.payer,
            "zp_trans_token": order,
            "pay_token": token,
            "req_date": time,
        });
        let signed = [method.payer.as_str(), order, token, &time.to_string()];
        let said = self.call(&["agreement", "pay"], &signed, fields).await?;
        match said.code_of_making()? {
            Code::Done => self.query(attempt).await,
            Code::Going => Ok(Outcome::Pending),
            Code::Failed(sub) => Ok(Outcome::Failed {
                decline: match self.agreement(&method.reference).await {
                    // Which code says so is not published, so the agreement is asked for.
                    Ok(Agreement::Ended(_)) => Decline::MethodRevoked,
                    _ => decline(sub),
                },
                detail: said.words(),
            }),
        }
    }

    /// Ends the agreement that a method was linked by. Its number is asked for: the token is not it.
    pub(super) async fn unbind(&self, method: &SavedMethod) -> Result<(), Failure> {
        let binding = match self.agreement(&method.reference).await? {
            Agreement::Made { binding, .. } => binding,
            Agreement::Ended(_) => return Ok(()),
            Agreement::Going => return Err(Failure::unknown("the agreement is not confirmed yet")),
            // Whether it ever was, or can't be told just now, is not published.
            Agreement::Failed(words) => return Err(Failure::Unknown(words)),
        };
        let now = machine_now().timestamp_millis();
        let fields = json!({ "identifier": method.payer, "binding_id": binding, "req_date": now });
        let signed = [method.payer.as_str(), &binding, &now.to_string()];
        let said = self.call(&["agreement", "unbind"], &signed, fields).await?;
        match said.code_of_making()? {
            Code::Done => Ok(()),
            Code::Going => Err(Failure::unknown("the agreement is not ended yet")),
            Code::Failed(_) => Err(Failure::Refused {
                decline: Decline::Rejected,
                detail: said.words(),
            }),
        }
    }
}
