//! Batches: what the fields of one level ask for, alone, is read together, once.
//!
//! One set of loaders a request, over the caller's scope, so that what is remembered is never older than the request
//! and never somebody else's. A level of a query costs one statement for each of its list fields, whatever the number
//! of parents; the arguments of a list are part of its key.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, OnceLock};

use ::dataloader::BatchFn;
use ::dataloader::cached::Loader;
use chrono::{DateTime, Utc};
use entity::enums::OrderStatus;
use entity::{
    account, account_event, alert_recipient, billing_address, component, coupon, credit_note, credit_note_line,
    expiry_alert, gateway_payment, gateway_refund, order, outbox_delivery, paid_period, payment, payment_link,
    payment_method, price, product, quarantine, quote, resource, resource_tag, resource_type, wallet, wallet_entry,
    webhook_delivery, webhook_endpoint,
};
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::errors::{ApiError, Result};
use crate::app::App;
use crate::commands::order::{Renewal, renewals};
use crate::db::reading::Reading;
use crate::domain::mail::Letter;
use crate::error::Error;
use crate::store::histories::{EntryFilter, PaymentFilter};
use crate::store::page::{Page, Slice};
use crate::store::quarantine as quarantine_store;
use crate::store::transfers::Transfer;
use crate::store::{
    Scope, accounts, alerts, billing_addresses, catalogue, coupons, deliveries, gateway_payments, invoices, letters,
    orders, outbox, payment_links, payment_methods, payments, provisioning, quotes, recipients, refunds, resources,
    transfers, wallets, webhooks,
};

/// The most keys of one statement.
const MOST_KEYS: usize = 1_000;
/// How many turns of its task a key waits for others of its level.
const ROUNDS: usize = 3;
/// How often a load is begun again after whoever drove its batch was cancelled.
const MOST_TRIES: usize = 8;

type Answer<V> = std::result::Result<Option<V>, Arc<Error>>;
type Found<K, V> = std::result::Result<HashMap<K, V>, Error>;
type Fetch<K, V> = fn(Arc<Source>, Vec<K>) -> BoxFuture<'static, Found<K, V>>;

/// What batches read from.
#[derive(Debug)]
pub(crate) struct Source {
    app: Arc<App>,
    scope: Scope,
    now: DateTime<Utc>,
}

impl Source {
    fn db(&self) -> &Reading {
        self.app.db.reading()
    }
}

/// Reads a batch for all who wait for it.
struct Batch<K, V> {
    source: Arc<Source>,
    fetch: Fetch<K, V>,
}

impl<K, V> BatchFn<K, Answer<V>> for Batch<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    async fn load(&mut self, keys: &[K]) -> HashMap<K, Answer<V>> {
        // Every key is answered, also those that do not exist.
        match (self.fetch)(Arc::clone(&self.source), keys.to_vec()).await {
            Ok(mut found) => keys.iter().map(|key| (key.clone(), Ok(found.remove(key)))).collect(),
            Err(error) => {
                let error = Arc::new(error);
                keys.iter().map(|key| (key.clone(), Err(Arc::clone(&error)))).collect()
            }
        }
    }
}

/// A loader of one noun, made when it is first asked: a request asks for few nouns of many.
pub(crate) struct Batched<K, V>
where
    K: Clone + Eq + Hash + fmt::Debug + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    source: Arc<Source>,
    fetch: Fetch<K, V>,
    made: OnceLock<Loader<K, Answer<V>, Batch<K, V>>>,
}

impl<K, V> Batched<K, V>
where
    K: Clone + Eq + Hash + fmt::Debug + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn new(source: &Arc<Source>, fetch: Fetch<K, V>) -> Self {
        Self {
            source: Arc::clone(source),
            fetch,
            made: OnceLock::new(),
        }
    }

    fn loader(&self) -> &Loader<K, Answer<V>, Batch<K, V>> {
        self.made.get_or_init(|| {
            Loader::new(Batch {
                source: Arc::clone(&self.source),
                fetch: self.fetch,
            })
            .with_max_batch_size(MOST_KEYS)
            .with_yield_count(ROUNDS)
        })
    }

    /// What a key names, if the caller may see it.
    pub(crate) async fn load(&self, key: K) -> Result<Option<V>> {
        self.find(&key).await
    }

    async fn find(&self, key: &K) -> Result<Option<V>> {
        for _ in 0..MOST_TRIES {
            // The loader answers an error only when the batch that held the key was dropped half-way, because whoever
            // drove it was cancelled. The key is still wanted here.
            // Unconstrained, because a level of many parents must ask within one turn of its task, or it is cut in two.
            if let Ok(answer) = tokio::task::unconstrained(self.loader().try_load(key.clone())).await {
                return answer.map_err(ApiError::from);
            }
        }
        Err(Error::internal("a batch was cancelled again and again").into())
    }

    /// What a key names, where the store promises that it exists.
    pub(crate) async fn must(&self, key: K) -> Result<V> {
        let found = self.find(&key).await?;
        found.ok_or_else(|| Error::internal(format_args!("{key:?} is missing")).into())
    }

    /// Remembers what was read on the way: a joined parent.
    pub(crate) async fn prime(&self, known: Vec<(K, V)>) {
        if !known.is_empty() {
            let known: Vec<_> = known.into_iter().map(|(key, value)| (key, Ok(Some(value)))).collect();
            self.loader().prime_many(known).await;
        }
    }
}

/// A page of a parent's list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ListKey<A> {
    /// The parent.
    pub(crate) parent: Uuid,
    /// What is listed.
    pub(crate) list: A,
    /// Which part of it.
    pub(crate) page: Page,
}

impl<A> ListKey<A> {
    pub(crate) const fn new(parent: Uuid, list: A, page: Page) -> Self {
        Self { parent, list, page }
    }
}

/// A resource of a list, with the parents that were joined.
#[derive(Clone, Debug)]
pub(crate) struct ListedResource {
    pub(crate) head: Arc<resources::Head>,
    pub(crate) whole: Option<Arc<resource::Model>>,
    pub(crate) product: Option<Arc<product::Model>>,
    pub(crate) resource_type: Option<Arc<resource_type::Model>>,
}

/// An invoice of a list, with its resource and its lines when they were joined.
#[derive(Clone, Debug)]
pub(crate) struct ListedInvoice {
    pub(crate) invoice: Arc<invoices::Row>,
    pub(crate) resource: Option<Arc<resource::Model>>,
    pub(crate) lines: Option<Vec<Arc<invoices::Line>>>,
}

/// An alert of a list, with its resource when it was joined.
#[derive(Clone, Debug)]
pub(crate) struct ListedAlert {
    pub(crate) alert: Arc<expiry_alert::Model>,
    pub(crate) resource: Option<Arc<resource::Model>>,
}

type One<M> = Batched<Uuid, Arc<M>>;
type Many<M> = Batched<Uuid, Vec<Arc<M>>>;
type Paged<A, R> = Batched<ListKey<A>, Arc<Slice<R>>>;

/// All loaders of a request.
pub(crate) struct Loaders {
    /// The instant of all that is read.
    pub(crate) now: DateTime<Utc>,
    pub(crate) accounts: One<account::Model>,
    pub(crate) wallets: One<wallet::Model>,
    pub(crate) wallets_of_account: Many<wallet::Model>,
    pub(crate) entries: One<wallet_entry::Model>,
    pub(crate) entries_of_wallet: Paged<EntryFilter, Arc<wallet_entry::Model>>,
    pub(crate) products: One<product::Model>,
    pub(crate) resource_types: One<resource_type::Model>,
    pub(crate) types_of_product: Many<resource_type::Model>,
    pub(crate) components_of_type: Many<component::Model>,
    pub(crate) prices_of_component: Many<price::Model>,
    pub(crate) resources: One<resource::Model>,
    pub(crate) resources_of_account: Paged<resources::Listing, ListedResource>,
    pub(crate) tags_of_resource: Many<resource_tag::Model>,
    pub(crate) periods: One<paid_period::Model>,
    /// What renewing a resource of an account would cost now.
    pub(crate) renewals: Batched<(Uuid, Uuid), Arc<Renewal>>,
    pub(crate) quotes: One<quote::Model>,
    pub(crate) coupons: One<coupon::Model>,
    pub(crate) orders: One<order::Model>,
    pub(crate) orders_of_account: Paged<Option<OrderStatus>, Arc<order::Model>>,
    pub(crate) items: One<orders::Item>,
    pub(crate) items_of_order: Many<orders::Item>,
    pub(crate) item_documents: One<serde_json::Value>,
    pub(crate) payments: One<payment::Model>,
    pub(crate) payments_of_account: Paged<PaymentFilter, Arc<payment::Model>>,
    pub(crate) payments_of_order: Many<payment::Model>,
    pub(crate) links_of_order: Many<payment_link::Model>,
    pub(crate) quarantined: One<quarantine::Model>,
    pub(crate) refunds_of_payment: Many<gateway_refund::Model>,
    pub(crate) payment_methods: One<payment_method::Model>,
    pub(crate) methods_of_account: Many<payment_method::Model>,
    /// What payments are at their gateways, by the payment.
    pub(crate) gateway_payments: One<gateway_payment::Model>,
    pub(crate) invoices: One<invoices::Row>,
    pub(crate) invoices_of_account: Paged<invoices::Listing, ListedInvoice>,
    pub(crate) invoices_of_resource: Paged<invoices::Listing, ListedInvoice>,
    pub(crate) invoice_documents: One<invoices::Documents>,
    pub(crate) lines_of_invoice: Many<invoices::Line>,
    /// The same with how each came to its total, for lines that were listed without.
    pub(crate) priced_lines_of_invoice: Many<invoices::Line>,
    pub(crate) credit_notes: One<credit_note::Model>,
    pub(crate) credit_notes_of_invoice: Many<credit_note::Model>,
    pub(crate) lines_of_credit_note: Many<credit_note_line::Model>,
    pub(crate) alerts: One<expiry_alert::Model>,
    pub(crate) alerts_of_account: Paged<alerts::Listing, ListedAlert>,
    pub(crate) alerts_of_resource: Paged<alerts::Listing, ListedAlert>,
    pub(crate) tasks: One<provisioning::Task>,
    pub(crate) webhooks: One<webhook_endpoint::Model>,
    pub(crate) webhook_deliveries: One<webhook_delivery::Model>,
    pub(crate) recipients_of_account: Many<alert_recipient::Model>,
    pub(crate) mail_deliveries: One<outbox_delivery::Model>,
    /// Credit that was moved between accounts, by its key, and by either half in the books.
    pub(crate) transfers: One<Transfer>,
    pub(crate) transfers_of_transaction: One<Transfer>,
    pub(crate) billing_addresses: One<billing_address::Model>,
    pub(crate) billing_addresses_of_account: Many<billing_address::Model>,
    /// Events by their account and number.
    pub(crate) events: Batched<(Uuid, i64), Arc<account_event::Model>>,
    /// What deliveries say, by the delivery.
    pub(crate) letters: One<Letter>,
}

impl fmt::Debug for Loaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Loaders")
    }
}

/// Rows by their ids.
macro_rules! one {
    ($source:expr, $read:path) => {
        Batched::new($source, |source, keys| {
            Box::pin(async move {
                let rows = $read(source.db(), &source.scope, &keys).await?;
                Ok(rows.into_iter().map(|row| (row.id, Arc::new(row))).collect())
            })
        })
    };
}

/// Whole lists of each parent. A parent without rows has an empty list.
macro_rules! many {
    ($source:expr, $read:path $(, $extra:ident)?) => {
        Batched::new($source, |source, keys| {
            Box::pin(async move {
                let mut lists = $read(source.db(), &source.scope, &keys $(, source.$extra)?).await?;
                Ok(keys
                    .iter()
                    .map(|key| (*key, lists.remove(key).unwrap_or_default().into_iter().map(Arc::new).collect()))
                    .collect())
            })
        })
    };
}

/// What is read by ids, under its id.
macro_rules! documents {
    ($source:expr, $read:path) => {
        Batched::new($source, |source, keys| {
            Box::pin(async move {
                let found = $read(source.db(), &source.scope, &keys).await?;
                Ok(found
                    .into_iter()
                    .map(|(key, document)| (key, Arc::new(document)))
                    .collect())
            })
        })
    };
}

/// Pages of each parent's list: one statement for all parents that ask for the same page of the same list.
macro_rules! paged {
    ($source:expr, |$read_source:ident, $parents:ident, $list:ident, $page:ident| $read:expr, $row:expr) => {
        Batched::new($source, |source, keys| {
            Box::pin(async move {
                let mut groups: HashMap<(_, Page), Vec<Uuid>> = HashMap::new();
                for ListKey { parent, list, page } in keys {
                    groups.entry((list, page)).or_default().push(parent);
                }
                let mut found = HashMap::new();
                for (($list, $page), parents) in groups {
                    let ($read_source, $parents) = (&source, parents.as_slice());
                    let pages = {
                        let ($list, $page) = (&$list, &$page);
                        $read.await?
                    };
                    for (parent, slice) in pages {
                        found.insert(
                            ListKey::new(parent, $list.clone(), $page.clone()),
                            Arc::new(slice.map($row)),
                        );
                    }
                }
                Ok(found)
            })
        })
    };
}

impl Loaders {
    /// Fresh loaders, over a caller's scope.
    pub(crate) fn new(app: Arc<App>, scope: Scope) -> Self {
        let now = app.clock.now();
        let source = &Arc::new(Source { app, scope, now });
        Self {
            now,
            accounts: one!(source, accounts::by_ids),
            wallets: one!(source, wallets::by_ids),
            wallets_of_account: many!(source, wallets::of_accounts),
            entries: one!(source, wallets::entries_by_ids),
            entries_of_wallet: paged!(
                source,
                |s, parents, list, page| wallets::entries(s.db(), &s.scope, parents, list, page),
                Arc::new
            ),
            products: one!(source, catalogue::products_by_ids),
            resource_types: one!(source, catalogue::types_by_ids),
            types_of_product: many!(source, catalogue::types_of_products),
            components_of_type: many!(source, catalogue::components_of_types),
            prices_of_component: many!(source, catalogue::prices_of_components, now),
            resources: one!(source, resources::by_ids),
            resources_of_account: paged!(
                source,
                |s, parents, list, page| resources::of_accounts(s.db(), &s.scope, parents, list, page),
                listed_resource
            ),
            tags_of_resource: many!(source, resources::tags),
            periods: one!(source, resources::periods_by_ids),
            renewals: Batched::new(source, |source, keys| Box::pin(renewals_of(source, keys))),
            quotes: one!(source, quotes::by_ids),
            coupons: one!(source, coupons::by_ids),
            orders: one!(source, orders::by_ids),
            orders_of_account: paged!(
                source,
                |s, parents, list, page| orders::of_accounts(s.db(), &s.scope, parents, *list, page),
                Arc::new
            ),
            items: one!(source, orders::items_by_ids),
            items_of_order: many!(source, orders::items_of),
            item_documents: documents!(source, orders::documents),
            payments: one!(source, payments::by_ids),
            payments_of_account: paged!(
                source,
                |s, parents, list, page| payments::of_accounts(s.db(), &s.scope, parents, list, page),
                Arc::new
            ),
            payments_of_order: many!(source, payments::of_orders),
            links_of_order: many!(source, payment_links::of_orders),
            quarantined: one!(source, quarantine_store::by_ids),
            refunds_of_payment: many!(source, refunds::of_payments),
            payment_methods: one!(source, payment_methods::by_ids),
            methods_of_account: many!(source, payment_methods::of_accounts),
            gateway_payments: documents!(source, gateway_payments::of_payments),
            invoices: documents!(source, invoices::by_ids),
            invoices_of_account: paged!(
                source,
                |s, parents, list, page| invoices::of_accounts(s.db(), &s.scope, parents, list, page),
                listed_invoice
            ),
            invoices_of_resource: paged!(
                source,
                |s, parents, list, page| invoices::of_resources(s.db(), &s.scope, parents, list, page),
                listed_invoice
            ),
            invoice_documents: documents!(source, invoices::documents),
            lines_of_invoice: many!(source, invoices::lines),
            priced_lines_of_invoice: many!(source, invoices::lines),
            credit_notes: one!(source, invoices::credit_notes_by_ids),
            credit_notes_of_invoice: many!(source, invoices::credit_notes),
            lines_of_credit_note: many!(source, invoices::credit_note_lines),
            alerts: one!(source, alerts::by_ids),
            alerts_of_account: paged!(
                source,
                |s, parents, list, page| alerts::of_accounts(s.db(), &s.scope, parents, list, page),
                listed_alert
            ),
            alerts_of_resource: paged!(
                source,
                |s, parents, list, page| alerts::of_resources(s.db(), &s.scope, parents, list, page),
                listed_alert
            ),
            tasks: one!(source, provisioning::by_ids),
            webhooks: one!(source, webhooks::by_ids),
            webhook_deliveries: one!(source, deliveries::by_ids),
            recipients_of_account: many!(source, recipients::of_accounts),
            mail_deliveries: one!(source, outbox::by_ids),
            transfers: documents!(source, transfers::by_ids),
            transfers_of_transaction: documents!(source, transfers::of_transactions),
            billing_addresses: one!(source, billing_addresses::by_ids),
            billing_addresses_of_account: many!(source, billing_addresses::of_accounts),
            events: Batched::new(source, |source, keys| Box::pin(events_at(source, keys))),
            letters: Batched::new(source, |source, keys| Box::pin(letters_of(source, keys))),
        }
    }
}

/// What renewing these resources would cost, account by account: a request is about few of them.
async fn renewals_of(source: Arc<Source>, keys: Vec<(Uuid, Uuid)>) -> Found<(Uuid, Uuid), Arc<Renewal>> {
    let mut of_account: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    for (account, resource) in keys {
        of_account.entry(account).or_default().push(resource);
    }
    let owners: Vec<Uuid> = of_account.keys().copied().collect();
    let mut found = HashMap::new();
    for owner in accounts::by_ids(source.db(), &source.scope, &owners).await? {
        let resources = of_account.remove(&owner.id).unwrap_or_default();
        let priced = renewals(source.db(), &source.scope, &owner, &resources, source.now).await?;
        found.extend(
            priced
                .into_iter()
                .map(|(resource, renewal)| ((owner.id, resource), Arc::new(renewal))),
        );
    }
    Ok(found)
}

async fn events_at(source: Arc<Source>, keys: Vec<(Uuid, i64)>) -> Found<(Uuid, i64), Arc<account_event::Model>> {
    let places = keys.into_iter().collect();
    let found = letters::events(source.db(), &source.scope, &places).await?;
    Ok(found
        .into_iter()
        .map(|(place, event)| (place, Arc::new(event)))
        .collect())
}

async fn letters_of(source: Arc<Source>, keys: Vec<Uuid>) -> Found<Uuid, Arc<Letter>> {
    let deliveries = outbox::by_ids(source.db(), &source.scope, &keys).await?;
    let found = letters::of_deliveries(source.db(), &source.scope, &deliveries).await?;
    Ok(found.into_iter().map(|(id, letter)| (id, Arc::new(letter))).collect())
}

fn listed_resource(listed: resources::Listed) -> ListedResource {
    ListedResource {
        head: Arc::new(listed.head),
        whole: listed.whole.map(Arc::new),
        product: listed.product.map(Arc::new),
        resource_type: listed.resource_type.map(Arc::new),
    }
}

fn listed_invoice(listed: invoices::Listed) -> ListedInvoice {
    ListedInvoice {
        invoice: Arc::new(listed.invoice),
        resource: listed.resource.map(Arc::new),
        lines: listed.lines.map(|lines| lines.into_iter().map(Arc::new).collect()),
    }
}

fn listed_alert(listed: alerts::Listed) -> ListedAlert {
    ListedAlert {
        alert: Arc::new(listed.alert),
        resource: listed.resource.map(Arc::new),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::future::Future;
    use std::task::{Context, Waker};

    use super::super::tests::gateway;
    use super::*;

    /// Answers each key with itself, after as many turns as a store may take.
    fn slow(_source: Arc<Source>, keys: Vec<u8>) -> BoxFuture<'static, Found<u8, u8>> {
        Box::pin(async move {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            Ok(keys.into_iter().map(|key| (key, key)).collect())
        })
    }

    #[tokio::test]
    async fn whoever_waits_for_a_batch_whose_driver_is_cancelled_loads_again() {
        let (app, _, _folder) = gateway().await;
        let now = app.clock.now();
        let source = Arc::new(Source {
            app,
            scope: Scope::engine(),
            now,
        });
        let loader = Batched::new(&source, slow);
        let mut driver = Box::pin(loader.load(1));
        let mut waiter = Box::pin(loader.load(2));
        let mut context = Context::from_waker(Waker::noop());
        // Both ask in one turn; then the driver goes on alone, into the middle of a batch of both.
        assert!(driver.as_mut().poll(&mut context).is_pending());
        assert!(waiter.as_mut().poll(&mut context).is_pending());
        for _ in 0..ROUNDS + 3 {
            assert!(driver.as_mut().poll(&mut context).is_pending());
        }
        drop(driver);
        assert_eq!(waiter.await.unwrap(), Some(2));
    }
}
