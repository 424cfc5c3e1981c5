//! What this process wrote or read a moment ago, so that an order of a quote that it made itself needs nothing to be read.
//! Only PostgreSQL is asked so little: there the order is one statement (`Db::write_at_once`), and it keeps nothing unless
//! all that is remembered still stands. Another process, or another command of this one, may have changed any of it: then it
//! is read.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use entity::enums::{CodeKind, OrderAction};
use entity::{account, product, quote, wallet};
use lru::LruCache;
use uuid::Uuid;

use super::Scope;
use super::purchases::{Purchase, Seen};
use crate::domain::quote::PricedQuote;

/// How many quotes are remembered, the latest used, and how many accounts.
const MOST: NonZeroUsize = NonZeroUsize::new(4_000).unwrap();
/// How many lines a quote that is remembered has at most: half a kilobyte each.
const MOST_LINES: usize = 8;

/// Quotes that this process made, and what their accounts pay from. Bounded.
pub struct Remembered {
    quotes: Mutex<LruCache<Uuid, Arc<Promised>>>,
    purses: Mutex<LruCache<Uuid, Purse>>,
}

/// A quote as it was written.
struct Promised {
    /// Its row, without the document.
    quote: quote::Model,
    /// The document.
    priced: Arc<PricedQuote>,
    products: Arc<HashMap<String, product::Model>>,
}

/// What an account pays from, as it was when it was read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purse {
    /// The account.
    pub account: account::Model,
    /// Its credit wallet.
    pub wallet: wallet::Model,
    /// How far its documents of the business year are numbered. In the next year these are not the numbers that an order
    /// finds, as if somebody else had taken some.
    pub numbers: HashMap<CodeKind, i64>,
}

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remembered")
    }
}

impl Default for Remembered {
    fn default() -> Self {
        Self {
            quotes: Mutex::new(LruCache::new(MOST)),
            purses: Mutex::new(LruCache::new(MOST)),
        }
    }
}

impl Remembered {
    /// Remembers a quote that was written. One with a coupon, or about a resource that exists, is not remembered: an order of it
    /// takes locks and reads under them.
    pub fn quote(&self, row: &quote::Model, priced: PricedQuote, products: Vec<product::Model>) {
        let creates = |item| matches!(item, OrderAction::Create);
        let lines: usize = priced.items.iter().map(|item| item.lines.len()).sum();
        if row.coupon_id.is_some() || lines > MOST_LINES || !priced.items.iter().all(|item| creates(item.action)) {
            return;
        }
        let products = products.into_iter().map(|product| (product.code.clone(), product));
        let promised = Promised {
            quote: quote::Model {
                document: serde_json::Value::Null,
                ..row.clone()
            },
            priced: Arc::new(priced),
            products: Arc::new(products.collect()),
        };
        guard(&self.quotes).put(row.id, Arc::new(promised));
    }

    /// Remembers what an account pays from. What is known already and is newer stays.
    pub fn purse(&self, purse: Purse) {
        let mut purses = guard(&self.purses);
        let known = purses.peek(&purse.account.id);
        if known.is_none_or(|known| known.wallet.version <= purse.wallet.version) {
            purses.put(purse.account.id, purse);
        }
    }

    /// A quote of an account with all that an order of it needs, and its document; nothing when this process does not know
    /// it all.
    #[must_use]
    pub fn purchase(&self, scope: &Scope, account: Uuid, quote: Uuid) -> Option<(Purchase, Arc<PricedQuote>)> {
        let promised = guard(&self.quotes).get(&quote).cloned()?;
        if promised.quote.account_id != account || !scope.covers(account) {
            return None;
        }
        let purse = guard(&self.purses).get(&account).cloned()?;
        let purchase = Purchase {
            quote: promised.quote.clone(),
            account: purse.account,
            wallet: purse.wallet,
            seen: Some(Seen {
                products: Arc::clone(&promised.products),
                numbers: purse.numbers,
            }),
        };
        Some((purchase, Arc::clone(&promised.priced)))
    }

    /// Remembers that a quote was ordered, and what its account pays from since; nothing when that is not known.
    pub fn ordered(&self, account: Uuid, quote: Uuid, purse: Option<Purse>) {
        let mut quotes = guard(&self.quotes);
        if quotes
            .peek(&quote)
            .is_some_and(|promised| promised.quote.account_id == account)
        {
            quotes.pop(&quote);
        }
        let mut purses = guard(&self.purses);
        match purse {
            // Even when something newer was known: a store that was set back is as it is.
            Some(purse) => purses.put(account, purse),
            None => purses.pop(&account),
        };
    }
}

fn guard<T>(cache: &Mutex<LruCache<Uuid, T>>) -> MutexGuard<'_, LruCache<Uuid, T>> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}
