//! What each subcommand does: the only room, with `main`, that puts all the others together.

pub mod demo;
mod doors;
mod gateways;
pub mod serve;
pub mod tools;
pub mod world;
