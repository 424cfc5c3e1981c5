//! Webhooks: what a target may look like, when a request that failed is sent again, and when it is given up.

use chrono::TimeDelta;
use url::{Host, Url};

use super::address::is_public;
use super::refusal::{Refusal, RefusalCode};

/// The longest target.
pub const MAX_URL: usize = 2_000;
/// The most endpoints of a customer, or of a product.
pub const MOST_ENDPOINTS: usize = 10;
/// How long a request is sent again, in hours.
pub const RETRIED_HOURS: i64 = 72;
/// How long an endpoint may take nothing before nothing is sent there any more, in hours.
pub const FAILING_HOURS: i64 = 5 * 24;
/// How long both secrets sign after a change, in hours.
pub const OLD_SECRET_HOURS: i64 = 24;
/// The waits after the first failures, in seconds; from then on the last one.
const WAITS: &[i64] = &[5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800];

/// The target, when it may be one: `https`, a host, no credentials. In development `http` will do as well. A host that
/// is an address must be the public's, but for development; what a name stands for is asked when a request is sent.
///
/// Source: rule "Webhooks" in ARCHITECTURE, section Telling. Errors: WEBHOOK_URL_NOT_ALLOWED.
pub fn check_url(text: &str, development: bool) -> Result<String, Refusal> {
    let refused = |why: &str| Refusal::new(RefusalCode::WebhookUrlNotAllowed, why);
    if text.len() > MAX_URL || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let why = format!("Send an address of at most {MAX_URL} visible ASCII characters.");
        return Err(refused(&why));
    }
    let url = Url::parse(text).map_err(|_| refused("This is not an address of the web."))?;
    let secure = url.scheme() == "https" || (development && url.scheme() == "http");
    if !secure {
        return Err(refused("Requests are sent over https only."));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused(
            "An address with credentials is kept by too many. Requests are signed instead.",
        ));
    }
    let public = match url.host() {
        Some(Host::Domain(name)) => development || (name.contains('.') && !name.ends_with(".localhost")),
        Some(Host::Ipv4(address)) => development || is_public(address.into()),
        Some(Host::Ipv6(address)) => development || is_public(address.into()),
        None => false,
    };
    if !public {
        return Err(refused("Requests are sent to hosts of the public internet only."));
    }
    let mut url = url;
    url.set_fragment(None);
    Ok(url.into())
}

/// How long a request waits that failed so often.
///
/// Source: rule "Webhooks" in ARCHITECTURE, section Telling.
#[must_use]
pub fn wait(failures: i32) -> TimeDelta {
    let place = usize::try_from(failures.saturating_sub(1)).unwrap_or(0);
    let seconds = WAITS.get(place).or(WAITS.last()).copied().unwrap_or(28_800);
    TimeDelta::seconds(seconds)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://hooks.example.com/billing?x=1", true)]
    #[case("https://hooks.example.com:8443/", true)]
    #[case("https://1.1.1.1/", true)]
    #[case("http://hooks.example.com/", false)]
    #[case("ftp://hooks.example.com/", false)]
    #[case("https://user:pw@hooks.example.com/", false)]
    #[case("https://localhost/", false)]
    #[case("https://a.localhost/", false)]
    #[case("https://intranet/", false)]
    #[case("https://127.0.0.1/", false)]
    #[case("https://2130706433/", false)]
    #[case("https://0x7f.1/", false)]
    #[case("https://017700000001/", false)]
    #[case("https://[::1]/", false)]
    #[case("https://[::ffff:10.0.0.1]/", false)]
    #[case("https://169.254.169.254/latest/meta-data", false)]
    #[case("https:///x", false)]
    #[case("javascript:alert(1)", false)]
    #[case("https://hooks.example.com/\n", false)]
    #[case("", false)]
    fn a_target_is_a_public_place_of_the_web(#[case] url: &str, #[case] accepted: bool) {
        let checked = check_url(url, false);
        assert_eq!(checked.is_ok(), accepted, "{checked:?}");
        if let Err(refusal) = checked {
            assert_eq!(refusal.code, RefusalCode::WebhookUrlNotAllowed);
        }
    }

    #[test]
    fn in_development_a_developers_own_machine_will_do() {
        assert!(check_url("http://127.0.0.1:3000/hook", true).is_ok());
        assert!(check_url("http://user@127.0.0.1:3000/hook", true).is_err());
        assert_eq!(
            check_url("https://a.example.com/x#y", false).unwrap(),
            "https://a.example.com/x"
        );
        assert!(check_url(&format!("https://a.example.com/{}", "x".repeat(10_000)), false).is_err());
    }

    #[test]
    fn it_is_sent_again_for_three_days_ever_more_seldom() {
        let mut waited = TimeDelta::zero();
        let mut tries = 0;
        while waited <= TimeDelta::hours(RETRIED_HOURS) {
            tries += 1;
            assert!(wait(tries) <= wait(tries + 1));
            waited += wait(tries);
        }
        assert!((10..=20).contains(&tries), "{tries}");
    }
}
