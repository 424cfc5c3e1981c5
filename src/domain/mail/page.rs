//! The page behind the link that confirms an address: what a person without a token is shown.

use entity::enums::Language;

use super::escaped;

/// What became of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// Good: it waits to be confirmed, which a mail scanner that opens links does not do.
    Open {
        /// The secret, to be sent back.
        token: String,
    },
    /// Confirmed, just now or before.
    Confirmed,
    /// Its time has run out.
    Expired,
    /// There is no such link, or not any more.
    Unknown,
}

/// For whom the page is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// The account.
    pub account: String,
    /// The address.
    pub email: String,
    /// The account's language.
    pub language: Language,
}

/// The page, in the account's language; in both for a link that names none.
#[must_use]
pub fn html(link: &Link, reader: Option<&Reader>) -> String {
    let language = reader.map(|reader| reader.language);
    let (account, email) = reader.map_or(("", ""), |reader| (reader.account.as_str(), reader.email.as_str()));
    let (title, words, button) = match (link, language) {
        (Link::Open { .. }, Some(Language::Vi)) => (
            "Xác nhận địa chỉ",
            format!("Gửi thông báo thanh toán của {account} đến {email}?"),
            "Xác nhận",
        ),
        (Link::Open { .. }, _) => (
            "Confirm the address",
            format!("Send messages about the billing of {account} to {email}?"),
            "Confirm",
        ),
        (Link::Confirmed, Some(Language::Vi)) => (
            "Đã xác nhận",
            format!("{email} đã được xác nhận cho {account}. Bạn có thể đóng trang này."),
            "",
        ),
        (Link::Confirmed, _) => (
            "Confirmed",
            format!("{email} is confirmed for {account}. You can close this page."),
            "",
        ),
        (Link::Expired, Some(Language::Vi)) => (
            "Liên kết đã hết hiệu lực",
            format!("Liên kết này đã hết hiệu lực. Hãy nhờ chủ tài khoản {account} gửi lại liên kết mới."),
            "",
        ),
        (Link::Expired, _) => (
            "The link has expired",
            format!("This link has expired. Ask the owner of {account} for a new one."),
            "",
        ),
        (Link::Unknown, _) => (
            "No such link / Không có liên kết này",
            "There is no such link. Perhaps it was replaced by a newer one, or the address was taken off the list. / \
             Không có liên kết này. Có thể nó đã được thay bằng liên kết mới hơn, hoặc địa chỉ đã bị gỡ khỏi danh sách."
                .to_owned(),
            "",
        ),
    };
    let form = match link {
        Link::Open { token } => format!(
            "<form method=\"post\" action=\"confirm\"><input type=\"hidden\" name=\"token\" value=\"{}\"><button>{}</button></form>\n",
            escaped(token),
            escaped(button)
        ),
        _ => String::new(),
    };
    let code = match language {
        Some(Language::Vi) => "vi",
        _ => "en",
    };
    format!(
        "<!DOCTYPE html>\n<html lang=\"{code}\">\n<head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{0}</title></head>\n<body>\n<h1>{0}</h1>\n<p>{1}</p>\n{form}</body>\n</html>\n",
        escaped(title),
        escaped(&words)
    )
}
