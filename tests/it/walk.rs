//! Paying at random: a customer, a gateway that does all that one may do, the engine, an operator, a product's service and
//! deaths of the process, in any order and at the same time, in a small world. After each step the books are proved, and
//! what we say is compared with what the gateway says.
//!
//! A world that fails names its seed and tells its steps. `BILLING_GATEWAY_PAYING_SEED=<seed> cargo test --test it walk`
//! walks it again, alone; where two did something at once, or one died, the moment may be another one.
//! `BILLING_GATEWAY_PAYING_STEPS=1000000 cargo test --release --test it nobody_has_seen` walks a million steps; .ci/run sets it to
//! 25,000 for each test with a fixed seed, which are 100,000, and to 5,000 for the one without.

mod acts;
mod laws;
mod rows;
mod world;

use std::collections::BTreeMap;

use billing_gateway::ids;

use self::world::Walk;
use crate::support::Store;

/// The steps of one world: its tables are small, so that each step is proved over all of them.
const STEPS_PER_WORLD: u32 = 100;
/// What all walks together come by, and how often at least in 25,000 steps: a walk that stays away from something proves
/// nothing about it.
const COME_BY: [(&str, u32); 19] = [
    ("an order paid through the gateway", 100),
    ("an order paid by transfer", 10),
    ("an order paid from both", 50),
    ("an order paid from credit", 50),
    ("an order paid on behalf", 10),
    ("an order paid by what is linked", 10),
    ("a top-up by itself", 10),
    ("an order given up", 100),
    ("a top-up", 100),
    ("money that became credit", 50),
    ("money in quarantine", 50),
    ("a quarantine decided", 50),
    ("a payment that failed", 100),
    ("a payment that expired", 50),
    ("a failed payment that succeeded", 5),
    ("a refund to the source", 30),
    ("a refund that failed", 3),
    ("a call that was made again", 50),
    ("a death", 500),
];
const SEED: &str = "BILLING_GATEWAY_PAYING_SEED";
/// How many steps each test makes.
const STEPS: &str = "BILLING_GATEWAY_PAYING_STEPS";

fn walk(store: Store, seed: u64, tally: &mut BTreeMap<&'static str, u32>) {
    let Some(mut world) = Walk::of(store, seed) else { return };
    for _ in 0..STEPS_PER_WORLD {
        world.step();
    }
    for (what, times) in world.end() {
        *tally.entry(what).or_default() += times;
    }
}

/// Walks from a seed on, so many steps; over SQLite as many as are asked for.
fn walks(store: Store, first: u64, steps: u32) {
    let steps = match std::env::var(STEPS) {
        Ok(asked) if store == Store::Sqlite => asked.parse().unwrap(),
        _ => steps,
    };
    let mut tally = BTreeMap::new();
    if let Ok(seed) = std::env::var(SEED) {
        walk(store, seed.parse().unwrap(), &mut tally);
        return;
    }
    for number in 0..u64::from(steps / STEPS_PER_WORLD) {
        walk(store, first.wrapping_add(number), &mut tally);
    }
    println!("{tally:#?}");
    for (what, least) in COME_BY {
        let times = tally.get(what).copied().unwrap_or_default();
        assert!(
            steps < 3_000 || u64::from(times) * 25_000 >= u64::from(least) * u64::from(steps),
            "{what}: {times} times in {steps} steps"
        );
    }
}

#[test]
fn money_is_never_lost_and_never_made_in_the_first_world() {
    walks(Store::Sqlite, 1_000_000, 1_000);
}

#[test]
fn money_is_never_lost_and_never_made_in_the_second_world() {
    walks(Store::Sqlite, 2_000_000, 1_000);
}

#[test]
fn money_is_never_lost_and_never_made_in_the_third_world() {
    walks(Store::Sqlite, 3_000_000, 1_000);
}

#[test]
fn money_is_never_lost_and_never_made_in_the_fourth_world() {
    walks(Store::Sqlite, 4_000_000, 1_000);
}

/// What is dropped in the middle goes on in another process there, for a moment: the new one meets what the old one does.
#[test]
fn money_is_never_lost_and_never_made_over_postgresql() {
    walks(Store::Postgres, 5_000_000, 500);
}

#[test]
fn nor_is_it_in_worlds_that_nobody_has_seen_before() {
    let seed = u64::from_be_bytes(ids::random_bytes());
    println!("the first world is {SEED}={seed}");
    walks(Store::Sqlite, seed, 500);
}
