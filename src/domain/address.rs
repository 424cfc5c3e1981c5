//! Which network addresses are the public's: only there may a request go that somebody else chose the target of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Blocks of version 4 that are not the public internet, as (first address, prefix length).
const CLOSED_V4: &[([u8; 4], u32)] = &[
    ([0, 0, 0, 0], 8),       // this network
    ([10, 0, 0, 0], 8),      // private
    ([100, 64, 0, 0], 10),   // shared by carriers
    ([127, 0, 0, 0], 8),     // loopback
    ([169, 254, 0, 0], 16),  // link-local, where clouds keep their metadata
    ([172, 16, 0, 0], 12),   // private
    ([192, 0, 0, 0], 24),    // protocols
    ([192, 0, 2, 0], 24),    // documentation
    ([192, 88, 99, 0], 24),  // relays of 6to4
    ([192, 168, 0, 0], 16),  // private
    ([198, 18, 0, 0], 15),   // benchmarks
    ([198, 51, 100, 0], 24), // documentation
    ([203, 0, 113, 0], 24),  // documentation
    ([224, 0, 0, 0], 4),     // multicast
    ([240, 0, 0, 0], 4),     // reserved, and broadcast
];

/// Blocks of version 6 that are not the public internet although they lie within 2000::/3, outside of which nothing is.
const CLOSED_V6: &[([u16; 8], u32)] = &[
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),     // protocols, Teredo among them
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), // documentation
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),     // 6to4, which hides an address of version 4
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),     // documentation
];

/// Whether an address belongs to the public internet: not to this machine, its networks, or to nobody.
///
/// Source: rule "Webhooks" in ARCHITECTURE, section Telling.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        // An address of version 4 in the clothes of version 6 is what it is.
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => is_public_v4(address),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = u32::from(address);
    !CLOSED_V4.iter().any(|(first, length)| {
        let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
        bits & mask == u32::from(Ipv4Addr::from(*first)) & mask
    })
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let bits = u128::from(address);
    let within = |first: u128, length: u32| {
        let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
        bits & mask == first & mask
    };
    let global = u128::from(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0));
    let closed = |(first, length): &([u16; 8], u32)| within(u128::from(Ipv6Addr::from(*first)), *length);
    within(global, 3) && !CLOSED_V6.iter().any(closed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rstest::rstest;

    use super::is_public;

    #[rstest]
    #[case("1.1.1.1", true)]
    #[case("103.245.248.1", true)]
    #[case("223.255.255.255", true)]
    #[case("172.15.255.255", true)]
    #[case("172.32.0.0", true)]
    #[case("100.63.255.255", true)]
    #[case("100.128.0.0", true)]
    #[case("2606:4700:4700::1111", true)]
    #[case("2402:800::1", true)]
    #[case("::ffff:1.1.1.1", true)]
    #[case("0.0.0.0", false)]
    #[case("10.1.2.3", false)]
    #[case("100.64.0.1", false)]
    #[case("100.127.255.255", false)]
    #[case("127.0.0.1", false)]
    #[case("127.255.255.255", false)]
    #[case("169.254.169.254", false)]
    #[case("172.16.0.0", false)]
    #[case("172.31.255.255", false)]
    #[case("192.0.0.8", false)]
    #[case("192.168.1.1", false)]
    #[case("198.19.255.255", false)]
    #[case("224.0.0.1", false)]
    #[case("255.255.255.255", false)]
    #[case("::", false)]
    #[case("::1", false)]
    #[case("::127.0.0.1", false)]
    #[case("::ffff:127.0.0.1", false)]
    #[case("::ffff:169.254.169.254", false)]
    #[case("64:ff9b::7f00:1", false)]
    #[case("64:ff9b:1::1", false)]
    #[case("100::1", false)]
    #[case("2001::1", false)]
    #[case("2001:db8::1", false)]
    #[case("2002:7f00:1::", false)]
    #[case("3fff::1", false)]
    #[case("fc00::1", false)]
    #[case("fd12:3456::1", false)]
    #[case("fe80::1", false)]
    #[case("fec0::1", false)]
    #[case("ff02::1", false)]
    fn only_the_public_internet_is_public(#[case] address: &str, #[case] public: bool) {
        assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
    }
}
