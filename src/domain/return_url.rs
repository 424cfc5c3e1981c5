//! Where a customer may be sent back to after paying: addresses of an allow-list of origins, and nothing else.

use super::refusal::{Refusal, RefusalCode};

/// The longest return address.
pub const MAX_RETURN_URL: usize = 2_000;

/// The address as it is, when its origin is one of `allowed` (`https://console.example.com`, with a port where it is
/// not the usual one). What a browser could read otherwise than we do is refused: credentials, backslashes, spaces,
/// control characters, anything but ASCII.
///
/// Source: rule "Return addresses" in ARCHITECTURE, section Buying. Errors: RETURN_URL_NOT_ALLOWED.
pub fn check<'a>(url: &'a str, allowed: &[String]) -> Result<&'a str, Refusal> {
    let is_allowed = url.len() <= MAX_RETURN_URL
        && url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        && origin(url).is_some_and(|sent| allowed.iter().any(|listed| origin(listed).as_ref() == Some(&sent)));
    if is_allowed {
        return Ok(url);
    }
    Err(Refusal::new(
        RefusalCode::ReturnUrlNotAllowed,
        "Send a return address whose origin the operator has allowed, or leave it out.",
    ))
}

/// An origin as browsers send it: scheme and host in small letters, the port where it is not the usual one; `None` for
/// what no browser would send, as `https://h:443`, `https://user@h`, `https://h/`, `https://*.h`.
#[must_use]
pub fn origin_as_sent(text: &str) -> Option<String> {
    let (scheme, host, port) = origin(text)?;
    let sent = match (scheme.as_str(), port) {
        ("https", 443) | ("http", 80) => format!("{scheme}://{host}"),
        _ => format!("{scheme}://{host}:{port}"),
    };
    sent.eq_ignore_ascii_case(text).then_some(sent)
}

/// Scheme, host in small letters, and port, the usual one when it is left out.
fn origin(url: &str) -> Option<(String, String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let usual: u16 = match scheme.as_str() {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            (host, port.parse().ok()?)
        }
        Some(_) => return None,
        None => (authority, usual),
    };
    let is_host = !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
    is_host.then(|| (scheme, host.to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://console.example.com/basket?id=1#top", true)]
    #[case("https://CONSOLE.example.com", true)]
    #[case("https://console.example.com:443/", true)]
    #[case("http://localhost:3000/done", true)]
    #[case("http://localhost/done", false)]
    #[case("http://console.example.com/", false)]
    #[case("https://console.example.com.evil.net/", false)]
    #[case("https://evil.net/https://console.example.com", false)]
    #[case("https://console.example.com@evil.net/", false)]
    #[case("https://user:pw@console.example.com/", false)]
    #[case("https://evil.net\\@console.example.com/", false)]
    #[case("https://console.example.com\\.evil.net/", false)]
    #[case("https:/console.example.com/", false)]
    #[case("//console.example.com/", false)]
    #[case("javascript://console.example.com/%0aalert(1)", false)]
    #[case("https://console.example.com:443:80/", false)]
    #[case("https://console.example.com:99999/", false)]
    #[case("https://console.example.com/ x", false)]
    #[case("https://console.example.com/\n", false)]
    #[case("https://cönsole.example.com/", false)]
    #[case("", false)]
    fn only_listed_origins_are_returned_to(#[case] url: &str, #[case] accepted: bool) {
        let allowed = [
            "https://console.example.com".to_owned(),
            "http://localhost:3000".to_owned(),
        ];
        match check(url, &allowed) {
            Ok(same) => assert!(accepted && same == url),
            Err(refusal) => assert!(!accepted && refusal.code == RefusalCode::ReturnUrlNotAllowed),
        }
    }

    #[rstest]
    #[case("https://console.example.com", Some("https://console.example.com"))]
    #[case("HTTPS://Console.example.com:8443", Some("https://console.example.com:8443"))]
    #[case("http://localhost:3000", Some("http://localhost:3000"))]
    #[case("https://console.example.com:443", None)]
    #[case("http://console.example.com:80", None)]
    #[case("https://console.example.com:08443", None)]
    #[case("https://console.example.com/", None)]
    #[case("https://console.example.com?x", None)]
    #[case("https://console.example.com#x", None)]
    #[case("https://user:pw@console.example.com", None)]
    #[case("https://*.example.com", None)]
    #[case("*", None)]
    #[case("null", None)]
    fn an_origin_is_what_a_browser_sends(#[case] text: &str, #[case] sent: Option<&str>) {
        assert_eq!(origin_as_sent(text).as_deref(), sent);
    }

    #[test]
    fn a_megabyte_is_no_address_and_an_empty_list_allows_nothing() {
        let long = format!("https://console.example.com/{}", "a".repeat(1_000_000));
        assert!(check(&long, &["https://console.example.com".to_owned()]).is_err());
        assert!(check("https://console.example.com/", &[]).is_err());
    }
}
