//! A small world that is walked: its store, the process over it, and the process's deaths.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use billing_gateway::app::App;
use billing_gateway::commands::{coupon, payments, seed};
use billing_gateway::error::Error;
use billing_gateway::gateways::sandbox::{Press, Standing};
use billing_gateway::ids::Chance;
use billing_gateway::store::Scope;
use billing_gateway::{db, engine};
use chrono::TimeDelta;
use entity::enums::PaymentStatus;
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use super::SEED;
use super::acts::Act;
use super::laws::{self, Known};
use super::rows::Rows;
use crate::support::{BEGINNING, Store, at, open, postgres};

/// The last steps that a world that fails tells.
const TOLD: usize = 100;

/// The store of a world.
struct Kept {
    url: String,
    folder: Option<tempfile::TempDir>,
}

impl Kept {
    fn sqlite() -> Self {
        let folder = folder();
        Self {
            url: format!("sqlite://{}", folder.path().join("walk.sqlite3").display()),
            folder: Some(folder),
        }
    }

    /// Another one that holds the same.
    fn copied(&self) -> Self {
        let Some(from) = &self.folder else {
            let url = postgres::copy_of(&self.url);
            return Self { url, folder: None };
        };
        let copy = Self::sqlite();
        for file in std::fs::read_dir(from.path()).unwrap() {
            let file = file.unwrap();
            let to = copy.folder.as_ref().unwrap().path().join(file.file_name());
            std::fs::copy(file.path(), to).unwrap();
        }
        copy
    }
}

/// A store with a catalogue, two accounts and a coupon, from which every world begins; nothing when the machine has no such
/// database.
fn template(store: Store) -> Option<&'static (Kept, Uuid)> {
    static SQLITE: OnceLock<Option<(Kept, Uuid)>> = OnceLock::new();
    static POSTGRES: OnceLock<Option<(Kept, Uuid)>> = OnceLock::new();
    let template = match store {
        Store::Sqlite => &SQLITE,
        Store::Postgres => &POSTGRES,
    };
    let made = template.get_or_init(|| {
        let kept = match store {
            Store::Sqlite => Kept::sqlite(),
            Store::Postgres => Kept {
                url: postgres::new_database()?,
                folder: None,
            },
        };
        let made = runtime().block_on(async {
            let app = open(&kept.url, 100).await;
            app.set_clock(at(BEGINNING)).await.unwrap();
            let seeded = seed::seed(&app).await.unwrap().unwrap();
            let operator = Scope::Operator {
                principal: "operator".to_owned(),
            };
            let input = coupon::CreateCoupon {
                code: "WALK".to_owned(),
                value: coupon::Value::Percent("10".to_owned()),
                currency: "VND".to_owned(),
                valid_from: None,
                valid_until: None,
                products: Vec::new(),
                minimum_order: None,
                maximum_discount: None,
                total_limit: Some(5),
                per_account_limit: None,
            };
            coupon::create(&app, &operator, input).await.unwrap();
            seeded.accounts[0].1
        });
        Some((kept, made))
    });
    made.as_ref()
}

/// A folder in memory where there is one: what a disk keeps is not what is walked here.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

pub(super) struct Walk {
    seed: u64,
    steps: u64,
    account: Uuid,
    kept: Kept,
    /// The process; none while it is dead.
    process: Option<(Runtime, Arc<App>)>,
    rows: Rows,
    known: Known,
    /// Calls that may be sent again.
    calls: Vec<Act>,
    told: Vec<String>,
    /// Whether the process died in the last step.
    died: bool,
    tally: BTreeMap<&'static str, u32>,
}

impl Drop for Walk {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for told in &self.told {
                eprintln!("{told}");
            }
            eprintln!("that was the world {SEED}={}", self.seed);
        }
    }
}

impl Walk {
    /// A new world; nothing when the machine has no such database.
    pub(super) fn of(store: Store, seed: u64) -> Option<Self> {
        let (template, account) = template(store)?;
        let kept = template.copied();
        let (runtime, app, rows) = born(&kept, *account);
        Some(Self {
            seed,
            steps: 0,
            account: *account,
            kept,
            process: Some((runtime, app)),
            rows,
            known: Known::default(),
            calls: Vec::new(),
            told: Vec::new(),
            died: false,
            tally: BTreeMap::new(),
        })
    }

    fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    pub(super) fn step(&mut self) {
        self.steps += 1;
        // Its own chance for each step: one that went another way does not change all that come after it.
        let mut chance = Chance::of(self.seed.wrapping_mul(0x9e37_79b9).wrapping_add(self.steps));
        chance.number();
        let mut acts = vec![self.act(&mut chance)];
        while acts.len() < 3 && chance.below(6) == 0 {
            // Often the same thing at once: a nervous finger.
            let act = if chance.below(3) == 0 {
                acts[0].clone()
            } else {
                self.act(&mut chance)
            };
            acts.push(act);
        }
        let dies_after = (chance.below(15) == 0).then(|| chance.below(120));
        self.told.push(format!(
            "{}: {acts:?}{}",
            self.steps,
            dies_after.map_or(String::new(), |polls| format!(", dies after {polls}"))
        ));
        if self.told.len() > TOLD {
            self.told.remove(0);
        }
        let alone = acts.len() == 1 && dies_after.is_none();
        self.known.pressed = match acts.as_slice() {
            [Act::Press { reference, .. }] if alone => Some(reference.clone()),
            _ => None,
        };
        self.calls.extend(acts.iter().filter(|act| act.has_key()).cloned());
        self.perform(acts, dies_after);
        self.look();
    }

    fn act(&mut self, chance: &mut Chance) -> Act {
        if chance.below(25) == 0
            && let Some(call) = chance.one_of(&self.calls)
        {
            let call = call.clone();
            self.count("a call that was made again");
            return call;
        }
        Act::choose(&self.rows, chance)
    }

    /// Does some things at once, and dies of it.
    fn perform(&mut self, acts: Vec<Act>, dies_after: Option<u32>) {
        let (runtime, app) = self.process.take().unwrap();
        let account = self.account;
        let together = {
            let app = Arc::clone(&app);
            async move {
                futures_util::future::join_all(acts.into_iter().map(|act| act.perform(Arc::clone(&app), account))).await
            }
        };
        let done = match dies_after {
            None => Some(runtime.block_on(together)),
            Some(polls) => runtime.block_on(at_most(polls, together)),
        };
        if let Some(done) = done {
            for outcome in done {
                match outcome {
                    Ok(learned) => self.calls.extend(learned),
                    Err(Error::Refused(refusal)) if !refusal.code.is_ours() => {}
                    Err(Error::NotFound(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
        self.died = dies_after.is_some();
        if self.died {
            self.count("a death");
            drop(app);
            runtime.shutdown_background();
            let (runtime, app, _) = born(&self.kept, account);
            self.process = Some((runtime, app));
        } else {
            self.process = Some((runtime, app));
        }
    }

    /// Proves the books, and compares what is there with what was there and with what the gateway knows.
    fn look(&mut self) {
        let (runtime, app) = self.process.as_ref().unwrap();
        // The books take longer to be proved than all else: each third time, and whenever somebody died.
        let proves = self.steps.is_multiple_of(3) || self.died;
        let (rows, differences) = runtime.block_on(async {
            let rows = Rows::read(app, self.account).await;
            let differences = if proves {
                db::proof::differences(&app.db).await.unwrap()
            } else {
                Vec::new()
            };
            (rows, differences)
        });
        assert!(differences.is_empty(), "the books do not agree: {differences:#?}");
        laws::check(&rows);
        for what in laws::compare(&self.rows, &rows, &mut self.known) {
            *self.tally.entry(what).or_default() += 1;
        }
        self.rows = rows;
    }

    /// Lets everything come to its end, and answers what was come by.
    pub(super) fn end(mut self) -> BTreeMap<&'static str, u32> {
        self.told.push("the end".to_owned());
        self.known.pressed = None;
        let off = Act::AutoTopUp { is_on: false, below: 0 };
        self.perform(vec![off], None);
        self.died = true;
        for _ in 0..12 {
            let (runtime, app) = self.process.as_ref().unwrap();
            let reviewed: BTreeSet<String> = self
                .rows
                .records
                .iter()
                .filter(|(_, record)| record.standing == Standing::Review)
                .map(|(reference, _)| reference.clone())
                .collect();
            runtime.block_on(async {
                for reference in reviewed {
                    app.sandbox
                        .as_ref()
                        .unwrap()
                        .press(&reference, Press::Clear)
                        .await
                        .unwrap();
                }
                while payments::hear_sandbox(app).await.unwrap() > 0 {}
                engine::advance(app, app.clock.now() + TimeDelta::hours(12))
                    .await
                    .unwrap();
            });
            self.look();
            if self
                .rows
                .payments
                .iter()
                .all(|payment| payment.status != PaymentStatus::Pending)
                && laws::is_over(&self.rows)
            {
                break;
            }
        }
        laws::check_end(&self.rows, &self.known);
        let (runtime, app) = self.process.as_ref().unwrap();
        runtime.block_on(laws::customer_sees(app, self.account, &self.rows));
        std::mem::take(&mut self.tally)
    }
}

/// A process over a store.
fn born(kept: &Kept, account: Uuid) -> (Runtime, Arc<App>, Rows) {
    let runtime = runtime();
    let (app, rows) = runtime.block_on(async {
        let app = open(&kept.url, 100).await;
        let rows = Rows::read(&app, account).await;
        (app, rows)
    });
    (runtime, app, rows)
}

/// Runs something for so many turns at most: after that it is not run any more.
async fn at_most<F: Future>(mut polls: u32, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(move |context| {
        if polls == 0 {
            return Poll::Ready(None);
        }
        polls -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}
