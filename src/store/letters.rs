//! What messages are written from: the events of deliveries with what they are about. A statement for each kind of
//! thing, whatever the number of deliveries.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use entity::enums::{EventType, OrderItemStatus};
use entity::{
    account, account_event, credit_note, expiry_alert, ledger_transaction, order, outbox_delivery, paid_period,
    payment, resource, wallet, wallet_entry,
};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};
use serde::Deserialize as _;
use uuid::Uuid;

use super::orders::Item;
use super::{
    Scope, accounts, alerts, invoices, orders, outbox, page, payment_links, payments, quotes, resources, wallets,
};
use crate::domain::mail::{End, Letter, Occasion, Thing};
use crate::domain::money::{Currency, Money};
use crate::domain::on_behalf::Asked;
use crate::domain::quote::PricedQuote;
use crate::domain::time;
use crate::error::Error;

/// The letters of these deliveries, by the delivery. What is missing is about an event that is not kept, or that is not
/// told by e-mail. The link of a confirmation is not in it: nobody has it but who is written to.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn of_deliveries(
    db: &impl ConnectionTrait,
    scope: &Scope,
    deliveries: &[outbox_delivery::Model],
) -> Result<HashMap<Uuid, Letter>, Error> {
    let accounts = accounts::by_ids(db, scope, &outbox::accounts_of(deliveries)).await?;
    let accounts = keyed(accounts, |account| account.id);
    let told: BTreeSet<(Uuid, i64)> = deliveries
        .iter()
        .filter_map(|delivery| Some((delivery.account_id, delivery.event_sequence?)))
        .collect();
    let events = events(db, scope, &told).await?;
    let about = About::read(db, scope, events.values()).await?;
    let asked = asked(db, scope, &accounts, deliveries).await?;
    let mut letters = HashMap::with_capacity(deliveries.len());
    for delivery in deliveries {
        let Some(account) = accounts.get(&delivery.account_id) else {
            continue;
        };
        let occasion = match delivery.event_sequence {
            None => match delivery.payment_link_id {
                Some(link) => asked.get(&link).cloned(),
                None => Some(Occasion::Confirmation {
                    link: None,
                    until: None,
                }),
            },
            Some(sequence) => match events.get(&(delivery.account_id, sequence)) {
                Some(event) => about.occasion(account, event)?,
                None => None,
            },
        };
        if let Some(occasion) = occasion {
            let letter = Letter {
                account: account.name.clone(),
                language: account.language,
                zone: time::zone(&account.zone)?,
                occasion,
            };
            letters.insert(delivery.id, letter);
        }
    }
    Ok(letters)
}

/// What somebody else is asked to pay, by the link.
async fn asked(
    db: &impl ConnectionTrait,
    scope: &Scope,
    accounts: &HashMap<Uuid, account::Model>,
    deliveries: &[outbox_delivery::Model],
) -> Result<HashMap<Uuid, Occasion>, Error> {
    let ids: Vec<Uuid> = deliveries
        .iter()
        .filter_map(|delivery| delivery.payment_link_id)
        .collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let links = payment_links::by_ids(db, scope, &ids).await?;
    let of: Vec<Uuid> = links.iter().map(|link| link.order_id).collect();
    let orders = keyed(orders::by_ids(db, scope, &of).await?, |order| order.id);
    let of: Vec<Uuid> = orders.values().map(|order| order.quote_id).collect();
    let quotes = keyed(quotes::by_ids(db, scope, &of).await?, |quote| quote.id);
    let mut asked = HashMap::with_capacity(links.len());
    for link in links {
        let quote = orders.get(&link.order_id).and_then(|order| quotes.get(&order.quote_id));
        let (Some(account), Some(quote)) = (accounts.get(&link.account_id), quote) else {
            continue;
        };
        let priced = PricedQuote::deserialize(&quote.document)?;
        let occasion = Occasion::PaymentAsked {
            asked: Asked::of(account.name.clone(), account.language, &priced)?,
            link: None,
            until: link.expires_at,
        };
        asked.insert(link.id, occasion);
    }
    Ok(asked)
}

/// Which of these deliveries remind of an end that has moved since: their plan is not followed any more.
///
/// Source: rule "E-mail" in ARCHITECTURE, section Telling.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn overtaken(
    db: &impl ConnectionTrait,
    scope: &Scope,
    deliveries: &[outbox_delivery::Model],
) -> Result<HashSet<Uuid>, Error> {
    let place = |delivery: &outbox_delivery::Model| Some((delivery.account_id, delivery.event_sequence?));
    let events = events(db, scope, &deliveries.iter().filter_map(place).collect()).await?;
    let reminds =
        |event: &&account_event::Model| matches!(event.kind, EventType::ExpiryReminder | EventType::FinalNotice);
    let ids: Vec<Uuid> = events
        .values()
        .filter(reminds)
        .filter_map(|event| event.alert_id)
        .collect();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let alerts = keyed(alerts::by_ids(db, scope, &ids).await?, |row| row.id);
    let about: Vec<Uuid> = alerts.values().map(|alert| alert.resource_id).collect();
    let plans = keyed(resources::by_ids(db, scope, &about).await?, |row| row.id);
    let is_old = |alert: &expiry_alert::Model| {
        plans
            .get(&alert.resource_id)
            .is_some_and(|resource| resource.plan_id != Some(alert.period_id))
    };
    let overtaken = deliveries.iter().filter(|delivery| {
        let event = place(delivery).and_then(|place| events.get(&place)).filter(reminds);
        let alert = event.and_then(|event| event.alert_id).and_then(|id| alerts.get(&id));
        alert.is_some_and(is_old)
    });
    Ok(overtaken.map(|delivery| delivery.id).collect())
}

/// The events at these places: an account and a number.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn events(
    db: &impl ConnectionTrait,
    scope: &Scope,
    told: &BTreeSet<(Uuid, i64)>,
) -> Result<HashMap<(Uuid, i64), account_event::Model>, Error> {
    use account_event::{Column, Entity};
    if told.is_empty() {
        return Ok(HashMap::new());
    }
    let places = told.iter().copied();
    let found = Entity::find()
        .filter(scope.accounts((Entity, Column::AccountId)))
        .filter(
            Expr::tuple([
                Expr::col((Entity, Column::AccountId)),
                Expr::col((Entity, Column::Sequence)),
            ])
            .in_tuples(places),
        )
        .all(db)
        .await?;
    Ok(keyed(found, |event| (event.account_id, event.sequence)))
}

fn keyed<K: Eq + std::hash::Hash, R>(rows: Vec<R>, key: impl Fn(&R) -> K) -> HashMap<K, R> {
    rows.into_iter().map(|row| (key(&row), row)).collect()
}

/// All that some events are about.
struct About {
    alerts: HashMap<Uuid, expiry_alert::Model>,
    resources: HashMap<Uuid, resource::Model>,
    orders: HashMap<Uuid, order::Model>,
    items: HashMap<Uuid, Vec<Item>>,
    periods: HashMap<Uuid, paid_period::Model>,
    payments: HashMap<Uuid, payment::Model>,
    invoices: HashMap<Uuid, invoices::Row>,
    notes: Vec<credit_note::Model>,
    wallets: HashMap<Uuid, wallet::Model>,
    entries: Vec<wallet_entry::Model>,
}

/// Whether an event tells no more than that a wallet's balance has changed.
const fn changes_balance(kind: EventType) -> bool {
    matches!(kind, EventType::WalletCredited | EventType::WalletDebited)
}

impl About {
    async fn read<'e>(
        db: &impl ConnectionTrait,
        scope: &Scope,
        events: impl Iterator<Item = &'e account_event::Model> + Clone,
    ) -> Result<Self, Error> {
        let ids = |of: fn(&account_event::Model) -> Option<Uuid>| -> Vec<Uuid> {
            let ids: BTreeSet<Uuid> = events.clone().filter_map(of).collect();
            ids.into_iter().collect()
        };
        let order_ids = ids(|event| event.order_id);
        let noted = ids(|event| event.invoice_id.filter(|_| event.kind == EventType::CreditNoteIssued));
        let credited = ids(|event| event.wallet_id.filter(|_| changes_balance(event.kind)));
        let credits: BTreeSet<(Uuid, DateTime<Utc>)> = events
            .clone()
            .filter(|event| changes_balance(event.kind))
            .map(|event| (event.account_id, event.created_at))
            .collect();
        let items = match order_ids.as_slice() {
            [] => HashMap::new(),
            orders => orders::items_of(db, scope, orders).await?,
        };
        Ok(Self {
            alerts: keyed(alerts::by_ids(db, scope, &ids(|event| event.alert_id)).await?, |row| {
                row.id
            }),
            resources: keyed(
                resources::by_ids(db, scope, &ids(|event| event.resource_id)).await?,
                |row| row.id,
            ),
            orders: keyed(orders::by_ids(db, scope, &order_ids).await?, |row| row.id),
            periods: periods_of(db, scope, &items).await?,
            items,
            payments: keyed(
                payments::by_ids(db, scope, &ids(|event| event.payment_id)).await?,
                |row| row.id,
            ),
            invoices: invoices::by_ids(db, scope, &ids(|event| event.invoice_id)).await?,
            notes: notes_of(db, scope, &noted).await?,
            wallets: keyed(wallets::by_ids(db, scope, &credited).await?, |row| row.id),
            entries: entries_at(db, scope, &credits).await?,
        })
    }

    fn thing(&self, event: &account_event::Model) -> Option<Thing> {
        let resource = self.resources.get(&event.resource_id?)?;
        Some(Thing {
            name: resource.name.clone(),
            external_id: resource.external_id.clone(),
        })
    }

    fn item(&self, event: &account_event::Model) -> Option<&Item> {
        let items = self.items.get(&event.order_id?)?;
        items.iter().find(|item| Some(item.resource_id) == event.resource_id)
    }

    /// The end of the period that an order item paid for.
    fn ends_at(&self, item: Option<&Item>, event: &account_event::Model) -> Option<DateTime<Utc>> {
        let period = item.and_then(|item| self.periods.get(&item.id));
        let resource = || event.resource_id.and_then(|id| self.resources.get(&id));
        period
            .map(|period| period.ends_at)
            .or_else(|| resource().and_then(|resource| resource.paid_until))
    }

    /// What an event is about; nothing for what is told by no e-mail, or of which something is missing.
    fn occasion(&self, account: &account::Model, event: &account_event::Model) -> Result<Option<Occasion>, Error> {
        let currency: Currency = account.currency.parse()?;
        let money = |minor: i64| Money::of(minor, currency);
        let alert = event.alert_id.and_then(|id| self.alerts.get(&id));
        let end = alert.map(|alert| End {
            days_left: alert.days_left,
            expires_at: alert.expires_at,
            releases_at: alert.releases_at,
        });
        let order = event.order_id.and_then(|id| self.orders.get(&id));
        let order = order.map(|order| order.code.clone());
        let item = self.item(event);
        let thing = self.thing(event);
        let with_end =
            |make: fn(Thing, End) -> Occasion| thing.clone().zip(end.clone()).map(|(thing, end)| make(thing, end));
        Ok(match event.kind {
            EventType::ExpiryReminder => with_end(Occasion::Reminder),
            EventType::ResourceExpired => with_end(Occasion::Expired),
            EventType::ResourceSuspended => with_end(Occasion::Suspended),
            EventType::FinalNotice => with_end(Occasion::FinalNotice),
            EventType::ResourceReleased => thing.map(Occasion::Released),
            EventType::ResourceRenewed => thing.map(|thing| Occasion::Renewed {
                thing,
                charged: item.map(|item| money(item.charged_minor)),
                ends_at: self.ends_at(item, event),
            }),
            EventType::RenewalFailed => thing.zip(end).map(|(thing, end)| Occasion::RenewalFailed {
                thing,
                end,
                failure: alert.and_then(|alert| alert.failure.clone()),
                shortfall: alert.and_then(|alert| alert.shortfall_minor).map(money),
            }),
            EventType::AutoRenewStopped => thing.map(|thing| Occasion::AutoRenewStopped {
                thing,
                ends_at: self.ends_at(None, event),
            }),
            EventType::ResourceProvisioned => thing.map(|thing| Occasion::Provisioned {
                thing,
                ends_at: self.ends_at(item, event),
            }),
            EventType::ProvisioningFailed => thing.map(|thing| Occasion::ProvisioningFailed {
                thing,
                reason: item.and_then(|item| item.failure_reason.clone()),
            }),
            EventType::ResourceRecovered => thing.map(|thing| Occasion::Recovered {
                thing,
                ends_at: self.ends_at(item, event),
            }),
            EventType::ResourceResized => thing.map(Occasion::Resized),
            EventType::ResourceDeleted => thing.map(Occasion::Deleted),
            EventType::PaymentSucceeded | EventType::PaymentFailed | EventType::PaymentHeld => {
                let payment = event.payment_id.and_then(|id| self.payments.get(&id));
                payment.map(|payment| {
                    let (code, amount) = (payment.code.clone(), money(payment.amount_minor));
                    match event.kind {
                        EventType::PaymentSucceeded => Occasion::Paid {
                            payment: code,
                            amount,
                            order,
                        },
                        EventType::PaymentHeld => Occasion::Held { payment: code, amount },
                        _ => Occasion::NotPaid {
                            payment: code,
                            amount,
                            order,
                        },
                    }
                })
            }
            EventType::Refunded => Some(Occasion::Refunded {
                amount: item.map(refunded).filter(|minor| *minor > 0).map(money),
                order,
                thing,
            }),
            EventType::InvoiceIssued => {
                let invoice = event.invoice_id.and_then(|id| self.invoices.get(&id));
                invoice.map(|invoice| Occasion::Invoiced {
                    invoice: invoice.head.code.clone(),
                    total: money(invoice.head.total_minor),
                    tax: money(invoice.head.tax_minor),
                    thing,
                })
            }
            EventType::CreditNoteIssued => {
                let invoice = event.invoice_id.and_then(|id| self.invoices.get(&id));
                let of_item = |note: &&credit_note::Model| {
                    Some(note.invoice_id) == event.invoice_id && Some(note.order_item_id) == item.map(|item| item.id)
                };
                let note = self.notes.iter().find(of_item);
                invoice.map(|invoice| Occasion::Credited {
                    invoice: invoice.head.code.clone(),
                    note: note.map(|note| (note.code.clone(), money(note.amount_minor))),
                })
            }
            EventType::WalletCredited | EventType::WalletDebited => self.credited(event)?,
            EventType::WebhookDisabled => Some(Occasion::WebhookDisabled),
            EventType::AutoTopUpStopped => Some(Occasion::AutoTopUpStopped),
            EventType::PaymentMethodChanged => Some(Occasion::MethodsChanged),
            EventType::OrderPaid
            | EventType::OrderCompleted
            | EventType::OrderCancelled
            | EventType::ResourceChanged
            | EventType::ResourceStopped
            | EventType::ResourceStarted
            | EventType::ResourceRebooted => None,
        })
    }

    /// What a wallet was credited: its lines of that instant.
    fn credited(&self, event: &account_event::Model) -> Result<Option<Occasion>, Error> {
        let Some(wallet) = event.wallet_id.and_then(|id| self.wallets.get(&id)) else {
            return Ok(None);
        };
        let currency: Currency = wallet.currency.parse()?;
        let lines: Vec<_> = self
            .entries
            .iter()
            .filter(|entry| entry.wallet_id == wallet.id && entry.created_at == event.created_at)
            .collect();
        let sum = |cash: i64, promotional: i64| Money::of(cash, currency).plus(Money::of(promotional, currency));
        let amount = match lines.as_slice() {
            [line] => Some(sum(line.cash_minor, line.promotional_minor)?),
            _ => None,
        };
        let balance = match lines.iter().max_by_key(|line| line.sequence) {
            Some(line) => Some(sum(line.cash_after_minor, line.promotional_after_minor)?),
            None => None,
        };
        Ok(Some(Occasion::WalletCredited { amount, balance }))
    }
}

/// What of an item went back: what was due for one that could not be made, else what it gave back beyond its price.
fn refunded(item: &Item) -> i64 {
    let due = item.charged_minor.saturating_sub(item.credited_minor);
    match item.status {
        OrderItemStatus::Refunded => due,
        _ => due.saturating_neg(),
    }
}

/// The periods that order items paid for, by the item: found by their resources.
async fn periods_of(
    db: &impl ConnectionTrait,
    scope: &Scope,
    items: &HashMap<Uuid, Vec<Item>>,
) -> Result<HashMap<Uuid, paid_period::Model>, Error> {
    use paid_period::{Column, Entity};
    if items.is_empty() {
        return Ok(HashMap::new());
    }
    let items = || items.values().flatten();
    let found = Entity::find()
        .filter(scope.accounts((Entity, Column::AccountId)))
        .filter(Column::ResourceId.is_in(items().map(|item| item.resource_id)))
        .filter(Column::OrderItemId.is_in(items().map(|item| item.id)))
        .all(db)
        .await?;
    Ok(keyed(found, |period| period.order_item_id))
}

async fn notes_of(
    db: &impl ConnectionTrait,
    scope: &Scope,
    invoices: &[Uuid],
) -> Result<Vec<credit_note::Model>, Error> {
    use credit_note::{Column, Entity};
    if invoices.is_empty() {
        return Ok(Vec::new());
    }
    Ok(Entity::find()
        .filter(scope.accounts((Entity, Column::AccountId)))
        .filter(Column::InvoiceId.is_in(invoices.iter().copied()))
        .all(db)
        .await?)
}

/// The lines of wallets' histories that were written at these instants: found by their transactions.
async fn entries_at(
    db: &impl ConnectionTrait,
    scope: &Scope,
    credits: &BTreeSet<(Uuid, DateTime<Utc>)>,
) -> Result<Vec<wallet_entry::Model>, Error> {
    use wallet_entry::{Column, Entity};
    if credits.is_empty() {
        return Ok(Vec::new());
    }
    let of = |column: ledger_transaction::Column| Expr::col((ledger_transaction::Entity, column));
    let mut select = page::whole(Entity);
    select
        .inner_join(
            ledger_transaction::Entity,
            of(ledger_transaction::Column::Id).equals((Entity, Column::TransactionId)),
        )
        .cond_where(scope.accounts((Entity, Column::AccountId)))
        .and_where(of(ledger_transaction::Column::AccountId).is_in(credits.iter().map(|(account, _)| *account)))
        .and_where(of(ledger_transaction::Column::OccurredAt).is_in(credits.iter().map(|(_, at)| *at)));
    page::rows(db, &select, page::model).await
}
