//! The messages in Vietnamese.

use entity::enums::Language;

use super::{Draft, End, LINK_DAYS, Letter, Occasion, Thing};
use crate::domain::explain::money_text;
use crate::domain::money::Money;

fn money(amount: Money) -> String {
    money_text(amount, Language::Vi)
}

/// When a resource ends, seen from the alert.
fn left(end: &End) -> String {
    match end.days_left {
        0 => "hết hạn ngay bây giờ".to_owned(),
        left if left > 0 => format!("sẽ hết hạn sau {left} ngày"),
        left => format!("đã hết hạn {} ngày trước", left.saturating_neg()),
    }
}

fn facts(letter: &Letter, thing: &Thing, end: &End) -> Vec<(&'static str, Option<String>)> {
    let left = (end.days_left >= 0).then(|| format!("{} ngày", end.days_left));
    vec![
        ("Tài nguyên", Some(thing.name.clone())),
        ("Mã", thing.external_id.clone()),
        ("Đã thanh toán đến", Some(letter.at(end.expires_at))),
        ("Còn lại", left),
        ("Bị xóa vĩnh viễn lúc", end.releases_at.map(|at| letter.at(at))),
    ]
}

fn resource(
    letter: &Letter,
    thing: &Thing,
    more: &[(&'static str, Option<String>)],
) -> Vec<(&'static str, Option<String>)> {
    let mut facts = vec![
        ("Tài khoản", Some(letter.account.clone())),
        ("Tài nguyên", Some(thing.name.clone())),
        ("Mã", thing.external_id.clone()),
    ];
    facts.extend_from_slice(more);
    facts
}

const KEEP: &str = "Để giữ lại tài nguyên, hãy gia hạn hoặc khôi phục trong trang quản trị trước khi bị xóa.";
const RENEW: &str =
    "Để giữ lại tài nguyên, hãy gia hạn trong trang quản trị, hoặc nạp tiền vào ví tín dụng và bật tự động gia hạn.";

pub(super) fn greeting(letter: &Letter) -> String {
    match letter.occasion {
        Occasion::Confirmation { .. } | Occasion::PaymentAsked { .. } => "Xin chào,".to_owned(),
        _ => format!("Kính gửi {},", letter.account),
    }
}

pub(super) fn closing(letter: &Letter) -> String {
    match letter.occasion {
        Occasion::Confirmation { .. } => {
            "Nếu bạn không chờ thư này, hãy bỏ qua: bạn sẽ không nhận thêm thư nào khác.".to_owned()
        }
        Occasion::PaymentAsked { .. } => format!(
            "Bạn nhận được thư này vì tài khoản {} đã nêu địa chỉ của bạn. Nếu bạn không biết tài khoản này, hãy bỏ qua: bạn không nợ khoản nào.",
            letter.account
        ),
        _ => format!(
            "Bạn nhận được thư này vì địa chỉ của bạn đã được xác nhận cho tài khoản {}. Chủ tài khoản chọn người nhận và nội dung được thông báo.",
            letter.account
        ),
    }
}

#[allow(
    clippy::too_many_lines,
    reason = "one arm for each message, in the order of the occasions"
)]
pub(super) fn draft(letter: &Letter) -> Draft {
    let at = |instant| letter.at(instant);
    match &letter.occasion {
        Occasion::Confirmation { link, until } => {
            let draft = Draft::new(format!("Xác nhận địa chỉ của bạn cho {}", letter.account)).words(format!(
                "Tài khoản {} muốn gửi thông báo thanh toán đến địa chỉ này. Hãy mở liên kết và xác nhận để nhận thông báo. Liên kết có hiệu lực trong {LINK_DAYS} ngày và chỉ dùng được một lần.",
                letter.account
            ));
            let draft = match link {
                Some(link) => draft.link(link.clone(), "Xác nhận địa chỉ này"),
                None => draft.words("(Liên kết chỉ có trong chính bức thư.)"),
            };
            draft.facts(vec![("Có hiệu lực đến", until.map(at))])
        }
        Occasion::PaymentAsked { asked, link, until } => {
            let amount = money(asked.amount);
            let mut draft = Draft::new(format!("{} nhờ bạn thanh toán {amount}", letter.account)).words(format!(
                "{} nhờ bạn thanh toán {amount} cho:",
                letter.account
            ));
            for thing in &asked.products {
                draft = draft.words(format!("- {thing}"));
            }
            let draft = match link {
                Some(link) => draft.link(link.clone(), "Xem và thanh toán"),
                None => draft.words("(Liên kết chỉ có trong chính bức thư.)"),
            };
            draft
                .facts(vec![("Có hiệu lực đến", Some(at(*until)))])
                .words("Chỉ thanh toán được một lần. Hóa đơn và mọi khoản hoàn tiền thuộc về người nhờ thanh toán.")
        }
        Occasion::Reminder(thing, end) => Draft::new(format!("{} {}", thing.name, left(end)))
            .words(format!("Thời gian đã thanh toán của {} {}.", thing.name, left(end)))
            .facts(facts(letter, thing, end))
            .words(RENEW),
        Occasion::Expired(thing, end) => Draft::new(format!("{} đã hết hạn", thing.name))
            .words(format!("Thời gian đã thanh toán của {} đã kết thúc.", thing.name))
            .facts(facts(letter, thing, end))
            .words(RENEW),
        Occasion::Suspended(thing, end) => Draft::new(format!("{} đã bị tạm ngưng", thing.name))
            .words(format!(
                "{} đã bị dừng vì không được gia hạn. Dữ liệu được giữ lại cho đến khi bị xóa vĩnh viễn.",
                thing.name
            ))
            .facts(facts(letter, thing, end))
            .words(KEEP),
        Occasion::FinalNotice(thing, end) => {
            Draft::new(format!("Thông báo cuối cùng: {} sẽ bị xóa vĩnh viễn", thing.name))
                .words(format!(
                    "{} sẽ bị xóa cùng toàn bộ dữ liệu. Sau đó không ai có thể khôi phục được.",
                    thing.name
                ))
                .facts(facts(letter, thing, end))
                .words(KEEP)
        }
        Occasion::Released(thing) => Draft::new(format!("{} đã bị xóa vĩnh viễn", thing.name))
            .words(format!(
                "{} đã bị xóa cùng toàn bộ dữ liệu: đã hết thời hạn mà không được gia hạn hoặc khôi phục.",
                thing.name
            ))
            .facts(resource(letter, thing, &[])),
        Occasion::Renewed {
            thing,
            charged,
            ends_at,
        } => Draft::new(format!("{} đã được gia hạn", thing.name))
            .words(format!("{} đã được gia hạn.", thing.name))
            .facts(resource(
                letter,
                thing,
                &[("Đã thu", charged.map(money)), ("Đã thanh toán đến", ends_at.map(at))],
            )),
        Occasion::RenewalFailed {
            thing,
            end,
            failure,
            shortfall,
        } => {
            let mut all = facts(letter, thing, end);
            all.push(("Lý do", failure.clone().filter(|_| shortfall.is_none())));
            all.push(("Số tiền còn thiếu", shortfall.map(money)));
            let what_to_do = match shortfall {
                Some(missing) => format!(
                    "Hãy nạp ít nhất {} trước lần thử tiếp theo, hoặc gia hạn trong trang quản trị.",
                    money(*missing)
                ),
                None => "Hãy gia hạn trong trang quản trị: ở đó bạn thấy điều gì đang cản trở.".to_owned(),
            };
            Draft::new(format!("Không gia hạn được {}", thing.name))
                .words(format!("Việc gia hạn {} từ ví tín dụng không thành công.", thing.name))
                .facts(all)
                .words(what_to_do)
        }
        Occasion::AutoRenewStopped { thing, ends_at } => Draft::new(format!("Đã dừng tự động gia hạn {}", thing.name))
            .words(format!(
                "Lần thử gia hạn cuối cùng của {} không thành công. Tài nguyên sẽ không được tự động gia hạn nữa.",
                thing.name
            ))
            .facts(resource(letter, thing, &[("Đã thanh toán đến", ends_at.map(at))]))
            .words(RENEW),
        Occasion::Provisioned { thing, ends_at } => Draft::new(format!("{} đã sẵn sàng", thing.name))
            .words(format!("{} đã được khởi tạo.", thing.name))
            .facts(resource(letter, thing, &[("Đã thanh toán đến", ends_at.map(at))])),
        Occasion::ProvisioningFailed { thing, reason } => Draft::new(format!("Không khởi tạo được {}", thing.name))
            .words(format!(
                "Không khởi tạo được {}. Số tiền đã thu được hoàn lại vào ví.",
                thing.name
            ))
            .facts(resource(letter, thing, &[("Lý do", reason.clone())])),
        Occasion::Recovered { thing, ends_at } => Draft::new(format!("{} đã được khôi phục", thing.name))
            .words(format!("{} đã được khôi phục từ thùng rác.", thing.name))
            .facts(resource(letter, thing, &[("Đã thanh toán đến", ends_at.map(at))])),
        Occasion::Resized(thing) => Draft::new(format!("{} đã được thay đổi cấu hình", thing.name))
            .words(format!("{} có cấu hình mới.", thing.name))
            .facts(resource(letter, thing, &[])),
        Occasion::Deleted(thing) => Draft::new(format!("{} đã được xóa", thing.name))
            .words(format!("{} đã được xóa theo yêu cầu.", thing.name))
            .facts(resource(letter, thing, &[])),
        Occasion::WebhookDisabled => Draft::new("Một webhook đã bị tắt".to_owned())
            .words("Một webhook của tài khoản không nhận được gì trong thời gian dài, nên không có gì được gửi đến đó nữa.")
            .facts(vec![("Tài khoản", Some(letter.account.clone()))])
            .words("Hãy xem các lần gửi, sửa nơi nhận, rồi bật lại webhook."),
        Occasion::AutoTopUpStopped => Draft::new("Nạp tiền tự động đã dừng".to_owned())
            .words("Tài khoản hoặc thẻ liên kết bị từ chối nhiều lần hoặc không còn: ví không được nạp tự động nữa.")
            .facts(vec![("Tài khoản", Some(letter.account.clone()))])
            .words("Hãy liên kết tài khoản khác, hoặc nạp tiền thủ công, rồi bật lại."),
        Occasion::Paid { payment, amount, order } => Draft::new(format!("Thanh toán {payment}: {}", money(*amount)))
            .words("Một khoản thanh toán đã thành công.")
            .facts(vec![
                ("Thanh toán", Some(payment.clone())),
                ("Số tiền", Some(money(*amount))),
                ("Đơn hàng", order.clone()),
            ]),
        Occasion::NotPaid { payment, amount, order } => Draft::new(format!("Thanh toán {payment} không thành công"))
            .words("Một khoản thanh toán không thành công; không có khoản tiền nào bị thu.")
            .facts(vec![
                ("Thanh toán", Some(payment.clone())),
                ("Số tiền", Some(money(*amount))),
                ("Đơn hàng", order.clone()),
            ])
            .words("Hãy thử lại, hoặc thanh toán bằng cách khác."),
        Occasion::Held { payment, amount } => Draft::new(format!("Thanh toán {payment} đang được kiểm tra"))
            .words("Số tiền đã thu cho khoản thanh toán này không khớp với số phải trả. Tiền được giữ riêng và không bị mất: chúng tôi đang kiểm tra, sau đó sẽ ghi vào ví của bạn hoặc trả về nơi chuyển đến.")
            .facts(vec![
                ("Thanh toán", Some(payment.clone())),
                ("Số phải trả", Some(money(*amount))),
            ])
            .words("Bạn không cần làm gì. Nếu cần dùng ngay, hãy thanh toán bằng cách khác."),
        Occasion::MethodsChanged => Draft::new("Tài khoản và thẻ liên kết đã thay đổi".to_owned())
            .words("Một tài khoản hoặc thẻ đã được liên kết, hủy liên kết, hoặc không còn hiệu lực tại cổng thanh toán.")
            .facts(vec![("Tài khoản", Some(letter.account.clone()))])
            .words("Nếu đó không phải là bạn, hãy kiểm tra các tài khoản và thẻ liên kết và hủy những gì bạn không biết."),
        Occasion::Refunded { amount, order, thing } => {
            let draft = match amount {
                Some(amount) => Draft::new(format!("Hoàn tiền {}", money(*amount))),
                None => Draft::new("Hoàn tiền".to_owned()),
            };
            draft.words("Tiền đã được hoàn lại vào ví.").facts(vec![
                ("Số tiền", amount.map(money)),
                ("Đơn hàng", order.clone()),
                ("Tài nguyên", thing.as_ref().map(|thing| thing.name.clone())),
            ])
        }
        Occasion::Invoiced {
            invoice,
            total,
            tax,
            thing,
        } => Draft::new(format!("Hóa đơn {invoice}: {}", money(*total)))
            .words(format!("Hóa đơn {invoice} đã được phát hành."))
            .facts(vec![
                ("Hóa đơn", Some(invoice.clone())),
                ("Tổng cộng", Some(money(*total))),
                ("Trong đó thuế", Some(money(*tax))),
                ("Tài nguyên", thing.as_ref().map(|thing| thing.name.clone())),
            ]),
        Occasion::Credited { invoice, note } => Draft::new(format!("Giấy báo có cho hóa đơn {invoice}"))
            .words(format!("Hóa đơn {invoice} đã được giảm bằng một giấy báo có."))
            .facts(vec![
                ("Hóa đơn", Some(invoice.clone())),
                ("Giấy báo có", note.as_ref().map(|(code, _)| code.clone())),
                ("Số tiền", note.as_ref().map(|(_, amount)| money(*amount))),
            ]),
        Occasion::WalletCredited { amount, balance } => Draft::new(match amount {
            Some(amount) => format!("Ví tín dụng: {}", money(*amount)),
            None => "Số dư ví đã thay đổi".to_owned(),
        })
        .words("Số dư ví tín dụng đã thay đổi.")
        .facts(vec![
            ("Số tiền", amount.map(money)),
            ("Số dư sau đó", balance.map(money)),
        ]),
    }
}
