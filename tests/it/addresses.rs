//! Billing addresses: many, one of them the default, and the one that an invoice was written to stays on it.

use entity::enums::Role;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{World, on_every_store, project, server, text};

fn enterprise(name: &str, key: &str) -> Value {
    json!({ "identity": { "taxCode": "0303490096" }, "name": name, "addressLines": ["Z06 Đường số 13", "Quận 7, TP. Hồ Chí Minh"],
            "email": "Ketoan@Example.com", "idempotencyKey": key })
}

fn with(mut input: Value, field: &str, value: Value) -> Value {
    input[field] = value;
    input
}

/// Sets an address that must not be refused, and answers its id.
async fn set(world: &World, input: Value) -> String {
    text(&world.done(&world.token(Role::Owner), "setBillingAddress", input).await["billingAddress"]["id"])
}

/// The names of the addresses, in their order, and which are the default one.
async fn stand(world: &World) -> Vec<(String, bool)> {
    let query = "{ billingAddresses { name isDefault } }";
    let data = world.data(&world.token(Role::Viewer), query, json!({})).await;
    let all = data["billingAddresses"].as_array().unwrap().iter();
    all.map(|one| (text(&one["name"]), one["isDefault"] == true)).collect()
}

fn named(names: &[(&str, bool)]) -> Vec<(String, bool)> {
    names.iter().map(|(name, is)| ((*name).to_owned(), *is)).collect()
}

on_every_store! {
    async fn the_first_is_the_default_and_another_takes_its_place(world: World) {
        let owner = world.token(Role::Owner);
        let first = set(&world, enterprise("VNG", "1")).await;
        let an = json!({ "identity": { "personalNumber": "001099012345" }, "name": "Nguyễn Thị An", "addressLines": ["12 Lê Lợi"], "idempotencyKey": "2" });
        let second = set(&world, an.clone()).await;
        assert_eq!(stand(&world).await, named(&[("VNG", true), ("Nguyễn Thị An", false)]));
        let again = world.done(&owner, "setBillingAddress", an.clone()).await;
        assert_eq!((&again["billingAddress"]["id"], &again["replayed"]), (&json!(second), &json!(true)));
        assert_eq!(world.refused(&owner, "setBillingAddress", with(an.clone(), "name", json!("Bình"))).await, "IDEMPOTENCY_KEY_REUSED");

        assert_eq!(world.refused(&owner, "deleteBillingAddress", json!({ "billingAddressId": first })).await, "DEFAULT_BILLING_ADDRESS");
        let an = with(with(an, "billingAddressId", json!(second)), "isDefault", json!(true));
        assert_eq!(set(&world, with(an.clone(), "idempotencyKey", json!("3"))).await, second);
        assert_eq!(stand(&world).await, named(&[("Nguyễn Thị An", true), ("VNG", false)]));
        // What is the default one stays so until another one is.
        set(&world, with(with(an, "isDefault", json!(false)), "idempotencyKey", json!("4"))).await;
        assert_eq!(stand(&world).await, named(&[("Nguyễn Thị An", true), ("VNG", false)]));
        world.done(&owner, "deleteBillingAddress", json!({ "billingAddressId": first })).await;
        assert_eq!(stand(&world).await, named(&[("Nguyễn Thị An", true)]));
        assert_eq!(world.refused(&owner, "deleteBillingAddress", json!({ "billingAddressId": first })).await, "BILLING_ADDRESS_NOT_FOUND");
        assert_eq!(world.refused(&owner, "setBillingAddress", with(enterprise("VNG", "5"), "billingAddressId", json!(first))).await, "BILLING_ADDRESS_NOT_FOUND");
        let node = "query($id: ID!) { node(id: $id) { ... on BillingAddress { personalNumber kind addressLines email } } account { billingAddresses { id } } }";
        let data = world.data(&owner, node, json!({ "id": first })).await;
        assert_eq!(data["node"], Value::Null, "what is deleted is not there");
        let data = world.data(&owner, node, json!({ "id": second })).await;
        assert_eq!(data["node"], json!({ "personalNumber": "001099012345", "kind": "PERSONAL", "addressLines": ["12 Lê Lợi"], "email": null }));
        assert_eq!(data["account"]["billingAddresses"], json!([{ "id": second }]));
        let other = world.token_of(Role::Owner, world.other_account);
        assert_eq!(world.data(&other, "query($id: ID!) { node(id: $id) { id } }", json!({ "id": second })).await["node"], Value::Null);
        assert_eq!(world.refused(&other, "deleteBillingAddress", json!({ "billingAddressId": second })).await, "BILLING_ADDRESS_NOT_FOUND");
    }

    async fn ten_at_once_leave_one_default_and_twenty_are_all(world: World) {
        let owner = world.token(Role::Owner);
        let firsts = (0..10).map(|number| {
            let (world, owner) = (&world, owner.clone());
            let input = with(enterprise(&format!("first {number}"), &format!("first-{number}")), "isDefault", json!(number % 2 == 0));
            async move { world.done(&owner, "setBillingAddress", input).await }
        });
        join_all(firsts).await;
        let stands = stand(&world).await;
        assert_eq!((stands.len(), stands.iter().filter(|(_, is)| *is).count()), (10, 1), "{stands:?}");
        let data = world.data(&owner, "{ billingAddresses { id } }", json!({})).await;
        let moves = data["billingAddresses"].as_array().unwrap().iter().enumerate().map(|(number, address)| {
            let input = with(enterprise("moved", &format!("moved-{number}")), "billingAddressId", address["id"].clone());
            let (world, owner, input) = (&world, owner.clone(), with(input, "isDefault", json!(true)));
            async move { world.done(&owner, "setBillingAddress", input).await }
        });
        join_all(moves).await;
        assert_eq!(stand(&world).await.iter().filter(|(_, is)| *is).count(), 1);
        for number in 10..20 {
            set(&world, enterprise("more", &format!("more-{number}"))).await;
        }
        assert_eq!(world.refused(&owner, "setBillingAddress", enterprise("one too many", "21")).await, "LIMIT_EXCEEDED");
    }

    async fn what_no_invoice_can_be_written_to_is_refused(world: World) {
        let owner = world.token(Role::Owner);
        for (field, value, code, path) in [
            ("identity", json!({ "taxCode": "0303490097" }), "INVALID_TAX_CODE", json!(["identity", "taxCode"])),
            ("identity", json!({ "personalNumber": "12345" }), "INVALID_PERSONAL_NUMBER", json!(["identity", "personalNumber"])),
            ("name", json!(" "), "INVALID_TEXT", json!(["name"])),
            ("addressLines", json!([]), "INVALID_TEXT", json!(["addressLines"])),
            ("addressLines", json!(["a", "b\nc"]), "INVALID_TEXT", json!(["addressLines", "1"])),
            ("email", json!("nobody"), "INVALID_EMAIL", json!(["email"])),
            ("idempotencyKey", json!(""), "IDEMPOTENCY_KEY_INVALID", json!(["idempotencyKey"])),
            ("billingAddressId", json!("AAAA"), "INVALID_ID", json!(["billingAddressId"])),
        ] {
            let refused = world.act(&owner, "setBillingAddress", with(enterprise("VNG", "key"), field, value)).await;
            assert_eq!((&refused["userErrors"][0]["code"], &refused["userErrors"][0]["path"]), (&json!(code), &path), "{refused}");
        }
        assert_eq!(stand(&world).await, named(&[]));
        // A refusal does not use a key up.
        set(&world, enterprise("VNG", "key")).await;
    }

    async fn an_invoice_keeps_the_address_that_it_was_written_to(world: World) {
        world.grant("CASH", "1000000").await;
        let addresses = async || {
            let query = "{ invoices(first: 10) { nodes { billingAddress { kind name taxCode personalNumber addressLines email } } } }";
            let data = world.data(&world.token(Role::Viewer), query, json!({})).await;
            let nodes = data["invoices"]["nodes"].as_array().unwrap().iter();
            nodes.map(|node| node["billingAddress"].clone()).collect::<Vec<_>>()
        };
        let names = async || addresses().await.iter().map(|one| one["name"].clone()).collect::<Vec<_>>();
        world.buy(project()).await;
        assert_eq!(addresses().await, [Value::Null], "there was none yet");

        let first = set(&world, enterprise("VNG", "1")).await;
        world.buy(project()).await;
        let vng = json!({ "kind": "ENTERPRISE", "name": "VNG", "taxCode": "0303490096", "personalNumber": null,
                          "addressLines": ["Z06 Đường số 13", "Quận 7, TP. Hồ Chí Minh"], "email": "ketoan@example.com" });
        assert_eq!(addresses().await, [vng.clone(), Value::Null]);

        // Ordered under one address, issued under another: it is the address when the invoice is made that counts.
        world.buy(server("s-general-1x1")).await;
        set(&world, with(enterprise("VNG Corporation", "2"), "billingAddressId", json!(first))).await;
        set(&world, with(enterprise("VinaData", "3"), "isDefault", json!(true))).await;
        world.provision().await;
        assert_eq!(names().await, [json!("VinaData"), json!("VNG"), Value::Null]);
        assert_eq!(addresses().await[1..], [vng, Value::Null], "an issued invoice never changes");
        world.done(&world.token(Role::Owner), "deleteBillingAddress", json!({ "billingAddressId": first })).await;
        assert_eq!(names().await, [json!("VinaData"), json!("VNG"), Value::Null]);

        // Who renews by the engine is written to as well; another account's address is not on ours.
        let other = world.token_of(Role::Owner, world.other_account);
        world.done(&other, "setBillingAddress", enterprise("Somebody else", "1")).await;
        let resources = world.data(&world.token(Role::Owner), "{ resources(first: 10) { nodes { id } } }", json!({})).await;
        let ids: Vec<_> = resources["resources"]["nodes"].as_array().unwrap().iter().map(|node| node["id"].clone()).collect();
        let renews = "mutation($ids: [ID!]!) { setAutoRenew(input: { resourceIds: $ids, enabled: true }) { userErrors { code } } }";
        world.data(&world.token(Role::Owner), renews, json!({ "ids": ids })).await;
        world.advance("2023-04-06T00:01:00+07:00").await;
        assert_eq!(names().await[..3], ["VinaData", "VinaData", "VinaData"]);
    }
}
