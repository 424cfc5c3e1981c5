//! The payment gateways: keys and addresses. A gateway is there when its keys are; one that has only some of them stops the
//! start, and the key that is missing is named.

use clap::Args;
use secrecy::SecretString;
use url::Url;

/// Flags whose values are never printed.
pub(super) const SECRETIVE: &[&str] = &[
    "--zalopay-key1",
    "--zalopay-key2",
    "--momo-access-key",
    "--momo-secret-key",
    "--stripe-secret-key",
    "--stripe-webhook-secret",
    "--vnpay-hash-secret",
];

/// Which payment gateways there are.
#[derive(Args, Clone, Debug, Default)]
pub struct Gateways {
    /// ZaloPay: the application's number.
    #[arg(long, env = "BILLING_ZALOPAY_APP_ID")]
    pub zalopay_app_id: Option<u32>,
    /// ZaloPay: key1, which signs requests.
    #[arg(long, env = "BILLING_ZALOPAY_KEY1", hide_env_values = true, value_parser = key)]
    pub zalopay_key1: Option<SecretString>,
    /// ZaloPay: key2, which signs callbacks.
    #[arg(long, env = "BILLING_ZALOPAY_KEY2", hide_env_values = true, value_parser = key)]
    pub zalopay_key2: Option<SecretString>,
    /// ZaloPay: the address. Production takes the live one, development the vendor's sandbox.
    #[arg(long, env = "BILLING_ZALOPAY_URL", value_parser = address)]
    pub zalopay_url: Option<Url>,
    /// MoMo: the partner's code.
    #[arg(long, env = "BILLING_MOMO_PARTNER_CODE")]
    pub momo_partner_code: Option<String>,
    /// MoMo: the access key.
    #[arg(long, env = "BILLING_MOMO_ACCESS_KEY", hide_env_values = true, value_parser = key)]
    pub momo_access_key: Option<SecretString>,
    /// MoMo: the secret key, which signs.
    #[arg(long, env = "BILLING_MOMO_SECRET_KEY", hide_env_values = true, value_parser = key)]
    pub momo_secret_key: Option<SecretString>,
    /// MoMo: its public RSA key (DER in base64), with which tokens of linked wallets are sealed; without it none are linked.
    #[arg(long, env = "BILLING_MOMO_TOKEN_KEY")]
    pub momo_token_key: Option<String>,
    /// MoMo: the address. Production takes the live one, development the vendor's test.
    #[arg(long, env = "BILLING_MOMO_URL", value_parser = address)]
    pub momo_url: Option<Url>,
    /// Stripe: the secret or restricted key.
    #[arg(long, env = "BILLING_STRIPE_SECRET_KEY", hide_env_values = true, value_parser = key)]
    pub stripe_secret_key: Option<SecretString>,
    /// Stripe: the signing secret of the webhook endpoint, `whsec_`...
    #[arg(long, env = "BILLING_STRIPE_WEBHOOK_SECRET", hide_env_values = true, value_parser = key)]
    pub stripe_webhook_secret: Option<SecretString>,
    /// Stripe: the connected account that events may name.
    #[arg(long, env = "BILLING_STRIPE_ACCOUNT")]
    pub stripe_account: Option<String>,
    /// Stripe: the address.
    #[arg(long, env = "BILLING_STRIPE_URL", value_parser = address)]
    pub stripe_url: Option<Url>,
    /// Bank transfers: the bank's number in the Napas network, six digits.
    #[arg(long, env = "BILLING_BANK_BIN", value_parser = bank_bin)]
    pub bank_bin: Option<String>,
    /// Bank transfers: our account's number there.
    #[arg(long, env = "BILLING_BANK_ACCOUNT", value_parser = bank_account)]
    pub bank_account: Option<String>,
    /// Bank transfers: in whose name the account is.
    #[arg(long, env = "BILLING_BANK_HOLDER")]
    pub bank_holder: Option<String>,
    /// VNPAY: the terminal's code.
    #[arg(long, env = "BILLING_VNPAY_TMN_CODE")]
    pub vnpay_tmn_code: Option<String>,
    /// VNPAY: the hash secret, which signs.
    #[arg(long, env = "BILLING_VNPAY_HASH_SECRET", hide_env_values = true, value_parser = key)]
    pub vnpay_hash_secret: Option<SecretString>,
    /// VNPAY: the page that payers are sent to. Production has to name it.
    #[arg(long, env = "BILLING_VNPAY_PAGE_URL", value_parser = address)]
    pub vnpay_page_url: Option<Url>,
    /// VNPAY: the merchant interface. Production has to name it.
    #[arg(long, env = "BILLING_VNPAY_API_URL", value_parser = address)]
    pub vnpay_api_url: Option<Url>,
    /// VNPAY: the address from which this gateway asks, as VNPAY wants to be told.
    #[arg(long, env = "BILLING_VNPAY_SERVER_ADDRESS", default_value = "127.0.0.1")]
    pub vnpay_server_address: String,
}

fn key(text: &str) -> Result<SecretString, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("must be what the vendor gave, without spaces".to_owned());
    }
    Ok(SecretString::from(text.to_owned()))
}

fn bank_bin(text: &str) -> Result<String, String> {
    if text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("must be six digits, as in 970436".to_owned())
    }
}

fn bank_account(text: &str) -> Result<String, String> {
    if (1..=19).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        Ok(text.to_owned())
    } else {
        Err("must be 1 to 19 letters and digits".to_owned())
    }
}

fn address(text: &str) -> Result<Url, String> {
    let wrong = || "must be an address, as in https://pay.example.com".to_owned();
    let url = Url::parse(text).map_err(|_| wrong())?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if matches!(url.scheme(), "https" | "http") && url.has_host() && is_plain {
        Ok(url)
    } else {
        Err(wrong())
    }
}
