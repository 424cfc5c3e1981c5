//! What customers do with resources that exist: renew, recover, resize, delete, match ends. Each shows its price first and
//! takes exactly that.

use entity::enums::{PeriodStatus, Role, StepStatus};
use entity::{credit_note, paid_period, resource, schedule_step};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _};
use serde_json::{Value, json};

use crate::support::{World, on_every_store, project, server, text};

const RESOURCES: &str =
    "{ resources(first: 50, orderBy: { field: CREATED_AT, direction: ASC }) { nodes { id name status expiresAt } } }";
const QUOTE: &str = "mutation($input: CreateQuoteInput!) { createQuote(input: $input) { quote { id charged { amount } due { amount } refund { amount }
    items { action name resource { id } credited { amount } due { amount } refund { amount } period { unit startsAt endsAt } explanation(language: EN) } }
    userErrors { code message path ... on StateError { state allowed } } } }";

async fn resources(world: &World) -> Vec<Value> {
    let data = world.data(&world.token(Role::Owner), RESOURCES, json!({})).await;
    data["resources"]["nodes"].as_array().unwrap().clone()
}

/// Its status, and its end to the minute: the clock of a test runs.
fn stands(resource: &Value) -> (String, String) {
    (text(&resource["status"]), text(&resource["expiresAt"])[..16].to_owned())
}

fn standing(status: &str, end: &str) -> (String, String) {
    (status.to_owned(), end.to_owned())
}

async fn cash(world: &World) -> (String, String) {
    let wallet = "{ wallet { cash { amount } promotional { amount } } }";
    let data = world.data(&world.token(Role::Owner), wallet, json!({})).await;
    (
        text(&data["wallet"]["cash"]["amount"]),
        text(&data["wallet"]["promotional"]["amount"]),
    )
}

/// Asks for a quote and answers the whole payload.
async fn asked(world: &World, items: Value, coupon: Option<&str>) -> Value {
    let input = json!({ "items": items, "couponCode": coupon });
    let mut data = world
        .data(&world.token(Role::Owner), QUOTE, json!({ "input": input }))
        .await;
    data["createQuote"].take()
}

async fn quoted(world: &World, items: Value) -> Value {
    let mut payload = asked(world, items, None).await;
    assert_eq!(payload["userErrors"], json!([]), "{payload}");
    payload["quote"].take()
}

/// The first refusal of a quote: code, path and what is allowed.
async fn refused(world: &World, items: Value) -> (String, String, Value) {
    let payload = asked(world, items, None).await;
    let error = &payload["userErrors"][0];
    let path: Vec<String> = error["path"].as_array().unwrap().iter().map(text).collect();
    (text(&error["code"]), path.join("."), error["allowed"].clone())
}

fn ordering(quote: &Value) -> Value {
    let pays = quote["due"]["amount"] != "0";
    json!({ "quoteId": quote["id"], "payment": if pays { json!({ "credit": true }) } else { Value::Null },
            "idempotencyKey": format!("key-{}", text(&quote["id"])) })
}

/// Quotes and orders.
async fn done(world: &World, items: Value) -> Value {
    let quote = quoted(world, items).await;
    world
        .done(&world.token(Role::Owner), "placeOrder", ordering(&quote))
        .await["order"]
        .take()
}

/// Reports the one task that waits.
async fn reported(world: &World, outcome: Value) {
    let token = world.token(Role::Product);
    let tasks = "{ provisioningTasks(first: 1) { nodes { id action configuration { code } } } }";
    let data = world.data(&token, tasks, json!({})).await;
    let task = &data["provisioningTasks"]["nodes"][0]["id"];
    world
        .done(
            &token,
            "reportProvisioning",
            json!({ "taskId": task, "outcome": outcome }),
        )
        .await;
}

async fn a_server(world: &World) -> Value {
    world.grant("CASH", "5000000").await;
    world.buy(server("s-general-1x1")).await;
    world.provision().await;
    resources(world).await.remove(0)
}

on_every_store! {
    async fn a_renewal_begins_at_the_old_end_and_makes_the_plan_anew(world: World) {
        let bought = a_server(&world).await;
        assert_eq!(stands(&bought), standing("ACTIVE", "2023-04-05T17:00"));
        world.advance("2023-04-01T09:00:00+07:00").await;
        let quote = quoted(&world, json!([{ "renew": { "resourceId": bought["id"], "term": { "months": 2 } } }])).await;
        assert_eq!(quote["due"]["amount"], "362000");
        assert_eq!(quote["items"][0]["resource"]["id"], bought["id"]);
        assert_eq!(quote["items"][0]["period"]["startsAt"], bought["expiresAt"]);
        let order = world.done(&world.token(Role::Owner), "placeOrder", ordering(&quote)).await;
        assert_eq!(order["order"]["status"], "FULFILLED");
        assert_eq!(stands(&resources(&world).await[0]), standing("ACTIVE", "2023-06-05T17:00"));
        assert_eq!(cash(&world).await.0, "4457000");
        // The old plan is not followed any more: nothing is told before the new one begins.
        let before = world.advance("2023-05-29T00:00:00+07:00").await;
        assert_eq!((before.steps, before.alerts), (0, 0));
        assert_eq!(world.advance("2023-05-30T01:00:00+07:00").await.alerts, 1);
        let steps = schedule_step::Entity::find().filter(schedule_step::Column::Status.eq(StepStatus::Superseded));
        assert_eq!(steps.all(world.app.db.read()).await.unwrap().len(), 1);
        // In grace it goes on from the old end, and is alive again.
        world.advance("2023-06-10T00:00:00+07:00").await;
        assert_eq!(resources(&world).await[0]["status"], "GRACE");
        done(&world, json!([{ "renew": { "resourceId": bought["id"], "term": { "months": 1 } } }])).await;
        assert_eq!(stands(&resources(&world).await[0]), standing("ACTIVE", "2023-07-05T17:00"));
        world.books_agree().await;
        // Four periods' invoices say what was paid for them.
        let invoices = world.data(&world.token(Role::Owner), "{ invoices(first: 10) { nodes { total { amount } } } }", json!({})).await;
        let totals: Vec<_> = invoices["invoices"]["nodes"].as_array().unwrap().iter().map(|node| text(&node["total"]["amount"])).collect();
        assert_eq!(totals, ["181000", "362000", "181000"]);
    }

    async fn a_renewal_that_does_not_reach_the_present_leaves_the_resource_where_it_is(world: World) {
        let bought = a_server(&world).await;
        world.advance("2023-04-15T00:00:00+07:00").await;
        done(&world, json!([{ "renew": { "resourceId": bought["id"], "term": { "days": 2 } } }])).await;
        assert_eq!(stands(&resources(&world).await[0]), standing("GRACE", "2023-04-07T17:00"));
        // It is suspended and released by its new end, with a notice of its own.
        world.advance("2023-04-23T01:00:00+07:00").await;
        assert_eq!(resources(&world).await[0]["status"], "SUSPENDED");
        world.advance("2023-05-09T00:00:00+07:00").await;
        assert_eq!(resources(&world).await[0]["status"], "DELETED");
    }

    async fn a_renewal_of_what_is_suspended_that_does_not_reach_the_present_leaves_it_suspended_until_its_release(world: World) {
        let bought = a_server(&world).await;
        world.advance("2023-04-26T00:00:00+07:00").await;
        assert_eq!(resources(&world).await[0]["status"], "SUSPENDED");
        done(&world, json!([{ "renew": { "resourceId": bought["id"], "term": { "days": 8 } } }])).await;
        assert_eq!(stands(&resources(&world).await[0]), standing("SUSPENDED", "2023-04-13T17:00"));
        // Fifteen days after its new end it would be suspended: it is already, and goes on to its release.
        let passed = world.advance("2023-05-13T00:00:00+07:00").await;
        assert_eq!((passed.failed, resources(&world).await[0]["status"].clone()), (0, json!("SUSPENDED")));
        let passed = world.advance("2023-05-15T00:00:00+07:00").await;
        assert_eq!((passed.failed, resources(&world).await[0]["status"].clone()), (0, json!("DELETED")));
    }

    async fn what_a_late_engine_has_not_ended_yet_ends_although_it_is_renewed_meanwhile(world: World) {
        let bought = a_server(&world).await;
        // Nobody looked for twenty days after its end: it is still served.
        world.app.set_clock(crate::support::at("2023-04-26T00:00:00+07:00")).await.unwrap();
        assert_eq!(resources(&world).await[0]["status"], "ACTIVE");
        done(&world, json!([{ "renew": { "resourceId": bought["id"], "term": { "days": 1 } } }])).await;
        let passed = world.advance("2023-04-26T00:10:00+07:00").await;
        assert_eq!((passed.failed, resources(&world).await[0]["status"].clone()), (0, json!("SUSPENDED")));
        let passed = world.advance("2023-07-01T00:00:00+07:00").await;
        assert_eq!((passed.failed, resources(&world).await[0]["status"].clone()), (0, json!("DELETED")));
    }

    async fn a_quote_that_outlives_the_first_of_two_periods_is_ordered_as_it_was_priced(world: World) {
        let bought = a_server(&world).await;
        let id = &bought["id"];
        done(&world, json!([{ "renew": { "resourceId": id, "term": { "months": 1 } } }])).await;
        world.advance("2023-04-05T23:50:00+07:00").await;
        let smaller = quoted(&world, json!([{ "resize": { "resourceId": id, "components": [{ "code": "s-general-2x4", "quantity": 1 }] } }])).await;
        world.advance("2023-04-06T00:04:00+07:00").await;
        let order = world.done(&world.token(Role::Owner), "placeOrder", ordering(&smaller)).await;
        assert_eq!(order["order"]["status"], "IN_PROGRESS");
        reported(&world, json!({ "succeeded": {} })).await;
        let deletion = quoted(&world, json!([{ "delete": { "resourceId": id } }])).await;
        assert_ne!(deletion["refund"]["amount"], "0");
        world.books_agree().await;
    }

    async fn a_resize_is_paid_or_given_back_and_never_moves_the_end(world: World) {
        world.grant("PROMOTIONAL", "100000").await;
        let bought = a_server(&world).await;
        assert_eq!(cash(&world).await, ("4919000".to_owned(), "0".to_owned()));
        world.advance("2023-03-21T00:00:00+07:00").await;
        // Half of the month is left: 260,000 of the larger one, less 90,500 of the smaller one.
        let larger = json!([{ "resize": { "resourceId": bought["id"], "components": [{ "code": "s-general-2x4", "quantity": 1 }] } }]);
        let quote = quoted(&world, larger).await;
        assert_eq!((&quote["charged"]["amount"], &quote["due"]["amount"]), (&json!("260000"), &json!("169500")));
        assert_eq!(quote["items"][0]["credited"]["amount"], "90500");
        assert!(text(&quote["items"][0]["explanation"]).contains("169,500 VND"), "{quote}");
        let order = world.done(&world.token(Role::Owner), "placeOrder", ordering(&quote)).await;
        assert_eq!(order["order"]["status"], "IN_PROGRESS", "the product makes it");
        assert_eq!(cash(&world).await.0, "4749500");
        // Meanwhile nothing else is done with it.
        let (code, path, allowed) = refused(&world, json!([{ "delete": { "resourceId": bought["id"] } }])).await;
        assert_eq!((code.as_str(), path.as_str(), allowed), ("STATE_CONFLICT", "items.0.delete.resourceId", json!([])));
        world.books_agree().await;
        reported(&world, json!({ "succeeded": {} })).await;
        assert_eq!(resources(&world).await[0]["expiresAt"], bought["expiresAt"]);
        world.books_agree().await;

        world.advance("2023-03-26T00:00:00+07:00").await;
        // Ten days are left: 60,333 of the smaller one, less two thirds of 260,000.
        let smaller = json!([{ "resize": { "resourceId": bought["id"], "components": [{ "code": "s-general-1x1", "quantity": 1 }] } }]);
        let quote = quoted(&world, smaller.clone()).await;
        assert_eq!((&quote["due"]["amount"], &quote["refund"]["amount"]), (&json!("0"), &json!("113000")));
        world.done(&world.token(Role::Owner), "placeOrder", ordering(&quote)).await;
        assert_eq!(cash(&world).await.0, "4749500", "nothing is given back before it is done");
        reported(&world, json!({ "failed": { "reason": "no room" } })).await;
        assert_eq!(cash(&world).await.0, "4749500");
        world.books_agree().await;
        done(&world, smaller).await;
        reported(&world, json!({ "succeeded": {} })).await;
        // 100,000 of 181,000 were promotional; 50,000 of the 90,500 that went into 260,000; of 173,333 that were left 33,333.
        assert_eq!(cash(&world).await, ("4840769".to_owned(), "21731".to_owned()));
        let notes = credit_note::Entity::find().order_by_asc(credit_note::Column::IssuedAt).all(world.app.db.read());
        let notes: Vec<i64> = notes.await.unwrap().iter().map(|note| note.amount_minor).collect();
        assert_eq!(notes, [90_500, 173_333]);
        let open = paid_period::Entity::find().filter(paid_period::Column::Status.eq(PeriodStatus::Paid)).all(world.app.db.read());
        let open = open.await.unwrap();
        assert_eq!(open.iter().map(|period| period.charged_minor).collect::<Vec<_>>(), [60_333]);
    }

    async fn a_deletion_gives_back_what_is_unused_and_a_recovery_pays_anew(world: World) {
        let bought = a_server(&world).await;
        world.advance("2023-03-21T00:00:00+07:00").await;
        let id = &bought["id"];
        let quote = quoted(&world, json!([{ "delete": { "resourceId": id } }])).await;
        assert_eq!((&quote["due"]["amount"], &quote["refund"]["amount"], &quote["items"][0]["period"]), (&json!("0"), &json!("90500"), &Value::Null));
        let paying = json!({ "quoteId": quote["id"], "payment": { "credit": true }, "idempotencyKey": "a" });
        assert_eq!(world.refused(&world.token(Role::Owner), "placeOrder", paying).await, "PAYMENT_NOT_NEEDED");
        world.done(&world.token(Role::Owner), "placeOrder", ordering(&quote)).await;
        assert_eq!(resources(&world).await[0]["status"], "TRASHED");
        assert_eq!(cash(&world).await.0, "4909500");
        let (code, path, allowed) = refused(&world, json!([{ "renew": { "resourceId": id, "term": { "months": 1 } } }])).await;
        assert_eq!((code.as_str(), path.as_str(), allowed), ("STATE_CONFLICT", "items.0.renew.resourceId", json!(["RECOVER"])));
        // Given back is given back: it is paid anew.
        let (code, path, _) = refused(&world, json!([{ "recover": { "resourceId": id } }])).await;
        assert_eq!((code.as_str(), path.as_str()), ("INVALID_TERM", "items.0.recover.term"));
        done(&world, json!([{ "recover": { "resourceId": id, "term": { "months": 1 } } }])).await;
        assert_eq!(stands(&resources(&world).await[0]), standing("ACTIVE", "2023-04-20T17:00"));
        assert_eq!(cash(&world).await.0, "4728500");
        // Deleted again and left alone, it is told once more and released.
        done(&world, json!([{ "delete": { "resourceId": id } }])).await;
        world.books_agree().await;
        let passed = world.advance("2023-03-29T00:00:00+07:00").await;
        assert_eq!(passed.alerts, 2, "a final notice and the release");
        assert_eq!(resources(&world).await[0]["status"], "DELETED");
        let row = resource::Entity::find().one(world.app.db.read()).await.unwrap().unwrap();
        assert!(row.next_due_at.is_none() && row.ended_at.is_some());
    }

    async fn what_was_not_given_back_is_recovered_free(world: World) {
        world.grant("CASH", "1000000").await;
        crate::support::execute(&world.app, "update product set refunds_on_delete = false where code = 'vserver'").await;
        world.buy(server("s-general-1x1")).await;
        world.provision().await;
        let bought = resources(&world).await.remove(0);
        for _ in 0..2 {
            let quote = quoted(&world, json!([{ "delete": { "resourceId": bought["id"] } }])).await;
            assert_eq!(quote["refund"]["amount"], "0");
            world.done(&world.token(Role::Owner), "placeOrder", ordering(&quote)).await;
            assert_eq!(resources(&world).await[0]["status"], "TRASHED");
            let (code, path, _) = refused(&world, json!([{ "recover": { "resourceId": bought["id"], "term": { "months": 1 } } }])).await;
            assert_eq!((code.as_str(), path.as_str()), ("INVALID_TERM", "items.0.recover.term"));
            done(&world, json!([{ "recover": { "resourceId": bought["id"] } }])).await;
            let alive = &resources(&world).await[0];
            assert_eq!((&alive["status"], &alive["expiresAt"]), (&json!("ACTIVE"), &bought["expiresAt"]));
        }
        assert_eq!(cash(&world).await.0, "819000");
        // Its reminders come as they were planned.
        assert_eq!(world.advance("2023-03-31T01:00:00+07:00").await.alerts, 2);
    }

    async fn what_ends_in_the_trash_is_recovered_and_never_renewed(world: World) {
        world.grant("CASH", "5000000").await;
        world.buy(project()).await;
        world.advance("2023-04-07T00:00:00+07:00").await;
        let ended = resources(&world).await.remove(0);
        assert_eq!(ended["status"], "SUSPENDED");
        let (code, _, _) = refused(&world, json!([{ "renew": { "resourceId": ended["id"], "term": { "months": 1 } } }])).await;
        assert_eq!(code, "STATE_CONFLICT");
        done(&world, json!([{ "recover": { "resourceId": ended["id"], "term": { "days": 10 } } }])).await;
        assert_eq!(stands(&resources(&world).await[0]), standing("ACTIVE", "2023-04-16T17:00"));
    }

    async fn many_are_given_one_end_by_one_order(world: World) {
        world.grant("CASH", "5000000").await;
        for (purchase, months) in [(0, 1), (1, 2), (2, 1)] {
            let mut create = project();
            create["term"] = json!({ "months": months });
            create["name"] = json!(format!("files-{purchase}"));
            world.buy(create).await;
        }
        let all = resources(&world).await;
        let ids: Vec<&Value> = all.iter().map(|one| &one["id"]).collect();
        let wanted = json!([{ "matchEndTime": { "resourceIds": ids, "until": all[1]["expiresAt"] } }]);
        let quote = quoted(&world, wanted).await;
        assert_eq!(quote["items"].as_array().unwrap().len(), 2, "one ends there already");
        world.done(&world.token(Role::Owner), "placeOrder", ordering(&quote)).await;
        assert!(resources(&world).await.iter().all(|one| one["expiresAt"] == all[1]["expiresAt"]));
        // The one that is in the way is named.
        let (code, path, _) = refused(&world, json!([{ "create": project() }, { "matchEndTime": { "resourceIds": [ids[0], ids[2]], "until": "2023-05-01T00:00:00Z" } }])).await;
        assert_eq!((code.as_str(), path.as_str()), ("END_NOT_AFTER_START", "items.1.matchEndTime.until"));
        let (code, path, _) = refused(&world, json!([{ "matchEndTime": { "resourceIds": [ids[0], "cmVzb3VyY2U6eA"], "until": "2023-09-01T00:00:00Z" } }])).await;
        assert_eq!((code.as_str(), path.as_str()), ("RESOURCE_NOT_FOUND", "items.0.matchEndTime.resourceIds.1"));
        let (code, path, _) = refused(&world, json!([{ "matchEndTime": { "resourceIds": [ids[0], ids[0]], "until": "2023-09-01T00:00:00Z" } }])).await;
        assert_eq!((code.as_str(), path.as_str()), ("DUPLICATE_RESOURCE", "items.0.matchEndTime.resourceIds.1"));
    }

    async fn of_two_actions_on_one_resource_one_wins_and_the_other_is_told(world: World) {
        let bought = a_server(&world).await;
        let owner = world.token(Role::Owner);
        let renew = json!([{ "renew": { "resourceId": bought["id"], "term": { "months": 1 } } }]);
        let mut quotes = Vec::new();
        for _ in 0..8 {
            quotes.push(ordering(&quoted(&world, renew.clone()).await));
        }
        quotes.push(ordering(&quoted(&world, json!([{ "delete": { "resourceId": bought["id"] } }])).await));
        let placed = futures_util::future::join_all(quotes.into_iter().map(|input| world.act(&owner, "placeOrder", input))).await;
        let codes: Vec<_> = placed.iter().map(|payload| payload["userErrors"][0]["code"].as_str().unwrap_or("DONE")).collect();
        assert_eq!(codes.iter().filter(|code| **code == "DONE").count(), 1, "{codes:?}");
        assert!(codes.iter().all(|code| ["DONE", "QUOTE_STALE", "STATE_CONFLICT"].contains(code)), "{codes:?}");
        world.books_agree().await;
    }

    async fn a_smaller_one_pays_for_a_larger_one_in_the_same_order(world: World) {
        world.grant("CASH", "181000").await;
        world.buy(server("s-general-1x1")).await;
        world.provision().await;
        let bought = resources(&world).await.remove(0);
        assert_eq!(cash(&world).await.0, "0");
        world.advance("2023-03-21T00:00:00+07:00").await;
        let both = json!([{ "delete": { "resourceId": bought["id"] } }, { "create": server("dev.v1.small1x1") }]);
        let quote = quoted(&world, both).await;
        assert_eq!((&quote["due"]["amount"], &quote["refund"]["amount"]), (&json!("90000"), &json!("90500")));
        world.done(&world.token(Role::Owner), "placeOrder", ordering(&quote)).await;
        assert_eq!(cash(&world).await.0, "500");
    }

    async fn another_accounts_resource_is_no_resource(world: World) {
        let bought = a_server(&world).await;
        let other = world.token_of(Role::Owner, world.other_account);
        for action in [
            json!({ "renew": { "resourceId": bought["id"], "term": { "months": 1 } } }),
            json!({ "recover": { "resourceId": bought["id"] } }),
            json!({ "resize": { "resourceId": bought["id"], "components": [{ "code": "s-general-2x4", "quantity": 1 }] } }),
            json!({ "delete": { "resourceId": bought["id"] } }),
        ] {
            let data = world.data(&other, QUOTE, json!({ "input": { "items": [action] } })).await;
            assert_eq!(data["createQuote"]["userErrors"][0]["code"], "RESOURCE_NOT_FOUND", "{data}");
        }
        let pays_only = world.token_without("ManageResources");
        let renew = json!({ "input": { "items": [{ "renew": { "resourceId": bought["id"], "term": { "months": 1 } } }] } });
        let body = world.ask(&pays_only, QUOTE, renew).await;
        assert_eq!(body["errors"][0]["extensions"]["code"], "FORBIDDEN", "{body}");
    }

    async fn a_coupon_counts_for_a_renewal_and_never_for_a_resize(world: World) {
        let bought = a_server(&world).await;
        let coupon = json!({ "code": "TENTH", "value": { "percent": "10" }, "currency": "VND" });
        world.done(&world.token(Role::Operator), "createCoupon", coupon).await;
        let renew = json!([{ "renew": { "resourceId": bought["id"], "term": { "months": 1 } } }]);
        let payload = asked(&world, renew, Some("TENTH")).await;
        assert_eq!(payload["quote"]["due"]["amount"], "162900");
        world.done(&world.token(Role::Owner), "placeOrder", ordering(&payload["quote"])).await;
        let resize = json!([{ "resize": { "resourceId": bought["id"], "components": [{ "code": "s-general-2x4", "quantity": 1 }] } }]);
        let payload = asked(&world, resize.clone(), Some("TENTH")).await;
        assert_eq!(payload["userErrors"][0]["code"], "COUPON_NOT_APPLICABLE");
        // What the coupon took off comes back with no resize.
        world.advance("2023-03-21T00:00:00+07:00").await;
        let quote = quoted(&world, resize).await;
        assert_eq!(quote["items"][0]["credited"]["amount"], "253400", "90,500 and 162,900");
        world.done(&world.token(Role::Owner), "placeOrder", ordering(&quote)).await;
        reported(&world, json!({ "succeeded": {} })).await;
        world.books_agree().await;
        let quote = quoted(&world, json!([{ "delete": { "resourceId": bought["id"] } }])).await;
        assert_eq!(quote["refund"]["amount"], "780000", "one and a half months of the larger one");
        world.done(&world.token(Role::Owner), "placeOrder", ordering(&quote)).await;
    }
}
