//! The messages in English.

use entity::enums::Language;

use super::{Draft, End, LINK_DAYS, Letter, Occasion, Thing};
use crate::domain::explain::money_text;
use crate::domain::money::Money;

fn money(amount: Money) -> String {
    money_text(amount, Language::En)
}

fn days(count: i32) -> String {
    match count {
        1 => "1 day".to_owned(),
        count => format!("{count} days"),
    }
}

/// When a resource ends, seen from the alert.
fn left(end: &End) -> String {
    match end.days_left {
        0 => "ends now".to_owned(),
        left if left > 0 => format!("ends in {}", days(left)),
        left => format!("ended {} ago", days(left.saturating_neg())),
    }
}

fn facts(letter: &Letter, thing: &Thing, end: &End) -> Vec<(&'static str, Option<String>)> {
    let left = (end.days_left >= 0).then(|| days(end.days_left));
    vec![
        ("Resource", Some(thing.name.clone())),
        ("Id", thing.external_id.clone()),
        ("Paid until", Some(letter.at(end.expires_at))),
        ("Days left", left),
        ("Deleted for good", end.releases_at.map(|at| letter.at(at))),
    ]
}

fn resource(
    letter: &Letter,
    thing: &Thing,
    more: &[(&'static str, Option<String>)],
) -> Vec<(&'static str, Option<String>)> {
    let mut facts = vec![
        ("Account", Some(letter.account.clone())),
        ("Resource", Some(thing.name.clone())),
        ("Id", thing.external_id.clone()),
    ];
    facts.extend_from_slice(more);
    facts
}

const KEEP: &str = "To keep it, renew or recover it in the console before it is deleted.";
const RENEW: &str = "To keep it, renew it in the console, or top up the credit wallet and switch auto-renewal on.";

pub(super) fn greeting(letter: &Letter) -> String {
    match letter.occasion {
        Occasion::Confirmation { .. } | Occasion::PaymentAsked { .. } => "Hello,".to_owned(),
        _ => format!("Dear {},", letter.account),
    }
}

pub(super) fn closing(letter: &Letter) -> String {
    match letter.occasion {
        Occasion::Confirmation { .. } => {
            "If you did not expect this message, do nothing: you will get no other.".to_owned()
        }
        Occasion::PaymentAsked { .. } => format!(
            "You get this message because the account {} named your address. If you do not know who that is, do nothing: nothing is owed.",
            letter.account
        ),
        _ => format!(
            "You get this message because your address was confirmed for the account {}. Its owner chooses the recipients and what they are told.",
            letter.account
        ),
    }
}

#[allow(
    clippy::too_many_lines,
    reason = "one arm for each message, in the order of the occasions"
)]
pub(super) fn draft(letter: &Letter) -> Draft {
    let at = |instant| letter.at(instant);
    match &letter.occasion {
        Occasion::Confirmation { link, until } => {
            let draft = Draft::new(format!("Confirm your address for {}", letter.account)).words(format!(
                "The account {} wants to send messages about its billing to this address. Open the link and confirm to receive them. It is valid for {LINK_DAYS} days and can be used once.",
                letter.account
            ));
            let draft = match link {
                Some(link) => draft.link(link.clone(), "Confirm this address"),
                None => draft.words("(The link stands only in the message itself.)"),
            };
            draft.facts(vec![("Valid until", until.map(at))])
        }
        Occasion::PaymentAsked { asked, link, until } => {
            let amount = money(asked.amount);
            let mut draft = Draft::new(format!("{} asks you to pay {amount}", letter.account)).words(format!(
                "{} asks you to pay {amount} for:",
                letter.account
            ));
            for thing in &asked.products {
                draft = draft.words(format!("- {thing}"));
            }
            let draft = match link {
                Some(link) => draft.link(link.clone(), "Look at it and pay"),
                None => draft.words("(The link stands only in the message itself.)"),
            };
            draft
                .facts(vec![("Valid until", Some(at(*until)))])
                .words("It can be paid once. The invoice, and any refund, belong to who asked.")
        }
        Occasion::Reminder(thing, end) => Draft::new(format!("{} {}", thing.name, left(end)))
            .words(format!("What is paid for {} {}.", thing.name, left(end)))
            .facts(facts(letter, thing, end))
            .words(RENEW),
        Occasion::Expired(thing, end) => Draft::new(format!("{} has expired", thing.name))
            .words(format!("What was paid for {} has ended.", thing.name))
            .facts(facts(letter, thing, end))
            .words(RENEW),
        Occasion::Suspended(thing, end) => Draft::new(format!("{} was suspended", thing.name))
            .words(format!(
                "{} was stopped because it was not renewed. Its data is kept until it is deleted for good.",
                thing.name
            ))
            .facts(facts(letter, thing, end))
            .words(KEEP),
        Occasion::FinalNotice(thing, end) => {
            Draft::new(format!("Final notice: {} will be deleted for good", thing.name))
                .words(format!(
                    "{} will be deleted with all its data. After that nobody can bring it back.",
                    thing.name
                ))
                .facts(facts(letter, thing, end))
                .words(KEEP)
        }
        Occasion::Released(thing) => Draft::new(format!("{} was deleted for good", thing.name))
            .words(format!(
                "{} was deleted with all its data: its time has run out without a renewal or a recovery.",
                thing.name
            ))
            .facts(resource(letter, thing, &[])),
        Occasion::Renewed {
            thing,
            charged,
            ends_at,
        } => Draft::new(format!("{} was renewed", thing.name))
            .words(format!("{} was renewed.", thing.name))
            .facts(resource(
                letter,
                thing,
                &[("Charged", charged.map(money)), ("Paid until", ends_at.map(at))],
            )),
        Occasion::RenewalFailed {
            thing,
            end,
            failure,
            shortfall,
        } => {
            let mut all = facts(letter, thing, end);
            all.push(("Reason", failure.clone().filter(|_| shortfall.is_none())));
            all.push(("Missing credit", shortfall.map(money)));
            let what_to_do = match shortfall {
                Some(missing) => format!(
                    "Top up at least {} before the next attempt, or renew it in the console.",
                    money(*missing)
                ),
                None => "Renew it in the console: there you see what is in the way.".to_owned(),
            };
            Draft::new(format!("{} could not be renewed", thing.name))
                .words(format!("The renewal of {} from credit failed.", thing.name))
                .facts(all)
                .words(what_to_do)
        }
        Occasion::AutoRenewStopped { thing, ends_at } => {
            Draft::new(format!("Auto-renewal of {} has stopped", thing.name))
                .words(format!(
                    "The last attempt to renew {} failed. It will not be renewed automatically any more.",
                    thing.name
                ))
                .facts(resource(letter, thing, &[("Paid until", ends_at.map(at))]))
                .words(RENEW)
        }
        Occasion::Provisioned { thing, ends_at } => Draft::new(format!("{} is ready", thing.name))
            .words(format!("{} was provisioned.", thing.name))
            .facts(resource(letter, thing, &[("Paid until", ends_at.map(at))])),
        Occasion::ProvisioningFailed { thing, reason } => {
            Draft::new(format!("{} could not be provisioned", thing.name))
                .words(format!(
                    "{} could not be provisioned. What was charged for it goes back to the wallet.",
                    thing.name
                ))
                .facts(resource(letter, thing, &[("Reason", reason.clone())]))
        }
        Occasion::Recovered { thing, ends_at } => Draft::new(format!("{} was recovered", thing.name))
            .words(format!("{} came back from the trash.", thing.name))
            .facts(resource(letter, thing, &[("Paid until", ends_at.map(at))])),
        Occasion::Resized(thing) => Draft::new(format!("{} was resized", thing.name))
            .words(format!("{} has another configuration.", thing.name))
            .facts(resource(letter, thing, &[])),
        Occasion::Deleted(thing) => Draft::new(format!("{} was deleted", thing.name))
            .words(format!("{} was deleted, as it was ordered.", thing.name))
            .facts(resource(letter, thing, &[])),
        Occasion::WebhookDisabled => Draft::new("A webhook was switched off".to_owned())
            .words("A webhook of the account took nothing for so long that nothing is sent there any more.")
            .facts(vec![("Account", Some(letter.account.clone()))])
            .words("Look at its deliveries, mend what receives them, and switch it on again."),
        Occasion::AutoTopUpStopped => Draft::new("Topping up by itself has stopped".to_owned())
            .words("The linked account or card was declined several times, or is gone: the wallet is topped up by itself no more.")
            .facts(vec![("Account", Some(letter.account.clone()))])
            .words("Link another one, or top up by hand, and switch it on again."),
        Occasion::Paid { payment, amount, order } => Draft::new(format!("Payment {payment}: {}", money(*amount)))
            .words("A payment succeeded.")
            .facts(vec![
                ("Payment", Some(payment.clone())),
                ("Amount", Some(money(*amount))),
                ("Order", order.clone()),
            ]),
        Occasion::NotPaid { payment, amount, order } => Draft::new(format!("Payment {payment} failed"))
            .words("A payment failed; nothing was taken.")
            .facts(vec![
                ("Payment", Some(payment.clone())),
                ("Amount", Some(money(*amount))),
                ("Order", order.clone()),
            ])
            .words("Try again, or pay another way."),
        Occasion::Held { payment, amount } => Draft::new(format!("Payment {payment} is looked into"))
            .words("What was taken for this payment is not what was to be paid. It is kept apart, and not lost: we look into it, and give it to your wallet or back to where it came from.")
            .facts(vec![
                ("Payment", Some(payment.clone())),
                ("To be paid", Some(money(*amount))),
            ])
            .words("You need not do anything. To get what you wanted meanwhile, pay another way."),
        Occasion::MethodsChanged => Draft::new("Linked accounts and cards have changed".to_owned())
            .words("An account or card was linked, was unlinked, or has ended at its gateway.")
            .facts(vec![("Account", Some(letter.account.clone()))])
            .words("If that was none of you, look at the linked accounts and cards in the console and unlink what you do not know."),
        Occasion::Refunded { amount, order, thing } => {
            let draft = match amount {
                Some(amount) => Draft::new(format!("Refund of {}", money(*amount))),
                None => Draft::new("A refund".to_owned()),
            };
            draft.words("Money went back to the wallet.").facts(vec![
                ("Amount", amount.map(money)),
                ("Order", order.clone()),
                ("Resource", thing.as_ref().map(|thing| thing.name.clone())),
            ])
        }
        Occasion::Invoiced {
            invoice,
            total,
            tax,
            thing,
        } => Draft::new(format!("Invoice {invoice}: {}", money(*total)))
            .words(format!("The invoice {invoice} was issued."))
            .facts(vec![
                ("Invoice", Some(invoice.clone())),
                ("Total", Some(money(*total))),
                ("Tax within", Some(money(*tax))),
                ("Resource", thing.as_ref().map(|thing| thing.name.clone())),
            ]),
        Occasion::Credited { invoice, note } => Draft::new(format!("Credit note for the invoice {invoice}"))
            .words(format!("The invoice {invoice} was reduced by a credit note."))
            .facts(vec![
                ("Invoice", Some(invoice.clone())),
                ("Credit note", note.as_ref().map(|(code, _)| code.clone())),
                ("Amount", note.as_ref().map(|(_, amount)| money(*amount))),
            ]),
        Occasion::WalletCredited { amount, balance } => Draft::new(match amount {
            Some(amount) => format!("Wallet: {}", money(*amount)),
            None => "The balance of the wallet has changed".to_owned(),
        })
        .words("The balance of the credit wallet has changed.")
        .facts(vec![
            ("Amount", amount.map(money)),
            ("Balance after it", balance.map(money)),
        ]),
    }
}
