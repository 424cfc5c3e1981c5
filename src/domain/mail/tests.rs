#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use chrono::DateTime;
use entity::enums::{EventType, Language, MailCategory};
use rstest::rstest;

use super::server::{Protection, Server};
use super::*;
use crate::domain::money::Currency;

fn letter(language: Language, name: &str) -> Letter {
    let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().to_utc();
    Letter {
        account: "ACME <Corp> & Söhne".to_owned(),
        language,
        zone: chrono_tz::Asia::Ho_Chi_Minh,
        occasion: Occasion::Reminder(
            Thing {
                name: name.to_owned(),
                external_id: Some("srv-1".to_owned()),
            },
            End {
                days_left: 7,
                expires_at: at("2023-04-06T00:00:00+07:00"),
                releases_at: Some(at("2023-05-06T00:00:00+07:00")),
            },
        ),
    }
}

#[test]
fn a_reminder_says_how_long_until_when_and_what_to_do_in_both_languages() {
    let english = letter(Language::En, "web").write();
    assert_eq!(english.subject, "web ends in 7 days");
    let vietnamese = letter(Language::Vi, "web").write();
    assert_eq!(vietnamese.subject, "web sẽ hết hạn sau 7 ngày");
    for (message, what_to_do) in [(english, "renew it"), (vietnamese, "hãy gia hạn")] {
        for body in [&message.text, &message.html] {
            for told in [
                "web",
                "srv-1",
                "2023-04-06 00:00 (Asia/Ho_Chi_Minh)",
                "2023-05-06 00:00",
                what_to_do,
            ] {
                assert!(body.contains(told), "{told}: {body}");
            }
        }
    }
}

#[test]
fn what_customers_write_begins_no_line_and_no_element() {
    let evil = "<script>alert(1)</script>\r\nBcc: all@example.com\u{2028}\"'&";
    let message = letter(Language::En, evil).write();
    assert!(!message.subject.contains(['\r', '\n']));
    assert!(!message.text.contains("\nBcc") && !message.html.contains("\nBcc"));
    assert!(!message.html.contains("<script>"));
    assert!(message.html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(message.html.contains("ACME &lt;Corp&gt; &amp; Söhne"));
}

#[test]
fn amounts_are_written_as_the_language_writes_them() {
    let paid = |language| Letter {
        occasion: Occasion::Paid {
            payment: "PAY-1".to_owned(),
            amount: Money::of(1_810_000, Currency::Vnd),
            order: None,
        },
        ..letter(language, "")
    };
    assert_eq!(paid(Language::En).write().subject, "Payment PAY-1: 1,810,000 VND");
    assert_eq!(paid(Language::Vi).write().subject, "Thanh toán PAY-1: 1.810.000 VND");
}

#[test]
fn what_destroys_data_is_told_to_everybody() {
    for kind in EventType::ALL {
        let to_nobody = topic(*kind).is_some_and(|topic| topic.is_told_to(&[]));
        assert_eq!(
            to_nobody,
            matches!(kind, EventType::FinalNotice | EventType::ResourceReleased),
            "{kind}"
        );
    }
    assert_eq!(categories(None), MailCategory::ALL);
    assert_eq!(
        categories(Some(&[
            MailCategory::Billing,
            MailCategory::Expiry,
            MailCategory::Billing
        ])),
        [MailCategory::Expiry, MailCategory::Billing]
    );
}

#[rstest]
#[case(" An.Nguyen+billing@Example.COM ", Some("an.nguyen+billing@example.com"))]
#[case("a@b.c", Some("a@b.c"))]
#[case("", None)]
#[case("an", None)]
#[case("an@", None)]
#[case("@example.com", None)]
#[case("an@example", None)]
#[case("an@-example.com", None)]
#[case("a..n@example.com", None)]
#[case("a b@example.com", None)]
#[case("a@b@example.com", None)]
#[case("an@example.com\r\nBcc: x@example.com", None)]
#[case("\"an\"@example.com", None)]
#[case("máy@example.com", None)]
#[case("an@[127.0.0.1]", None)]
fn an_address_is_one_that_any_server_takes(#[case] text: &str, #[case] kept: Option<&str>) {
    assert_eq!(address(text).ok().as_deref(), kept);
}

#[test]
fn a_server_is_read_and_its_password_never_printed() {
    let server = Server::read("smtp://an:p%40ss%2F@mail.example.com").unwrap();
    assert_eq!((server.port, server.protection), (587, Protection::Required));
    assert_eq!(server.credentials, Some(("an".to_owned(), "p@ss/".to_owned())));
    assert!(!format!("{server:?}").contains("p@ss"));
    let plain = Server::read("smtp://127.0.0.1:2525").unwrap();
    assert_eq!((plain.port, plain.protection), (2525, Protection::Offered));
    assert_eq!(
        Server::read("smtp://mail.example.com?tls=required").unwrap().protection,
        Protection::Required
    );
    assert_eq!(Server::read("smtps://a:b@mail.example.com/").unwrap().port, 465);
    for wrong in [
        "",
        "mail.example.com",
        "http://mail.example.com",
        "smtp://",
        "smtp://an@mail.example.com",
        "smtp://mail.example.com:0",
        "smtp://mail.example.com:port",
        "smtp://mail.example.com?tls=never",
        "smtp://a:%zz@mail.example.com",
        "smtp://mail example.com",
    ] {
        let told = Server::read(wrong).expect_err(wrong);
        assert!(!told.contains("mail.example.com"), "{told}");
    }
}
