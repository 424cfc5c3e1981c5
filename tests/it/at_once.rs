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
use billing_gateway::domain::quote::PricedQuote;
use billing_gateway::domain::refusal::RefusalCode;
use billing_gateway::domain::term::Term;
use billing_gateway::error::Error;
use billing_gateway::store::Scope;
use billing_gateway::store::idempotency::{self, Claim, Key};
use billing_gateway::store::ledger::{self as books, Entry, Movement};
use billing_gateway::store::purchases;
use chrono::TimeDelta;
use entity::enums::{FundsKind, WalletAction, WalletKind};
use entity::{idempotency_key, order, wallet, webhook_delivery};
use sea_orm::{ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};
use serde::Deserialize as _;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::{World, at, execute, on_every_store};

fn owner(world: &World) -> Scope {
    Scope::Account {
        account: world.account,
        principal: "owner".to_owned(),
    }
}

async fn quoted(world: &World) -> Uuid {
    quoted_for(world, world.account).await
}

async fn quoted_for(world: &World, account: Uuid) -> Uuid {
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
        account,
        actions: vec![Action::Create(wanted)],
        coupon_code: None,
    };
    let scope = Scope::Account {
        account,
        principal: "owner".to_owned(),
    };
    create(&world.app, &scope, request).await.unwrap().id
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

fn is(error: &Error, code: RefusalCode) -> bool {
    matches!(error, Error::Refused(refusal) if refusal.code == code)
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
                assert_eq!(statements, if is_postgres(&world) { 1 } else { 5 });
            }
        }
        // Who did not make the quote has to read it.
        let peer = world.another(100).await;
        let order = of(&world, quoted(&world).await, "elsewhere");
        let (placed, statements) = counted(place_order(&peer, &owner(&world), order)).await;
        assert!(placed.unwrap().written.is_some());
        assert_eq!(statements, if is_postgres(&world) { 2 } else { 5 });
        world.books_agree().await;
    }

    async fn orders_of_one_account_wait_for_each_other_and_each_is_one_statement(world: World) {
        world.grant("CASH", "100000000").await;
        let first = of(&world, quoted(&world).await, "first");
        place_order(&world.app, &owner(&world), first).await.unwrap();
        let mut quotes = Vec::new();
        for _ in 0..12 {
            quotes.push(quoted(&world).await);
        }
        let mut paying = JoinSet::new();
        for (number, quote) in quotes.into_iter().enumerate() {
            let (app, scope, order) = (Arc::clone(&world.app), owner(&world), of(&world, quote, &number.to_string()));
            paying.spawn(async move { counted(place_order(&app, &scope, order)).await });
        }
        for (placed, statements) in paying.join_all().await {
            assert!(placed.unwrap().written.is_some());
            if is_postgres(&world) {
                assert_eq!(statements, 1);
            }
        }
        world.books_agree().await;
    }

    async fn what_is_remembered_is_what_would_be_read(world: World) {
        world.grant("CASH", "10000000").await;
        world.grant("PROMOTIONAL", "1000").await;
        let scope = owner(&world);
        for number in 0..3 {
            let (quote, next) = (quoted(&world).await, quoted(&world).await);
            // As it was read with the quote, and as it was written by an order.
            for (wanted, place) in [(quote, true), (next, false)] {
                let now = world.app.clock.now();
                let remembered = world.app.remembered.purchase(&scope, world.account, wanted);
                if !is_postgres(&world) {
                    assert!(remembered.is_none());
                } else if let Some((purchase, priced)) = remembered {
                    let read = world.app.db.write("read", async |tx| {
                        purchases::read_purchase(&tx, &scope, world.account, wanted, now).await
                    });
                    let mut read = read.await.unwrap().unwrap();
                    assert_eq!(PricedQuote::deserialize(&read.quote.document).unwrap(), *priced);
                    read.quote.document = serde_json::Value::Null;
                    // Told of each order, which is nothing that an order is decided by.
                    read.account.event_sequence = purchase.account.event_sequence;
                    assert_eq!(purchase, read);
                } else {
                    // The year's first documents were written by a transaction.
                    assert!(number == 0 && !place);
                }
                if place {
                    place_order(&world.app, &scope, of(&world, wanted, &number.to_string())).await.unwrap();
                }
            }
        }
    }

    async fn what_changed_since_the_quote_is_read(world: World) {
        world.grant("CASH", "10000000").await;
        let scope = owner(&world);
        place_order(&world.app, &scope, of(&world, quoted(&world).await, "first")).await.unwrap();
        let peer = world.another(100).await;
        for change in ["wallet", "numbers", "account", "product"] {
            let (quote, another) = (quoted(&world).await, quoted(&world).await);
            match change {
                "wallet" => give(&peer, world.account, "500", "gift").await,
                "numbers" => {
                    place_order(&peer, &scope, of(&world, another, "another")).await.unwrap();
                }
                "account" => execute(&world.app, "UPDATE account SET code = 'RENAMED' WHERE code = 'ACME'").await,
                _ => execute(&world.app, "UPDATE product SET has_webhook = true WHERE code = 'vserver'").await,
            }
            let (placed, statements) = counted(place_order(&world.app, &scope, of(&world, quote, change))).await;
            let order = placed.unwrap().written.unwrap();
            assert_eq!(statements, if is_postgres(&world) { 3 } else { 5 }, "{change}");
            if change == "account" || change == "product" {
                assert!(order.code.starts_with("ORD-RENAMED-"), "{}", order.code);
            }
            let told = webhook_delivery::Entity::find().count(world.app.db.read()).await.unwrap();
            assert_eq!(told, u64::from(change == "product"), "the service is told, since it wants to be");
            world.books_agree().await;
        }
    }

    async fn credit_that_was_spent_elsewhere_is_not_spent_again(world: World) {
        world.grant("CASH", "10000000").await;
        let scope = owner(&world);
        let first = place_order(&world.app, &scope, of(&world, quoted(&world).await, "first")).await.unwrap();
        let price = first.written.unwrap().charged_minor;
        let left = 10_000_000 - price;
        // All but one and a half of them.
        let spent = left - price - price / 2;
        execute(&world.app, &format!("UPDATE wallet SET held_minor = {spent}, version = version + 1 WHERE cash_minor = {left}")).await;
        let peer = world.another(100).await;
        let (here, there) = (quoted(&world).await, quoted(&world).await);
        place_order(&peer, &scope, of(&world, there, "there")).await.unwrap();
        for _ in 0..2 {
            let refused = place_order(&world.app, &scope, of(&world, here, "here")).await.unwrap_err();
            assert!(is(&refused, RefusalCode::InsufficientCredit), "{refused:?}");
        }
        // What came elsewhere is spent here.
        give(&peer, world.account, &price.to_string(), "more").await;
        place_order(&world.app, &scope, of(&world, here, "here")).await.unwrap();
        execute(&world.app, &format!("UPDATE wallet SET held_minor = 0 WHERE held_minor = {spent}")).await;
        assert_eq!(balance(&world.app.db, world.account).await, left - price);
    }

    async fn a_quote_that_is_remembered_is_ordered_once_while_it_is_good_by_whom_it_is_for(world: World) {
        world.grant("CASH", "10000000").await;
        let scope = owner(&world);
        place_order(&world.app, &scope, of(&world, quoted(&world).await, "first")).await.unwrap();
        let peer = world.another(100).await;

        let quote = quoted(&world).await;
        let there = place_order(&peer, &scope, of(&world, quote, "there")).await.unwrap();
        let same = place_order(&world.app, &scope, of(&world, quote, "there")).await.unwrap();
        assert_eq!((same.order, same.written), (there.order, None));
        let refused = place_order(&world.app, &scope, of(&world, quote, "here")).await.unwrap_err();
        assert!(is(&refused, RefusalCode::QuoteAlreadyOrdered), "{refused:?}");

        // The other account is known as well, and could pay.
        give(&world.app, world.other_account, "10000000", "other").await;
        quoted_for(&world, world.other_account).await;
        let quote = quoted(&world).await;
        let other = Scope::Account { account: world.other_account, principal: "owner".to_owned() };
        for account in [world.account, world.other_account] {
            let order = PlaceOrder { account, ..of(&world, quote, "foreign") };
            let refused = place_order(&world.app, &other, order).await.unwrap_err();
            assert!(is(&refused, RefusalCode::QuoteNotFound), "{refused:?}");
        }
        let order = PlaceOrder { account: world.other_account, ..of(&world, quote, "foreign") };
        let operator = Scope::Operator { principal: "operator".to_owned() };
        let refused = place_order(&world.app, &operator, order).await.unwrap_err();
        assert!(is(&refused, RefusalCode::QuoteNotFound), "{refused:?}");

        world.app.set_clock(world.app.clock.now() + TimeDelta::minutes(16)).await.unwrap();
        let refused = place_order(&world.app, &scope, of(&world, quote, "late")).await.unwrap_err();
        assert!(is(&refused, RefusalCode::QuoteExpired), "{refused:?}");
    }

    async fn a_quote_of_the_old_year_is_ordered_under_a_number_of_the_new_one(world: World) {
        world.grant("CASH", "10000000").await;
        world.app.set_clock(at("2023-12-31T23:55:00+07:00")).await.unwrap();
        let scope = owner(&world);
        place_order(&world.app, &scope, of(&world, quoted(&world).await, "first")).await.unwrap();
        let quote = quoted(&world).await;
        world.app.set_clock(at("2024-01-01T00:05:00+07:00")).await.unwrap();
        let placed = place_order(&world.app, &scope, of(&world, quote, "second")).await.unwrap();
        assert!(placed.written.unwrap().code.ends_with("-2024-000001"));
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
            assert!(is(&refused, expected), "{refused:?}");
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
