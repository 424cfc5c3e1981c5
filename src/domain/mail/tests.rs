#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use chrono::DateTime;
use entity::enums::{EventType, Language, MailCategory};
use rstest::rstest;

use super::page::{Link, Reader};
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

/// One of each kind.
fn occasions() -> Vec<Occasion> {
    let Occasion::Reminder(thing, end) = letter(Language::En, "web").occasion else {
        panic!("not a reminder")
    };
    let money = |minor| Money::of(minor, Currency::Vnd);
    let ends_at = Some(end.expires_at);
    let order = Some("ORD-1".to_owned());
    vec![
        Occasion::Confirmation {
            link: Some("https://billing.example.com/recipients/confirm?token=abc".to_owned()),
            until: ends_at,
        },
        Occasion::Confirmation {
            link: None,
            until: None,
        },
        Occasion::Reminder(
            thing.clone(),
            End {
                days_left: -3,
                ..end.clone()
            },
        ),
        Occasion::Reminder(
            thing.clone(),
            End {
                days_left: 0,
                ..end.clone()
            },
        ),
        Occasion::Reminder(
            thing.clone(),
            End {
                days_left: 1,
                ..end.clone()
            },
        ),
        Occasion::Expired(thing.clone(), end.clone()),
        Occasion::Suspended(thing.clone(), end.clone()),
        Occasion::FinalNotice(thing.clone(), end.clone()),
        Occasion::Released(thing.clone()),
        Occasion::Renewed {
            thing: thing.clone(),
            charged: Some(money(181_000)),
            ends_at,
        },
        Occasion::RenewalFailed {
            thing: thing.clone(),
            end: end.clone(),
            failure: Some("INSUFFICIENT_CREDIT".to_owned()),
            shortfall: Some(money(1_000)),
        },
        Occasion::RenewalFailed {
            thing: thing.clone(),
            end,
            failure: Some("PRICE_NOT_AVAILABLE".to_owned()),
            shortfall: None,
        },
        Occasion::AutoRenewStopped {
            thing: thing.clone(),
            ends_at,
        },
        Occasion::Provisioned {
            thing: thing.clone(),
            ends_at,
        },
        Occasion::ProvisioningFailed {
            thing: thing.clone(),
            reason: Some("no room".to_owned()),
        },
        Occasion::Recovered {
            thing: thing.clone(),
            ends_at,
        },
        Occasion::Resized(thing.clone()),
        Occasion::Deleted(thing.clone()),
        Occasion::WebhookDisabled,
        Occasion::AutoTopUpStopped,
        Occasion::MethodsChanged,
        Occasion::Held {
            payment: "PAY-1".to_owned(),
            amount: money(181_000),
        },
        Occasion::Paid {
            payment: "PAY-1".to_owned(),
            amount: money(181_000),
            order: order.clone(),
        },
        Occasion::NotPaid {
            payment: "PAY-1".to_owned(),
            amount: money(181_000),
            order: order.clone(),
        },
        Occasion::Refunded {
            amount: Some(money(5_000)),
            order: order.clone(),
            thing: Some(thing.clone()),
        },
        Occasion::Refunded {
            amount: None,
            order,
            thing: None,
        },
        Occasion::Invoiced {
            invoice: "INV-1".to_owned(),
            total: money(181_000),
            tax: money(16_455),
            thing: Some(thing),
        },
        Occasion::Credited {
            invoice: "INV-1".to_owned(),
            note: Some(("CRN-1".to_owned(), money(7_000))),
        },
        Occasion::Credited {
            invoice: "INV-1".to_owned(),
            note: None,
        },
        Occasion::WalletCredited {
            amount: Some(money(1_000)),
            balance: Some(money(2_000)),
        },
        Occasion::WalletCredited {
            amount: None,
            balance: None,
        },
    ]
}

#[test]
fn every_message_says_the_same_in_text_and_html_and_in_both_languages() {
    let tag = |html: &str| {
        let mut text = String::new();
        let mut within = false;
        for character in html.chars() {
            match character {
                '<' => within = true,
                '>' => within = false,
                other if !within => text.push(other),
                _ => {}
            }
        }
        text
    };
    for occasion in occasions() {
        let write = |language| {
            Letter {
                occasion: occasion.clone(),
                ..letter(language, "web")
            }
            .write()
        };
        let (english, vietnamese) = (write(Language::En), write(Language::Vi));
        assert_ne!(english.subject, vietnamese.subject);
        for message in [&english, &vietnamese] {
            assert!(
                !message.subject.is_empty() && !message.subject.contains(['\r', '\n']),
                "{}",
                message.subject
            );
            assert_eq!(message.html.matches('<').count(), message.html.matches('>').count());
            let shown = tag(&message.html)
                .replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&amp;", "&");
            for line in message
                .text
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty() && *line != "--")
            {
                // A fact stands in two cells, a link in an attribute.
                let said = line
                    .split(": ")
                    .all(|part| shown.contains(part) || message.html.contains(part));
                assert!(said, "{line}: {}", message.html);
            }
        }
        // What is no word is in both: names, codes and instants; amounts are written in each one's way.
        for told in [
            "web",
            "PAY-1",
            "INV-1",
            "CRN-1",
            "ORD-1",
            "2023-04-06 00:00",
            "2023-05-06 00:00",
            "no room",
            "token=abc",
        ] {
            assert_eq!(
                english.text.contains(told),
                vietnamese.text.contains(told),
                "{told}: {occasion:?}"
            );
        }
        let digits = |text: &str| text.replace([',', '.'], "");
        for amount in ["181000 VND", "1000 VND", "5000 VND", "7000 VND", "2000 VND"] {
            let says = |message: &Message| digits(&message.text).contains(amount);
            assert_eq!(says(&english), says(&vietnamese), "{amount}: {occasion:?}");
        }
    }
}

#[test]
fn the_page_of_a_link_speaks_the_accounts_language_and_runs_nothing() {
    let reader = |language| Reader {
        account: "<script>ACME</script>".to_owned(),
        email: "an@example.com".to_owned(),
        language,
    };
    let open = Link::Open {
        token: "abc".to_owned(),
    };
    for (link, language, words) in [
        (&open, Language::En, "Confirm"),
        (&open, Language::Vi, "Xác nhận"),
        (&Link::Confirmed, Language::Vi, "Đã xác nhận"),
        (&Link::Expired, Language::Vi, "hết hiệu lực"),
    ] {
        let page = page::html(link, Some(&reader(language)));
        assert!(page.contains(words) && !page.contains("<script>"), "{page}");
        assert_eq!(page.contains("<form"), link == &open, "{page}");
    }
    let unknown = page::html(&Link::Unknown, None);
    assert!(unknown.contains("There is no such link") && unknown.contains("Không có liên kết này"));
}
