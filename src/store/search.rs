//! Texts that are looked for.

use sea_orm::sea_query::LikeExpr;

/// What contains a text, in any case: against a column that is kept in small letters.
pub(super) fn containing(text: &str) -> LikeExpr {
    LikeExpr::new(format!("%{}%", escaped(&text.to_lowercase()))).escape('\\')
}

/// A text that LIKE takes as it stands.
fn escaped(text: &str) -> String {
    text.chars()
        .flat_map(|c| matches!(c, '\\' | '%' | '_').then_some('\\').into_iter().chain([c]))
        .collect()
}
