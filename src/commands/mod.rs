//! Things that change the world.

pub mod seed;
