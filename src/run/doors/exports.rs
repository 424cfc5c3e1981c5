//! The histories as files: CSV, for who may export them, written while it is read. A page of rows is in memory at a time,
//! and a reader who stalls holds nothing of the store.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Response};
use axum::routing::get;
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use chrono_tz::Tz;
use entity::account;
use entity::enums::WalletKind;
use futures_util::{StreamExt as _, stream};
use tokio::sync::Semaphore;
use url::form_urlencoded;
use uuid::Uuid;

use crate::app::App;
use crate::domain::csv::{self, Cell};
use crate::domain::history::{self, Period};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::{Currency, Money, time};
use crate::error::Error;
use crate::graphql::Permission;
use crate::http::{Edge, Refusal as Refused, refuse};
use crate::ids::global::{self, Kind};
use crate::run::serve::caller_of;
use crate::store::histories::{self, EntryFilter, PaymentFilter};
use crate::store::page::{End, Page, Place};
use crate::store::{Scope, accounts, payments, wallets};

/// How many rows are read at once.
const ROWS: u16 = 500;
/// How many pages a process reads at once, whoever exports.
const READERS: usize = 4;
/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// By what spreadsheets know UTF-8.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Which history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum History {
    Payments,
    Credit,
}

impl History {
    const fn name(self) -> &'static str {
        match self {
            Self::Payments => "payments",
            Self::Credit => "credit",
        }
    }

    const fn permission(self) -> Permission {
        match self {
            Self::Payments => Permission::ExportPayments,
            Self::Credit => Permission::ExportCredits,
        }
    }

    const fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Payments => &[
                "account", "from", "to", "status", "purpose", "method", "gateway", "product", "text", "bom",
            ],
            Self::Credit => &[
                "account", "from", "to", "wallet", "action", "part", "product", "text", "bom",
            ],
        }
    }

    const fn columns(self) -> &'static str {
        match self {
            Self::Payments => {
                "code,begun_at,completed_at,purpose,method,gateway,status,details,order,invoice,amount,cash,promotional,\
                 through_gateway,currency,became_credit,made_by\r\n"
            }
            Self::Credit => {
                "sequence,at,action,details,order,amount,cash,promotional,balance_after,cash_after,promotional_after,\
                 currency\r\n"
            }
        }
    }
}

/// What the doors share.
#[derive(Clone, Debug)]
struct Exports {
    app: Arc<App>,
    edge: Arc<Edge>,
    readers: Arc<Semaphore>,
}

/// The routes: `/exports/payments.csv` and `/exports/credit.csv`.
pub(super) fn routes(app: Arc<App>, edge: Arc<Edge>) -> Router {
    let exports = Exports {
        app,
        edge,
        readers: Arc::new(Semaphore::new(READERS)),
    };
    Router::new()
        .route("/exports/payments.csv", get(payments_file))
        .route("/exports/credit.csv", get(credit_file))
        .with_state(exports)
}

async fn payments_file(State(exports): State<Exports>, request: Request) -> Response<Body> {
    exports.serve(History::Payments, request).await
}

async fn credit_file(State(exports): State<Exports>, request: Request) -> Response<Body> {
    exports.serve(History::Credit, request).await
}

impl Exports {
    async fn serve(self, history: History, request: Request) -> Response<Body> {
        let (parts, _) = request.into_parts();
        let mut response = self.answer(history, &parts).await.unwrap_or_else(|refused| *refused);
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    async fn answer(self, history: History, parts: &Parts) -> Result<Response<Body>, Box<Response<Body>>> {
        let caller = caller_of(self.edge.principal(&parts.headers)?.as_ref());
        caller.require(history.permission()).map_err(told)?;
        let scope = caller.scope().map_err(told)?;
        let query = parts.uri.query().unwrap_or_default();
        let wanted = Parameters::read(query, history).map_err(bad)?;
        let account = self.account(&scope, caller.account, &wanted).await?;
        let zone = time::zone(&account.zone).map_err(bad)?;
        let (first_day, asked) = wanted.period(zone).map_err(bad)?;
        // What happens while it is written is not in it.
        let period = Period {
            to: asked.to.map(|to| to.min(self.app.clock.now())),
            ..asked
        };
        let name = format!("{}-{}-{first_day}.csv", history.name(), plain(&account.code));
        let with_mark = wanted.flag("bom").map_err(bad)?;
        let rows = match history {
            History::Payments => Rows::Payments(account.id, wanted.payments(period).map_err(bad)?),
            History::Credit => {
                let kind = wanted.word("wallet").map_err(bad)?.unwrap_or(WalletKind::Credit);
                let filter = wanted.entries(period).map_err(bad)?;
                let found = wallets::of_accounts(self.app.db.read(), &scope, &[account.id]).await;
                let mut found = found.map_err(told)?.remove(&account.id).unwrap_or_default();
                found.retain(|wallet| wallet.kind == kind);
                let wallet = found.pop().ok_or(Error::NotFound("wallet")).map_err(told)?;
                Rows::Credit(wallet.id, filter)
            }
        };
        let export = Export {
            scope,
            rows,
            currency: account.currency.parse().map_err(bad)?,
            zone,
        };
        // A store that is away is told of before anything is written.
        let mut head = if with_mark {
            BYTE_ORDER_MARK.to_owned()
        } else {
            String::new()
        };
        head.push_str(history.columns());
        let (first, next) = self.page(&export, None).await.map_err(told)?;
        head.push_str(&first);
        let rest = stream::try_unfold((self, export, next), |(exports, export, next)| async move {
            let Some(place) = next else { return Ok(None) };
            match exports.page(&export, Some(place)).await {
                Ok((text, next)) => Ok(Some((Bytes::from(text), (exports, export, next)))),
                Err(error) => {
                    // The connection is cut: a file that looks whole is whole.
                    tracing::warn!(%error, "an export ended before its end");
                    Err(error)
                }
            }
        });
        let body = stream::once(async { Ok(Bytes::from(head)) }).chain(rest);
        let mut response = Response::new(Body::from_stream(body));
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/csv; charset=utf-8; header=present"),
        );
        if let Ok(disposition) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
            headers.insert(CONTENT_DISPOSITION, disposition);
        }
        Ok(response)
    }

    /// The account that is named, or the caller's own. Somebody else's answers like one that does not exist.
    async fn account(
        &self,
        scope: &Scope,
        own: Option<Uuid>,
        wanted: &Parameters,
    ) -> Result<account::Model, Box<Response<Body>>> {
        let id = match wanted.one("account").map_err(bad)? {
            Some(named) => match global::read(named) {
                Some((Kind::Account, id)) => Some(id),
                _ => None,
            },
            None if own.is_none() => {
                let message = "Name an account: a caller of this role has none of its own.";
                return Err(bad(Refusal::new(RefusalCode::InvalidId, message).under("account")));
            }
            None => own,
        };
        let found = match id {
            Some(id) => accounts::by_ids(self.app.db.read(), scope, &[id]).await.map_err(told)?,
            None => Vec::new(),
        };
        found.into_iter().next().ok_or(Error::NotFound("account")).map_err(told)
    }

    /// A page of rows as text, and where the next one begins.
    async fn page(&self, export: &Export, from: Option<Place>) -> Result<(String, Option<Place>), Error> {
        let away = |_| Error::Unavailable("a page of an export took too long".into());
        let reading = async {
            let _turn = self.readers.acquire().await.map_err(Error::internal)?;
            export.page(&self.app, from).await
        };
        tokio::time::timeout(PATIENCE, reading).await.map_err(away)?
    }
}

/// What is exported.
#[derive(Debug)]
struct Export {
    scope: Scope,
    rows: Rows,
    currency: Currency,
    zone: Tz,
}

#[derive(Debug)]
enum Rows {
    /// Of an account.
    Payments(Uuid, PaymentFilter),
    /// Of a wallet.
    Credit(Uuid, EntryFilter),
}

impl Export {
    async fn page(&self, app: &App, from: Option<Place>) -> Result<(String, Option<Place>), Error> {
        let page = Page {
            end: End::First,
            size: ROWS,
            from,
        };
        let mut text = String::new();
        let (last, has_next) = match &self.rows {
            Rows::Payments(account, filter) => {
                let slice = histories::exported_payments(app.db.read(), &self.scope, *account, filter, &page).await?;
                for row in &slice.rows {
                    self.add_payment(&mut text, row);
                }
                (
                    slice.rows.last().map(|row| payments::place(&row.payment)),
                    slice.has_next,
                )
            }
            Rows::Credit(wallet, filter) => {
                let slice = histories::exported_entries(app.db.read(), &self.scope, *wallet, filter, &page).await?;
                for row in &slice.rows {
                    self.add_entry(&mut text, row);
                }
                (
                    slice.rows.last().map(|row| wallets::place_of_entry(&row.entry)),
                    slice.has_next,
                )
            }
        };
        Ok((text, last.filter(|_| has_next)))
    }

    fn add_payment(&self, out: &mut String, row: &histories::ExportedPayment) {
        let payment = &row.payment;
        let (begun, completed) = (self.at(payment.created_at), payment.completed_at.map(|at| self.at(at)));
        let [amount, cash, promotional, gateway] = [
            payment.amount_minor,
            payment.cash_minor,
            payment.promotional_minor,
            payment.gateway_minor,
        ]
        .map(|minor| self.amount(minor));
        csv::add_row(
            out,
            &[
                Cell::Plain(&payment.code),
                Cell::Plain(&begun),
                completed.as_deref().map_or(Cell::Empty, Cell::Plain),
                Cell::Plain(payment.purpose.as_str()),
                Cell::Plain(payment.method.as_str()),
                Cell::of(payment.gateway.as_deref()),
                Cell::Plain(payment.status.as_str()),
                Cell::Text(&payment.details),
                Cell::of(row.order.as_deref()),
                Cell::of(row.invoice.as_deref()),
                Cell::Plain(&amount),
                Cell::Plain(&cash),
                Cell::Plain(&promotional),
                Cell::Plain(&gateway),
                Cell::Plain(&payment.currency),
                Cell::Plain(if payment.became_credit { "true" } else { "false" }),
                Cell::Text(&payment.principal),
            ],
        );
    }

    fn add_entry(&self, out: &mut String, row: &histories::ExportedEntry) {
        let entry = &row.entry;
        let (sequence, at) = (entry.sequence.to_string(), self.at(entry.created_at));
        let both = |cash: i64, promotional: i64| cash.saturating_add(promotional);
        let [amount, cash, promotional, balance_after, cash_after, promotional_after] = [
            both(entry.cash_minor, entry.promotional_minor),
            entry.cash_minor,
            entry.promotional_minor,
            both(entry.cash_after_minor, entry.promotional_after_minor),
            entry.cash_after_minor,
            entry.promotional_after_minor,
        ]
        .map(|minor| self.amount(minor));
        csv::add_row(
            out,
            &[
                Cell::Plain(&sequence),
                Cell::Plain(&at),
                Cell::Plain(entry.action.as_str()),
                Cell::Text(&entry.details),
                Cell::of(row.order.as_deref()),
                Cell::Plain(&amount),
                Cell::Plain(&cash),
                Cell::Plain(&promotional),
                Cell::Plain(&balance_after),
                Cell::Plain(&cash_after),
                Cell::Plain(&promotional_after),
                Cell::Plain(self.currency.code()),
            ],
        );
    }

    /// An instant as the account's clocks show it, with their distance from UTC.
    fn at(&self, at: DateTime<Utc>) -> String {
        at.with_timezone(&self.zone).to_rfc3339_opts(SecondsFormat::Secs, false)
    }

    fn amount(&self, minor: i64) -> String {
        Money::of(minor, self.currency).to_decimal_text()
    }
}

/// What the address asks for.
#[derive(Debug)]
struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Errors: a parameter that is not known: one that is misspelt would export more than was wanted.
    fn read(query: &str, history: History) -> Result<Self, Refusal> {
        let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let known = history.parameters();
        if let Some((name, _)) = pairs.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            let name: String = name.chars().take(32).collect();
            let message = format!("There is no such parameter. There are: {}.", known.join(", "));
            return Err(Refusal::new(RefusalCode::InvalidText, message).under(name));
        }
        Ok(Self(pairs))
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self
            .0
            .iter()
            .filter(move |(own, value)| own == name && !value.is_empty());
        named.map(|(_, value)| value.as_str())
    }

    fn one(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut values = self.all(name);
        let value = values.next();
        if values.next().is_some() {
            let message = "This parameter is given twice.";
            return Err(Refusal::new(RefusalCode::InvalidText, message).under(name));
        }
        Ok(value)
    }

    fn text(&self, name: &str) -> Result<Option<String>, Refusal> {
        history::text(self.one(name)?.map(str::to_owned)).map_err(|refusal| refusal.under(name))
    }

    fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.one(name)? {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Refusal::new(RefusalCode::InvalidText, "Write true or false.").under(name)),
        }
    }

    /// Words, each in a parameter of its own or with commas between them.
    fn words<T: FromStr<Err = String> + PartialEq>(&self, name: &str) -> Result<Vec<T>, Refusal> {
        let mut words = Vec::new();
        for word in self.all(name).flat_map(|value| value.split(',')) {
            let word: String = word.chars().take(32).collect();
            let wrong = |why: String| Refusal::new(RefusalCode::InvalidText, format!("{why}.")).under(name);
            let word: T = word.parse().map_err(wrong)?;
            if !words.contains(&word) {
                words.push(word);
            }
        }
        Ok(words)
    }

    fn word<T: FromStr<Err = String> + PartialEq>(&self, name: &str) -> Result<Option<T>, Refusal> {
        self.one(name)?;
        let mut words = self.words(name)?;
        if words.len() > 1 {
            let message = "This parameter takes one word.";
            return Err(Refusal::new(RefusalCode::InvalidText, message).under(name));
        }
        Ok(words.pop())
    }

    /// The period, and its first day. A day is a whole one of the account: `to` is in the period when it is a day, and
    /// not when it is an instant.
    fn period(&self, zone: Tz) -> Result<(NaiveDate, Period), Refusal> {
        let at = |name: &str, next: bool| {
            let Some(text) = self.one(name)? else { return Ok(None) };
            let day = text.parse::<NaiveDate>().ok();
            let day = day.and_then(|day| if next { day.succ_opt() } else { Some(day) });
            let instant = match day {
                Some(day) => Some(time::start_of_day(day, zone)),
                // In an address a plus is a blank.
                None => DateTime::parse_from_rfc3339(&text.replace(' ', "+"))
                    .ok()
                    .map(|at| at.to_utc()),
            };
            let wrong = || {
                let message = "Write a day (2026-01-31) or an instant as in RFC 3339 (2026-01-31T00:00:00Z).";
                Refusal::new(RefusalCode::InvalidInstant, message).under(name)
            };
            instant.map(Some).ok_or_else(wrong)
        };
        let period = Period::of_export(at("from", false)?, at("to", true)?)?;
        let first = period.from.map(|from| time::local(from, zone).date());
        Ok((first.unwrap_or_default(), period))
    }

    fn payments(&self, period: Period) -> Result<PaymentFilter, Refusal> {
        Ok(PaymentFilter {
            statuses: self.words("status")?,
            purposes: self.words("purpose")?,
            methods: self.words("method")?,
            gateway: self.text("gateway")?,
            product: self.text("product")?,
            period,
            text: self.text("text")?,
        })
    }

    fn entries(&self, period: Period) -> Result<EntryFilter, Refusal> {
        Ok(EntryFilter {
            actions: self.words("action")?,
            part: self.word("part")?,
            product: self.text("product")?,
            period,
            text: self.text("text")?,
        })
    }
}

/// A code as part of a file's name.
fn plain(code: &str) -> String {
    code.chars()
        .filter(|character| character.is_ascii_alphanumeric() || *character == '-')
        .collect()
}

fn bad(refusal: Refusal) -> Box<Response<Body>> {
    told(refusal.into())
}

fn told(error: Error) -> Box<Response<Body>> {
    Box::new(match error {
        Error::Refused(refusal) if !refusal.code.is_ours() => {
            let place = refusal.path.join(".");
            let words = refusal.message;
            refuse(
                Refused::BadInput,
                if place.is_empty() {
                    words
                } else {
                    format!("{place}: {words}")
                },
            )
        }
        Error::NotFound(what) => refuse(Refused::NotFound, format!("There is no such {what}.")),
        Error::Forbidden(needed) => refuse(Refused::Forbidden, format!("This needs {needed}.")),
        Error::Unavailable(why) => {
            tracing::warn!(%why, "an export could not be made");
            refuse(Refused::Unavailable, "The store can't answer just now. Try again.")
        }
        error => {
            tracing::error!(%error, "an export failed");
            let words = "Something went wrong on our side. Name the request id when you report it.";
            refuse(Refused::Internal, words)
        }
    })
}
