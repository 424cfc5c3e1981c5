//! Wallets that are linked: the payer confirms, the notification brings a proof, the proof is changed for a token, and the
//! token pays.
//!
//! A token comes sealed with AES-256 in CBC under the secret key, and goes sealed with RSA (PKCS #1, version 1.5) under
//! MoMo's key: both as MoMo asks, neither a choice of ours. What exactly stands in the sealed JSON, and that the open token
//! is what is signed, was seen in other people's programs only: confirm both with MoMo before going live.

use std::fmt;

use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{Pkcs1PublicEncryptingKey, PublicEncryptingKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::{Meaning, Momo, meaning, spoken};
use crate::domain::gateway::{Decline, LinkOutcome, Outcome};
use crate::domain::money::Currency;
use crate::error::Error;
use crate::gateways::{About, Attempt, Checkout, Failure, Gateway as _, Link, SavedMethod};

/// Bytes of the key that opens tokens.
const KEY_LENGTH: usize = 32;

/// What opens and seals tokens.
pub(super) struct Tokens {
    opening: SecretString,
    sealing: Pkcs1PublicEncryptingKey,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(..)")
    }
}

impl Tokens {
    /// # Errors
    /// [`Error::Configuration`] for keys that are of another kind.
    pub(super) fn new(public: &str, secret: &SecretString) -> Result<Self, Error> {
        if secret.expose_secret().len() != KEY_LENGTH {
            return Err(Error::configuration(format_args!(
                "MoMo's secret key has to have {KEY_LENGTH} bytes for linked wallets"
            )));
        }
        let no_key = || Error::configuration("MoMo's token key has to be an RSA key as DER in base64");
        let der = STANDARD.decode(public.trim()).map_err(|_| no_key())?;
        let sealing = PublicEncryptingKey::from_der(&der)
            .ok()
            .and_then(|key| Pkcs1PublicEncryptingKey::new(key).ok())
            .ok_or_else(no_key)?;
        Ok(Self {
            opening: secret.clone(),
            sealing,
        })
    }

    /// The token that was sealed for us.
    pub(super) fn open(&self, sealed: &str) -> Option<String> {
        open(self.opening.expose_secret().as_bytes(), sealed)
    }

    /// A token, sealed for MoMo: each time in other bytes.
    fn seal(&self, token: &str) -> Option<String> {
        let plain = json!({ "token": token }).to_string();
        let mut sealed = vec![0; self.sealing.ciphertext_size()];
        let sealed = self.sealing.encrypt(plain.as_bytes(), &mut sealed).ok()?;
        Some(STANDARD.encode(sealed))
    }
}

/// Opens a token: base64, AES-256 in CBC with an initial vector of zeros, padded by PKCS #7.
pub(super) fn open(key: &[u8], sealed: &str) -> Option<String> {
    let key = UnboundCipherKey::new(&AES_256, key).ok()?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
    let mut bytes = STANDARD.decode(sealed).ok()?;
    let zeros = DecryptionContext::Iv128(FixedLength::from(&[0; 16]));
    let plain = key.decrypt(&mut bytes, zeros).ok()?;
    let plain = String::from_utf8(plain.to_vec()).ok()?;
    (!plain.is_empty()).then_some(plain)
}

/// What is sent along with a link and comes back signed: by it, a notification is known to be about a link.
pub(super) fn mark() -> String {
    STANDARD.encode(r#"{"kind":"link"}"#)
}

/// What the notification of a link says.
pub(super) fn about(fields: &Value, reference: String, code: i64) -> About {
    let proof = fields["callbackToken"].as_str().filter(|proof| !proof.is_empty());
    match (meaning(code), proof) {
        (Meaning::Done | Meaning::Going, Some(proof)) => About::Confirmed {
            reference,
            proof: proof.to_owned(),
        },
        (Meaning::Failed(_), _) => About::Link {
            reference,
            outcome: LinkOutcome::Failed {
                detail: format!("result code {code}"),
            },
        },
        _ => About::Nothing,
    }
}

impl Momo {
    fn tokens(&self) -> Result<&Tokens, Failure> {
        self.tokens.as_ref().ok_or(Failure::Unsupported)
    }

    pub(super) async fn begin_wallet(&self, link: &Link) -> Result<Checkout, Failure> {
        self.tokens()?;
        let (mark, words) = (mark(), "Link wallet");
        // 0 links without paying.
        let signed = [
            ("amount", "0"),
            ("extraData", mark.as_str()),
            ("ipnUrl", &link.notify_url),
            ("orderId", &link.reference),
            ("orderInfo", words),
            ("partnerClientId", &link.payer),
            ("redirectUrl", &link.return_url),
            ("requestId", &link.reference),
            ("requestType", "linkWallet"),
        ];
        let fields = json!({
            "requestId": link.reference,
            "amount": 0,
            "orderId": link.reference,
            "orderInfo": words,
            "partnerClientId": link.payer,
            "redirectUrl": link.return_url,
            "ipnUrl": link.notify_url,
            "requestType": "linkWallet",
            "extraData": mark,
            "lang": spoken(link.language),
        });
        self.create(&signed, fields, &link.reference).await
    }

    /// Where a link stands. That it is made is not seen here: the proof comes with the notification only.
    pub(super) async fn query_wallet(&self, link: &Link) -> Result<LinkOutcome, Failure> {
        self.tokens()?;
        let said = self.ask(&link.reference, link.language).await?;
        match said.meaning() {
            Meaning::Done | Meaning::Going => Ok(LinkOutcome::Pending),
            Meaning::Failed(_) => Ok(LinkOutcome::Failed { detail: said.words() }),
            Meaning::Unheard => Ok(LinkOutcome::Unknown),
            Meaning::Repeated | Meaning::NotTaken | Meaning::Open => Err(said.open()),
        }
    }

    /// Changes the proof of a link for its token. Asked again, the same answer comes.
    pub(super) async fn fetch_token(&self, link: &Link, proof: &SecretString) -> Result<LinkOutcome, Failure> {
        let tokens = self.tokens()?;
        let request = format!("{}-token", link.reference);
        let proof = proof.expose_secret();
        let signed = [
            ("callbackToken", proof),
            ("orderId", &link.reference),
            ("partnerClientId", &link.payer),
            ("requestId", &request),
        ];
        let fields = json!({
            "requestId": request,
            "callbackToken": proof,
            "orderId": link.reference,
            "partnerClientId": link.payer,
            "lang": spoken(link.language),
        });
        let said = self.call(&["tokenization", "bind"], &signed, fields).await?;
        match said.meaning() {
            Meaning::Done => {
                let sealed = said.filled("aesToken");
                let token = sealed.and_then(|sealed| tokens.open(&sealed));
                let token = token.ok_or_else(|| Failure::unknown("the token can't be opened"))?;
                let label = self.name().to_owned();
                Ok(LinkOutcome::Linked { token, label })
            }
            Meaning::Going => Ok(LinkOutcome::Pending),
            Meaning::Failed(_) | Meaning::Unheard => Ok(LinkOutcome::Failed { detail: said.words() }),
            Meaning::NotTaken => Err(said.refused(Decline::Rejected)),
            Meaning::Repeated | Meaning::Open => Err(said.open()),
        }
    }

    /// Pays with a token. A charge that was asked for before is asked about instead.
    pub(super) async fn pay(&self, attempt: &Attempt, method: &SavedMethod) -> Result<Outcome, Failure> {
        let tokens = self.tokens()?;
        if attempt.amount.currency() != Currency::Vnd {
            return Err(Failure::Unsupported);
        }
        let token = method.token.expose_secret();
        let sealed = tokens.seal(token).ok_or_else(|| Failure::Refused {
            decline: Decline::Rejected,
            detail: "the token can't be sealed".to_owned(),
        })?;
        let amount = attempt.amount.minor().to_string();
        let signed = [
            ("amount", amount.as_str()),
            ("extraData", ""),
            ("orderId", &attempt.reference),
            ("orderInfo", &attempt.description),
            ("partnerClientId", &method.payer),
            ("requestId", &attempt.reference),
            ("token", token),
        ];
        let fields = json!({
            "requestId": attempt.reference,
            "amount": attempt.amount.minor(),
            "orderId": attempt.reference,
            "orderInfo": attempt.description,
            "partnerClientId": method.payer,
            "redirectUrl": attempt.return_url,
            "ipnUrl": attempt.notify_url,
            "extraData": "",
            "autoCapture": true,
            "token": sealed,
            "lang": spoken(attempt.language),
        });
        let said = self.call(&["tokenization", "pay"], &signed, fields).await?;
        match said.meaning() {
            Meaning::Done if said.capture().is_none() || !self.is_about(&said.fields, &attempt.reference) => {
                self.query(attempt).await
            }
            Meaning::Repeated => self.query(attempt).await,
            Meaning::NotTaken | Meaning::Unheard => Err(said.refused(Decline::Rejected)),
            _ => Self::outcome(&said),
        }
    }
}
