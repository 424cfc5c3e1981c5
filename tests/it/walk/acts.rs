//! What somebody does in a small world, chosen by chance from what there is to be done something with.

use std::sync::Arc;

use billing_gateway::app::App;
use billing_gateway::commands::auto_top_up::{self, SetAutoTopUp};
use billing_gateway::commands::order::{self, CancelOrder, PayBy, PayOrder, PlaceOrder, Through};
use billing_gateway::commands::payment_methods::{self, LinkMethod, OfMethod};
use billing_gateway::commands::provisioning::{self, Outcome, Report};
use billing_gateway::commands::quarantine::{self, Decision, Resolve};
use billing_gateway::commands::quote::{self, Action, Create, PriceRequest};
use billing_gateway::commands::refunds::{self, RefundPayment};
use billing_gateway::commands::top_up::{self, TopUp};
use billing_gateway::commands::{credit, payments, statement};
use billing_gateway::domain::term::Term;
use billing_gateway::engine;
use billing_gateway::error::Error;
use billing_gateway::gateways::RawNotice;
use billing_gateway::gateways::sandbox::Press;
use billing_gateway::ids::Chance;
use billing_gateway::store::Scope;
use chrono::TimeDelta;
use entity::enums::{FundsKind, Life, LinkStatus, OrderItemStatus, OrderStatus, PaymentStatus, QuarantineStatus};
use uuid::Uuid;

use super::rows::Rows;

/// What happens to a notification that is due.
#[derive(Clone, Copy, Debug)]
pub(super) enum Notices {
    /// All are heard.
    Heard,
    /// One is heard, and the gateway never hears our answer.
    AnswerLost,
    /// One is lost, and the gateway believes that it was taken.
    Lost,
}

/// With what a lost notification was answered, as the gateway believes.
pub(super) const LOST: u16 = 299;

#[derive(Clone, Debug)]
pub(super) enum Act {
    Grant {
        funds: FundsKind,
        amount: i64,
        key: String,
    },
    TopUp {
        amount: i64,
        gateway: &'static str,
        key: String,
    },
    Quote {
        renew: Option<Uuid>,
        product: &'static str,
        coupon: bool,
        then: PayBy,
        key: String,
    },
    Place {
        quote: Uuid,
        pay: PayBy,
        key: String,
    },
    Pay {
        order: Uuid,
        pay: PayBy,
        key: String,
    },
    /// Somebody uses a link by which they pay on behalf.
    Follow {
        token: String,
    },
    Link {
        key: String,
    },
    /// The owner of an account that is to be linked, or is, does something at the gateway.
    Confirm {
        reference: String,
        press: Press,
    },
    Unlink {
        method: Uuid,
    },
    AutoTopUp {
        is_on: bool,
        below: i64,
    },
    Cancel {
        order: Uuid,
    },
    Begin {
        payment: Uuid,
    },
    Look {
        payment: Uuid,
    },
    Press {
        reference: String,
        press: Press,
    },
    Prepare {
        press: Press,
    },
    Notices(Notices),
    Transfer {
        memo: String,
        amount: i64,
        reference: String,
    },
    Pass {
        seconds: i64,
    },
    /// Time passes, and no engine runs.
    Drift {
        seconds: i64,
    },
    Refund {
        payment: Uuid,
        amount: Option<i64>,
        key: String,
    },
    Resolve {
        quarantine: Uuid,
        decision: Decision,
    },
    Report {
        task: Uuid,
        succeeds: bool,
    },
}

const WAYS: [&str; 8] = [
    "SANDBOX", "SANDBOX", "SANDBOX", "SANDBOX", "SANDBOX", "BOTH", "BOTH", "CREDIT",
];
/// What a payer or a gateway mostly does, and what it may do.
const USUAL: [Press; 4] = [Press::Approve, Press::Approve, Press::ApproveSilently, Press::Decline];
const PREPARED: [Press; 7] = [
    Press::RefuseBegin,
    Press::LoseBegin,
    Press::Approve,
    Press::RefundSlowly,
    Press::RefundFails,
    Press::RefundFails,
    Press::LoseRefund,
];
const SECONDS: [i64; 9] = [1, 20, 60, 60, 200, 600, 1_000, 1_300, 90_000];

/// What the owner of an account mostly does when it is to be linked, and what charges of it then come to.
const CONFIRMS: [Press; 13] = [
    Press::Approve,
    Press::Approve,
    Press::Approve,
    Press::Approve,
    Press::Approve,
    Press::ApproveSilently,
    Press::LinkWithoutFunds,
    Press::LinkChallenged,
    Press::LinkLost,
    Press::LinkReviewed,
    Press::Decline,
    Press::Unlink,
    Press::Cancel,
];
/// The most that is added in a month by itself, and how much at once.
pub(super) const MONTHLY_LIMIT: i64 = 100_000;
const ADDED: i64 = 30_000;

fn pay_by(rows: &Rows, chance: &mut Chance) -> PayBy {
    if chance.below(12) == 0 {
        return PayBy::Through(Through::Gateway("BANK_TRANSFER".to_owned()));
    }
    if chance.below(12) == 0 {
        return PayBy::OnBehalf {
            gateway: "SANDBOX".to_owned(),
            payer_email: "boss@example.com".to_owned(),
        };
    }
    let linked: Vec<Uuid> = rows
        .methods
        .iter()
        .filter(|row| row.status == LinkStatus::Active)
        .map(|row| row.id)
        .collect();
    if chance.below(6) == 0
        && let Some(method) = chance.one_of(&linked)
    {
        let through = Through::Linked(*method);
        return if chance.below(3) == 0 {
            PayBy::TopUpAndPay(through)
        } else {
            PayBy::Through(through)
        };
    }
    match chance.one_of(&WAYS).copied() {
        Some("BOTH") => PayBy::TopUpAndPay(Through::Gateway("SANDBOX".to_owned())),
        Some("CREDIT") => PayBy::Credit,
        _ => PayBy::Through(Through::Gateway("SANDBOX".to_owned())),
    }
}

fn key(chance: &mut Chance) -> String {
    format!("key-{:016x}", chance.number())
}

impl Act {
    /// One of the things that may be done now.
    pub(super) fn choose(rows: &Rows, chance: &mut Chance) -> Self {
        // Most of what may be wanted needs something that is there; time passes always.
        let wanted = (0..20).find_map(|_| Self::wanted(rows, chance));
        wanted.unwrap_or(Self::Pass { seconds: 1 })
    }

    fn wanted(rows: &Rows, chance: &mut Chance) -> Option<Self> {
        Some(match chance.below(118) {
            0..4 => Self::Grant {
                funds: *chance.one_of(&[FundsKind::Cash, FundsKind::Promotional])?,
                amount: i64::from(chance.below(80_000)) + 1,
                key: key(chance),
            },
            4..12 => Self::TopUp {
                amount: 10_000 + i64::from(chance.below(90_000)),
                gateway: chance.one_of(&["SANDBOX", "SANDBOX", "SANDBOX", "BANK_TRANSFER"])?,
                key: key(chance),
            },
            12..27 => {
                let lives: Vec<Uuid> = rows
                    .resources
                    .iter()
                    .filter(|row| row.life == Life::Active)
                    .map(|row| row.id)
                    .collect();
                Self::Quote {
                    renew: chance.one_of(&lives).copied().filter(|_| chance.below(4) == 0),
                    product: chance.one_of(&["vserver", "vstorage"])?,
                    coupon: chance.below(3) == 0,
                    then: pay_by(rows, chance),
                    key: key(chance),
                }
            }
            27..36 => {
                // Mostly one that can be paid.
                let waits: Vec<Uuid> = rows
                    .orders
                    .iter()
                    .filter(|row| row.status == OrderStatus::AwaitingPayment || row.code.ends_with('7'))
                    .map(|row| row.id)
                    .collect();
                Self::Pay {
                    order: *chance.one_of(&waits)?,
                    pay: pay_by(rows, chance),
                    key: key(chance),
                }
            }
            36..39 => Self::Cancel {
                order: chance.one_of(&rows.orders)?.id,
            },
            39..41 => Self::Begin {
                payment: chance.one_of(&rows.payments)?.id,
            },
            41..46 => Self::Look {
                payment: chance.one_of(&rows.payments)?.id,
            },
            46..64 => {
                let references: Vec<&String> = rows
                    .records
                    .keys()
                    .filter(|reference| {
                        chance.below(8) == 0
                            || rows
                                .payment_of(reference)
                                .is_some_and(|payment| payment.status == PaymentStatus::Pending)
                    })
                    .collect();
                // By our order, not by the gateway's: its references differ from walk to walk.
                let mut references: Vec<_> = references
                    .into_iter()
                    .map(|reference| {
                        (
                            rows.payment_of(reference).map(|payment| payment.code.clone()),
                            reference,
                        )
                    })
                    .collect();
                references.sort();
                let (_, reference) = chance.one_of(&references)?;
                let presses = if chance.below(2) == 0 { &USUAL[..] } else { Press::ALL };
                Self::Press {
                    reference: (*reference).clone(),
                    press: *chance.one_of(presses)?,
                }
            }
            64..67 => Self::Prepare {
                press: *chance.one_of(&PREPARED)?,
            },
            67..76 => Self::Notices(*chance.one_of(&[
                Notices::Heard,
                Notices::Heard,
                Notices::Heard,
                Notices::AnswerLost,
                Notices::Lost,
            ])?),
            76..80 => {
                let waits: Vec<_> = rows
                    .payments
                    .iter()
                    .filter(|row| row.gateway.as_deref() == Some("BANK_TRANSFER"))
                    .collect();
                let payment = chance.one_of(&waits)?;
                Self::Transfer {
                    memo: match chance.below(8) {
                        0 => "thanks".to_owned(),
                        _ => format!("CT tu 0123 {} GD 991", payment.code),
                    },
                    amount: match chance.below(6) {
                        0 => payment.gateway_minor + 1,
                        _ => payment.gateway_minor,
                    },
                    // Of a few: one that was taken before comes again.
                    reference: format!("FT{}", chance.below(40)),
                }
            }
            80..88 => Self::Pass {
                seconds: *chance.one_of(&SECONDS)?,
            },
            88..90 => Self::Drift {
                seconds: *chance.one_of(&SECONDS)?,
            },
            90..94 => {
                let taken: Vec<&entity::payment::Model> = rows
                    .payments
                    .iter()
                    .filter(|row| row.status == PaymentStatus::Succeeded && row.gateway_minor > 0)
                    .collect();
                let payment = chance.one_of(&taken)?;
                let part = i64::from(chance.below(u32::try_from(payment.gateway_minor).unwrap_or(1)));
                Self::Refund {
                    payment: payment.id,
                    amount: (chance.below(2) == 0).then_some(part.max(1)),
                    key: key(chance),
                }
            }
            94..96 => {
                let open: Vec<_> = rows
                    .quarantine
                    .iter()
                    .filter(|row| row.status == QuarantineStatus::Open || row.amount_minor % 7 == 0)
                    .collect();
                Self::Resolve {
                    quarantine: chance.one_of(&open)?.id,
                    decision: *chance.one_of(&[Decision::Credit, Decision::Returned])?,
                }
            }
            96..102 => {
                // Mostly one that can be used.
                let good: Vec<&entity::payment_link::Model> = rows
                    .links
                    .iter()
                    .filter(|link| link.ended_at.is_none() || link.expires_at.timestamp() % 5 == 0)
                    .collect();
                Self::Follow {
                    token: chance.one_of(&good)?.token.clone(),
                }
            }
            102..106 => Self::Link { key: key(chance) },
            106..110 => Self::Confirm {
                reference: chance.one_of(&rows.methods)?.reference.clone(),
                press: *chance.one_of(&CONFIRMS)?,
            },
            110 => Self::Unlink {
                method: chance.one_of(&rows.methods)?.id,
            },
            111..115 => Self::AutoTopUp {
                is_on: chance.below(4) > 0,
                below: i64::from(chance.below(500_000)),
            },
            _ => {
                let tasks: Vec<Uuid> = rows
                    .items
                    .iter()
                    .filter(|item| item.status == OrderItemStatus::Provisioning)
                    .map(|item| item.id)
                    .collect();
                Self::Report {
                    task: *chance.one_of(&tasks)?,
                    succeeds: chance.below(3) > 0,
                }
            }
        })
    }

    /// Whether somebody may send it twice under one key.
    pub(super) const fn has_key(&self) -> bool {
        matches!(
            self,
            Self::Grant { .. }
                | Self::TopUp { .. }
                | Self::Link { .. }
                | Self::Place { .. }
                | Self::Pay { .. }
                | Self::Refund { .. }
        )
    }

    /// Does it. Answers what was learned from it: the call that placed a new order.
    pub(super) async fn perform(self, app: Arc<App>, account: Uuid) -> Result<Option<Self>, Error> {
        let app = &app;
        let owner = Scope::Account {
            account,
            principal: "customer".to_owned(),
        };
        let operator = Scope::Operator {
            principal: "operator".to_owned(),
        };
        let mut learned = None;
        match self {
            Self::Grant { funds, amount, key } => {
                let grant = credit::Grant {
                    account,
                    funds,
                    amount: amount.to_string(),
                    reason: "a gift".to_owned(),
                    idempotency_key: key,
                };
                credit::grant(app, &operator, grant).await?;
            }
            Self::TopUp { amount, gateway, key } => {
                let input = TopUp {
                    account,
                    amount: amount.to_string(),
                    through: Through::Gateway(gateway.to_owned()),
                    return_url: None,
                    idempotency_key: key,
                };
                let begun = top_up::top_up(app, &owner, input).await?;
                payments::begin(Arc::clone(app), owner, begun.payment).await?;
            }
            Self::Quote {
                renew,
                product,
                coupon,
                then,
                key,
            } => {
                let request = PriceRequest {
                    account,
                    actions: vec![wanted(renew, product)?],
                    coupon_code: coupon.then(|| "WALK".to_owned()),
                };
                let quote = quote::create(app, &owner, request).await?.id;
                let place = Self::Place { quote, pay: then, key };
                learned = Some(place.clone());
                Box::pin(place.perform(Arc::clone(app), account)).await?;
            }
            Self::Place { quote, pay, key } => {
                let input = PlaceOrder {
                    account,
                    quote,
                    payment: Some(pay),
                    return_url: None,
                    idempotency_key: key,
                };
                if let Some(payment) = order::place_order(app, &owner, input).await?.collecting {
                    payments::begin(Arc::clone(app), owner, payment).await?;
                }
            }
            Self::Pay { order, pay, key } => {
                let input = PayOrder {
                    account,
                    order,
                    payment: pay,
                    return_url: None,
                    idempotency_key: key,
                };
                let begun = order::pay_order(app, &owner, input).await?;
                if begun.collecting {
                    payments::begin(Arc::clone(app), owner, begun.payment).await?;
                }
            }
            Self::Follow { token } => {
                if let Some(payment) = order::open_by_link(app, &token).await? {
                    payments::begin(Arc::clone(app), Scope::engine(), payment).await?;
                }
            }
            Self::Link { key } => {
                let input = LinkMethod {
                    account,
                    gateway: "SANDBOX".to_owned(),
                    return_url: None,
                    idempotency_key: key,
                };
                let asked = payment_methods::link(app, &owner, input).await?;
                payment_methods::begin(Arc::clone(app), owner, asked.method).await?;
            }
            Self::Confirm { reference, press } => {
                app.sandbox.as_ref().unwrap().press(&reference, press).await?;
            }
            Self::Unlink { method } => payment_methods::unlink(app, &owner, OfMethod { account, method }).await?,
            Self::AutoTopUp { is_on, below } => {
                let input = SetAutoTopUp {
                    account,
                    is_on,
                    below: below.to_string(),
                    amount: ADDED.to_string(),
                    monthly_limit: MONTHLY_LIMIT.to_string(),
                    method: None,
                };
                auto_top_up::set(app, &owner, input).await?;
            }
            Self::Cancel { order } => order::cancel_order(app, &owner, CancelOrder { account, order }).await?,
            Self::Begin { payment } => {
                payments::begin(Arc::clone(app), owner, payment).await?;
            }
            Self::Look { payment } => payments::look(app, &owner, payment).await?,
            Self::Press { reference, press } => {
                app.sandbox.as_ref().unwrap().press(&reference, press).await?;
            }
            Self::Prepare { press } => app.sandbox.as_ref().unwrap().prepare(press).await?,
            Self::Notices(how) => hear(app, how).await?,
            Self::Transfer {
                memo,
                amount,
                reference,
            } => {
                let csv = format!("reference,amount,currency,memo\n{reference},{amount},VND,{memo}\n");
                statement::import(app, &operator, &csv).await?;
            }
            Self::Pass { seconds } => {
                engine::advance(app, app.clock.now() + TimeDelta::seconds(seconds)).await?;
            }
            Self::Drift { seconds } => app.set_clock(app.clock.now() + TimeDelta::seconds(seconds)).await?,
            Self::Refund { payment, amount, key } => {
                let input = RefundPayment {
                    payment,
                    amount: amount.map(|amount| amount.to_string()),
                    reason: "asked for".to_owned(),
                    idempotency_key: key,
                };
                let decided = refunds::refund_payment(app, &operator, input).await?;
                refunds::begin(Arc::clone(app), decided.refund).await?;
            }
            Self::Resolve { quarantine, decision } => {
                let input = Resolve {
                    quarantine,
                    decision,
                    account: Some(account),
                    reason: "looked into".to_owned(),
                };
                quarantine::resolve(app, &operator, input).await?;
            }
            Self::Report { task, succeeds } => {
                let product = Scope::Product {
                    product: "vserver".to_owned(),
                    principal: "vserver".to_owned(),
                };
                let outcome = if succeeds {
                    Outcome::Succeeded { external_id: None }
                } else {
                    Outcome::Failed {
                        reason: "no capacity".to_owned(),
                    }
                };
                provisioning::report(app, &product, Report { task, outcome }).await?;
            }
        }
        Ok(learned)
    }
}

fn wanted(renew: Option<Uuid>, product: &str) -> Result<Action, Error> {
    let term = Term::months(1)?;
    if let Some(resource) = renew {
        return Ok(Action::Renew { resource, term });
    }
    let (resource_type, component) = match product {
        "vserver" => ("server", "s-general-1x1"),
        _ => ("project", "storage-100gb"),
    };
    Ok(Action::Create(Create {
        product: product.to_owned(),
        resource_type: resource_type.to_owned(),
        components: vec![(component.to_owned(), 1)],
        quantity: 1,
        term,
        name: None,
        auto_renew: false,
    }))
}

/// Lets the first notification that is due, or all of them, come or get lost.
async fn hear(app: &App, how: Notices) -> Result<(), Error> {
    let sandbox = app.sandbox.as_ref().unwrap();
    let now = app.clock.now();
    let due = sandbox.due(now, 50).await?;
    match how {
        Notices::Heard => {
            payments::hear_sandbox(app).await?;
        }
        Notices::Lost => {
            if let Some(first) = due.first() {
                sandbox.answered(first, LOST).await?;
            }
        }
        Notices::AnswerLost => {
            if let Some(first) = due.first() {
                let raw = RawNotice {
                    method: "POST",
                    query: "",
                    headers: &first.headers,
                    body: first.body.as_bytes(),
                    received_at: now,
                };
                payments::hear(app, "sandbox", raw, || true).await;
            }
        }
    }
    Ok(())
}
