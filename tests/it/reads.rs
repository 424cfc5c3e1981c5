//! What reads cost: at most one SQL statement for each list field, whatever the number of parents.

use std::sync::Arc;

use async_graphql::Executor as _;
use billing_gateway::db::statements::counted;
use billing_gateway::graphql;
use entity::enums::Role;
use serde_json::{Value, json};

use crate::support::{World, on_every_store, project, server};

const DASHBOARD: &str = "{ wallets { kind available { amount } }
    resources(first: 20, orderBy: { field: EXPIRES_AT, direction: ASC }) { nodes { name status expiresAt
        product { code } resourceType { code }
        invoices(first: 3) { nodes { code status total { amount } lines { component { code } total { amount } } } } } } }";

pub(crate) async fn cost(world: &World, query: &str) -> (Value, u64) {
    let schema = graphql::schema(Arc::clone(&world.app));
    let permissions = graphql::Permission::of_role(Role::Owner);
    let caller = graphql::Caller::new("tester".to_owned(), Role::Owner, Some(world.account), None, permissions);
    let request = graphql::prepare(async_graphql::Request::new(query), &world.app, Some(caller));
    let (response, statements) = counted(schema.execute(request)).await;
    assert!(response.errors.is_empty(), "{:?}", response.errors);
    (response.data.into_json().unwrap(), statements)
}

/// What can be selected of a type, field by field: with a field of its own where one must be.
async fn fields(world: &World, kind: &str) -> Vec<String> {
    let query =
        format!("{{ __type(name: \"{kind}\") {{ fields {{ name type {{ kind name ofType {{ kind name }} }} }} }} }}");
    let (data, _) = cost(world, &query).await;
    let fields = data["__type"]["fields"].as_array().unwrap().iter().map(|field| {
        let name = field["name"].as_str().unwrap();
        let kind = field["type"]["name"]
            .as_str()
            .or(field["type"]["ofType"]["name"].as_str())
            .unwrap_or_default();
        match (name, kind) {
            ("lines", _) => format!("{name} {{ position }}"),
            ("tags", _) => format!("{name} {{ key }}"),
            ("creditNotes", _) => format!("{name} {{ id }}"),
            (_, "Money") => format!("{name} {{ amount currency }}"),
            (_, "Resource" | "Order") => format!("{name} {{ id }}"),
            ("configuration", _) => format!("{name} {{ code quantity }}"),
            ("invoices" | "expiryAlerts", _) => format!("{name}(first: 1) {{ nodes {{ id }} }}"),
            (_, "Product" | "ResourceType") => format!("{name} {{ code }}"),
            (_, "Renewal") => format!("{name} {{ months }}"),
            (_, "PaidPeriod") => format!("{name} {{ sequence }}"),
            (_, "InvoiceAddress") => format!("{name} {{ name }}"),
            (_, "LineComponent") => format!("{name} {{ code name unitLabel }}"),
            _ => name.to_owned(),
        }
    });
    fields.collect()
}

/// The documents of README's tour.
fn tour() -> Vec<&'static str> {
    let readme = include_str!("../../README.md");
    let documents = readme.split('\'').filter(|text| {
        ["{ ", "{\n", "query ", "mutation "]
            .iter()
            .any(|start| text.starts_with(start))
    });
    documents.collect()
}

on_every_store! {
    async fn the_tour_is_within_the_limits(world: World) {
        let documents = tour();
        assert!(documents.len() >= 9, "{documents:#?}");
        for document in documents {
            let body = world.ask(&world.token(Role::Owner), document, json!({})).await;
            let code = body["errors"][0]["extensions"]["code"].as_str().unwrap_or("none");
            // Its variables are missing here; that is looked at after the limits.
            assert!(["none", "BAD_USER_INPUT", "FORBIDDEN"].contains(&code), "{document}: {body}");
        }
    }

    async fn an_empty_list_of_states_is_like_none(world: World) {
        world.grant("CASH", "150000").await;
        world.buy(project()).await;
        let token = world.token(Role::Owner);
        for states in ["[]", "[PAID]", "[PAID, PAID, UNPAID, PAID]"] {
            let query = format!("{{ invoices(first: 1, status: {states}) {{ nodes {{ id }} }} }}");
            let data = world.data(&token, &query, json!({})).await;
            assert_eq!(data["invoices"]["nodes"].as_array().unwrap().len(), 1, "{states}");
        }
        let query = "{ resources(first: 1, filter: { status: [] }) { nodes { id } } }";
        let data = world.data(&token, query, json!({})).await;
        assert_eq!(data["resources"]["nodes"].as_array().unwrap().len(), 1);
    }

    async fn the_dashboard_costs_no_more_statements_for_twenty_resources_than_for_one(world: World) {
        world.grant("CASH", "100000000").await;
        world.buy(project()).await;
        let (_, for_one) = cost(&world, DASHBOARD).await;
        for _ in 0..19 {
            world.buy(project()).await;
        }
        let (data, for_twenty) = cost(&world, DASHBOARD).await;
        let resources = data["resources"]["nodes"].as_array().unwrap();
        assert_eq!(resources.len(), 20);
        assert!(resources.iter().all(|resource| resource["invoices"]["nodes"][0]["lines"] != json!([])));
        assert_eq!(for_one, 4, "wallets, resources with their parents, invoices, lines");
        assert_eq!(for_twenty, 3, "the lines of many parents come with their invoices");
    }

    async fn each_field_of_an_invoice_alone_is_what_it_is_among_all(world: World) {
        world.grant("CASH", "100000000").await;
        world.buy(project()).await;
        world.buy(project()).await;
        let (of_invoices, of_lines) = (fields(&world, "Invoice").await, fields(&world, "InvoiceLine").await);
        assert!(of_invoices.len() > 15 && of_lines.len() > 10, "{of_invoices:?} {of_lines:?}");
        let (ids, _) = cost(&world, "{ resources(first: 5) { nodes { invoices(first: 1) { nodes { id } } } } }").await;
        let mut whole = Vec::new();
        for id in ids["resources"]["nodes"].as_array().unwrap().iter().map(|node| &node["invoices"]["nodes"][0]["id"]) {
            let own = of_invoices.iter().filter(|field| !field.starts_with("lines")).cloned().collect::<Vec<_>>().join(" ");
            let query = format!("{{ node(id: {id}) {{ ... on Invoice {{ {own} lines {{ {} }} }} }} }}", of_lines.join(" "));
            whole.push(cost(&world, &query).await.0["node"].take());
        }
        let own = of_invoices.iter().map(|field| (field.clone(), field.clone(), false));
        let lines = of_lines.iter().map(|field| (format!("lines {{ {field} }}"), field.clone(), true));
        for (selection, field, of_line) in own.chain(lines) {
            let name = field.split(' ').next().unwrap();
            let shown = |invoice: &Value| if of_line { invoice["lines"][0][name].clone() } else { invoice[name].clone() };
            let waits = ["order", "creditNotes", "tags", "billingAddress"].contains(&name) && !of_line;
            let query = format!("{{ resources(first: 5) {{ nodes {{ invoices(first: 1) {{ nodes {{ {selection} }} }} }} }} }}");
            let (data, statements) = cost(&world, &query).await;
            assert_eq!(statements, 2 + u64::from(waits), "{selection}");
            for (node, whole) in data["resources"]["nodes"].as_array().unwrap().iter().zip(&whole) {
                let alone = shown(&node["invoices"]["nodes"][0]);
                if name == "lines" {
                    assert_eq!(alone[0]["position"], whole["lines"][0]["position"]);
                } else {
                    assert_eq!(alone, shown(whole), "{selection}");
                }
            }
            let query = format!("{{ invoices(first: 5) {{ edges {{ node {{ {selection} }} }} }} }}");
            let (_, statements) = cost(&world, &query).await;
            let waits = waits || of_line || name == "lines";
            assert_eq!(statements, 1 + u64::from(waits), "{selection}");
        }
        // What one list of a request reads of a line is not all that another one shows.
        for (first, second) in [("position", "unitPrice"), ("unitPrice", "position")] {
            let query = format!("{{ resources(first: 5) {{ nodes {{ a: invoices(first: 1) {{ nodes {{ lines {{ {first} }} }} }}
                b: invoices(first: 1) {{ nodes {{ lines {{ {second} }} }} }} }} }} }}");
            let (data, _) = cost(&world, &query).await;
            for (node, whole) in data["resources"]["nodes"].as_array().unwrap().iter().zip(&whole) {
                for (list, field) in [("a", first), ("b", second)] {
                    assert_eq!(node[list]["nodes"][0]["lines"][0][field], whole["lines"][0][field], "{first} {second}");
                }
            }
        }
    }

    async fn each_field_of_a_resource_alone_is_what_it_is_among_all(world: World) {
        world.grant("CASH", "100000000").await;
        world.buy(project()).await;
        world.buy(server("s-general-1x1")).await;
        world.provision().await;
        let all = fields(&world, "Resource").await;
        assert!(all.len() > 15, "{all:?}");
        let (ids, _) = cost(&world, "{ resources(first: 5) { nodes { id } } }").await;
        let mut whole = Vec::new();
        for node in ids["resources"]["nodes"].as_array().unwrap() {
            let query = format!("{{ node(id: {}) {{ ... on Resource {{ {} }} }} }}", node["id"], all.join(" "));
            whole.push(cost(&world, &query).await.0["node"].take());
        }
        let selected = all.iter().map(|field| (field, field.split([' ', '(']).next().unwrap()));
        for (selection, name) in selected {
            let query = format!("{{ resources(first: 5) {{ nodes {{ {selection} }} }} }}");
            let (data, statements) = cost(&world, &query).await;
            if name != "renewal" {
                let waits = ["tags", "currentPeriod", "invoices", "expiryAlerts"].contains(&name);
                assert_eq!(statements, 1 + u64::from(waits), "{selection}");
            }
            for (node, whole) in data["resources"]["nodes"].as_array().unwrap().iter().zip(&whole) {
                assert_eq!(node[name], whole[name], "{selection}");
            }
        }
        // Neither what another list of the request reads of it, nor a list of its own, costs a statement more or shows less.
        for (selection, expected) in [
            ("a: resources(first: 5) { nodes { name } } b: resources(first: 5) { nodes { createdBy } }", 2),
            ("b: resources(first: 5) { nodes { invoices(first: 1) { nodes { resource { createdBy } } } } }", 2),
            ("b: resources(first: 5) { edges { node { ... on Resource { provisionedAt } ...More } } }", 1),
            // One page of one list, by whatever its rows are read for.
            ("b: resources(first: 5) { nodes { createdBy } } ...Same", 1),
        ] {
            let more = match selection {
                more if more.contains("...More") => "fragment More on Resource { createdBy }",
                same if same.contains("...Same") => "fragment Same on Query { b: resources(first: 5) { nodes { name } } }",
                _ => "",
            };
            let (data, statements) = cost(&world, &format!("{{ {selection} }} {more}")).await;
            assert_eq!(statements, expected, "{selection}");
            for (place, whole) in whole.iter().enumerate() {
                let nodes = &data["b"]["nodes"][place];
                let shown = [nodes, &nodes["invoices"]["nodes"][0]["resource"], &data["b"]["edges"][place]["node"]];
                assert!(shown.iter().any(|shown| shown["createdBy"] == whole["createdBy"]), "{selection}: {data}");
            }
        }
    }

    async fn pages_go_both_ways_without_gap_or_repeat(world: World) {
        world.grant("CASH", "100000000").await;
        for _ in 0..7 {
            world.buy(project()).await;
        }
        let token = world.token(Role::Owner);
        let all = world.data(&token, "{ resources(first: 100) { nodes { id } } }", json!({})).await;
        let all: Vec<Value> = all["resources"]["nodes"].as_array().unwrap().iter().map(|node| node["id"].clone()).collect();
        let forward = "query($c: String) { resources(first: 3, after: $c) { nodes { id } pageInfo { hasNextPage endCursor } } }";
        let (mut seen, mut cursor) = (Vec::new(), Value::Null);
        loop {
            let page = world.data(&token, forward, json!({ "c": cursor })).await["resources"].take();
            seen.extend(page["nodes"].as_array().unwrap().iter().map(|node| node["id"].clone()));
            cursor = page["pageInfo"]["endCursor"].clone();
            if page["pageInfo"]["hasNextPage"] == false {
                break;
            }
        }
        assert_eq!(seen, all);
        let backward = "query($c: String) { resources(last: 3, before: $c) { nodes { id } pageInfo { hasPreviousPage startCursor } } }";
        let (mut seen, mut cursor) = (Vec::new(), Value::Null);
        loop {
            let page = world.data(&token, backward, json!({ "c": cursor })).await["resources"].take();
            seen.splice(0..0, page["nodes"].as_array().unwrap().iter().map(|node| node["id"].clone()));
            cursor = page["pageInfo"]["startCursor"].clone();
            if page["pageInfo"]["hasPreviousPage"] == false {
                break;
            }
        }
        assert_eq!(seen, all);
        for bad in ["first: 0", "first: 101", "last: -1", "first: 1, last: 1", "first: 1, after: \"junk\""] {
            let body = world.ask(&token, &format!("{{ resources({bad}) {{ nodes {{ id }} }} }}"), json!({})).await;
            assert!(body["errors"][0]["extensions"]["code"].is_string(), "{bad}: {body}");
        }
        let none = world.ask(&token, "{ resources { nodes { id } } }", json!({})).await;
        assert_eq!(none["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{none}");
    }

    async fn resources_are_found_by_their_text_in_any_case_and_language(world: World) {
        world.grant("CASH", "181000").await;
        let mut create = server("s-general-1x1");
        create["name"] = json!("Máy CHỦ Đà Nẵng");
        world.buy(create).await;
        world.provision().await;
        let long = "đ".repeat(256);
        for (text, found) in [("máy chủ đà NẴNG", 1), ("MÁY", 1), ("SRV-1", 1), ("đa", 0), (long.as_str(), 0)] {
            let query = "query($text: String!) { resources(first: 5, filter: { text: $text }) { nodes { name } } }";
            let data = world.data(&world.token(Role::Owner), query, json!({ "text": text })).await;
            assert_eq!(data["resources"]["nodes"].as_array().unwrap().len(), found, "{text}");
        }
    }
}
