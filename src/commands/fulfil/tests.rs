//! Whole lives of resources, at random, against a slow and obvious oracle: bought, renewed, resized, deleted and recovered,
//! with coupons and mixed money, over more than a hundred thousand steps. After each step the books are proved.
//!
//! A world that fails names its seed. `BILLING_GATEWAY_LIVES_SEED=<seed> cargo test --lib fulfil::tests` walks it again,
//! alone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_assert_message
)]

mod foretold;
mod laws;
mod oracle;
mod walk;
mod world;

use rstest::rstest;

use self::walk::{Tally, Walk};
use crate::ids;

/// The steps of one world: its tables are small, so that each step can be proved over all of them.
const STEPS_PER_WORLD: u32 = 250;
/// What each walk has to come by, and how often at least: a walk that stays away from it would prove nothing about it.
const COME_BY: [(&str, u32); 18] = [
    ("CREATE with a coupon", 250),
    ("CREATE paid from both parts", 150),
    ("RENEW with a coupon", 250),
    ("RENEW paid from both parts", 120),
    ("RENEW after a resize", 400),
    ("RESIZE up", 400),
    ("RESIZE down", 300),
    ("RESIZE of renewed time", 250),
    ("RESIZE paid from both parts", 60),
    ("RESIZE gives back to both parts", 120),
    ("DELETE that gives back", 200),
    ("DELETE gives back to both parts", 70),
    ("DELETE after both", 140),
    ("DELETE of renewed time", 70),
    ("RECOVER with a coupon", 40),
    ("RECOVER free", 40),
    ("report of success", 200),
    ("report of failure", 90),
];
const SEED: &str = "BILLING_GATEWAY_LIVES_SEED";

/// Says which world it was when a step panics.
struct Named {
    seed: u64,
    step: u32,
}

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("step {} of the world {SEED}={}", self.step, self.seed);
        }
    }
}

fn walk(seed: u64, tally: &mut Tally) {
    let mut world = Walk::of(seed);
    let mut named = Named { seed, step: 0 };
    for step in 1..=STEPS_PER_WORLD {
        named.step = step;
        world.step();
    }
    world.end();
    for (what, times) in world.tally {
        *tally.entry(what).or_default() += times;
    }
}

fn walks(first: u64, steps: u32) -> Tally {
    let mut tally = Tally::new();
    if let Ok(seed) = std::env::var(SEED) {
        walk(seed.parse().unwrap(), &mut tally);
        return Tally::new();
    }
    for number in 0..u64::from(steps / STEPS_PER_WORLD) {
        walk(first.wrapping_add(number), &mut tally);
    }
    tally
}

#[rstest]
#[case(1_000_000)]
#[case(2_000_000)]
#[case(3_000_000)]
#[case(4_000_000)]
fn lives_cost_what_the_rules_say_and_the_books_balance(#[case] seed: u64) {
    let tally = walks(seed, 25_000);
    if std::env::var(SEED).is_err() {
        for (what, least) in COME_BY {
            let times = tally.get(what).copied().unwrap_or_default();
            assert!(times >= least, "{what}: {times} times of {least}");
        }
    }
}

#[test]
fn lives_nobody_has_seen_before_do_too() {
    let seed = u64::from_be_bytes(ids::random_bytes());
    println!("the first world is {SEED}={seed}");
    walks(seed, 5_000);
}
