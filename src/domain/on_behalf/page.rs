//! The page behind a link by which somebody else pays: what a person without a token is shown.

use entity::enums::Language;

use super::{Asked, Standing};

/// What the page says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// The language, as HTML names it.
    pub language: &'static str,
    /// The title.
    pub title: String,
    /// A sentence or some.
    pub words: String,
    /// What the button says; nothing where there is none.
    pub button: Option<String>,
}

/// What became of beginning a payment by a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The gateway said no.
    Refused,
    /// The gateway did not answer.
    Away,
    /// What was ordered can't be bought as it was promised any more.
    Stale,
}

/// The page, in the account's language.
#[must_use]
pub fn words(asked: &Asked, standing: Standing, gateway: &str, trouble: Option<Trouble>) -> Words {
    let vietnamese = asked.language == Language::Vi;
    let either = |english: String, other: String| if vietnamese { other } else { english };
    let account = &asked.account;
    let (title, words) = match standing {
        Standing::Open => (
            either(format!("Pay for {account}"), format!("Thanh toán cho {account}")),
            either(
                format!("{account} asks you to pay for this:"),
                format!("{account} nhờ bạn thanh toán cho:"),
            ),
        ),
        Standing::Underway => (
            either(
                "The payment is on its way".to_owned(),
                "Đang chờ kết quả thanh toán".to_owned(),
            ),
            either(
                "A payment was begun and is not known to have ended. Pay nothing more; look again in some minutes."
                    .to_owned(),
                "Một lượt thanh toán đang chờ kết quả. Vui lòng không thanh toán lại; hãy xem lại sau vài phút."
                    .to_owned(),
            ),
        ),
        Standing::Paid => (
            either("It is paid".to_owned(), "Đã thanh toán".to_owned()),
            either(
                format!("This order of {account} is paid. Nothing more is to be done: you can close this page."),
                format!("Đơn hàng này của {account} đã được thanh toán. Bạn có thể đóng trang này."),
            ),
        ),
        Standing::Over => (
            either(
                "Not to be paid any more".to_owned(),
                "Không cần thanh toán nữa".to_owned(),
            ),
            either(
                format!(
                    "This link can't be used any more: the order was cancelled, too many payments were begun by it, or {account} has sent a new one."
                ),
                format!(
                    "Liên kết này không còn dùng được: đơn hàng đã bị hủy, đã thanh toán thử quá nhiều lần, hoặc {account} đã gửi liên kết mới."
                ),
            ),
        ),
        Standing::Expired => (
            either("The link has expired".to_owned(), "Liên kết đã hết hiệu lực".to_owned()),
            either(
                format!("The time to pay by this link has run out. Ask {account} for a new one."),
                format!("Đã hết thời hạn thanh toán qua liên kết này. Hãy nhờ {account} gửi liên kết mới."),
            ),
        ),
    };
    let before = match trouble {
        Some(Trouble::Refused) => either(
            "The gateway did not take the payment; nothing was paid. You can try again. ".to_owned(),
            "Cổng thanh toán không nhận giao dịch; chưa có khoản tiền nào được thanh toán. Bạn có thể thử lại. "
                .to_owned(),
        ),
        Some(Trouble::Away) => either(
            "The gateway does not answer just now; nothing was paid. Try again in some minutes. ".to_owned(),
            "Cổng thanh toán hiện không phản hồi; chưa có khoản tiền nào được thanh toán. Hãy thử lại sau vài phút. "
                .to_owned(),
        ),
        Some(Trouble::Stale) => either(
            format!(
                "What was ordered can't be bought as it was promised any more; nothing was paid. Tell {account}: they can order it anew. "
            ),
            format!(
                "Đơn hàng không còn mua được như đã báo giá; chưa có khoản tiền nào được thanh toán. Hãy báo cho {account} để đặt lại. "
            ),
        ),
        None => String::new(),
    };
    let button = (standing == Standing::Open).then(|| {
        either(
            format!("Pay {} with {gateway}", asked.amount()),
            format!("Thanh toán {} qua {gateway}", asked.amount()),
        )
    });
    Words {
        language: if vietnamese { "vi" } else { "en" },
        title,
        words: format!("{before}{words}"),
        button,
    }
}

/// What is said of a link that there is not.
pub const NO_LINK: &str = "There is no such link. Look whether all of its address was copied. / Không có liên kết này. \
                           Hãy kiểm tra xem địa chỉ đã được sao chép đầy đủ chưa.";
