//! The payment gateways that the options name.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::config::{Gateways as Options, Mode};
use crate::error::Error;
use crate::gateways::Gateway;
use crate::gateways::bank::{Bank, BankAccount};
use crate::gateways::momo::{self, Momo, MomoConfig};
use crate::gateways::stripe::{self, Stripe, StripeConfig};
use crate::gateways::vnpay::{self, Vnpay, VnpayConfig};
use crate::gateways::zalopay::{self, ZaloPay, ZaloPayConfig};

/// The gateways whose keys are given.
///
/// # Errors
/// [`Error::Configuration`] naming the key that is missing, or the address that is not fit for production.
pub(super) fn of(options: &Options, mode: Mode) -> Result<Vec<Arc<dyn Gateway>>, Error> {
    let production = mode == Mode::Production;
    let mut gateways: Vec<Arc<dyn Gateway>> = Vec::new();
    let zalopay = [
        ("BILLING_ZALOPAY_APP_ID", options.zalopay_app_id.is_some()),
        ("BILLING_ZALOPAY_KEY1", options.zalopay_key1.is_some()),
        ("BILLING_ZALOPAY_KEY2", options.zalopay_key2.is_some()),
    ];
    if wanted("ZaloPay", &zalopay)?
        && let (Some(app_id), Some(key1), Some(key2)) =
            (options.zalopay_app_id, &options.zalopay_key1, &options.zalopay_key2)
    {
        let usual = if production { zalopay::LIVE } else { zalopay::SANDBOX };
        gateways.push(Arc::new(ZaloPay::new(ZaloPayConfig {
            api: address("BILLING_ZALOPAY_URL", options.zalopay_url.as_ref(), usual, production)?,
            app_id,
            key1: copy(key1),
            key2: copy(key2),
        })?));
    }
    let momo = [
        ("BILLING_MOMO_PARTNER_CODE", options.momo_partner_code.is_some()),
        ("BILLING_MOMO_ACCESS_KEY", options.momo_access_key.is_some()),
        ("BILLING_MOMO_SECRET_KEY", options.momo_secret_key.is_some()),
    ];
    if wanted("MoMo", &momo)?
        && let (Some(partner_code), Some(access_key), Some(secret_key)) = (
            &options.momo_partner_code,
            &options.momo_access_key,
            &options.momo_secret_key,
        )
    {
        let usual = if production { momo::LIVE } else { momo::TEST };
        gateways.push(Arc::new(Momo::new(MomoConfig {
            api: address("BILLING_MOMO_URL", options.momo_url.as_ref(), usual, production)?,
            partner_code: partner_code.clone(),
            access_key: copy(access_key),
            secret_key: copy(secret_key),
            token_key: options.momo_token_key.clone(),
        })?));
    }
    let stripe = [
        ("BILLING_STRIPE_SECRET_KEY", options.stripe_secret_key.is_some()),
        ("BILLING_STRIPE_WEBHOOK_SECRET", options.stripe_webhook_secret.is_some()),
    ];
    if wanted("Stripe", &stripe)?
        && let (Some(secret_key), Some(webhook_secret)) = (&options.stripe_secret_key, &options.stripe_webhook_secret)
    {
        gateways.push(Arc::new(Stripe::new(StripeConfig {
            api: address(
                "BILLING_STRIPE_URL",
                options.stripe_url.as_ref(),
                stripe::API,
                production,
            )?,
            live: secret_key.expose_secret().contains("_live_"),
            secret_key: copy(secret_key),
            webhook_secret: copy(webhook_secret),
            account: options.stripe_account.clone(),
        })?));
    }
    let vnpay = [
        ("BILLING_VNPAY_TMN_CODE", options.vnpay_tmn_code.is_some()),
        ("BILLING_VNPAY_HASH_SECRET", options.vnpay_hash_secret.is_some()),
        (
            "BILLING_VNPAY_PAGE_URL",
            options.vnpay_page_url.is_some() || (!production && options.vnpay_tmn_code.is_some()),
        ),
        (
            "BILLING_VNPAY_API_URL",
            options.vnpay_api_url.is_some() || (!production && options.vnpay_tmn_code.is_some()),
        ),
    ];
    if wanted("VNPAY", &vnpay)?
        && let (Some(tmn_code), Some(hash_secret)) = (&options.vnpay_tmn_code, &options.vnpay_hash_secret)
    {
        let page = options.vnpay_page_url.as_ref();
        let api = options.vnpay_api_url.as_ref();
        gateways.push(Arc::new(Vnpay::new(VnpayConfig {
            page: address("BILLING_VNPAY_PAGE_URL", page, vnpay::SANDBOX_PAGE, production)?,
            api: address("BILLING_VNPAY_API_URL", api, vnpay::SANDBOX_API, production)?,
            tmn_code: tmn_code.clone(),
            hash_secret: copy(hash_secret),
            server_address: options.vnpay_server_address.clone(),
        })?));
    }
    let bank = [
        ("BILLING_BANK_BIN", options.bank_bin.is_some()),
        ("BILLING_BANK_ACCOUNT", options.bank_account.is_some()),
        ("BILLING_BANK_HOLDER", options.bank_holder.is_some()),
    ];
    if wanted("bank transfer", &bank)?
        && let (Some(bank_bin), Some(number), Some(holder)) =
            (&options.bank_bin, &options.bank_account, &options.bank_holder)
    {
        gateways.push(Arc::new(Bank::new(BankAccount {
            bank_bin: bank_bin.clone(),
            number: number.clone(),
            holder: holder.clone(),
        })));
    }
    Ok(gateways)
}

/// Whether a gateway is to be there: all of its keys are given, or none.
fn wanted(name: &str, keys: &[(&str, bool)]) -> Result<bool, Error> {
    if keys.iter().all(|(_, given)| !given) {
        return Ok(false);
    }
    match keys.iter().find(|(_, given)| !given) {
        None => Ok(true),
        Some((missing, _)) => Err(Error::configuration(format_args!(
            "{missing} is not set: {name} needs all of its keys, or none"
        ))),
    }
}

/// The address that is given, or the usual one; in production over TLS only.
fn address(key: &str, given: Option<&Url>, usual: &str, production: bool) -> Result<Url, Error> {
    let url = match given {
        Some(url) => url.clone(),
        None => Url::parse(usual).map_err(Error::internal)?,
    };
    if production && url.scheme() != "https" {
        return Err(Error::configuration(format_args!(
            "{key} must begin with https:// in production"
        )));
    }
    Ok(url)
}

fn copy(secret: &SecretString) -> SecretString {
    SecretString::from(secret.expose_secret().to_owned())
}
