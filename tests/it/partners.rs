//! Partners move their own credit to their customers: two books, one movement, and both see it.

use entity::enums::Role;
use futures_util::future::join_all;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{World, on_every_store, server, text};

/// ACME is the partner and GLOBEX its customer: their tokens and ids.
struct Two {
    partner: String,
    customer: String,
    own: String,
    theirs: String,
}

async fn two(world: &World) -> Two {
    let customer = world.token_of(Role::Owner, world.other_account);
    let theirs = world.data(&customer, "{ account { id } }", json!({})).await;
    Two {
        partner: world.token_of_partner(world.account, &[world.other_account]),
        customer,
        own: world.account_id().await,
        theirs: text(&theirs["account"]["id"]),
    }
}

impl Two {
    fn moves(&self, amount: &str, key: &str) -> Value {
        json!({ "fromAccountId": self.own, "toAccountId": self.theirs, "amount": amount, "idempotencyKey": key })
    }
}

/// The cash of a caller's own credit wallet.
async fn cash(world: &World, token: &str) -> i64 {
    let data = world.data(token, "{ wallet { cash { amount } } }", json!({})).await;
    text(&data["wallet"]["cash"]["amount"]).parse().unwrap()
}

async fn newest(world: &World, token: &str) -> Value {
    let query = "{ wallet { entries(first: 1) { nodes { action details amount { amount } balanceAfter { amount }
        transfer { fromAccountCode toAccountCode amount { amount } note } } } } }";
    world.data(token, query, json!({})).await["wallet"]["entries"]["nodes"][0].take()
}

async fn events(world: &World, account: Uuid) -> Vec<String> {
    use entity::account_event::{Column, Entity};
    use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _};
    let of_account = Entity::find()
        .filter(Column::AccountId.eq(account))
        .order_by_asc(Column::Sequence);
    let rows = of_account.all(world.app.db.read()).await.unwrap();
    rows.into_iter().map(|row| row.kind.to_string()).collect()
}

on_every_store! {
    async fn credit_moves_once_and_both_histories_show_it(world: World) {
        let two = two(&world).await;
        world.grant("CASH", "300000").await;
        let mut wanted = two.moves("120000", "once");
        wanted["note"] = json!("Tháng ba");
        let done = world.done(&two.partner, "transferCredit", wanted.clone()).await;
        assert_eq!(done["transfer"]["amount"], json!({ "amount": "120000", "currency": "VND" }));
        let again = world.done(&two.partner, "transferCredit", wanted.clone()).await;
        assert_eq!((&again["replayed"], &again["transfer"]["id"]), (&json!(true), &done["transfer"]["id"]));
        wanted["amount"] = json!("120001");
        assert_eq!(world.refused(&two.partner, "transferCredit", wanted).await, "IDEMPOTENCY_KEY_REUSED");

        let owner = world.token(Role::Owner);
        let transfer = json!({ "fromAccountCode": "ACME", "toAccountCode": "GLOBEX", "amount": { "amount": "120000" }, "note": "Tháng ba" });
        assert_eq!(newest(&world, &owner).await, json!({ "action": "TRANSFER", "details": "Transfer to GLOBEX: Tháng ba",
            "amount": { "amount": "-120000" }, "balanceAfter": { "amount": "180000" }, "transfer": transfer }));
        assert_eq!(newest(&world, &two.customer).await, json!({ "action": "TRANSFER", "details": "Transfer from ACME: Tháng ba",
            "amount": { "amount": "120000" }, "balanceAfter": { "amount": "120000" }, "transfer": transfer }));
        assert_eq!(events(&world, world.account).await, ["WALLET_CREDITED", "WALLET_DEBITED"]);
        assert_eq!(events(&world, world.other_account).await, ["WALLET_CREDITED"]);
        let node = "query($id: ID!) { node(id: $id) { ... on CreditTransfer { fromAccountCode toAccountCode } } }";
        for token in [&owner, &two.customer, &two.partner, &world.token(Role::Operator)] {
            let data = world.data(token, node, json!({ "id": done["transfer"]["id"] })).await;
            assert_eq!(data["node"]["toAccountCode"], "GLOBEX");
        }
        // Each sees its own side only, but for the code.
        let query = "query($account: ID!) { account(id: $account) { id } }";
        assert_eq!(world.data(&two.customer, query, json!({ "account": two.own })).await["account"], Value::Null);
        let export = format!("http://{}/exports/credit.csv?from=2023-01-01&to=2023-12-31&action=TRANSFER", world.address());
        let csv = world.http().get(export).bearer_auth(&two.customer).send().await.unwrap().text().await.unwrap();
        assert!(csv.contains(",TRANSFER,Transfer from ACME: Tháng ba,,120000,"), "{csv}");
    }

    async fn only_own_cash_that_is_free_moves_and_only_to_a_customer(world: World) {
        let two = two(&world).await;
        world.grant("CASH", "100000").await;
        world.grant("PROMOTIONAL", "50000").await;
        let refused = world.act(&two.partner, "transferCredit", two.moves("100001", "promotional")).await;
        assert_eq!((&refused["userErrors"][0]["code"], &refused["userErrors"][0]["available"]["amount"]), (&json!("INSUFFICIENT_CREDIT"), &json!("100000")));

        let back = json!({ "fromAccountId": two.theirs, "toAccountId": two.own, "amount": "1", "idempotencyKey": "back" });
        let mut same = two.moves("1", "same");
        same["toAccountId"] = json!(two.own);
        let mut note = two.moves("1", "note");
        note["note"] = json!("two\nlines");
        let mut nobody = two.moves("1", "nobody");
        nobody["toAccountId"] = json!("AAAA");
        for (input, code) in [
            (back, "NOT_OWN_ACCOUNT"), (same, "SAME_ACCOUNT"), (note, "INVALID_TEXT"), (nobody, "INVALID_ID"),
            (two.moves("0", "zero"), "INVALID_AMOUNT"), (two.moves("-5", "below"), "INVALID_AMOUNT"), (two.moves("1.5", "decimals"), "TOO_MANY_DECIMALS"),
            (two.moves("1", ""), "IDEMPOTENCY_KEY_INVALID"),
        ] {
            assert_eq!(world.refused(&two.partner, "transferCredit", input.clone()).await, code, "{input}");
        }
        // Who is no customer of this partner is not there.
        let stranger = world.token_of_partner(world.account, &[]);
        assert_eq!(world.refused(&stranger, "transferCredit", two.moves("1", "stranger")).await, "ACCOUNT_NOT_FOUND");
        // Nor is the account of another partner, whoever claims to serve it as its own.
        let other = world.token_of_partner(world.other_account, &[]);
        assert_eq!(world.refused(&other, "transferCredit", two.moves("1", "other")).await, "ACCOUNT_NOT_FOUND");
        for token in [world.token(Role::Owner), world.token(Role::Operator), two.customer.clone()] {
            let query = "mutation($input: TransferCreditInput!) { transferCredit(input: $input) { userErrors { code } } }";
            let body = world.ask(&token, query, json!({ "input": two.moves("1", "no partner") })).await;
            assert_eq!(body["errors"][0]["extensions"]["code"], "FORBIDDEN", "{body}");
        }

        // What is held for a payment stays: 150,000 are there, and 150,000 are held until the gateway has said its word.
        let owner = world.token(Role::Owner);
        let (quote, _) = world.quote(server("s-general-1x1"), None).await;
        let pay = json!({ "quoteId": quote, "payment": { "topUpAndPay": { "gateway": "SANDBOX" } }, "idempotencyKey": "held" });
        world.done(&owner, "placeOrder", pay).await;
        assert_eq!(world.refused(&two.partner, "transferCredit", two.moves("1", "held")).await, "INSUFFICIENT_CREDIT");

        // No wallet holds more than is counted.
        world.grant("CASH", "1000").await;
        let full = json!({ "accountId": two.theirs, "kind": "CASH", "amount": "1000000000000000", "reason": "all of it", "idempotencyKey": "full" });
        world.done(&world.token(Role::Operator), "grantCredit", full).await;
        assert_eq!(world.refused(&two.partner, "transferCredit", two.moves("1000", "full")).await, "WALLET_LIMIT");
        assert_eq!(events(&world, world.other_account).await, ["WALLET_CREDITED"]);
        // A refusal does not use a key up.
        assert_eq!(cash(&world, &owner).await, 101_000);
    }

    async fn two_storms_against_each_other_lose_and_make_nothing(world: World) {
        let two = two(&world).await;
        world.grant("CASH", "100000").await;
        let theirs = json!({ "accountId": two.theirs, "kind": "CASH", "amount": "100000", "reason": "as much", "idempotencyKey": "theirs" });
        world.done(&world.token(Role::Operator), "grantCredit", theirs).await;
        // GLOBEX is a partner too, and ACME its customer.
        let other = world.token_of_partner(world.other_account, &[world.account]);
        let storm = (0..40).map(|number| {
            let (world, two, other) = (&world, &two, &other);
            async move {
                let key = format!("storm-{number}");
                // Some are more than there is by then, some come twice at once.
                let amount = (1_000 + (number % 7) * 9_000).to_string();
                if number % 2 == 0 {
                    let input = two.moves(&amount, &key);
                    let (done, again) = futures_util::join!(world.act(&two.partner, "transferCredit", input.clone()), world.act(&two.partner, "transferCredit", input));
                    // A refusal frees the key: the second may find the money that the first did not.
                    if done["transfer"].is_null() { return again; }
                    assert!(again["transfer"].is_null() || again["transfer"]["id"] == done["transfer"]["id"], "{again}");
                    done
                } else {
                    let input = json!({ "fromAccountId": two.theirs, "toAccountId": two.own, "amount": amount, "idempotencyKey": key });
                    world.act(other, "transferCredit", input).await
                }
            }
        });
        let done = join_all(storm).await;
        let moved = done.iter().filter(|payload| payload["userErrors"] == json!([])).count();
        assert!(moved > 10, "{moved} of 40 moved");
        let codes = done.iter().filter_map(|payload| payload["userErrors"][0]["code"].as_str());
        assert!(codes.into_iter().all(|code| code == "INSUFFICIENT_CREDIT"), "{done:?}");
        let (ours, theirs) = (cash(&world, &world.token(Role::Owner)).await, cash(&world, &two.customer).await);
        assert_eq!(ours + theirs, 200_000);
        let query = "{ wallet { entries(filter: { action: [TRANSFER] }, first: 100) { nodes { amount { amount } } } } }";
        for (token, expected) in [(world.token(Role::Owner), ours - 100_000), (two.customer.clone(), theirs - 100_000)] {
            let data = world.data(&token, query, json!({})).await;
            let lines = data["wallet"]["entries"]["nodes"].as_array().unwrap();
            let sum: i64 = lines.iter().map(|line| text(&line["amount"]["amount"]).parse::<i64>().unwrap()).sum();
            assert_eq!((lines.len(), sum), (moved, expected));
        }
    }

    async fn a_transfer_whose_halves_differ_is_found(world: World) {
        let two = two(&world).await;
        world.grant("CASH", "100000").await;
        world.done(&two.partner, "transferCredit", two.moves("100000", "all")).await;
        let laws = async |change: &str, back: &str| {
            let execute = async |sql: String| {
                world.app.db.write("behind_its_back", async |tx| Ok(tx.execute_unprepared(&sql).await?)).await.unwrap();
            };
            execute(change.to_owned()).await;
            let found = billing_gateway::db::proof::differences(&world.app.db).await.unwrap();
            execute(back.to_owned()).await;
            found.into_iter().map(|difference| difference.law).collect::<Vec<_>>()
        };
        let found = laws("update credit_transfer set amount_minor = amount_minor - 1", "update credit_transfer set amount_minor = amount_minor + 1").await;
        assert!(found.contains(&"a transfer's two halves are what was moved"), "{found:?}");
        let of_partner = "update ledger_posting set amount_minor = amount_minor";
        let found = laws(&format!("{of_partner} + 1 where ledger_account = 'PARTNER' and amount_minor > 0"),
                         &format!("{of_partner} - 1 where ledger_account = 'PARTNER' and amount_minor > 0")).await;
        assert!(found.contains(&"a transfer's two halves are what was moved"), "{found:?}");
        assert!(found.contains(&"what is booked with partners is what came by transfers less what went"), "{found:?}");
    }
}
