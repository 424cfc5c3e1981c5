//! One pass over the outbox: events become deliveries, deliveries are handed over, and what came of it is noted.
//!
//! At most once: a delivery is claimed, in a transaction of its own, before the mail server hears of it, and what was
//! claimed is never claimed again. Who dies in between leaves it behind as one whose fate is not known; it is given up and
//! shown, and an operator decides.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use entity::enums::{DeliveryChannel, DeliveryStatus, RecipientStatus};
use entity::{account_event, alert_recipient, outbox_delivery};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::smtp::{Handed, Letter, Mailer, Session};
use crate::app::App;
use crate::clock;
use crate::domain::mail::{self, LINK_DAYS, Occasion, topic};
use crate::error::Error;
use crate::ids;
use crate::store::outbox::Settled;
use crate::store::{Scope, event_log, letters, outbox, payment_links, recipients};

/// Of how many accounts one transaction hands events on, at most; fewer where some have many.
const ACCOUNTS: u64 = 500;
/// After how many deliveries a transaction takes no further account.
const DELIVERIES: usize = 10_000;
/// How many such transactions, and how many batches of messages, one pass makes.
const ROUNDS: usize = 100;
/// How many messages are claimed at once.
const BATCH: u64 = 16;
/// How many connections to the mail server one process holds.
const CONNECTIONS: usize = 4;
/// How long claims are believed, in seconds of the database's clock: longer than a batch can take.
const LEASE_SECONDS: i64 = 600;
/// After how long no further message of a batch is begun.
const BATCH_TIME: Duration = Duration::from_secs(300);
/// How often a message is tried, over some three days.
const MOST_ATTEMPTS: i32 = 16;
/// The wait before a message is tried again; it doubles each time.
const FIRST_WAIT: TimeDelta = TimeDelta::minutes(1);
/// The longest such wait.
const LONGEST_WAIT: TimeDelta = TimeDelta::hours(12);
/// For how long a message is kept that could not be tried, before it is too old to be news.
const KEPT: TimeDelta = TimeDelta::days(7);

const LOST: &str = "unknown outcome: the process that handed it over was lost before it noted the answer";

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Deliveries that were written.
    pub written: u64,
    /// Messages that the mail server took.
    pub delivered: u64,
    /// Messages that are tried again later.
    pub postponed: u64,
    /// Messages that were given up.
    pub dead: u64,
    /// Whether something is still to be done now.
    pub more: bool,
}

impl Passed {
    fn add(&mut self, other: Self) {
        self.written += other.written;
        self.delivered += other.delivered;
        self.postponed += other.postponed;
        self.dead += other.dead;
        self.more |= other.more;
    }
}

/// Makes one pass at an instant of machine time, over all accounts. Without a mailer deliveries are written and kept.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer; what was committed stays, the rest is still to be done.
pub async fn pass(app: &App, mailer: Option<&Mailer>, at: DateTime<Utc>) -> Result<Passed, Error> {
    pass_since(app, mailer, None, at, &CancellationToken::new()).await
}

/// As [`pass`], over the accounts that were told something since an instant of business time, until it is told to stop:
/// what is under way then is brought to its end, and nothing is begun.
pub(super) async fn pass_since(
    app: &App,
    mailer: Option<&Mailer>,
    since: Option<DateTime<Utc>>,
    at: DateTime<Utc>,
    stop: &CancellationToken,
) -> Result<Passed, Error> {
    let mut passed = hand_on(app, since, at, stop).await?;
    let scope = Scope::engine();
    let (_, lost) = outbox::waits(app.db.read(), &scope, at).await?;
    if lost {
        passed.dead += app
            .db
            .write("give_up_lost", async |tx| {
                let tx = &*tx;
                tx.is_replayable();
                outbox::give_up_lost(tx, &Scope::engine(), LOST).await
            })
            .await?;
    }
    let Some(mailer) = mailer else {
        return Ok(passed);
    };
    for _ in 0..ROUNDS {
        let (due, _) = outbox::waits(app.db.read(), &scope, at).await?;
        if !due || stop.is_cancelled() {
            return Ok(passed);
        }
        let (done, goes_on) = batch(app, mailer, at, stop).await?;
        passed.add(done);
        if !goes_on {
            return Ok(passed);
        }
    }
    passed.more = true;
    Ok(passed)
}

/// Makes deliveries of the events that were not handed on yet.
async fn hand_on(
    app: &App,
    since: Option<DateTime<Utc>>,
    at: DateTime<Utc>,
    stop: &CancellationToken,
) -> Result<Passed, Error> {
    let mut passed = Passed::default();
    for _ in 0..ROUNDS {
        if stop.is_cancelled() {
            return Ok(passed);
        }
        let behind = outbox::behind(app.db.read(), &Scope::engine(), since, ACCOUNTS).await?;
        if behind.is_empty() {
            return Ok(passed);
        }
        let (written, moved) = app
            .db
            .write("hand_events_on", async |tx| {
                let tx = &*tx;
                tx.is_replayable();
                let scope = Scope::engine();
                let cursors = outbox::lock_cursors(tx, &scope, &behind).await?;
                let events = event_log::next_of_each(&**tx, &scope, &cursors).await?;
                let accounts: Vec<Uuid> = cursors.iter().map(|(account, _)| *account).collect();
                let told = recipients::confirmed(&**tx, &scope, &accounts).await?;
                let now = app.clock.now();
                let (mut rows, mut moved) = (Vec::new(), Vec::new());
                for place in &cursors {
                    if rows.len() >= DELIVERIES {
                        break;
                    }
                    let events = events.get(place).map_or(&[][..], Vec::as_slice);
                    let told = told.get(&place.0).map_or(&[][..], Vec::as_slice);
                    for event in events {
                        rows.extend(
                            told.iter()
                                .filter(|who| is_told(who, event))
                                .map(|who| row(who, event, at, now)),
                        );
                    }
                    moved.extend(events.last().map(|last| (place.0, last.sequence)));
                }
                let written = u64::try_from(rows.len()).unwrap_or(u64::MAX);
                outbox::write(tx, &scope, rows).await?;
                outbox::move_cursors(tx, &scope, &moved).await?;
                Ok((written, moved.len()))
            })
            .await?;
        passed.written += written;
        // The rest is another process's, which is at it.
        if moved == 0 {
            return Ok(passed);
        }
    }
    passed.more = true;
    Ok(passed)
}

/// Whether a recipient is told of an event by e-mail.
fn is_told(recipient: &alert_recipient::Model, event: &account_event::Model) -> bool {
    let since = recipient.from_sequence.is_some_and(|from| event.sequence > from);
    since && topic(event.kind).is_some_and(|topic| topic.is_told_to(&recipients::chosen(recipient)))
}

fn row(
    recipient: &alert_recipient::Model,
    event: &account_event::Model,
    queued_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> outbox_delivery::Model {
    outbox_delivery::Model {
        id: ids::new_id(),
        account_id: event.account_id,
        event_sequence: Some(event.sequence),
        channel: DeliveryChannel::Email,
        recipient_id: Some(recipient.id),
        payment_link_id: None,
        target: recipient.email.clone(),
        status: DeliveryStatus::Pending,
        attempts: 0,
        next_attempt_at: Some(queued_at),
        lease_owner: None,
        lease_until_ms: None,
        last_error: None,
        queued_at,
        created_at: now,
        delivered_at: None,
    }
}

/// A delivery that was claimed.
struct Claimed {
    delivery: outbox_delivery::Model,
    /// What is to be done with it: why it is given up, or the secret of its link if it has one.
    order: Result<Option<String>, &'static str>,
}

/// Claims some deliveries and hands them over, over a few connections at once. Answers also whether there is sense in
/// another batch: not where others have claimed the rest, and not while the mail server is away.
async fn batch(
    app: &App,
    mailer: &Mailer,
    at: DateTime<Utc>,
    stop: &CancellationToken,
) -> Result<(Passed, bool), Error> {
    let began = clock::monotonic();
    let (claimed, until) = claim(app, at).await?;
    let found = !claimed.is_empty();
    let mut passed = Passed::default();
    let mut letters = match letters(app, &claimed).await {
        Ok(letters) => letters,
        Err(error) => {
            // Nothing of it was begun, and it waits for the store as it did before.
            for Claimed { delivery, .. } in &claimed {
                settle(app, delivery, Settled::NotBegun(at)).await?;
            }
            return Err(error);
        }
    };
    let mut queue = VecDeque::with_capacity(claimed.len());
    for Claimed { delivery, order } in claimed {
        let ready = match (order, letters.remove(&delivery.id)) {
            (Err(why), _) => Err(why.to_owned()),
            (Ok(_), None) => Err("what it tells of is not kept any more".to_owned()),
            (Ok(_), Some(Err(error))) => Err(format!("it can't be written: {error}")),
            (Ok(token), Some(Ok(mut letter))) => {
                if let Some(token) = token {
                    letter.occasion = match letter.occasion {
                        Occasion::PaymentAsked { asked, until, .. } => Occasion::PaymentAsked {
                            asked,
                            link: Some(mailer.payment_link(&token)),
                            until,
                        },
                        _ => Occasion::Confirmation {
                            link: Some(mailer.link(&token)),
                            until: Some(until),
                        },
                    };
                }
                mailer.compose(&delivery, letter.write(), at)
            }
        };
        match ready {
            Ok(letter) => queue.push_back((delivery, letter)),
            Err(why) => {
                passed.dead += u64::from(settle(app, &delivery, Settled::Dead(why)).await?);
            }
        }
    }
    let queue = Mutex::new(queue);
    let is_away = AtomicBool::new(false);
    let work = Work {
        app,
        mailer,
        at,
        queue: &queue,
        is_away: &is_away,
        may_begin: &|| !stop.is_cancelled() && began.elapsed() < BATCH_TIME,
    };
    for done in futures_util::future::join_all((0..CONNECTIONS).map(|_| work.run())).await {
        passed.add(done?);
    }
    Ok((passed, found && !is_away.load(Ordering::Relaxed)))
}

/// The letters of what was claimed. One that can't be written stands alone and holds up none of the others.
///
/// Errors: [`Error::Unavailable`] when the store does not answer.
async fn letters(app: &App, claimed: &[Claimed]) -> Result<HashMap<Uuid, Result<mail::Letter, Error>>, Error> {
    let (db, scope) = (app.db.read(), Scope::engine());
    let deliveries: Vec<outbox_delivery::Model> = claimed.iter().map(|claimed| claimed.delivery.clone()).collect();
    match letters::of_deliveries(db, &scope, &deliveries).await {
        Ok(written) => return Ok(written.into_iter().map(|(id, letter)| (id, Ok(letter))).collect()),
        Err(Error::Unavailable(why)) => return Err(Error::Unavailable(why)),
        Err(_) => {}
    }
    let mut letters = HashMap::with_capacity(deliveries.len());
    for delivery in deliveries {
        match letters::of_deliveries(db, &scope, std::slice::from_ref(&delivery)).await {
            Ok(written) => letters.extend(written.into_iter().map(|(id, letter)| (id, Ok(letter)))),
            Err(Error::Unavailable(why)) => return Err(Error::Unavailable(why)),
            Err(error) => {
                letters.insert(delivery.id, Err(error));
            }
        }
    }
    Ok(letters)
}

/// Claims what is due. A link gets its secret with the claim, so that it is kept as a digest before it is sent. Answers
/// until when such links are good.
async fn claim(app: &App, at: DateTime<Utc>) -> Result<(Vec<Claimed>, DateTime<Utc>), Error> {
    let until = app.clock.now() + TimeDelta::days(LINK_DAYS);
    let claimed = app
        .db
        .write("claim_deliveries", async |tx| {
            let tx = &*tx;
            let scope = Scope::engine();
            let rows = outbox::claim(tx, &scope, at, BATCH, app.process, LEASE_SECONDS).await?;
            let named: Vec<Uuid> = rows.iter().filter_map(|row| row.recipient_id).collect();
            let named = recipients::by_ids(&**tx, &scope, &named).await?;
            let overtaken = letters::overtaken(&**tx, &scope, &rows).await?;
            let asked: Vec<Uuid> = rows.iter().filter_map(|row| row.payment_link_id).collect();
            let mut asked = payment_links::good(&**tx, &scope, &asked, app.clock.now()).await?;
            let mut claimed = Vec::with_capacity(rows.len());
            for delivery in rows {
                let recipient = delivery.recipient_id.and_then(|id| named.get(&id));
                let order = match (&delivery.event_sequence, recipient.map(|who| (who.id, who.status))) {
                    _ if at.signed_duration_since(delivery.queued_at) > KEPT => {
                        Err("too old: it could not be sent for more than seven days")
                    }
                    _ if overtaken.contains(&delivery.id) => {
                        Err("overtaken: the resource was renewed or given up since")
                    }
                    _ if let Some(link) = delivery.payment_link_id => asked
                        .remove(&link)
                        .map(Some)
                        .ok_or("overtaken: the order was paid or given up since, or another link was sent"),
                    (None, Some((id, RecipientStatus::Pending))) => {
                        let token = ids::secret();
                        match recipients::set_link(tx, &scope, id, &ids::digest(&token), until).await? {
                            true => Ok(Some(token)),
                            false => Err("the address was confirmed or taken off the list"),
                        }
                    }
                    (None, _) => Err("the address was confirmed or taken off the list"),
                    (Some(_), Some((_, RecipientStatus::Confirmed))) => Ok(None),
                    (Some(_), _) => Err("the recipient was taken off the list"),
                };
                claimed.push(Claimed { delivery, order });
            }
            Ok(claimed)
        })
        .await?;
    Ok((claimed, until))
}

/// What the connections of a batch share.
struct Work<'w> {
    app: &'w App,
    mailer: &'w Mailer,
    at: DateTime<Utc>,
    queue: &'w Mutex<VecDeque<(outbox_delivery::Model, Letter)>>,
    /// Whether the mail server could not be reached.
    is_away: &'w AtomicBool,
    may_begin: &'w (dyn Fn() -> bool + Sync),
}

impl Work<'_> {
    fn next(&self) -> Option<(outbox_delivery::Model, Letter)> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Hands messages over on one connection, one after the other, until there are no more.
    async fn run(&self) -> Result<Passed, Error> {
        let mut passed = Passed::default();
        let mut session = None;
        let mut away: Option<String> = None;
        while let Some((delivery, letter)) = self.next() {
            if !(self.may_begin)() {
                settle(self.app, &delivery, Settled::NotBegun(self.at)).await?;
                continue;
            }
            // A server that could not be reached a moment ago is not asked again for each message.
            let opened = match (session.take(), &away) {
                (Some(open), _) => Ok(open),
                (None, Some(why)) => Err(why.clone()),
                (None, None) => Session::open(self.mailer).await,
            };
            let handed = match opened {
                Ok(open) => {
                    let (handed, open) = open.hand_over(&letter).await;
                    session = open;
                    handed
                }
                Err(why) => {
                    self.is_away.store(true, Ordering::Relaxed);
                    away = Some(why.clone());
                    Handed::NotNow(why)
                }
            };
            passed.add(self.note(&delivery, handed).await?);
        }
        if let Some(open) = session {
            open.leave().await;
        }
        Ok(passed)
    }

    async fn note(&self, delivery: &outbox_delivery::Model, handed: Handed) -> Result<Passed, Error> {
        let id = delivery.id;
        let settled = match handed {
            Handed::Taken => Settled::Delivered(self.app.clock.now()),
            Handed::NotNow(why) if delivery.attempts < MOST_ATTEMPTS => {
                tracing::info!(delivery = %id, attempts = delivery.attempts, why, "a message is tried again later");
                Settled::Later(self.at + wait(delivery.attempts), why)
            }
            Handed::NotNow(why) => Settled::Dead(format!("given up after {MOST_ATTEMPTS} attempts: {why}")),
            Handed::Never(why) => Settled::Dead(why),
            Handed::Unknown(why) => Settled::Dead(format!("unknown outcome: {why}")),
        };
        if let Settled::Dead(why) = &settled {
            tracing::warn!(delivery = %id, why, "a message is given up");
        }
        let mut passed = Passed::default();
        let counted = match settled {
            Settled::Delivered(_) => &mut passed.delivered,
            Settled::Later(..) | Settled::NotBegun(_) => &mut passed.postponed,
            Settled::Dead(_) => &mut passed.dead,
        };
        *counted = 1;
        if !settle(self.app, delivery, settled).await? {
            tracing::warn!(delivery = %id, "a message was given up by another process before its answer was noted");
        }
        Ok(passed)
    }
}

async fn settle(app: &App, delivery: &outbox_delivery::Model, settled: Settled) -> Result<bool, Error> {
    app.db
        .write("settle_delivery", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            outbox::settle(tx, &Scope::engine(), delivery.id, app.process, &settled).await
        })
        .await
}

/// How long a message waits that failed so often.
fn wait(attempts: i32) -> TimeDelta {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(0).min(20);
    FIRST_WAIT
        .checked_mul(1_i32.checked_shl(doublings).unwrap_or(i32::MAX))
        .unwrap_or(LONGEST_WAIT)
        .min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::{LONGEST_WAIT, MOST_ATTEMPTS, wait};

    #[test]
    fn waits_double_to_a_bound_and_make_three_days() {
        assert_eq!(wait(1), TimeDelta::minutes(1));
        assert_eq!(wait(2), TimeDelta::minutes(2));
        assert_eq!(wait(10), TimeDelta::minutes(512));
        assert_eq!(wait(i32::MAX), LONGEST_WAIT);
        let all: TimeDelta = (1..MOST_ATTEMPTS).map(wait).sum();
        assert!(all > TimeDelta::days(3) && all < TimeDelta::days(4), "{all}");
    }
}
