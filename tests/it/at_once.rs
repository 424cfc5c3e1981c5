//! Orders paid from credit that are a single statement on PostgreSQL: few journeys, and whatever comes between what is read
//! and what is written, all of it happens once or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use billing_gateway::app::App;
use billing_gateway::commands::credit::{self, Grant};
use billing_gateway::commands::order::{PayBy, PlaceOrder, place_order};
use billing_gateway::commands::quote::{Action, Create, PriceRequest, create};
use billing_gateway::db::statements::counted;
use billing_gateway::db::writes::Writes;
use billing_gateway::db::{Db, Tx};
use billing_gateway::domain::ledger as rules;
use billing_gateway::domain::money::{Currency, Money};
use billing_gateway::domain::refusal::RefusalCode;
use billing_gateway::domain::term::Term;
use billing_gateway::error::Error;
use billing_gateway::store::Scope;
use billing_gateway::store::idempotency::{self, Claim, Key};
use billing_gateway::store::ledger::{self as books, Entry, Movement};
use entity::enums::{FundsKind, WalletAction, WalletKind};
use entity::{idempotency_key, order, wallet};
use sea_orm::{ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::{World, on_every_store};

fn owner(world: &World) -> Scope {
    Scope::Account {
        account: world.account,
        principal: "owner".to_owned(),
    }
}

async fn quoted(world: &World) -> Uuid {
    let wanted = Create {
        product: "vserver".to_owned(),
        resource_type: "server".to_owned(),
        components: vec![("s-general-1x1".to_owned(), 1)],
        quantity: 1,
        term: Term::Months(1),
        name: None,
        auto_renew: false,
    };
    let request = PriceRequest {
        account: world.account,
        actions: vec![Action::Create(wanted)],
        coupon_code: None,
    };
    create(&world.app, &owner(world), request).await.unwrap().id
}

fn of(world: &World, quote: Uuid, key: &str) -> PlaceOrder {
    PlaceOrder {
        account: world.account,
        quote,
        payment: Some(PayBy::Credit),
        return_url: None,
        idempotency_key: key.to_owned(),
    }
}

fn is_postgres(world: &World) -> bool {
    !world.database().starts_with("sqlite")
}

async fn balance(db: &Db, account: Uuid) -> i64 {
    let wallet = wallet::Entity::find()
        .filter(wallet::Column::AccountId.eq(account))
        .filter(wallet::Column::Kind.eq(WalletKind::Credit))
        .one(db.read())
        .await;
    wallet.unwrap().unwrap().cash_minor
}

async fn give(app: &App, account: Uuid, amount: &str, key: &str) {
    let operator = Scope::Operator {
        principal: "operator".to_owned(),
    };
    let grant = Grant {
        account,
        funds: FundsKind::Cash,
        amount: amount.to_owned(),
        reason: "between".to_owned(),
        idempotency_key: key.to_owned(),
    };
    credit::grant(app, &operator, grant).await.unwrap();
}

/// A gift of one dong, decided upon what is read of the wallet.
async fn gift(tx: &Tx, scope: &Scope, account: Uuid, now: chrono::DateTime<chrono::Utc>) -> Result<Writes, Error> {
    let read = wallet::Entity::find()
        .filter(wallet::Column::AccountId.eq(account))
        .filter(wallet::Column::Kind.eq(WalletKind::Credit))
        .one(&**tx)
        .await?;
    let read = read.unwrap();
    let one = Money::of(1, Currency::Vnd);
    let entry = Entry::new(rules::grant(FundsKind::Cash, one)?);
    let movement = Movement {
        id: Uuid::now_v7(),
        transaction: entry.id,
        action: WalletAction::Grant,
        details: "a gift".to_owned(),
        cash_minor: 1,
        promotional_minor: 0,
        order: None,
    };
    let mut writes = Writes::of(tx);
    books::post(&mut writes, scope, account, vec![entry], now);
    books::move_wallet(&mut writes, scope, &read, vec![movement], now)?;
    Ok(writes)
}

fn key(account: Uuid, key: &str) -> Key<'_> {
    Key {
        account,
        operation: "gift",
        key,
    }
}

on_every_store! {
    async fn an_order_paid_from_credit_costs_few_statements(world: World) {
        world.grant("CASH", "10000000").await;
        for number in 0..3 {
            let quote = quoted(&world).await;
            let order = of(&world, quote, &number.to_string());
            let (placed, statements) = counted(place_order(&world.app, &owner(&world), order)).await;
            assert!(placed.unwrap().written.is_some());
            // The first documents of a year are counted by themselves.
            if number > 0 {
                assert_eq!(statements, if is_postgres(&world) { 2 } else { 5 });
            }
        }
        world.books_agree().await;
    }

    async fn what_changed_since_it_was_read_is_read_again(world: World) {
        world.grant("CASH", "1000").await;
        let (scope, now) = (owner(&world), world.app.clock.now());
        let tries = AtomicU32::new(0);
        let done = world.app.db.write_at_once("gift", world.account, async |tx| {
            let tx = &*tx;
            let first = tries.fetch_add(1, Ordering::SeqCst) == 0;
            let claimed = idempotency::claim(tx, &scope, key(world.account, "once"), &1, Uuid::nil(), now).await?;
            assert_eq!(claimed, Claim::New);
            let writes = gift(tx, &scope, world.account, now).await?;
            if first && is_postgres(&world) {
                // Somebody else is faster.
                give(&world.app, world.account, "500", "faster").await;
            }
            writes.send(tx).await
        });
        done.await.unwrap();
        let (expected, tried) = if is_postgres(&world) { (1_501, 2) } else { (1_001, 1) };
        assert_eq!(tries.into_inner(), tried);
        assert_eq!(balance(&world.app.db, world.account).await, expected);
        let claimed = idempotency_key::Entity::find().filter(idempotency_key::Column::Operation.eq("gift"));
        assert_eq!(claimed.count(world.app.db.read()).await.unwrap(), 1);
        world.books_agree().await;
    }

    async fn a_key_that_was_used_undoes_the_whole_and_is_found(world: World) {
        world.grant("CASH", "1000").await;
        let (scope, now) = (owner(&world), world.app.clock.now());
        for _ in 0..2 {
            let done = world.app.db.write_at_once("gift", world.account, async |tx| {
                let tx = &*tx;
                let outcome = Uuid::now_v7();
                if let Claim::Done(outcome) =
                    idempotency::claim(tx, &scope, key(world.account, "used"), &1, outcome, now).await?
                {
                    return Ok(outcome);
                }
                gift(tx, &scope, world.account, now).await?.send(tx).await?;
                Ok(outcome)
            });
            let outcome = done.await.unwrap();
            let kept = idempotency_key::Entity::find().filter(idempotency_key::Column::Key.eq("used"));
            assert_eq!(kept.one(world.app.db.read()).await.unwrap().unwrap().outcome_id, outcome);
            assert_eq!(balance(&world.app.db, world.account).await, 1_001);
        }
    }

    async fn what_writes_or_locks_by_the_way_is_done_in_a_transaction(world: World) {
        world.grant("CASH", "1000").await;
        let (scope, now) = (owner(&world), world.app.clock.now());
        for locks in [true, false] {
            let tries = AtomicU32::new(0);
            let done = world.app.db.write_at_once("gift", world.account, async |tx| {
                let tx = &*tx;
                tries.fetch_add(1, Ordering::SeqCst);
                let outcome = Uuid::now_v7();
                idempotency::claim(tx, &scope, key(world.account, &locks.to_string()), &1, outcome, now).await?;
                if locks {
                    books::lock_wallet(tx, &scope, world.account, WalletKind::Credit).await?;
                } else {
                    idempotency_key::Entity::delete_many()
                        .filter(idempotency_key::Column::Key.eq("never used"))
                        .exec(&**tx)
                        .await?;
                }
                gift(tx, &scope, world.account, now).await?.send(tx).await
            });
            done.await.unwrap();
            assert_eq!(tries.into_inner(), if is_postgres(&world) { 2 } else { 1 });
        }
        assert_eq!(balance(&world.app.db, world.account).await, 1_002);
        world.books_agree().await;
    }

    async fn a_refusal_is_one_of_what_was_locked(world: World) {
        world.grant("CASH", "10000000").await;
        let quote = quoted(&world).await;
        let placed = place_order(&world.app, &owner(&world), of(&world, quote, "key")).await.unwrap();
        // The quote is ordered: by this very call, made before.
        let again = place_order(&world.app, &owner(&world), of(&world, quote, "key")).await.unwrap();
        assert_eq!((again.order, again.written), (placed.order, None));
        for (key, expected) in [("other", RefusalCode::QuoteAlreadyOrdered), ("key", RefusalCode::IdempotencyKeyReused)] {
            let mut order = of(&world, quote, key);
            if key == "key" {
                order.quote = quoted(&world).await;
            }
            let refused = place_order(&world.app, &owner(&world), order).await.unwrap_err();
            assert!(matches!(&refused, Error::Refused(refusal) if refusal.code == expected), "{refused:?}");
        }
    }

    async fn two_processes_pay_from_one_wallet_and_each_order_is_paid_once(world: World) {
        world.grant("CASH", "100000000").await;
        let peer = world.another(100).await;
        let mut quotes = Vec::new();
        for _ in 0..24 {
            quotes.push(quoted(&world).await);
        }
        let mut paying = JoinSet::new();
        for (number, quote) in quotes.into_iter().enumerate() {
            // Each by both, at the same time and under the same key.
            for app in [&world.app, &peer] {
                let (app, scope, order) = (Arc::clone(app), owner(&world), of(&world, quote, &number.to_string()));
                paying.spawn(async move { place_order(&app, &scope, order).await.unwrap().order });
            }
        }
        let mut placed: Vec<Uuid> = paying.join_all().await;
        placed.sort_unstable();
        placed.dedup();
        assert_eq!(placed.len(), 24);
        let orders = order::Entity::find().all(world.app.db.read()).await.unwrap();
        let mut codes: Vec<String> = orders.into_iter().map(|order| order.code[order.code.len() - 6..].to_owned()).collect();
        codes.sort();
        let expected: Vec<String> = (1..=24).map(|number| format!("{number:06}")).collect();
        assert_eq!(codes, expected, "no number is missing, and none is there twice");
        world.books_agree().await;
    }
}
