//! A synthetic world of any size: twenty accounts that live for real, through the commands and with the engine, in a
//! small store of their own, and as many copies of them as are asked for. The same seed makes the same world.

use chrono::{DateTime, TimeDelta, Utc};
use entity::enums::{FundsKind, Language, OrderItemStatus};
use uuid::Uuid;

use crate::app::{App, Settings};
use crate::commands::credit::{self, Grant};
use crate::commands::order::{PayBy, PlaceOrder, place_order};
use crate::commands::provisioning::{Outcome, Report, report};
use crate::commands::quote::{self, Action, PriceRequest};
use crate::commands::seed;
use crate::db;
use crate::domain::term::Term;
use crate::engine;
use crate::error::Error;
use crate::ids::Chance;
use crate::store::{Scope, copies, orders};

/// How many resources each of the accounts has that live for real: few customers have many. Any number up to their sum,
/// a thousand, is a sum of some of them.
pub const SIZES: &[u32] = &[
    1, 2, 4, 8, 16, 20, 20, 25, 30, 30, 40, 40, 50, 50, 60, 64, 80, 100, 120, 240,
];
/// How many copies one transaction makes.
const COPIES: usize = 20;
/// When the world begins, and when it has come to its present: its clock stands there when it is made.
const DAYS: i64 = 45;
const PRESENT: i64 = 1_767_225_600;
/// The most resources of one purchase.
const MOST_BOUGHT: u32 = 20;

/// What may be bought: product, resource type, components and the longest term in months.
const GOODS: &[(&str, &str, &[&str], u32)] = &[
    ("vserver", "server", &["s-general-1x1", "root-disk-20gb"], 12),
    ("vserver", "server", &["s-general-2x4", "root-disk-20gb"], 12),
    ("vserver", "server", &["dev.v1.small1x1"], 3),
    ("vserver", "volume", &["disk-20gb"], 6),
    ("vstorage", "project", &["storage-100gb"], 6),
    ("vmonitor", "log-quota", &["log-10gb"], 1),
    ("vdb", "database", &["db-1x2", "db-disk-20gb"], 12),
    ("vcontainer", "cluster", &["node-2x4"], 3),
];
const NAMES: &[&str] = &["web", "api", "db", "cache", "files", "mail", "build", "test"];

/// What was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// How many accounts.
    pub accounts: u32,
    /// How many resources.
    pub resources: u32,
}

/// Makes a world of so many resources in an empty store of development. The accounts that live for real have `sizes`
/// resources each: [`SIZES`], but for tests.
///
/// # Errors
/// [`Error::Configuration`] for a store that has accounts or was run in production.
pub async fn make(app: &App, sizes: &[u32], resources: u32, seed: u64) -> Result<Made, Error> {
    let engine = Scope::engine();
    if seed::has_accounts(app).await? {
        return Err(Error::configuration(
            "a world needs an empty store, and this one has accounts",
        ));
    }
    let present = DateTime::from_timestamp(PRESENT, 0).unwrap_or_default();
    app.set_clock(present).await?;
    app.advance_clock(present).await?;
    let (copies, rest) = shares(sizes, resources);
    let lived: Vec<usize> = if copies > 0 {
        (0..sizes.len()).collect()
    } else {
        rest.clone()
    };

    let folder = tempfile_folder()?;
    let scratch = live(&folder, sizes, &lived, seed, present).await;
    let (scratch, accounts) = scratch?;
    let from = scratch.db.read();
    let keys = copies::keys(from, &engine, u16::try_from(seed % 4_096).unwrap_or(0)).await?;
    let carried = app
        .db
        .write("carry_world", async |tx| copies::carry(from, &tx, &engine, &keys).await);
    carried.await?;
    let key_of = |place: &usize| {
        let at = lived.iter().position(|lived| lived == place)?;
        Some(keys.new_key(*accounts.get(at)?))
    };
    let all: Vec<Uuid> = lived.iter().filter_map(key_of).collect();
    let numbers: Vec<u32> = (1..copies).collect();
    for numbers in numbers.chunks(COPIES) {
        let copied = app
            .db
            .write("copy_world", async |tx| copies::copy(&tx, &engine, &all, numbers).await);
        copied.await?;
        tracing::info!(copies = numbers.last(), of = copies, "copied");
    }
    if copies > 0 {
        let some: Vec<Uuid> = rest.iter().filter_map(key_of).collect();
        let copied = app.db.write("copy_world", async |tx| {
            copies::copy(&tx, &engine, &some, &[copies]).await
        });
        copied.await?;
    }
    let looked = app
        .db
        .write("look_at_tables", async |tx| copies::look_at_tables(&tx, &engine).await);
    looked.await?;
    // Making it took a while.
    app.set_clock(present).await?;
    drop(scratch);
    std::fs::remove_dir_all(&folder).map_err(Error::internal)?;
    let each = u32::try_from(sizes.len()).map_err(Error::internal)?;
    let some = u32::try_from(rest.len()).map_err(Error::internal)?;
    Ok(Made {
        accounts: copies * each + some,
        resources,
    })
}

/// How often all accounts are needed for so many resources, and which of them once more.
fn shares(sizes: &[u32], resources: u32) -> (u32, Vec<usize>) {
    let all = sizes.iter().sum::<u32>().max(1);
    let mut left = resources % all;
    let mut rest = Vec::new();
    for (place, size) in sizes.iter().enumerate().rev() {
        if *size <= left {
            left -= size;
            rest.push(place);
        }
    }
    rest.reverse();
    (resources / all, rest)
}

fn tempfile_folder() -> Result<std::path::PathBuf, Error> {
    let folder = std::env::temp_dir().join(format!("billing-gateway-world-{}", crate::ids::new_id()));
    std::fs::create_dir_all(&folder).map_err(Error::internal)?;
    Ok(folder)
}

/// A purchase to come.
struct Purchase {
    at: DateTime<Utc>,
    account: Uuid,
    number: usize,
    count: u32,
}

/// Lets these accounts live until the present in a store of their own, and answers it with them.
async fn live(
    folder: &std::path::Path,
    sizes: &[u32],
    lived: &[usize],
    seed: u64,
    present: DateTime<Utc>,
) -> Result<(App, Vec<Uuid>), Error> {
    let url = format!("sqlite://{}", folder.join("world.sqlite3").display());
    let settings = Settings {
        development: true,
        return_origins: Vec::new(),
        most_releases: u64::from(sizes.iter().sum::<u32>()),
    };
    let app = App::open(&db::Options::new(url, 2), settings).await?;
    let begin = present - TimeDelta::days(DAYS);
    app.set_clock(begin).await?;
    app.advance_clock(begin).await?;
    app.clock.stand_at(begin);
    seed::seed(&app).await?;
    let mut chance = Chance::of(seed);
    let operator = Scope::Operator {
        principal: "world".to_owned(),
    };
    let (mut accounts, mut purchases) = (Vec::new(), Vec::new());
    for place in lived {
        let code = format!("WORLD-{place:02}");
        let name = format!("Customer {place:02}");
        let language = if chance.below(3) == 0 {
            Language::En
        } else {
            Language::Vi
        };
        let opened = app.db.write("open_account", async |tx| {
            seed::open(&tx, &code, &name, language, begin).await
        });
        let (_, account) = opened.await?;
        accounts.push(account);
        let size = sizes.get(*place).copied().unwrap_or(0);
        let grant = Grant {
            account,
            funds: FundsKind::Cash,
            amount: (u64::from(size) * 20_000_000).to_string(),
            reason: "for the synthetic world".to_owned(),
            idempotency_key: format!("world-{place}"),
        };
        credit::grant(&app, &operator, grant).await?;
        let mut left = size;
        while left > 0 {
            let count = (1 + chance.below(MOST_BOUGHT)).min(left);
            left -= count;
            let minutes = i64::from(chance.below(u32::try_from((DAYS - 1) * 24 * 60).map_err(Error::internal)?));
            purchases.push(Purchase {
                at: begin + TimeDelta::minutes(minutes),
                account,
                number: purchases.len(),
                count,
            });
        }
    }
    purchases.sort_by_key(|purchase| (purchase.at, purchase.number));
    for purchase in purchases {
        engine::advance(&app, purchase.at).await?;
        app.clock.stand_at(purchase.at);
        buy(&app, &purchase, &mut chance).await?;
    }
    engine::advance(&app, present).await?;
    Ok((app, accounts))
}

/// Buys some resources, and has them provisioned.
async fn buy(app: &App, purchase: &Purchase, chance: &mut Chance) -> Result<(), Error> {
    let (product, kind, components, most_months) =
        *chance.one_of(GOODS).ok_or_else(|| Error::internal("nothing is sold"))?;
    let principal = "world".to_owned();
    let scope = Scope::Account {
        account: purchase.account,
        principal: principal.clone(),
    };
    let term = match chance.below(4) {
        0 => Term::Days(7 + chance.below(60)),
        1 => Term::Months(1),
        _ => Term::Months(1 + chance.below(most_months)),
    };
    let wanted = quote::Create {
        product: product.to_owned(),
        resource_type: kind.to_owned(),
        components: components.iter().map(|code| ((*code).to_owned(), 1)).collect(),
        quantity: i64::from(purchase.count),
        term,
        name: Some(format!("{}-{}", chance.one_of(NAMES).unwrap_or(&kind), purchase.number)),
        auto_renew: false,
    };
    let request = PriceRequest {
        account: purchase.account,
        actions: vec![Action::Create(wanted)],
        coupon_code: None,
    };
    let quote = quote::create(app, &scope, request).await?.id;
    let order = PlaceOrder {
        account: purchase.account,
        quote,
        payment: Some(PayBy::Credit),
        return_url: None,
        idempotency_key: format!("world-{}", purchase.number),
    };
    let order = place_order(app, &scope, order).await?.order;
    let service = Scope::Product {
        product: product.to_owned(),
        principal,
    };
    let items = orders::items_of(app.db.read(), &scope, &[order]).await?;
    for item in items.into_values().flatten() {
        if item.status == OrderItemStatus::Provisioning {
            let outcome = Outcome::Succeeded {
                external_id: Some(format!("{kind}-{}-{}", purchase.number, item.position)),
            };
            report(app, &service, Report { task: item.id, outcome }).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]

    use super::{SIZES, shares};

    #[test]
    fn any_number_of_resources_is_made_of_whole_accounts() {
        for resources in 1..=3_000 {
            let (copies, rest) = shares(SIZES, resources);
            let rest: u32 = rest.iter().map(|place| SIZES[*place]).sum();
            assert_eq!(copies * SIZES.iter().sum::<u32>() + rest, resources);
        }
    }
}
