//! E-mail as it is written: which events are told in one, who wants which, and the message in the account's language as
//! text and as HTML. What stands in a message is derived from what happened when it is read or sent, never stored.

use std::fmt::Write as _;

use chrono_tz::Tz;
use entity::enums::{EventType, Language, MailCategory};

use super::money::Money;
use super::on_behalf::Asked;
use super::refusal::{Refusal, RefusalCode};
use super::time::{Instant, to_local_text};

mod english;
pub mod page;
pub mod server;
mod vietnamese;

#[cfg(test)]
mod tests;

/// For how many days the link is good that confirms an address.
pub const LINK_DAYS: i64 = 3;
/// The most recipients of an account.
pub const MOST_RECIPIENTS: usize = 20;
/// The most links that one account may have sent in a day: nobody is pestered through us.
pub const MOST_LINKS_A_DAY: u64 = 50;

/// Who is told of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Every recipient: data is about to be lost, or was.
    Always,
    /// Those who chose it.
    Chosen(MailCategory),
}

impl Topic {
    /// Whether a recipient who chose these categories is told.
    #[must_use]
    pub fn is_told_to(self, chosen: &[MailCategory]) -> bool {
        match self {
            Self::Always => true,
            Self::Chosen(category) => chosen.contains(&category),
        }
    }
}

/// What an event is about for those who are written to; nothing for what is not told by e-mail, because another event of
/// the same change is, or because whoever did it saw it.
///
/// Source: rule "E-mail" in ARCHITECTURE, section Telling.
#[must_use]
pub const fn topic(kind: EventType) -> Option<Topic> {
    Some(match kind {
        EventType::FinalNotice | EventType::ResourceReleased => Topic::Always,
        EventType::ExpiryReminder | EventType::ResourceExpired | EventType::ResourceSuspended => {
            Topic::Chosen(MailCategory::Expiry)
        }
        EventType::ResourceRenewed | EventType::RenewalFailed | EventType::AutoRenewStopped => {
            Topic::Chosen(MailCategory::Renewal)
        }
        EventType::PaymentSucceeded
        | EventType::PaymentFailed
        | EventType::Refunded
        | EventType::InvoiceIssued
        | EventType::CreditNoteIssued
        | EventType::WalletCredited
        | EventType::AutoTopUpStopped
        | EventType::PaymentHeld
        | EventType::PaymentMethodChanged
        | EventType::WalletDebited => Topic::Chosen(MailCategory::Billing),
        EventType::ResourceProvisioned
        | EventType::ProvisioningFailed
        | EventType::ResourceRecovered
        | EventType::ResourceResized
        | EventType::ResourceDeleted
        | EventType::WebhookDisabled => Topic::Chosen(MailCategory::Resources),
        EventType::OrderPaid
        | EventType::OrderCompleted
        | EventType::OrderCancelled
        | EventType::ResourceChanged
        | EventType::ResourceStopped
        | EventType::ResourceStarted
        | EventType::ResourceRebooted => return None,
    })
}

/// The categories as they are kept: each once, in the order of the enum. All when none are given.
#[must_use]
pub fn categories(chosen: Option<&[MailCategory]>) -> Vec<MailCategory> {
    let wanted = |category: &&MailCategory| chosen.is_none_or(|chosen| chosen.contains(category));
    MailCategory::ALL.iter().filter(wanted).copied().collect()
}

/// An address as it is kept: in small letters, and one that any server takes. Errors: INVALID_EMAIL.
pub fn address(text: &str) -> Result<String, Refusal> {
    let wrong = || {
        Refusal::new(
            RefusalCode::InvalidEmail,
            "Write one e-mail address of at most 254 ASCII characters, as in an@example.com.",
        )
    };
    if text.len() > 1_000 {
        return Err(wrong());
    }
    let text = text.trim().to_ascii_lowercase();
    let (local, domain) = text.rsplit_once('@').ok_or_else(wrong)?;
    let atom = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte))
    };
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    let well_formed = text.len() <= 254
        && local.len() <= 64
        && local.split('.').all(atom)
        && domain.contains('.')
        && domain.split('.').all(label);
    if well_formed { Ok(text) } else { Err(wrong()) }
}

/// A resource as it is named in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thing {
    /// What the customer calls it.
    pub name: String,
    /// The product's own name for it.
    pub external_id: Option<String>,
}

/// The end of what is paid for a resource, as an alert has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Whole days left, begun ones counted; negative after the end.
    pub days_left: i32,
    /// When what is paid ends.
    pub expires_at: Instant,
    /// When it will be deleted for good, as far as it is known.
    pub releases_at: Option<Instant>,
}

/// What a message is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The link that confirms an address. Who only looks at the message is not shown it.
    Confirmation {
        /// The link.
        link: Option<String>,
        /// Until when it is good.
        until: Option<Instant>,
    },
    /// Somebody else is asked to pay an order. Who only looks at the message is not shown the link.
    PaymentAsked {
        /// What is to be paid.
        asked: Asked,
        /// The link.
        link: Option<String>,
        /// Until when it is good.
        until: Instant,
    },
    /// The end of a resource is near, or past.
    Reminder(Thing, End),
    /// What was paid for a resource has ended.
    Expired(Thing, End),
    /// A resource was stopped because nobody renewed it.
    Suspended(Thing, End),
    /// A resource will be deleted for good.
    FinalNotice(Thing, End),
    /// A resource was deleted for good.
    Released(Thing),
    /// A longer life was paid for a resource.
    Renewed {
        /// The resource.
        thing: Thing,
        /// What it cost.
        charged: Option<Money>,
        /// The new end.
        ends_at: Option<Instant>,
    },
    /// The engine could not renew a resource.
    RenewalFailed {
        /// The resource.
        thing: Thing,
        /// Its end.
        end: End,
        /// The code of the refusal.
        failure: Option<String>,
        /// How much credit was missing.
        shortfall: Option<Money>,
    },
    /// The engine renews a resource no more.
    AutoRenewStopped {
        /// The resource.
        thing: Thing,
        /// The end of what is paid.
        ends_at: Option<Instant>,
    },
    /// A resource was provisioned.
    Provisioned {
        /// The resource.
        thing: Thing,
        /// The end of what is paid.
        ends_at: Option<Instant>,
    },
    /// A resource, or another configuration of it, could not be made.
    ProvisioningFailed {
        /// The resource.
        thing: Thing,
        /// Why, in the words of its product.
        reason: Option<String>,
    },
    /// A resource came back from the trash.
    Recovered {
        /// The resource.
        thing: Thing,
        /// The end of what is paid.
        ends_at: Option<Instant>,
    },
    /// A resource has another configuration.
    Resized(Thing),
    /// The customer deleted a resource.
    Deleted(Thing),
    /// A webhook took nothing for so long that nothing is sent there any more.
    WebhookDisabled,
    /// Topping up by itself stopped.
    AutoTopUpStopped,
    /// A payment succeeded.
    Paid {
        /// The payment's code.
        payment: String,
        /// How much.
        amount: Money,
        /// The order's code.
        order: Option<String>,
    },
    /// A payment failed.
    NotPaid {
        /// The payment's code.
        payment: String,
        /// How much.
        amount: Money,
        /// The order's code.
        order: Option<String>,
    },
    /// Money was taken that is not what was to be paid: somebody looks into it.
    Held {
        /// The payment's code.
        payment: String,
        /// What was to be paid.
        amount: Money,
    },
    /// Accounts or cards were linked, unlinked, or ended at their gateway.
    MethodsChanged,
    /// Money came back.
    Refunded {
        /// How much, as far as it is known for one thing.
        amount: Option<Money>,
        /// The order's code.
        order: Option<String>,
        /// What for.
        thing: Option<Thing>,
    },
    /// An invoice was issued.
    Invoiced {
        /// Its code.
        invoice: String,
        /// Its total.
        total: Money,
        /// The tax within.
        tax: Money,
        /// What for.
        thing: Option<Thing>,
    },
    /// An invoice was reduced.
    Credited {
        /// Its code.
        invoice: String,
        /// The credit note's code and amount.
        note: Option<(String, Money)>,
    },
    /// A wallet's balance changed by a grant, a top-up or a correction.
    WalletCredited {
        /// By how much.
        amount: Option<Money>,
        /// What is in it then, promotional money included.
        balance: Option<Money>,
    },
}

/// A message before it is written: to whom, in which words, about what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// What the account calls itself.
    pub account: String,
    /// The language it is written to.
    pub language: Language,
    /// Its zone: instants are told in it.
    pub zone: Tz,
    /// What happened.
    pub occasion: Occasion,
}

/// A message as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// One line.
    pub subject: String,
    /// For who reads text.
    pub text: String,
    /// For who reads HTML: the same.
    pub html: String,
}

/// A part of a message, in the order in which it is read.
enum Part {
    /// A sentence or some.
    Words(String),
    /// What and how much, a line each.
    Facts(Vec<(&'static str, String)>),
    /// A way to go.
    Link { to: String, words: &'static str },
}

/// What a language makes of an occasion.
struct Draft {
    subject: String,
    parts: Vec<Part>,
}

impl Draft {
    fn new(subject: String) -> Self {
        Self {
            subject,
            parts: Vec::new(),
        }
    }

    fn words(mut self, words: impl Into<String>) -> Self {
        self.parts.push(Part::Words(words.into()));
        self
    }

    fn facts(mut self, facts: Vec<(&'static str, Option<String>)>) -> Self {
        let known = facts.into_iter().filter_map(|(what, is)| Some((what, is?)));
        self.parts.push(Part::Facts(known.collect()));
        self
    }

    fn link(mut self, to: String, words: &'static str) -> Self {
        self.parts.push(Part::Link { to, words });
        self
    }
}

impl Letter {
    /// An instant in the account's zone, which is named with it.
    fn at(&self, instant: Instant) -> String {
        format!("{} ({})", to_local_text(instant, self.zone), self.zone.name())
    }

    /// Writes it.
    ///
    /// Source: rule "E-mail" in ARCHITECTURE, section Telling.
    #[must_use]
    pub fn write(&self) -> Message {
        let (draft, greeting, closing) = match self.language {
            Language::En => (english::draft(self), english::greeting(self), english::closing(self)),
            Language::Vi => (
                vietnamese::draft(self),
                vietnamese::greeting(self),
                vietnamese::closing(self),
            ),
        };
        let subject = one_line(&draft.subject);
        let mut text = format!("{}\n\n", one_line(&greeting));
        let mut html = format!("<p>{}</p>\n", escaped(&greeting));
        for part in &draft.parts {
            match part {
                Part::Words(words) => {
                    append(&mut text, format_args!("{}\n\n", one_line(words)));
                    append(&mut html, format_args!("<p>{}</p>\n", escaped(words)));
                }
                Part::Facts(facts) => {
                    html.push_str("<table cellpadding=\"4\">\n");
                    for (what, is) in facts {
                        append(&mut text, format_args!("  {what}: {}\n", one_line(is)));
                        let (what, is) = (escaped(what), escaped(is));
                        append(
                            &mut html,
                            format_args!("<tr><th align=\"left\">{what}</th><td>{is}</td></tr>\n"),
                        );
                    }
                    text.push('\n');
                    html.push_str("</table>\n");
                }
                Part::Link { to, words } => {
                    append(&mut text, format_args!("{words}: {}\n\n", one_line(to)));
                    append(
                        &mut html,
                        format_args!("<p><a href=\"{}\">{}</a></p>\n", escaped(to), escaped(words)),
                    );
                }
            }
        }
        append(&mut text, format_args!("-- \n{}\n", one_line(&closing)));
        append(&mut html, format_args!("<p><small>{}</small></p>\n", escaped(&closing)));
        let language = match self.language {
            Language::En => "en",
            Language::Vi => "vi",
        };
        let html = format!(
            "<!DOCTYPE html>\n<html lang=\"{language}\">\n<head><meta charset=\"utf-8\"><title>{}</title></head>\n<body>\n{html}</body>\n</html>\n",
            escaped(&subject)
        );
        Message { subject, text, html }
    }
}

fn append(text: &mut String, more: std::fmt::Arguments<'_>) {
    // Writing to a String can't fail; the result is there for other writers.
    let _ = text.write_fmt(more);
}

/// A text on one line: what would begin another one, in a header or in the body, is a space.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect()
}

/// A text as HTML shows it, on one line.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in one_line(text).chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}
