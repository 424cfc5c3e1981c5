//! What all vendors' wires share: a client with its limits, keyed digests, strict numbers, local time.
//!
//! A request that got no answer, or one that can't be read, ends as [`Failure::Unknown`], in words that hold neither an
//! address's query nor a key.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, FixedOffset, Utc};
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Sha256, Sha512};
use uuid::Uuid;

use super::Failure;
use crate::domain::money::{Currency, Money};
use crate::error::Error;

/// How long a request may take, its answer included. MoMo asks for no less.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// How long a connection may take.
const CONNECTING: Duration = Duration::from_secs(5);
/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 256 * 1024;
/// Vietnam's distance from UTC in seconds. It has no summer time.
const VIETNAM: i32 = 7 * 3_600;

/// Sends a vendor's requests.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    client: Client,
}

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Reply {
    /// The HTTP status.
    pub(super) status: u16,
    /// The body's bytes.
    pub(super) body: Vec<u8>,
}

impl Wire {
    /// # Errors
    /// [`Error::Internal`] when the machine has no TLS.
    pub(super) fn new(patience: Duration) -> Result<Self, Error> {
        let client = Client::builder()
            // A redirect would carry what is signed to an address that nobody configured, and a proxy would see it.
            .redirect(Policy::none())
            .no_proxy()
            .timeout(patience)
            .connect_timeout(CONNECTING.min(patience))
            .user_agent(concat!("billing-gateway/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(Error::internal)?;
        Ok(Self { client })
    }

    /// A request that reads.
    pub(super) fn get(&self, url: Url) -> RequestBuilder {
        self.client.get(url)
    }

    /// A request with a body.
    pub(super) fn post(&self, url: Url, kind: &'static str, body: String) -> RequestBuilder {
        self.client.post(url).header("content-type", kind).body(body)
    }

    /// Sends JSON, and reads the JSON that is answered with success.
    pub(super) async fn json<T: DeserializeOwned>(&self, url: Url, body: &Value) -> Result<T, Failure> {
        let reply = self.send(self.post(url, "application/json", body.to_string())).await?;
        reply.successful()?.json()
    }

    /// Sends a request and reads the whole answer, whatever its status.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Reply, Failure> {
        let mut response = request.send().await.map_err(unanswered)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unanswered)? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(Failure::unknown("the answer is too long"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, body })
    }
}

impl Reply {
    /// The answer, when its status is of success. All others leave open what happened.
    pub(super) fn successful(self) -> Result<Self, Failure> {
        match self.status {
            200..=299 => Ok(self),
            status => Err(Failure::Unknown(format!("the answer's status is {status}"))),
        }
    }

    /// The body as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        // The error's text can quote the body, which may hold a token.
        serde_json::from_slice(&self.body).map_err(|_| Failure::unknown("the answer can't be read"))
    }
}

/// A request without an answer, in words without its address: the query may be signed.
fn unanswered(error: reqwest::Error) -> Failure {
    use std::error::Error as _;
    let kind = if error.is_timeout() {
        "it took too long"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the request failed"
    };
    let error = error.without_url();
    let mut cause = error.source();
    let mut last = None;
    while let Some(inner) = cause {
        last = Some(inner.to_string());
        cause = inner.source();
    }
    Failure::Unknown(last.map_or_else(|| kind.to_owned(), |last| format!("{kind}: {last}")))
}

/// A key for keyed digests, which never shows itself.
#[derive(Clone)]
pub(super) struct Key<M>(M);

/// A key for HMAC-SHA256.
pub(super) type Sha256Key = Key<Hmac<Sha256>>;
/// A key for HMAC-SHA512.
pub(super) type Sha512Key = Key<Hmac<Sha512>>;

impl<M> fmt::Debug for Key<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl<M: Mac + KeyInit + Clone> Key<M> {
    /// # Errors
    /// [`Error::Configuration`] for an empty key; it is named.
    pub(super) fn new(name: &str, secret: &SecretString) -> Result<Self, Error> {
        let secret = secret.expose_secret();
        if secret.is_empty() {
            return Err(Error::configuration(format_args!("{name} is empty")));
        }
        <M as Mac>::new_from_slice(secret.as_bytes())
            .map(Self)
            .map_err(Error::internal)
    }

    fn digest(&self, bytes: &[u8]) -> M {
        let mut mac = self.0.clone();
        mac.update(bytes);
        mac
    }

    /// The digest of some bytes, in lower-case hexadecimal.
    pub(super) fn hex(&self, bytes: impl AsRef<[u8]>) -> String {
        to_hex(&self.digest(bytes.as_ref()).finalize().into_bytes())
    }

    /// Whether this lower-case hexadecimal is the digest of these bytes; compared in constant time.
    pub(super) fn made(&self, hex: &str, bytes: impl AsRef<[u8]>) -> bool {
        from_hex(hex).is_some_and(|told| self.digest(bytes.as_ref()).verify_slice(&told).is_ok())
    }
}

fn to_hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing into a string can't fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The bytes of a lower-case hexadecimal text. Vendors write it in no other way, so another is not theirs.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect()
}

/// An address below a base. What stands in the path can't leave its segment.
///
/// # Errors
/// [`Failure::Unknown`] for a base that nothing can be below; configurations with one are refused before.
pub(super) fn below(base: &Url, path: &[&str]) -> Result<Url, Failure> {
    let mut url = base.clone();
    url.path_segments_mut()
        .map_err(|()| Failure::unknown("the gateway's address has no path"))?
        .pop_if_empty()
        .extend(path);
    Ok(url)
}

/// Refuses what can't be a vendor's address.
///
/// # Errors
/// [`Error::Configuration`]; the address's key is named.
pub(super) fn check_base(name: &str, base: &Url) -> Result<(), Error> {
    if matches!(base.scheme(), "https" | "http") && base.query().is_none() && base.fragment().is_none() {
        return Ok(());
    }
    Err(Error::configuration(format_args!(
        "{name} has to be an http or https address without a query"
    )))
}

/// Refuses an empty identifier.
///
/// # Errors
/// [`Error::Configuration`]; it is named.
pub(super) fn check_filled(name: &str, text: &str) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::configuration(format_args!("{name} is empty")));
    }
    Ok(())
}

/// Pairs as a form: spaces as `+`, the rest as `%XX`.
pub(super) fn form<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

/// A whole number, from a JSON number or a text of digits. Nothing with a point, an exponent, a plus or a space.
pub(super) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let plain = !digits.is_empty() && digits.len() <= 18 && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| text.parse().ok()).flatten()
        }
        _ => None,
    }
}

/// An amount that a vendor told in minor units: a whole number above zero and in range.
pub(super) fn amount(value: &Value, currency: Currency) -> Option<Money> {
    let money = Money::checked(integer(value)?, currency).ok()?;
    money.is_positive().then_some(money)
}

/// A value as the vendor writes it into what it signs: texts bare, whole numbers in digits, nothing for nothing.
/// `None` for anything else: its text would not be certain.
pub(super) fn text(value: Option<&Value>) -> Option<String> {
    match value {
        None | Some(Value::Null) => Some(String::new()),
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        Some(_) => None,
    }
}

/// What a clock in Vietnam shows, in a form of chrono's.
pub(super) fn in_vietnam(at: DateTime<Utc>, form: &str) -> String {
    match FixedOffset::east_opt(VIETNAM) {
        Some(zone) => at.with_timezone(&zone).format(form).to_string(),
        None => String::new(),
    }
}

/// A key in 25 small letters and digits: short enough for vendors that count, and the same in systems that take
/// capitals for small letters.
pub(super) fn compact(id: Uuid) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut left = id.as_u128();
    let mut text = [b'0'; 25];
    for place in text.iter_mut().rev() {
        let digit = usize::try_from(left % 36).unwrap_or_default();
        *place = DIGITS.get(digit).copied().unwrap_or(b'0');
        left /= 36;
    }
    text.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case(json!(50_000), Some(50_000))]
    #[case(json!("50000"), Some(50_000))]
    #[case(json!("-54"), Some(-54))]
    #[case(json!(1.0), None)]
    #[case(json!("1.0"), None)]
    #[case(json!("+1"), None)]
    #[case(json!(" 1"), None)]
    #[case(json!("1e3"), None)]
    #[case(json!(""), None)]
    #[case(json!("-"), None)]
    #[case(json!("9999999999999999999"), None)]
    #[case(json!(18_446_744_073_709_551_615_u64), None)]
    #[case(json!(null), None)]
    #[case(json!([1]), None)]
    fn only_whole_numbers_are_numbers(#[case] value: Value, #[case] expected: Option<i64>) {
        assert_eq!(integer(&value), expected);
    }

    #[rstest]
    #[case(json!(1), true)]
    #[case(json!(0), false)]
    #[case(json!(-1), false)]
    #[case(json!(1_000_000_000_000_001_i64), false)]
    fn amounts_are_above_zero_and_in_range(#[case] value: Value, #[case] taken: bool) {
        assert_eq!(amount(&value, Currency::Vnd).is_some(), taken);
    }

    #[test]
    fn a_huge_number_in_an_answer_is_not_rounded_to_an_amount() {
        let value: Value = serde_json::from_str("100000000000000000000").unwrap();
        assert_eq!((integer(&value), text(Some(&value))), (None, None));
    }

    #[test]
    fn digests_are_compared_byte_by_byte_and_in_small_letters_only() {
        let key = Sha256Key::new("KEY", &"secret".into()).unwrap();
        let hex = key.hex("text");
        assert!(key.made(&hex, "text"));
        assert!(!key.made(&hex, "texT"));
        assert!(!key.made(&hex.to_uppercase(), "text"));
        assert!(!key.made(&hex[..62], "text"));
        assert!(!key.made(&hex[..63], "text"));
        assert!(!key.made("", "text"));
        assert!(!key.made(&format!(" {hex}"), "text"));
        assert_eq!(format!("{key:?}"), "Key(..)");
        assert!(Sha256Key::new("KEY", &"".into()).is_err());
    }

    #[test]
    fn what_stands_in_a_path_can_t_leave_its_segment() {
        let base = Url::parse("https://vendor.test/v1/").unwrap();
        let url = below(&base, &["things", "../admin?x=1#y"]).unwrap();
        assert_eq!(url.as_str(), "https://vendor.test/v1/things/..%2Fadmin%3Fx=1%23y");
        assert!(check_base("URL", &Url::parse("mailto:a@b.test").unwrap()).is_err());
        assert!(check_base("URL", &base).is_ok());
    }

    #[test]
    fn local_time_is_vietnam_s() {
        let late = DateTime::from_timestamp(1_767_200_400, 0).unwrap();
        assert_eq!(late.to_rfc3339(), "2025-12-31T17:00:00+00:00");
        assert_eq!(in_vietnam(late, "%y%m%d%H%M%S"), "260101000000");
    }

    proptest! {
        #[test]
        fn hexadecimal_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..70)) {
            prop_assert_eq!(from_hex(&to_hex(&bytes)), Some(bytes));
        }

        #[test]
        fn compact_keys_differ_and_are_short(one: u128, other: u128) {
            let (a, b) = (compact(Uuid::from_u128(one)), compact(Uuid::from_u128(other)));
            prop_assert_eq!(a.len(), 25);
            prop_assert_eq!(a == b, one == other);
        }
    }
}
