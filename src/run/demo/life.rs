//! The script: a server is bought with auto-renewal, renewed while the credit lasts, reminded of, goes to grace, is renewed
//! by hand, resized, deleted and refunded, and a checkout begins at the sandbox. Every step is what any client may do.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{Socket, Stage, next_alert};
use crate::db;
use crate::engine;
use crate::error::Error;

impl Stage {
    /// Plays all of it, and answers the page of a checkout that is open unless the script had to press its button itself.
    pub(super) async fn play(&self, code: &str) -> Result<String, Error> {
        self.say(&format!(
            "billing-gateway demo: {code} at {}\n",
            shown(self.app.clock.now())
        ));
        let mut alerts = self.listen().await?;
        let end = self.buy().await?;
        self.look_ahead(end).await?;
        let end = self.run_dry(end, &mut alerts).await?;
        self.come_back(end).await?;
        self.give_up().await?;
        let checkout = self.top_up().await?;
        let differences = db::proof::differences(&self.app.db).await?;
        if !differences.is_empty() {
            return Err(Error::internal(format_args!("the books do not agree: {differences:?}")));
        }
        self.say("13. The books agree.\n");
        Ok(checkout)
    }

    /// From the first credit to the invoice; answers the end of what is paid.
    async fn buy(&self) -> Result<DateTime<Utc>, Error> {
        self.say("1. An operator grants 500,000 VND of credit, 100,000 of it promotional.");
        self.grant("CASH", 400_000).await?;
        self.grant("PROMOTIONAL", 100_000).await?;
        let coupon = json!({ "code": "LAUNCH10", "value": { "percent": "10" }, "currency": "VND" });
        self.act(&self.operator, "createCoupon", COUPON, coupon).await?;

        self.say("2. The customer asks what a server costs for a month, renewed by itself, with the coupon LAUNCH10.");
        let create = json!({ "create": { "product": "vserver", "resourceType": "server", "name": "web-1", "quantity": 1,
            "term": { "months": 1 }, "autoRenew": true,
            "components": [ { "code": "s-general-1x1", "quantity": 1 }, { "code": "root-disk-20gb", "quantity": 1 } ] } });
        let quote = self.quote(create, Some("LAUNCH10")).await?;
        for item in list(&quote["items"]) {
            for line in list(&item["lines"]) {
                self.say(&format!("     {}", text(&line["explanation"])));
            }
        }
        self.say(&format!("     to pay: {}", money(&quote["due"])));

        self.say("3. They pay from the wallet. vServer makes the server and reports it.");
        let order = self.order(&quote).await?;
        self.report().await?;
        let shown = self.show().await?;
        let (resource, invoice) = (&shown["resources"]["nodes"][0], &shown["invoices"]["nodes"][0]);
        self.say(&format!(
            "     order {}: {} is {} until {}",
            text(&order["code"]),
            text(&resource["name"]),
            text(&resource["status"]),
            text(&resource["expiresAt"])
        ));
        self.say(&format!(
            "     invoice {}: {}, {}, of which {} tax",
            text(&invoice["code"]),
            money(&invoice["total"]),
            text(&invoice["status"]),
            money(&invoice["tax"])
        ));
        instant(&resource["expiresAt"])
    }

    /// What would come if nobody did anything.
    async fn look_ahead(&self, end: DateTime<Utc>) -> Result<(), Error> {
        self.say("4. The forecast: if nobody does anything,");
        let until = json!({ "until": (end + TimeDelta::days(65)).to_rfc3339() });
        let forecast = self.ask(&self.owner, FORECAST, until).await?["forecast"].take();
        for event in list(&forecast["events"]["nodes"]) {
            self.say(&format!(
                "     {}  {:<18} leaves {}",
                text(&event["at"]).get(..10).unwrap_or_default(),
                text(&event["type"]),
                money(&event["available"])
            ));
        }
        self.say(&format!(
            "     the least to top up so that it is renewed throughout: {}",
            money(&forecast["topUp"])
        ));
        Ok(())
    }

    /// Lets time pass until the credit is used up, and past the end; answers that end.
    async fn run_dry(&self, end: DateTime<Utc>, alerts: &mut Socket) -> Result<DateTime<Utc>, Error> {
        self.pass(end - TimeDelta::days(1), "5.").await?;
        let resource = self.resource().await?;
        self.say(&format!(
            "     a week before its end the engine renewed it from credit: paid until {}",
            text(&resource["expiresAt"])
        ));
        let end = instant(&resource["expiresAt"])?;
        self.pass(end - TimeDelta::days(6), "6.").await?;
        let told = next_alert(alerts).await?["alert"].take();
        self.say(&format!(
            "     the socket says at once: {} was not renewed (step {}), {} is missing",
            text(&told["resource"]["name"]),
            text(&told["step"]),
            money(&told["shortfall"])
        ));
        let told = next_alert(alerts).await?["alert"].take();
        self.say(&format!(
            "     and: {} has {} days left (step {})",
            text(&told["resource"]["name"]),
            told["daysLeft"],
            text(&told["step"])
        ));
        self.pass(end + TimeDelta::hours(1), "7.").await?;
        let mut counts = [("REMINDER", 0), ("AUTO_RENEW", 0), ("EXPIRE", 0)];
        loop {
            let told = next_alert(alerts).await?["alert"].take();
            let kind = text(&told["kind"]);
            for (counted, count) in &mut counts {
                *count += i32::from(*counted == kind);
            }
            if kind == "EXPIRE" {
                break;
            }
        }
        let resource = self.resource().await?;
        let [(_, reminders), (_, failures), _] = counts;
        self.say(&format!(
            "     {reminders} more reminders and {failures} more attempts later it has ended: {} is {}, auto-renewal is {}",
            text(&resource["name"]),
            text(&resource["status"]),
            if resource["autoRenew"] == true { "on" } else { "off" }
        ));
        Ok(end)
    }

    /// Renews by hand, and makes it larger.
    async fn come_back(&self, end: DateTime<Utc>) -> Result<(), Error> {
        self.say("8. With 900,000 VND more, the customer renews it for two months, from the old end on.");
        self.grant("CASH", 900_000).await?;
        let id = self.resource().await?["id"].take();
        let renew = json!({ "renew": { "resourceId": id, "term": { "months": 2 } } });
        let quote = self.quote(renew, None).await?;
        self.order(&quote).await?;
        let resource = self.resource().await?;
        self.say(&format!(
            "     {} paid: {} until {}",
            money(&quote["due"]),
            text(&resource["status"]),
            text(&resource["expiresAt"])
        ));
        self.pass(end + TimeDelta::days(30), "9.").await?;
        let resize = json!({ "resize": { "resourceId": id, "components": [
            { "code": "s-general-2x4", "quantity": 1 }, { "code": "root-disk-20gb", "quantity": 1 } ] } });
        let quote = self.quote(resize, None).await?;
        self.order(&quote).await?;
        self.report().await?;
        self.say(&format!(
            "     a larger server for the rest of the time: {}, less {} that were unused: {} paid",
            money(&quote["charged"]),
            money(&quote["items"][0]["credited"]),
            money(&quote["due"])
        ));
        Ok(())
    }

    /// Deletes, and is given back what is unused.
    async fn give_up(&self) -> Result<(), Error> {
        let resource = self.resource().await?;
        let until = instant(&resource["expiresAt"])? - TimeDelta::days(10);
        self.pass(until, "10.").await?;
        let quote = self
            .quote(json!({ "delete": { "resourceId": resource["id"] } }), None)
            .await?;
        self.order(&quote).await?;
        self.say(&format!(
            "     deleted, and {} back for the ten days that are left: it lies in the trash ({}), from where it can be recovered",
            money(&quote["refund"]),
            text(&self.resource().await?["status"])
        ));
        self.say("11. The wallet's history explains the balance:");
        let shown = self.show().await?;
        for entry in list(&shown["wallet"]["entries"]["nodes"]).iter().rev() {
            self.say(&format!(
                "     {:<14} {:>14}  {:<40} leaves {}",
                text(&entry["action"]),
                money(&entry["amount"]),
                text(&entry["details"]),
                money(&entry["balanceAfter"])
            ));
        }
        Ok(())
    }

    /// Tops the wallet up through the sandbox, whose page is for people; answers the page.
    async fn top_up(&self) -> Result<String, Error> {
        let input = json!({ "amount": "200000", "payment": { "gateway": "SANDBOX" }, "idempotencyKey": "demo-top-up" });
        let begun = self.act(&self.owner, "topUpWallet", TOP_UP, input).await?;
        let page = text(&begun["nextAction"]["url"]);
        self.say(&format!(
            "12. The customer tops up {} through a gateway, the sandbox, whose page is\n     {page}",
            money(&begun["payment"]["amount"])
        ));
        if self.alone {
            let press = self
                .http
                .post(&page)
                .header("accept", "application/json")
                .header("content-type", "application/x-www-form-urlencoded")
                .body("press=APPROVE");
            let pressed = press.send().await.map_err(Error::internal)?;
            pressed.error_for_status().map_err(Error::internal)?;
            let mut paid = self.ask(&self.owner, PAID, json!({})).await?;
            let status = text(&paid["payments"]["nodes"][0].take()["status"]);
            if status != "SUCCEEDED" {
                return Err(Error::internal(format_args!("the top-up is {status}")));
            }
            self.say(&format!(
                "     nobody is there, so the script presses the button: {status}, {} available",
                money(&paid["wallet"]["available"])
            ));
        }
        Ok(page)
    }

    /// Lets time pass, with the engine running.
    async fn pass(&self, until: DateTime<Utc>, number: &str) -> Result<(), Error> {
        self.say(&format!("{number} Time moves to {}.", shown(until)));
        engine::advance(&self.app, until).await?;
        Ok(())
    }

    async fn grant(&self, kind: &str, amount: i64) -> Result<(), Error> {
        let account = self.ask(&self.owner, "{ account { id } }", json!({})).await?["account"]["id"].take();
        let input = json!({ "accountId": account, "kind": kind, "amount": amount.to_string(), "reason": "Welcome",
                            "idempotencyKey": format!("demo-{kind}-{amount}") });
        self.act(&self.operator, "grantCredit", GRANT, input).await?;
        Ok(())
    }

    async fn quote(&self, action: Value, coupon: Option<&str>) -> Result<Value, Error> {
        let input = json!({ "items": [action], "couponCode": coupon });
        Ok(self.act(&self.owner, "createQuote", QUOTE, input).await?["quote"].take())
    }

    async fn order(&self, quote: &Value) -> Result<Value, Error> {
        let pays = quote["due"]["amount"] != "0";
        let input = json!({ "quoteId": quote["id"], "payment": if pays { json!({ "credit": true }) } else { Value::Null },
                            "idempotencyKey": quote["id"] });
        Ok(self.act(&self.owner, "placeOrder", PLACE, input).await?["order"].take())
    }

    /// The product's service reports the one task that waits.
    async fn report(&self) -> Result<(), Error> {
        let tasks = "{ provisioningTasks(first: 1) { nodes { id } } }";
        let mut tasks = self.ask(&self.product, tasks, json!({})).await?;
        let task = tasks["provisioningTasks"]["nodes"][0]["id"].take();
        let report = json!({ "taskId": task, "outcome": { "succeeded": { "externalId": "srv-0001" } } });
        self.act(&self.product, "reportProvisioning", REPORT, report).await?;
        Ok(())
    }

    async fn show(&self) -> Result<Value, Error> {
        self.ask(&self.owner, SHOW, json!({})).await
    }

    async fn resource(&self) -> Result<Value, Error> {
        Ok(self.show().await?["resources"]["nodes"][0].take())
    }
}

fn shown(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn instant(value: &Value) -> Result<DateTime<Utc>, Error> {
    text(value).parse().map_err(Error::internal)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// Decimal text with the thousands of its whole part set apart.
fn grouped(text: &str) -> String {
    let (whole, rest) = text.find('.').map_or((text, ""), |point| text.split_at(point));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut out = sign.to_owned();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

fn money(value: &Value) -> String {
    format!(
        "{} {}",
        grouped(value["amount"].as_str().unwrap_or("?")),
        text(&value["currency"])
    )
}

const GRANT: &str =
    "mutation($input: GrantCreditInput!) { grantCredit(input: $input) { userErrors { code message } } }";
const COUPON: &str =
    "mutation($input: CreateCouponInput!) { createCoupon(input: $input) { userErrors { code message } } }";
const QUOTE: &str = "mutation($input: CreateQuoteInput!) { createQuote(input: $input) {
    quote { id charged { amount currency } due { amount currency } refund { amount currency }
        items { credited { amount currency } lines { explanation } } } userErrors { code message } } }";
const PLACE: &str = "mutation($input: PlaceOrderInput!) { placeOrder(input: $input) {
    order { id code status } userErrors { code message } } }";
const TOP_UP: &str = "mutation($input: TopUpWalletInput!) { topUpWallet(input: $input) {
    payment { amount { amount currency } } nextAction { ... on RedirectAction { url } } userErrors { code message } } }";
const PAID: &str = "{ payments(first: 1) { nodes { status } } wallet { available { amount currency } } }";
const REPORT: &str =
    "mutation($input: ReportProvisioningInput!) { reportProvisioning(input: $input) { userErrors { code message } } }";
const FORECAST: &str = "query($until: DateTime!) { forecast(until: $until) { topUp { amount currency }
    events(first: 20) { nodes { at type available { amount currency } } } } }";
const SHOW: &str = "{ resources(first: 1) { nodes { id name status autoRenew expiresAt } }
    invoices(first: 1) { nodes { code status total { amount currency } tax { amount currency } } }
    wallet { entries(first: 20) { nodes { action details amount { amount currency } balanceAfter { amount currency } } } } }";
