//! Who calls: bearer tokens in, principals out. Nothing here knows HTTP; nothing here decides what a principal may do.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use entity::enums::Role;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use lru::LruCache;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::graphql::{Permission, Permissions};

/// Longest token that is looked at, in bytes.
const LONGEST_TOKEN: usize = 8 * 1024;
/// Shortest HS256 secret that is accepted, in bytes: the hash's own length.
const SHORTEST_SECRET: usize = 32;
/// Longest subject and product, in characters: what the store keeps of who did something.
const LONGEST_NAME: usize = 200;

/// Who calls, as a valid token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The token's subject: the person or service, stable over its tokens.
    pub subject: String,
    /// The account it acts for; always there for OWNER, BILLING_ADMIN and VIEWER.
    pub account: Option<Uuid>,
    /// What it is.
    pub role: Role,
    /// What it may do: what its role may, or that part of it which its token's list names.
    pub permissions: Permissions,
    /// The customers' accounts that a partner serves beside its own.
    pub serves: Vec<Uuid>,
    /// The product it serves; always there for PRODUCT.
    pub product: Option<String>,
    /// When the token ends, by machine time.
    pub expires_at: DateTime<Utc>,
}

/// Why a token was not accepted. The texts say nothing about keys or how far a check came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// It is not a token of ours: its form, its algorithm, or a claim that is missing or makes no sense.
    #[error("The bearer token is malformed.")]
    Malformed,
    /// The signature does not match.
    #[error("The bearer token's signature is not valid.")]
    Signature,
    /// It has ended.
    #[error("The bearer token has expired.")]
    Expired,
    /// It begins later.
    #[error("The bearer token is not valid yet.")]
    NotYetValid,
}

impl AuthError {
    /// The stable word for `extensions.reason`.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "MALFORMED",
            Self::Signature => "BAD_SIGNATURE",
            Self::Expired => "EXPIRED",
            Self::NotYetValid => "NOT_YET_VALID",
        }
    }
}

/// The secret is shorter than 32 bytes and could be guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token secret must have at least 32 bytes")]
pub struct WeakSecret;

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    accounts: Vec<Uuid>,
    role: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    permissions: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    product: Option<String>,
    exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
}

/// Where keys come from. A published key set (JWKS) becomes a second variant: the key is chosen by the token's header.
enum Keys {
    Secret {
        verify: Box<DecodingKey>,
        sign: Box<EncodingKey>,
    },
}

impl Keys {
    fn verifying(&self, _header: &Header) -> (&DecodingKey, Algorithm) {
        match self {
            Self::Secret { verify, .. } => (verify, Algorithm::HS256),
        }
    }
}

/// How many tokens are remembered, the latest used.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// Checks bearer tokens, and mints them for development.
///
/// A token whose signature was checked is remembered by its digest, never by itself: callers send the same one with each
/// request. Its time is checked each time.
pub struct Authenticator {
    keys: Keys,
    remembered: Mutex<LruCache<[u8; 32], Verified>>,
}

/// What a token that was signed by us says.
#[derive(Clone)]
struct Verified {
    principal: Arc<Principal>,
    /// It is good from here on, in seconds.
    begins: Option<i64>,
}

impl Verified {
    fn at(self, now: DateTime<Utc>) -> Result<Arc<Principal>, AuthError> {
        if self.principal.expires_at <= now {
            return Err(AuthError::Expired);
        }
        if self.begins.is_some_and(|begins| begins > now.timestamp()) {
            return Err(AuthError::NotYetValid);
        }
        Ok(self.principal)
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authenticator")
    }
}

impl Authenticator {
    /// Tokens signed with a shared secret (HS256).
    ///
    /// Errors: the secret has fewer than 32 bytes.
    pub fn hs256(secret: &SecretString) -> Result<Self, WeakSecret> {
        let bytes = secret.expose_secret().as_bytes();
        if bytes.len() < SHORTEST_SECRET {
            return Err(WeakSecret);
        }
        let verify = Box::new(DecodingKey::from_secret(bytes));
        let sign = Box::new(EncodingKey::from_secret(bytes));
        Ok(Self {
            keys: Keys::Secret { verify, sign },
            remembered: Mutex::new(LruCache::new(REMEMBERED)),
        })
    }

    /// The principal a token speaks for, at `now` (machine time).
    ///
    /// Permissions this version does not know are passed over: they grant nothing.
    /// Errors: [`AuthError`], by the first check that fails: form, signature, sense of the claims, time.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Arc<Principal>, AuthError> {
        if token.is_empty() || token.len() > LONGEST_TOKEN {
            return Err(AuthError::Malformed);
        }
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let remembered = || self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let known = remembered().get(&digest).cloned();
        if let Some(verified) = known {
            return verified.at(now);
        }
        let verified = self.read(token)?;
        let principal = verified.clone().at(now)?;
        remembered().put(digest, verified);
        Ok(principal)
    }

    /// What a token says, if it is signed by us.
    fn read(&self, token: &str) -> Result<Verified, AuthError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| AuthError::Malformed)?;
        let (key, algorithm) = self.keys.verifying(&header);
        let mut checks = Validation::new(algorithm);
        // Time is checked below, by our own clock and without leeway.
        checks.validate_exp = false;
        checks.validate_aud = false;
        checks.required_spec_claims.clear();
        let claims = jsonwebtoken::decode::<Claims>(token, key, &checks).map_err(|error| match error.kind() {
            ErrorKind::InvalidSignature => AuthError::Signature,
            _ => AuthError::Malformed,
        })?;
        verified(claims.claims)
    }

    /// The principal of an `Authorization` header, `None` without one.
    ///
    /// Errors: as [`Self::verify`]; another scheme than Bearer is malformed.
    pub fn verify_header(&self, value: Option<&str>, now: DateTime<Utc>) -> Result<Option<Arc<Principal>>, AuthError> {
        let Some(value) = value else { return Ok(None) };
        let token = strip_bearer(value).ok_or(AuthError::Malformed)?;
        self.verify(token, now).map(Some)
    }

    /// A token for a principal: what the `token` command prints.
    ///
    /// Errors: [`AuthError::Malformed`] for a subject or product that no token may carry; or signing failed, which only a
    /// broken crypto provider can cause.
    pub fn mint(&self, principal: &Principal) -> Result<String, AuthError> {
        if !is_name(&principal.subject) || !principal.product.as_deref().is_none_or(is_name) {
            return Err(AuthError::Malformed);
        }
        let permissions = principal.permissions;
        // A list only narrows: who may do all that its role may needs none, and every request carries it.
        let narrowed = permissions != Permission::of_role(principal.role);
        let claims = Claims {
            sub: principal.subject.clone(),
            account: principal.account,
            accounts: principal.serves.clone(),
            role: principal.role.as_str().to_owned(),
            permissions: narrowed.then(|| permissions.iter().map(|may| may.as_str().to_owned()).collect()),
            product: principal.product.clone(),
            exp: principal.expires_at.timestamp(),
            nbf: None,
        };
        let Keys::Secret { sign, .. } = &self.keys;
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, sign).map_err(|_| AuthError::Malformed)
    }
}

/// What follows `Bearer `, whatever the case of the scheme.
pub(super) fn strip_bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether a claim may be kept as who did something: not empty, not long, nothing that a database would not take.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= LONGEST_NAME && !text.chars().any(char::is_control)
}

fn verified(claims: Claims) -> Result<Verified, AuthError> {
    let expires_at = DateTime::from_timestamp(claims.exp, 0).ok_or(AuthError::Malformed)?;
    let role = claims.role.parse::<Role>().map_err(|_| AuthError::Malformed)?;
    let complete = match role {
        Role::Owner | Role::BillingAdmin | Role::Viewer => claims.account.is_some(),
        Role::Product => claims.product.is_some(),
        Role::Operator | Role::Partner => true,
    };
    if !complete || !is_name(&claims.sub) || !claims.product.as_deref().is_none_or(is_name) {
        return Err(AuthError::Malformed);
    }
    let mut permissions = Permission::of_role(role);
    if let Some(named) = claims.permissions {
        permissions = permissions.and(named.iter().filter_map(|name| name.parse().ok()).collect());
    }
    let principal = Arc::new(Principal {
        subject: claims.sub,
        account: claims.account,
        serves: if role == Role::Partner {
            claims.accounts
        } else {
            Vec::new()
        },
        role,
        permissions,
        product: claims.product,
        expires_at,
    });
    Ok(Verified {
        principal,
        begins: claims.nbf,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn ours() -> Authenticator {
        Authenticator::hs256(&SecretString::from(SECRET)).unwrap()
    }

    fn owner() -> Principal {
        Principal {
            subject: "an".to_owned(),
            account: Some(Uuid::nil()),
            serves: Vec::new(),
            role: Role::Owner,
            permissions: Permission::of_role(Role::Owner),
            product: None,
            expires_at: at(2_000),
        }
    }

    fn sign(claims: &serde_json::Value) -> String {
        jsonwebtoken::encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
    }

    #[test]
    fn a_minted_token_speaks_for_its_principal_until_it_expires() {
        let token = ours().mint(&owner()).unwrap();
        let owner = Arc::new(owner());
        let remembering = ours();
        for _ in 0..2 {
            assert_eq!(remembering.verify(&token, at(1_999)), Ok(Arc::clone(&owner)));
            assert_eq!(remembering.verify(&token, at(2_000)), Err(AuthError::Expired));
            assert_eq!(ours().verify(&token, at(2_000)), Err(AuthError::Expired));
        }
        assert_eq!(
            ours().verify_header(Some(&format!("bEaReR {token}")), at(1)),
            Ok(Some(owner))
        );
        assert_eq!(
            ours().verify_header(Some(&format!("Basic {token}")), at(1)),
            Err(AuthError::Malformed)
        );
        assert_eq!(ours().verify_header(None, at(1)), Ok(None));
    }

    #[test]
    fn a_minted_token_names_permissions_only_where_they_are_less_than_the_roles() {
        let whole = owner();
        let none = Principal {
            permissions: Permissions::default(),
            ..owner()
        };
        let one = Principal {
            permissions: Permissions::from_iter([Permission::ListCredit]),
            ..owner()
        };
        for (principal, named) in [(&whole, None), (&none, Some(0)), (&one, Some(1))] {
            let token = ours().mint(principal).unwrap();
            let claims = token.split('.').nth(1).unwrap();
            let claims = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, claims).unwrap();
            let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
            assert_eq!(
                claims.get("permissions").map(|named| named.as_array().unwrap().len()),
                named
            );
            assert_eq!(ours().verify(&token, at(1)).unwrap().permissions, principal.permissions);
        }
    }

    #[test]
    fn another_secret_another_algorithm_and_nonsense_are_refused_by_kind() {
        let other = Authenticator::hs256(&SecretString::from("another secret of more than 32 bytes")).unwrap();
        let token = other.mint(&owner()).unwrap();
        assert_eq!(ours().verify(&token, at(1)), Err(AuthError::Signature));
        let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbiIsInJvbGUiOiJPUEVSQVRPUiIsImV4cCI6OTk5OTk5OTk5OX0.";
        assert_eq!(ours().verify(none, at(1)), Err(AuthError::Malformed));
        for nonsense in ["", "a.b.c", "x", &"a".repeat(100_000)] {
            assert_eq!(ours().verify(nonsense, at(1)), Err(AuthError::Malformed));
        }
        assert!(Authenticator::hs256(&SecretString::from("short")).is_err());
    }

    #[test]
    fn claims_must_make_sense() {
        let refused = [
            serde_json::json!({ "sub": "a", "role": "OPERATOR" }),
            serde_json::json!({ "sub": "a", "role": "KING", "exp": 99 }),
            serde_json::json!({ "sub": "a", "role": "OWNER", "exp": 99 }),
            serde_json::json!({ "sub": "a", "role": "PRODUCT", "exp": 99 }),
            serde_json::json!({ "sub": "", "role": "OPERATOR", "exp": 99 }),
            serde_json::json!({ "sub": "x".repeat(201), "role": "OPERATOR", "exp": 99 }),
            serde_json::json!({ "sub": "a\u{0}", "role": "OPERATOR", "exp": 99 }),
            serde_json::json!({ "sub": "a\nb", "role": "OPERATOR", "exp": 99 }),
            serde_json::json!({ "sub": "a", "role": "PRODUCT", "product": "", "exp": 99 }),
            serde_json::json!({ "sub": "a", "role": "PRODUCT", "product": "v\u{0}", "exp": 99 }),
            serde_json::json!({ "sub": "a", "role": "PRODUCT", "product": "x".repeat(201), "exp": 99 }),
            serde_json::json!({ "sub": "a", "role": "OPERATOR", "exp": "99" }),
            serde_json::json!({ "sub": "a", "role": "VIEWER", "account": "me", "exp": 99 }),
            serde_json::json!({ "sub": "a", "role": "OPERATOR", "exp": i64::MAX }),
        ];
        for claims in refused {
            assert_eq!(
                ours().verify(&sign(&claims), at(1)),
                Err(AuthError::Malformed),
                "{claims}"
            );
        }
        let later = serde_json::json!({ "sub": "a", "role": "OPERATOR", "exp": 99, "nbf": 50 });
        let remembering = ours();
        for (now, good) in [(49, false), (50, true), (49, false)] {
            let said = remembering.verify(&sign(&later), at(now)).map(|_| ());
            assert_eq!(said, if good { Ok(()) } else { Err(AuthError::NotYetValid) });
        }
        let listed = serde_json::json!({
            "sub": "a", "role": "OWNER", "account": Uuid::nil(), "exp": 99, "permissions": ["ListCredit", "Fly"]
        });
        let may = ours().verify(&sign(&listed), at(1)).unwrap().permissions;
        assert_eq!(may, Permissions::from_iter([Permission::ListCredit]));
        let longest = serde_json::json!({ "sub": "é".repeat(200), "role": "OPERATOR", "exp": 99 });
        assert!(ours().verify(&sign(&longest), at(1)).is_ok());
    }

    #[test]
    fn a_list_of_permissions_narrows_a_role_and_never_widens_it() {
        let of = |role: &str, listed: serde_json::Value| {
            let claims = serde_json::json!({
                "sub": "a", "role": role, "account": Uuid::nil(), "product": "vserver", "exp": 99, "permissions": listed
            });
            ours().verify(&sign(&claims), at(1)).unwrap().permissions
        };
        let reads = Permissions::from_iter([Permission::ListCredit]);
        for role in ["OWNER", "BILLING_ADMIN", "VIEWER", "OPERATOR", "PARTNER"] {
            assert_eq!(of(role, serde_json::json!([])), Permissions::default(), "{role}");
            assert_eq!(of(role, serde_json::json!(["ListCredit"])), reads, "{role}");
        }
        for (role, beyond) in [
            ("VIEWER", "PayOrder"),
            ("OPERATOR", "PayOrder"),
            ("BILLING_ADMIN", "ManageTags"),
            ("PRODUCT", "ListCredit"),
        ] {
            assert_eq!(of(role, serde_json::json!([beyond])), Permissions::default(), "{role}");
        }
        for role in [Role::Owner, Role::Viewer, Role::Operator] {
            assert_eq!(of(role.as_str(), serde_json::Value::Null), Permission::of_role(role));
        }
    }
}
