//! Which addresses a request may go to. Pure: knows no name, resolves nothing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Ranges of IPv4 that are not the public internet, from IANA's registry of special-purpose
/// addresses (iana.org/assignments/iana-ipv4-special-registry), and one public address behind which
/// a cloud keeps a channel to the machine itself.
const SPECIAL_V4: [(Ipv4Addr, u8, &str); 17] = [
    (Ipv4Addr::UNSPECIFIED, 8, "unspecified"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "shared by a carrier"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(168, 63, 129, 16), 32, "metadata"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local or metadata"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "for protocols"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "for documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "for benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "for documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "for documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::BROADCAST, 32, "broadcast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// Ranges of IPv6 within global unicast (`2000::/3`) that are not the public internet either, from
/// iana.org/assignments/iana-ipv6-special-registry.
const SPECIAL_V6: [(Ipv6Addr, u8, &str); 3] = [
    (
        Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0),
        23,
        "for protocols or tunnels",
    ),
    (
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
        32,
        "for documentation",
    ),
    (
        Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0),
        20,
        "for documentation",
    ),
];

/// Where requests may go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// The public internet. Not this machine, not its networks, not the metadata of its cloud.
    #[default]
    Public,
    /// That, and these ranges.
    PublicAnd(Vec<Cidr>),
}

/// An address that may not be connected to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("address {address} is refused: {why}, and not allowed on this node")]
pub(super) struct Refused {
    pub(super) address: IpAddr,
    pub(super) why: &'static str,
}

impl Reach {
    /// The public internet, this machine and private networks. Metadata addresses stay out: they
    /// are link-local.
    pub fn private() -> Self {
        let v4 = |a, b, prefix| Cidr {
            network: Ipv4Addr::new(a, b, 0, 0).into(),
            prefix,
        };
        Self::PublicAnd(vec![
            v4(127, 0, 8),
            v4(10, 0, 8),
            v4(172, 16, 12),
            v4(192, 168, 16),
            Cidr {
                network: Ipv6Addr::LOCALHOST.into(),
                prefix: 128,
            },
            Cidr {
                network: Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0).into(),
                prefix: 7,
            },
        ])
    }

    pub(super) fn vet(&self, address: IpAddr) -> Result<(), Refused> {
        // Written as IPv6 or not, it is the IPv4 address that is connected to.
        let address = address.to_canonical();
        let Some(why) = special(address) else {
            return Ok(());
        };
        match self {
            Self::PublicAnd(ranges) if ranges.iter().any(|range| range.contains(address)) => Ok(()),
            Self::Public | Self::PublicAnd(_) => Err(Refused { address, why }),
        }
    }
}

/// Why an address is not on the public internet, if it is not.
fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let (_, _, why) = SPECIAL_V4
        .iter()
        .find(|(network, prefix, _)| within(address.into(), (*network).into(), *prefix))?;
    Some(why)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_loopback() {
        return Some("loopback");
    }
    // What is translated or tunnelled ends at an IPv4 address, whose range is what counts.
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            return special_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
        }
        _ => {}
    }
    if address.segments()[0] & 0xe000 != 0x2000 {
        return Some("not global unicast");
    }
    let (_, _, why) = SPECIAL_V6
        .iter()
        .find(|(network, prefix, _)| within(address.into(), (*network).into(), *prefix))?;
    Some(why)
}

/// A range of addresses, `10.0.0.0/8` or `fd00::/8`; an address alone is a range of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

/// Why a text is no range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no range of addresses, write 10.0.0.0/8 or fd00::/8")]
pub struct CidrError(String);

impl Cidr {
    /// Whether the address lies in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        within(address, self.network, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let wrong = || CidrError(text.to_owned());
        let (network, prefix) = match text.split_once('/') {
            Some((network, prefix)) => (network, Some(prefix)),
            None => (text, None),
        };
        let network: IpAddr = network.parse().map_err(|_| wrong())?;
        let bits = if network.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| wrong())?,
            None => bits,
        };
        if prefix > bits {
            Err(wrong())
        } else {
            Ok(Self { network, prefix })
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

fn within(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    // A shift by all bits is none in Rust: a prefix of 0 holds every address.
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let differing = address.to_bits() ^ network.to_bits();
            differing.checked_shr(32 - u32::from(prefix)).unwrap_or(0) == 0
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let differing = address.to_bits() ^ network.to_bits();
            differing.checked_shr(128 - u32::from(prefix)).unwrap_or(0) == 0
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_is_reached_unless_more_is_allowed() {
        let refused = [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.0.9",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.168.1.1",
            "198.19.0.1",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.1.1.1",
            "255.255.255.255",
            "240.0.0.1",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        let reached = [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "128.0.0.1",
            "172.15.255.255",
            "172.32.0.0",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "2606:4700::1111",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "2a00:1450::1",
        ];

        for address in refused {
            let vetted = Reach::Public.vet(address.parse().unwrap());
            assert!(vetted.is_err(), "{address} was let through");
        }
        for address in reached {
            assert_eq!(Reach::Public.vet(address.parse().unwrap()), Ok(()));
        }
    }

    #[test]
    fn allowed_private_networks_leave_metadata_out() {
        let reach = Reach::private();

        for address in [
            "127.0.0.1",
            "10.9.9.9",
            "192.168.3.4",
            "::1",
            "fd12::1",
            "::ffff:10.0.0.1",
        ] {
            assert_eq!(reach.vet(address.parse().unwrap()), Ok(()));
        }
        for address in [
            "169.254.169.254",
            "0.0.0.0",
            "224.0.0.1",
            "fe80::1",
            "100.100.100.200",
        ] {
            assert!(
                reach.vet(address.parse().unwrap()).is_err(),
                "{address} was let through"
            );
        }
    }

    #[test]
    fn a_range_is_read_and_written_alike_and_a_wrong_one_refused() {
        for text in ["10.0.0.0/8", "fd00::/8", "0.0.0.0/0", "::/0", "1.2.3.4/32"] {
            assert_eq!(text.parse::<Cidr>().unwrap().to_string(), text);
        }
        for text in [
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "x",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "",
        ] {
            assert_eq!(text.parse::<Cidr>(), Err(CidrError(text.to_owned())));
        }
        let everything: Cidr = "0.0.0.0/0".parse().unwrap();
        let one: Cidr = "1.2.3.4".parse().unwrap();
        assert!(everything.contains("255.1.2.3".parse().unwrap()));
        assert!(one.contains("1.2.3.4".parse().unwrap()));
        assert!(!one.contains("1.2.3.5".parse().unwrap()));
    }
}
