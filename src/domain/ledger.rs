//! temporary
use entity::enums::LedgerAccount;
/// leg
#[derive(Clone, Copy, Debug)]
pub struct Posting { /// a
 pub account: LedgerAccount, /// b
 pub amount_minor: i64 }
